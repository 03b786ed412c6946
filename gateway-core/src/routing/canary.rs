//! Canaries: which of two services a request goes to.
//!
//! A caller stays on one side: the side is a hash of who they are and of the canary's service,
//! the same on every instance, at every gateway and after every restart. A larger percentage
//! keeps everybody who was there before. Who was first for one service is not for the next.
//!
//! Not here: what happens when the other service fails (nothing special: it is a service).

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};

use crate::principal::Principal;

/// Shares are told in millionths, so that `0.1` percent is exact.
const WHOLE: u64 = 1_000_000;

/// A second service for some of a route's requests.
#[derive(Debug, Clone)]
pub struct Canary {
    /// The service: its index in the site.
    pub service: usize,
    name: Box<str>,
    millionths: u64,
    header: Option<HeaderName>,
    by_address: bool,
}

impl Canary {
    /// A canary of the service of that name; `percent` of all callers go there.
    #[must_use]
    pub fn new(service: usize, name: &str, percent: f64) -> Self {
        let share = (percent.clamp(0.0, 100.0) * 10_000.0).round();
        // At most a million, and no fraction is left.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to a million"
        )]
        let millionths = share as u64;
        Self { service, name: name.into(), millionths, header: None, by_address: false }
    }

    /// Lets callers choose by a header field.
    #[must_use]
    pub fn with_header(self, header: Option<HeaderName>) -> Self {
        Self { header, ..self }
    }

    /// Keeps addresses together, and not users.
    #[must_use]
    pub fn by_address(self, by_address: bool) -> Self {
        Self { by_address, ..self }
    }

    /// The header field by which callers choose.
    #[must_use]
    pub const fn header(&self) -> Option<&HeaderName> {
        self.header.as_ref()
    }

    /// Whether this request goes to the canary.
    #[must_use]
    pub fn takes(
        &self,
        headers: &HeaderMap,
        principal: Option<&Principal>,
        client: IpAddr,
    ) -> bool {
        let chosen = self.header.as_ref().and_then(|name| headers.get(name)).and_then(choice);
        // Nobody's place need be known where none is a canary's.
        chosen.unwrap_or_else(|| {
            self.millionths > 0 && self.place(principal, client) < self.millionths
        })
    }

    /// Where the caller stands among a million.
    fn place(&self, principal: Option<&Principal>, client: IpAddr) -> u64 {
        let mut hash = Sha256::new();
        hash.update((self.name.len() as u64).to_be_bytes());
        hash.update(self.name.as_bytes());
        match (principal.filter(|_| !self.by_address), client.to_canonical()) {
            (Some(principal), _) => {
                hash.update(b"user");
                hash.update(principal.user_id.as_str().as_bytes());
            }
            (None, IpAddr::V4(address)) => {
                hash.update(b"ipv4");
                hash.update(address.octets());
            }
            // A household's addresses share their /64, and change within it.
            (None, IpAddr::V6(address)) => {
                hash.update(b"ipv6");
                hash.update((address.to_bits() >> 64).to_be_bytes());
            }
        }
        let digest = hash.finalize();
        let first = digest.first_chunk::<8>().copied().unwrap_or_default();
        u64::from_be_bytes(first) % WHOLE
    }
}

/// `always` or `never`; anything else chooses nothing.
fn choice(value: &HeaderValue) -> Option<bool> {
    match value.as_bytes().trim_ascii() {
        always if always.eq_ignore_ascii_case(b"always") => Some(true),
        never if never.eq_ignore_ascii_case(b"never") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::{IdentityText, Scheme};

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn user(id: u32) -> Principal {
        let text = |text: &str| IdentityText::parse(text).expect("visible ASCII");
        Principal {
            scheme: Scheme::Jwt,
            user_id: text(&id.to_string()),
            role: None,
            roles: Vec::new(),
            tenant: None,
            tier: text("free"),
            scopes: Vec::new(),
            credential_id: None,
            expires_at: None,
        }
    }

    fn of_users(canary: &Canary) -> Vec<bool> {
        let none = HeaderMap::new();
        (0..10_000).map(|id| canary.takes(&none, Some(&user(id)), CLIENT)).collect()
    }

    #[test]
    fn the_share_is_about_right_and_a_larger_one_keeps_who_was_there() {
        let five = of_users(&Canary::new(1, "next", 5.0));
        let count = five.iter().filter(|&&taken| taken).count();
        assert!((400..=600).contains(&count), "{count}");
        let ten = of_users(&Canary::new(1, "next", 10.0));
        assert!(five.iter().zip(&ten).all(|(&before, &after)| after || !before));
        assert!(of_users(&Canary::new(1, "next", 0.0)).iter().all(|&taken| !taken));
        assert!(of_users(&Canary::new(1, "next", 100.0)).iter().all(|&taken| taken));
        let tenth = of_users(&Canary::new(1, "next", 0.1));
        assert!(tenth.iter().filter(|&&taken| taken).count() < 40);
    }

    #[test]
    fn a_user_is_on_one_side_whatever_the_address_and_scheme_and_release() {
        let canary = Canary::new(1, "link-service-next", 50.0);
        let none = HeaderMap::new();
        let elsewhere = IpAddr::from([203, 0, 113, 9]);
        for id in 0..100 {
            let by_key = Principal { scheme: Scheme::ApiKey, ..user(id) };
            let side = canary.takes(&none, Some(&user(id)), CLIENT);
            assert_eq!(side, canary.takes(&none, Some(&by_key), elsewhere), "{id}");
        }
        // Written down once: another hash would move users about with a release.
        let sides: String =
            of_users(&canary).iter().take(16).map(|&taken| if taken { '1' } else { '0' }).collect();
        assert_eq!(sides, SIDES_OF_THE_FIRST_16);
        let other = Canary::new(1, "user-service-next", 50.0);
        assert_ne!(of_users(&canary), of_users(&other), "not always the same users");
    }

    const SIDES_OF_THE_FIRST_16: &str = "1000001010110100";

    #[test]
    fn addresses_stay_together_by_their_64_network() {
        let canary = Canary::new(1, "next", 50.0).by_address(true);
        let none = HeaderMap::new();
        let takes = |address: &str, principal: Option<&Principal>| {
            canary.takes(&none, principal, address.parse().expect("an address"))
        };
        let side = takes("2001:db8::1", None);
        for id in 0..64 {
            assert_eq!(takes(&format!("2001:db8::{id:x}"), Some(&user(id))), side);
        }
        let sides: Vec<bool> = (0..64).map(|n| takes(&format!("192.0.2.{n}"), None)).collect();
        assert!(sides.contains(&true) && sides.contains(&false));
    }

    #[test]
    fn a_header_chooses_and_nonsense_does_not() {
        let name = HeaderName::from_static("x-canary");
        let canary = |percent| Canary::new(1, "next", percent).with_header(Some(name.clone()));
        let takes = |percent, value: &'static str| {
            let headers = HeaderMap::from_iter([(name.clone(), HeaderValue::from_static(value))]);
            canary(percent).takes(&headers, Some(&user(1)), CLIENT)
        };
        assert!(takes(0.0, "always") && takes(0.0, "Always"));
        assert!(!takes(100.0, "never"));
        assert!(!takes(0.0, "yes") && takes(100.0, "no"));
        let headers = HeaderMap::from_iter([(name.clone(), HeaderValue::from_static("always"))]);
        assert!(!Canary::new(1, "next", 0.0).takes(&headers, Some(&user(1)), CLIENT), "unasked");
    }
}
