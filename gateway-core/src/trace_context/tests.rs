//! Every rule of the recommendation that a gateway meets, as a table; and that nothing a client
//! sends breaks any of them.

use proptest::prelude::*;

use super::*;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, value.parse().expect("a value"));
    }
    headers
}

fn of_client(fields: &[(&'static str, &str)]) -> TraceContext {
    TraceContext::from_headers(&headers(fields), false)
}

fn of_proxy(fields: &[(&'static str, &str)]) -> TraceContext {
    TraceContext::from_headers(&headers(fields), true)
}

fn parent(flags: &str) -> String {
    format!("00-{TRACE}-{SPAN}-{flags}")
}

fn text(value: &HeaderValue) -> &str {
    value.to_str().expect("ASCII")
}

#[track_caller]
fn check_parent(parent: &str, goes_on: bool) {
    let context = of_client(&[("traceparent", parent), ("tracestate", "a=1")]);
    assert_eq!(context.trace_id() == TRACE, goes_on, "{parent}");
    assert_eq!(context.state().is_some(), goes_on, "{parent}");
}

#[test]
fn a_valid_parent_is_continued_and_anything_else_starts_a_new_trace() {
    let ids = format!("{TRACE}-{SPAN}");
    for rest in ["01", "00", "ff", "03", "01 ", "01\t"] {
        check_parent(&format!("00-{ids}-{rest}"), true);
    }
    check_parent(&format!(" \t00-{ids}-01"), true);
    // A later version may add fields, behind a dash.
    for rest in ["01", "01-", "01-what-the-future", "01-\u{20}x"] {
        check_parent(&format!("cc-{ids}-{rest}"), true);
        check_parent(&format!("01-{ids}-{rest}"), true);
        check_parent(&format!("fe-{ids}-{rest}"), true);
    }
    for version in ["ff", "0", "000", "0x", "FF", "CC", ".0", "", "0 "] {
        check_parent(&format!("{version}-{ids}-01"), false);
    }
    for rest in ["01-", "01-more", "01more", "0", "", "0g", "0A", "1", ".0", "001", "01 x"] {
        check_parent(&format!("00-{ids}-{rest}"), false);
    }
    for rest in ["01.more", "01more", "01 more", "0g-more", "0"] {
        check_parent(&format!("cc-{ids}-{rest}"), false);
    }
    for ids in [
        format!("{}-{SPAN}", "0".repeat(32)),
        format!("{TRACE}-{}", "0".repeat(16)),
        format!("{}-{SPAN}", TRACE.to_uppercase()),
        format!("{TRACE}-{}", SPAN.to_uppercase()),
        format!("{}-{SPAN}", &TRACE[1..]),
        format!("{TRACE}0-{SPAN}"),
        format!("{TRACE}-{}", &SPAN[1..]),
        format!("{TRACE}-{SPAN}0"),
        format!("{}.-{SPAN}", &TRACE[1..]),
        format!("{TRACE}-{}.", &SPAN[1..]),
        format!("{TRACE}_{SPAN}"),
        format!("{TRACE}--{}", &SPAN[1..]),
        format!("{SPAN}-{TRACE}"),
        format!("{TRACE}-"),
        TRACE.to_owned(),
    ] {
        check_parent(&format!("00-{ids}-01"), false);
    }
    check_parent(&format!("00_{TRACE}-{SPAN}-01"), false);
    check_parent(&format!("00-{TRACE}-{SPAN}_01"), false);
    check_parent("", false);
    check_parent("00", false);
}

#[test]
fn a_trace_id_of_zeros_is_replaced_and_not_continued() {
    let zeros = "0".repeat(32);
    let context = of_client(&[("traceparent", &format!("00-{zeros}-{SPAN}-01"))]);
    assert_ne!(context.trace_id(), zeros);
}

#[test]
fn two_parents_are_none_even_if_they_are_equal() {
    let parent = parent("01");
    for fields in [
        &[("traceparent", parent.as_str()), ("traceparent", parent.as_str())][..],
        &[("traceparent", parent.as_str()), ("traceparent", "")],
        &[("traceparent", &format!("{parent},{parent}"))],
    ] {
        let context = of_proxy(&[fields, &[("tracestate", "a=1")]].concat());
        assert_ne!(context.trace_id(), TRACE);
        assert_eq!(context.state(), None);
    }
}

#[test]
fn a_state_without_a_parent_is_dropped() {
    assert_eq!(of_proxy(&[("tracestate", "a=1")]).state(), None);
}

#[test]
fn each_call_has_a_span_of_its_own_in_the_same_trace() {
    let context = of_client(&[("traceparent", &parent("00"))]);
    let (one, other) = (context.child(), context.child());
    assert_ne!(one, other);
    for child in [one, other] {
        let child = Parent::parse(child.as_bytes()).expect("a valid parent");
        assert_eq!(&child.trace_id, TRACE.as_bytes());
        assert_ne!(Some(child.span), SpanId::new(0x00f0_67aa_0ba9_02b7));
    }
}

/// The flags that services see for these flags, from a listed proxy and from anybody.
#[track_caller]
fn check_flags(version: &str, flags: &str, from_proxy: &str, from_client: &str) {
    let sent = format!("{version}-{TRACE}-{SPAN}-{flags}");
    for (context, expected) in [
        (of_proxy(&[("traceparent", &sent)]), from_proxy),
        (of_client(&[("traceparent", &sent)]), from_client),
    ] {
        let child = context.child();
        let child = text(&child);
        assert_eq!((child.len(), &child[..3], &child[52..]), (55, "00-", expected), "{flags}");
    }
}

#[test]
fn the_random_flag_is_kept_the_sampled_one_believed_from_proxies_and_no_other_passed_on() {
    check_flags("00", "00", "-00", "-00");
    check_flags("00", "01", "-01", "-00");
    check_flags("00", "02", "-02", "-02");
    check_flags("00", "03", "-03", "-02");
    check_flags("00", "ff", "-03", "-02");
    check_flags("00", "09", "-01", "-00");
    check_flags("00", "a0", "-00", "-00");
    check_flags("cc", "ff", "-03", "-02");
}

#[test]
fn a_new_trace_is_random_says_so_and_is_one_for_all_its_calls() {
    let (one, other) = (of_client(&[]), of_client(&[]));
    assert_ne!(one.trace_id(), other.trace_id());
    for child in [one.child(), one.clone().child()] {
        let child = Parent::parse(child.as_bytes()).expect("a valid parent");
        assert_eq!(child.trace_id, one.trace_id);
        assert_eq!(child.flags, Flags { is_sampled: false, is_random: true });
    }
}

/// What becomes of these `tracestate` fields beside a valid parent.
#[track_caller]
fn check_state(fields: &[&str], expected: Option<&str>) {
    let parent = parent("01");
    let mut all = vec![("traceparent", parent.as_str())];
    all.extend(fields.iter().map(|field| ("tracestate", *field)));
    let context = of_client(&all);
    assert_eq!(context.state().map(text), expected, "{fields:?}");
    assert_eq!(context.trace_id(), TRACE, "a bad state breaks no parent");
}

#[test]
fn a_state_is_one_list_without_its_empty_places() {
    check_state(&[], None);
    check_state(&[""], None);
    check_state(&[","], None);
    check_state(&["", " ,\t"], None);
    check_state(&["rojo=00f067aa0ba902b7,congo=t61"], Some("rojo=00f067aa0ba902b7,congo=t61"));
    check_state(&["a=1", "b=2", "c=3"], Some("a=1,b=2,c=3"));
    check_state(&["a=1", "", "b=2"], Some("a=1,b=2"));
    check_state(&["a=1 , ,\tb=2\t"], Some("a=1,b=2"));
    check_state(&["a=1,"], Some("a=1"));
}

#[test]
fn a_member_that_breaks_the_grammar_takes_the_whole_state_along() {
    let long = |size: usize| "x".repeat(size);
    let (key, value) = (long(256), long(256));
    let held = format!("{}=1", long(126));
    for member in [
        "a=1",
        "0=1",
        "1a-_*/=1",
        "fw529a3039@dt=x y",
        "t@s@x=1",
        "a@=1",
        "a= 1",
        "a=!#$%&'()*+-./:;<>?@[\\]^_`{|}~",
        held.as_str(),
    ] {
        check_state(&[member], Some(member));
    }
    check_state(&[&format!("{key}=1")], Some(&format!("{key}=1")));
    check_state(&[&format!("k={value}")], Some(&format!("k={value}")));
    for member in [
        "a", "=1", "a=", "a= ", "a=1=2", "A=1", "aB=1", "a =1", "a b=1", "_a=1", "-a=1", "*a=1",
        "/a=1", "@a=1", "a.b=1", "a:b=1", "a=1\t2", "a=1;b",
    ] {
        let passes = member == "a=1;b";
        check_state(&["x=1", member], passes.then_some("x=1,a=1;b"));
    }
    check_state(&[&format!("{key}x=1")], None);
    check_state(&[&format!("k={value}x")], None);
    let mut fields = headers(&[("traceparent", &parent("01"))]);
    fields.append("tracestate", HeaderValue::from_bytes(b"a=\xc3\xa4").expect("a value"));
    assert_eq!(TraceContext::from_headers(&fields, false).state(), None);
}

#[test]
fn of_two_members_with_one_key_the_first_is_the_newer() {
    check_state(&["a=1,b=2,a=3"], Some("a=1,b=2"));
    check_state(&["a=1", "a=1"], Some("a=1"));
    check_state(&["a=1,a@t=2,aa=3"], Some("a=1,a@t=2,aa=3"));
}

#[test]
fn a_state_of_more_than_32_members_is_dropped() {
    let members = |count: usize| (0..count).map(|n| format!("k{n}=1")).collect::<Vec<_>>();
    let (most, more) = (members(32), members(33));
    check_state(&[&most.join(",")], Some(&most.join(",")));
    check_state(&[&format!("{},,", most.join(",, "))], Some(&most.join(",")));
    check_state(&[&more.join(",")], None);
    let fields: Vec<&str> = more.iter().map(String::as_str).collect();
    check_state(&fields, None);
}

#[test]
fn a_state_above_512_bytes_loses_whole_members_the_long_ones_first() {
    let of_size = |key: char, size: usize| format!("{key}={}", "x".repeat(size - 2));
    let (a, b, c, d) = (of_size('a', 128), of_size('b', 128), of_size('c', 128), of_size('d', 125));
    // 128 + 128 + 128 + 125 and three commas.
    let fits = [a.as_str(), &b, &c, &d].join(",");
    assert_eq!(fits.len(), 512);
    check_state(&[&fits], Some(&fits));
    check_state(&[&fits, "e=1"], Some(&fits));
    check_state(&["e=1", &fits], Some(&["e=1", &a, &b, &c].join(",")));
    let long = of_size('l', 129);
    check_state(&[&long, &fits], Some(&fits));
    let (early, late) = (of_size('y', 200), of_size('z', 200));
    check_state(&[&early, &a, &late], Some(&[early.as_str(), &a].join(",")));
    check_state(&[&"x".repeat(513)], None);
}

/// What becomes of baggage from a listed proxy.
#[track_caller]
fn check_baggage(fields: &[&str], expected: Option<&str>) {
    let all: Vec<_> = fields.iter().map(|field| ("baggage", *field)).collect();
    assert_eq!(of_proxy(&all).baggage().map(text), expected, "{fields:?}");
    assert_eq!(of_client(&all).baggage(), None, "nobody else's is passed on");
}

#[test]
fn baggage_passes_on_from_listed_proxies_whole_and_within_its_limits() {
    check_baggage(&[], None);
    check_baggage(&[""], None);
    check_baggage(&["tenant=a%20b"], Some("tenant=a%20b"));
    check_baggage(&["a=1;p;q=2 , b = 2"], Some("a=1;p;q=2 , b = 2"));
    check_baggage(&["a=1", "b=2"], Some("a=1,b=2"));
    check_baggage(&["a="], Some("a="));
    check_baggage(&["a"], None);
    check_baggage(&["=1"], None);
    check_baggage(&["a=1,no member"], None);
    check_baggage(&["a=\"1\""], None);
    let members = |count: usize| vec!["a=1"; count].join(",");
    check_baggage(&[&members(64)], Some(&members(64)));
    check_baggage(&[&members(65)], None);
    let of_size = |size: usize| format!("a={}", "x".repeat(size - 2));
    check_baggage(&[&of_size(8_192)], Some(&of_size(8_192)));
    check_baggage(&[&of_size(8_193)], None);
}

#[test]
fn what_everybody_is_shown_is_fetched_without_what_anybody_has_added() {
    let parent = parent("01");
    let fields = [("traceparent", parent.as_str()), ("tracestate", "a=1"), ("baggage", "b=1")];
    let context = of_proxy(&fields).without_state();
    assert_eq!((context.state(), context.baggage()), (None, None));
    assert_eq!(context.trace_id(), TRACE);
}

fn tracer(share: f64, respects_parent: bool) -> Tracer {
    let spans = SpanQueue::new(16, 16, prometheus_client::metrics::counter::Counter::default());
    Tracer { ratio: Ratio::new(share), respects_parent, spans }
}

fn record(context: &mut TraceContext, tracer: &Tracer) -> OpenSpan {
    let clock = Clock::manual(Timestamp::from_unix_seconds(1_700_000_000));
    context.record(tracer, &clock, (clock.wall(), clock.now()))
}

/// Whether a trace is recorded, and what services are told of it.
#[track_caller]
fn check_decision(mut context: TraceContext, tracer: &Tracer, expected: bool) {
    record(&mut context, tracer).end();
    assert_eq!(!tracer.spans.take_batch().is_empty(), expected);
    let child = Parent::parse(context.child().as_bytes()).expect("a valid parent");
    assert_eq!(child.flags.is_sampled, expected);
}

#[test]
fn a_listed_proxy_decides_where_that_is_respected_and_a_client_never() {
    let sampled = parent("01");
    let sampled = [("traceparent", sampled.as_str())];
    let unsampled = parent("00");
    let unsampled = [("traceparent", unsampled.as_str())];
    let (none, all) = (tracer(0.0, true), tracer(1.0, true));
    check_decision(of_proxy(&sampled), &none, true);
    check_decision(of_proxy(&unsampled), &all, false);
    check_decision(of_client(&sampled), &none, false);
    check_decision(of_client(&unsampled), &all, true);
    check_decision(of_client(&[]), &none, false);
    check_decision(of_client(&[]), &all, true);
    check_decision(of_proxy(&sampled), &tracer(0.0, false), false);
    check_decision(of_proxy(&unsampled), &tracer(1.0, false), true);
}

#[test]
fn a_share_is_told_by_the_last_seven_bytes_of_an_id_that_no_client_chose() {
    let with_id = |last: &str| format!("00-{}{last}-{SPAN}-02", &TRACE[..18]);
    let half = tracer(0.5, false);
    for (last, expected) in [
        ("00000000000000", false),
        ("7fffffffffffff", false),
        ("80000000000000", true),
        ("ffffffffffffff", true),
    ] {
        check_decision(of_proxy(&[("traceparent", &with_id(last))]), &half, expected);
    }
    // Of a thousand clients who all choose the best lot, not all are recorded.
    let chosen = with_id("ffffffffffffff");
    let recorded = (0..1_000).filter(|_| half.samples(&of_client(&[("traceparent", &chosen)])));
    assert!((300..700).contains(&recorded.count()));
}

#[test]
fn spans_know_their_parents_their_times_and_how_they_ended() {
    let tracer = tracer(1.0, true);
    let clock = Clock::manual(Timestamp::from_unix_seconds(1_700_000_000));
    let sent = parent("00");
    let mut context = of_client(&[("traceparent", &sent), ("tracestate", "a=1")]);
    let started = (clock.wall(), clock.now());
    clock.advance(std::time::Duration::from_millis(2));
    let mut request = context.record(&tracer, &clock, started);
    request.rename(|| "GET /x".to_owned());
    let call = context.span(SpanKind::Internal, || "call".to_owned());
    let mut attempt = call.span(SpanKind::Client, || "GET".to_owned());
    let sent_on = Parent::parse(attempt.traceparent(&context).as_bytes()).expect("valid");
    attempt.fail(|| Value::Word("timeout"));
    clock.set_wall(Timestamp::from_unix_seconds(1_800_000_000));
    clock.advance(std::time::Duration::from_millis(3));
    attempt.end();
    drop(call);
    request.end();
    let spans = tracer.spans.take_batch();
    let [attempt, call, request] = &spans[..] else { panic!("three spans: {spans:?}") };
    assert_eq!(request.parent, SpanId::new(0x00f0_67aa_0ba9_02b7));
    assert!(request.is_parent_remote && !call.is_parent_remote);
    assert_eq!((call.parent, attempt.parent), (Some(request.id), Some(call.id)));
    assert_eq!(sent_on.span, attempt.id, "a service's parent is the attempt");
    let lengths = [attempt, call, request].map(|span| span.ended.since(span.started).as_millis());
    assert_eq!(lengths, [3, 3, 5], "whatever becomes of the wall clock");
    assert_eq!(attempt.attributes, [("error.type", Value::Word("timeout"))]);
    assert_eq!(call.attributes, [("error.type", Value::Word("cancelled"))], "it was given up");
    assert!(attempt.has_failed && call.has_failed && !request.has_failed);
    assert_eq!(request.trace_id[..2], [0x4b, 0xf9]);
    assert_eq!(request.trace_id[14..], [0x47, 0x36]);
    assert_eq!(request.state.as_ref().map(text), Some("a=1"));
}

#[test]
fn spans_that_find_no_room_are_dropped_and_counted() {
    let dropped = prometheus_client::metrics::counter::Counter::default();
    let spans = SpanQueue::new(2, 2, dropped.clone());
    let tracer = Tracer { ratio: Ratio::new(1.0), respects_parent: true, spans };
    for _ in 0..3 {
        record(&mut of_client(&[]), &tracer).end();
    }
    assert_eq!((tracer.spans.take_batch().len(), dropped.get()), (2, 1));
    record(&mut of_client(&[]), &tracer).end();
    assert_eq!((tracer.spans.take_batch().len(), dropped.get()), (1, 1));
}

#[test]
fn of_a_trace_that_is_not_recorded_nothing_is_made() {
    let context = of_client(&[]);
    let mut span = context.span(SpanKind::Internal, || panic!("no name is made"));
    span.note(|_| panic!("nothing is noted"));
    span.fail(|| panic!("nothing has failed"));
    let child = Parent::parse(span.traceparent(&context).as_bytes()).expect("valid");
    assert_eq!(child.trace_id, context.trace_id);
}

fn field() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop::collection::vec(any::<u8>(), 0..80);
    let nearly =
        "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.{0,9})?".prop_map(String::into_bytes);
    let members = "([a-z0-9@]{1,4}=[ -~]{0,9}[, \t]{0,3}){0,40}".prop_map(String::into_bytes);
    prop_oneof![bytes, nearly, members]
}

proptest! {
    #[test]
    fn whatever_is_sent_what_goes_out_is_well_formed_and_of_one_trace(
        fields in prop::collection::vec((0..3_usize, field()), 0..6), is_from_proxy: bool,
    ) {
        let names = [TRACEPARENT, crate::header::TRACESTATE, crate::header::BAGGAGE];
        let mut headers = HeaderMap::new();
        for (name, value) in &fields {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.append(&names[*name], value);
            }
        }
        let context = TraceContext::from_headers(&headers, is_from_proxy);
        let child = context.child();
        let parsed = Parent::parse(child.as_bytes()).expect("what we send is valid");
        prop_assert_eq!(parsed.trace_id, context.trace_id);
        prop_assert_eq!(child.len(), 55);
        if let Some(state) = context.state() {
            prop_assert!(state.len() <= 512);
            // What was passed on passes on again as it is.
            let mut again = HeaderMap::new();
            again.insert(TRACEPARENT, child);
            again.insert(crate::header::TRACESTATE, state.clone());
            let again = TraceContext::from_headers(&again, false);
            prop_assert_eq!(again.state(), Some(state));
        }
    }
}
