//! Nothing that anybody writes makes loading do worse than fail.

use proptest::prelude::*;

use super::*;

const SAMPLE: &str = include_str!("../../../../config/platform.toml");

/// The sample with one run of characters replaced by another text.
fn damaged() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "",
        "\"",
        "=",
        "[",
        "]",
        "{",
        "}",
        ".",
        "\n",
        "x = 1\n",
        "[[routes]]\n",
        "-5",
        "nan",
        "[]",
        "{ env = \"A\" }",
        "\"\\u0000\"",
        "é",
        "routes",
        "\"GET\"",
        "1e400",
        "0x10",
    ]);
    (0..SAMPLE.len(), 0..200_usize, pieces).prop_map(|(start, length, piece)| {
        let is_boundary = |at: &usize| SAMPLE.is_char_boundary(*at);
        let start = (start..).find(is_boundary).unwrap_or(0);
        let end = (start + length..).find(|at| *at >= SAMPLE.len() || is_boundary(at));
        let end = end.unwrap_or(start).min(SAMPLE.len());
        format!("{}{piece}{}", &SAMPLE[..start], &SAMPLE[end..])
    })
}

/// Variables that reach a key of each kind, or nothing.
const NAMES: [&str; 12] = [
    "GATEWAY__SERVER__CORES",
    "GATEWAY__SERVER__CONNECTIONS_MAX",
    "GATEWAY__SERVER__HEAD_SIZE_MAX",
    "GATEWAY__SERVER__TRUSTED_PROXIES",
    "GATEWAY__ADMIN__LISTEN",
    "GATEWAY__ADMIN__TOKEN",
    "GATEWAY__LIMITS__CONSUMER__BURST",
    "GATEWAY__LIMITS__CONSUMER__RATE",
    "GATEWAY__AGGREGATES__DASHBOARD__PARTS__LINKS__WEIGHT",
    "GATEWAY__AGGREGATES__DASHBOARD__PARTS__LINKS__FALLBACK",
    "GATEWAY__ROUTES",
    "GATEWAY__X",
];

fn value() -> impl Strategy<Value = String> {
    let odd = [
        "-1",
        "0",
        "1",
        "2.0",
        "1e300",
        "4294967296",
        "9223372036854775807",
        "true",
        "[]",
        "[1]",
        "{}",
        "\"\"",
        "{ env = \"GATEWAY__X\" }",
        "{ a = { b = [ {} ] } }",
        "1979-05-27",
        "5s",
    ];
    prop_oneof![prop::sample::select(odd.to_vec()).prop_map(str::to_owned), ".{0,32}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn makes_loading_fail_at_worst(
        platform in prop_oneof![Just(SAMPLE.to_owned()), damaged(), ".{0,64}"],
        gateway in prop_oneof![Just(GATEWAY.to_owned()), "[a-z\\[\\]{}=\".\n ]{0,48}"],
        name in prop_oneof![prop::sample::select(NAMES.to_vec()).prop_map(str::to_owned), ".{0,9}"],
        value in value(),
    ) {
        let files = Files::new(&platform, &gateway).variable(&name, &value);
        let files = samples::VARIABLES.iter().fold(files, |files, name| files.variable(name, "x"));
        let told = match files.load(&[]) {
            Ok(loaded) => loaded.render(),
            Err(found) => found.to_string(),
        };
        prop_assert!(!told.starts_with('0'), "an error without a mistake");
        // The schema knows all that the types do.
        prop_assert!(!told.contains("does not fit its type"), "{}", told);
    }
}

#[test]
fn deep_nesting_is_a_mistake_and_no_overflow() {
    let dotted = vec!["a"; 5_000].join(".");
    let brackets = "[".repeat(50_000);
    for text in [format!("{dotted} = 1\n"), format!("[{dotted}]\n"), format!("a = {brackets}")] {
        let found = Files::new(&text, GATEWAY).mistakes(&[]);
        assert!(found.contains("platform.toml:1\n    is no TOML"), "{found}");
    }
    let name = format!("GATEWAY__{}", vec!["A"; 5_000].join("__"));
    let found = files().variable(&name, "1").mistakes(&[]);
    assert!(found.contains("must name a key as GATEWAY__SECTION__KEY"), "{}", found.len());
    let found = files().variable("GATEWAY__A", &brackets).mistakes(&[]);
    assert!(found.contains("is no section"), "{}", found.len());
}
