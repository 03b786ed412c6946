//! Certificates as an authority makes them, and what is not one.

use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType, date_time_ymd};

use super::*;

fn ia5(text: &str) -> Ia5String {
    text.try_into().expect("ASCII")
}

/// A certificate with one name of each kind, some with two.
fn sample() -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationName, "Example");
    params.distinguished_name.push(DnType::CommonName, "Zoë");
    params.subject_alt_names = vec![
        SanType::DnsName(ia5("a.example")),
        SanType::IpAddress([127, 0, 0, 1].into()),
        SanType::DnsName(ia5("*.b.example")),
        SanType::URI(ia5("spiffe://example.com/billing")),
        SanType::Rfc822Name(ia5("zoe@example.com")),
    ];
    params.not_before = date_time_ymd(2024, 2, 29);
    params.not_after = date_time_ymd(2051, 1, 1);
    let key = KeyPair::generate().expect("a key");
    params.self_signed(&key).expect("a certificate").der().to_vec()
}

#[test]
fn names_and_times_are_read_from_what_an_authority_wrote() {
    let read = Certificate::parse(&sample()).expect("a certificate");
    assert_eq!(read.common_names, ["Zoë"]);
    assert_eq!(read.dns_names, ["a.example", "*.b.example"]);
    assert_eq!(read.uris, ["spiffe://example.com/billing"]);
    assert_eq!(read.emails, ["zoe@example.com"]);
    // One in each of the two forms: two digits of the year, and four.
    assert_eq!(read.not_before.to_string(), "2024-02-29T00:00:00.000Z");
    assert_eq!(read.not_after.to_string(), "2051-01-01T00:00:00.000Z");
}

#[test]
fn a_common_name_is_read_from_each_form_of_text() {
    let printable = DnValue::PrintableString("printable".try_into().expect("fits"));
    let ia5 = DnValue::Ia5String(ia5("ia5@example"));
    for (value, expected) in [(printable, "printable"), (ia5, "ia5@example")] {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, value);
        let key = KeyPair::generate().expect("a key");
        let der = params.self_signed(&key).expect("a certificate").der().to_vec();
        assert_eq!(Certificate::parse(&der).expect("a certificate").common_names, [expected]);
    }
}

#[test]
fn what_is_cut_short_or_too_long_is_no_certificate() {
    let der = sample();
    for length in 0..der.len() {
        assert_eq!(Certificate::parse(&der[..length]), Err(UnreadableCertificate), "{length}");
    }
    let longer = [&der[..], &[0]].concat();
    assert_eq!(Certificate::parse(&longer), Err(UnreadableCertificate));
}

#[test]
fn a_length_has_one_form() {
    let check = |bytes: &[u8], expected: Option<usize>| {
        let read = Der::new(bytes).take(tag::OCTETS).map(<[u8]>::len);
        assert_eq!(read, expected, "{:?}", &bytes[..bytes.len().min(8)]);
    };
    let long = |head: &[u8], length: usize| [head, &vec![0; length]].concat();
    check(&[4, 0], Some(0));
    check(&long(&[4, 0x7f], 127), Some(127));
    check(&long(&[4, 0x81, 0x80], 128), Some(128));
    check(&long(&[4, 0x82, 1, 0], 256), Some(256));
    check(&long(&[4, 0x81, 0x7f], 127), None);
    check(&long(&[4, 0x82, 0, 0x80], 128), None);
    check(&[4, 0x80, 0, 0], None);
    check(&[4, 0x84, 0, 0, 0, 0], None);
    check(&[4, 1], None);
    check(&[4], None);
}

#[test]
fn a_time_is_real_and_in_utc() {
    let check = |kind: u8, text: &str, expected: Option<u64>| {
        let length = u8::try_from(text.len()).expect("short");
        let bytes = [&[kind, length], text.as_bytes()].concat();
        let read = Der::new(&bytes).take_time().map(Timestamp::unix_seconds);
        assert_eq!(read, expected, "{text}");
    };
    check(tag::UTC_TIME, "700101000001Z", Some(1));
    check(tag::UTC_TIME, "491231235959Z", Some(2_524_607_999));
    check(tag::UTC_TIME, "500101000000Z", Some(0));
    check(tag::GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000));
    check(tag::GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799));
    for text in ["240101000000+", "2401010000Z", "241301000000Z", "240132000000Z", "240101240000Z"]
    {
        check(tag::UTC_TIME, text, None);
    }
    check(tag::GENERALIZED_TIME, "240101000000Z", None);
}

proptest::proptest! {
    #[test]
    fn no_change_of_a_byte_makes_reading_panic(at in 0_usize..600, to in 0_u8..=255) {
        let mut der = sample_once().to_vec();
        let at = at % der.len();
        der[at] = to;
        let _ = Certificate::parse(&der);
    }
}

fn sample_once() -> &'static [u8] {
    static SAMPLE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    SAMPLE.get_or_init(sample)
}
