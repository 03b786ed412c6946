//! Which route a request takes, against a naive matcher.

use proptest::prelude::*;

use super::*;

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::parse(text).expect(text)).collect()
}

/// What the table of `patterns` says to a request: the pattern and its values, or the refusal.
fn answer(patterns: &[Pattern], request: &str) -> String {
    let table = RouteTable::build(patterns).expect("no conflicts");
    let (method, target) = request.split_once(' ').expect("a method and a target");
    let (host, path) = target.split_at(target.find('/').unwrap_or(0));
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    match table.find(&method, (!host.is_empty()).then_some(host), path) {
        Ok(found) => {
            let values = found.params.iter().map(|value| format!(" {value}"));
            format!("{}{}", patterns[found.route], values.collect::<String>())
        }
        Err(NotRouted::NotFound) => "404".to_owned(),
        Err(NotRouted::MethodNotAllowed { allow }) => {
            format!("405 {}", allow.to_str().expect("text"))
        }
    }
}

/// Asks the table of `texts`, declared in this order and in the other.
#[track_caller]
fn check(texts: &[&str], cases: &[(&str, &str)]) {
    let mut patterns = patterns(texts);
    for _ in 0..2 {
        for (request, expected) in cases {
            assert_eq!(answer(&patterns, request), *expected, "{request}");
        }
        patterns.reverse();
    }
}

#[test]
fn static_beats_parameter_beats_wildcard_in_any_order_of_declaration() {
    check(
        &["GET /a/{*rest}", "GET /a/{id}", "GET /a/search", "GET /a/{id}/b", "GET /"],
        &[
            ("GET /", "GET /"),
            ("GET /a/search", "GET /a/search"),
            ("GET /a/searches", "GET /a/{id} searches"),
            ("GET /a/7", "GET /a/{id} 7"),
            ("GET /a/7/b", "GET /a/{id}/b 7"),
            ("GET /a/search/b", "GET /a/{id}/b search"),
            ("GET /a/search/c", "GET /a/{*rest} search/c"),
            ("GET /a/7/b/", "GET /a/{*rest} 7/b/"),
        ],
    );
}

#[test]
fn the_first_segment_that_differs_decides() {
    check(
        &["GET /{a}/x/y", "GET /s/{b}/y", "GET /s/x/{c}", "GET /s/{*rest}"],
        &[
            ("GET /s/x/y", "GET /s/x/{c} y"),
            ("GET /s/z/y", "GET /s/{b}/y z"),
            ("GET /t/x/y", "GET /{a}/x/y t"),
            ("GET /s/z/z", "GET /s/{*rest} z/z"),
        ],
    );
}

#[test]
fn each_route_keeps_the_names_of_its_own_parameters() {
    let patterns = patterns(&["GET /a/{id}", "DELETE /a/{key}", "GET /a/{other}/x"]);
    let table = RouteTable::build(&patterns).expect("no conflict");
    let found = table.find(&Method::DELETE, None, "/a/7").expect("a route");
    assert_eq!((found.route, &*found.params[0]), (1, "7"));
    assert_eq!(&*patterns[found.route].parameters()[0], "key");
}

#[test]
fn a_path_with_a_trailing_slash_or_more_segments_is_another_path() {
    check(
        &["GET /links", "GET /links/{id}", "GET /docs/"],
        &[
            ("GET /links/", "404"),
            ("GET /links/7/", "404"),
            ("GET /links/7/x.css", "404"),
            ("GET /Links", "404"),
            ("GET /docs/", "GET /docs/"),
            ("GET /docs", "404"),
            ("GET /", "404"),
        ],
    );
    check(&["GET /f/{*rest}"], &[("GET /f", "404"), ("GET /f/", "404")]);
}

#[test]
fn another_method_of_a_known_path_is_405_with_all_that_are_allowed() {
    check(
        &["GET /a/search", "POST /a/{id}", "PUT /a/{*rest}", "POST /b"],
        &[
            ("DELETE /a/search", "405 GET, HEAD, POST, PUT"),
            ("DELETE /a/7", "405 POST, PUT"),
            ("OPTIONS /b", "405 POST"),
            ("HEAD /b", "405 POST"),
            ("POST /a/search", "POST /a/{id} search"),
            ("PUT /a/search", "PUT /a/{*rest} search"),
        ],
    );
}

#[test]
fn get_answers_head_unless_head_has_a_route_of_its_own() {
    check(&["GET /a"], &[("HEAD /a", "GET /a")]);
    check(&["GET /a", "HEAD /a"], &[("HEAD /a", "HEAD /a"), ("GET /a", "GET /a")]);
    check(&["* /a", "GET /a"], &[("HEAD /a", "GET /a"), ("PURGE /a", "* /a")]);
    check(&["POST /a/b", "GET /a/{id}"], &[("HEAD /a/b", "GET /a/{id} b")]);
}

#[test]
fn a_host_is_compared_without_case_and_port_and_beats_any_host() {
    check(
        &["GET /a", "GET api.example.com/a", "POST /b", "GET api.example.com/b"],
        &[
            ("GET api.example.com/a", "GET api.example.com/a"),
            ("GET API.Example.com.:3000/a", "GET api.example.com/a"),
            ("GET www.example.com/a", "GET /a"),
            ("GET /a", "GET /a"),
            ("POST api.example.com/b", "POST /b"),
            ("PUT api.example.com/b", "405 GET, HEAD, POST"),
            ("GET www.example.com/b", "405 POST"),
        ],
    );
}

#[test]
fn escapes_decide_nothing_and_values_come_decoded() {
    check(
        &["GET /@me", "GET /{id}", "GET /café/{*rest}"],
        &[
            ("GET /@me", "GET /@me"),
            ("GET /%40me", "GET /@me"),
            ("GET /a%20b%2561", "GET /{id} a b%61"),
            ("GET /caf%C3%A9/%C3%BC/x", "GET /café/{*rest} ü/x"),
        ],
    );
}

#[test]
fn what_is_no_path_has_no_route() {
    check(&["* /{*rest}"], &[("OPTIONS *", "404"), ("GET x", "404"), ("GET /x", "* /{*rest} x")]);
}

#[test]
fn routes_of_the_same_requests_are_a_conflict_that_names_both() {
    let conflicts = |texts: &[&str]| match RouteTable::build(&patterns(texts)) {
        Ok(_) => Vec::new(),
        Err(conflicts) => conflicts.iter().map(ToString::to_string).collect::<Vec<_>>(),
    };
    assert_eq!(
        conflicts(&["GET /a/{id}", "GET,POST /a/{key}", "GET /b", "GET /b", "GET /b"]),
        [
            "`GET /a/{id}` and `GET,POST /a/{key}` match the same requests (GET)",
            "`GET /b` and `GET /b` match the same requests (GET)",
            "`GET /b` and `GET /b` match the same requests (GET)",
        ]
    );
    let any = "`* /a/{*x}` and `* /a/{*y}` match the same requests (*)";
    assert_eq!(conflicts(&["* /a/{*x}", "* /a/{*y}"]), [any]);
    let escaped = "`GET /é` and `GET /%C3%A9` match the same requests (GET)";
    assert_eq!(conflicts(&["GET /é", "GET /%C3%A9"]), [escaped]);
    let host = "`GET a.example/x` and `GET A.example/x` match the same requests (GET)";
    assert_eq!(conflicts(&["GET a.example/x", "GET A.example/x"]), [host]);
    assert_eq!(conflicts(&["GET /a", "POST /a", "* /a", "GET h/a", "GET /a/"]), [""; 0]);
}

#[test]
fn a_walk_is_as_deep_as_the_patterns_however_long_the_path() {
    let path = format!("GET {}", "/x".repeat(100_000));
    check(&["GET /{a}/{b}", "GET /{*rest}"], &[(&path, &format!("GET /{{*rest}} {}", &path[5..]))]);
}

#[test]
fn each_of_ten_thousand_routes_is_found() {
    let texts: Vec<String> = (0..5_000)
        .flat_map(|n| [format!("GET /s{n}/{{id}}/x"), format!("GET /{{id}}/s{n}")])
        .collect();
    let patterns: Vec<Pattern> =
        texts.iter().map(|text| Pattern::parse(text).expect(text)).collect();
    let table = RouteTable::build(&patterns).expect("no conflicts");
    for (route, text) in texts.iter().enumerate() {
        let path = text.trim_start_matches("GET ").replace("{id}", "7");
        let found = table.find(&Method::GET, None, &path).expect("a route");
        assert_eq!((found.route, &*found.params), (route, &["7".into()][..]), "{text}");
    }
}

/// Small alphabets, so that patterns overlap and paths match several.
fn any_patterns() -> impl Strategy<Value = Vec<String>> {
    let segment = prop::sample::select(vec!["a", "b", "{p}", "{q}"]);
    let method = prop::sample::select(vec!["GET", "POST", "HEAD", "*", "GET,PUT"]);
    let end = prop::sample::select(vec!["", "/", "/{*rest}"]);
    let pattern =
        (method, prop::collection::vec(segment, 0..4), end).prop_map(|(method, segments, end)| {
            let mut path: Vec<String> = Vec::new();
            for (place, segment) in segments.iter().enumerate() {
                // Names are unique within a pattern; which ones must not matter.
                path.push(segment.replace(['p', 'q'], &format!("p{place}")));
            }
            let path = path.iter().map(|segment| format!("/{segment}")).collect::<String>();
            let end = if path.is_empty() && end.is_empty() { "/" } else { end };
            format!("{method} {path}{end}")
        });
    prop::collection::vec(pattern, 1..8)
}

/// The rule in its plainest words: of all patterns that match, the one whose kinds of segments
/// come first from the left, then the one whose method is most special.
fn naive(patterns: &[Pattern], method: &Method, path: &str) -> Option<usize> {
    let rank = |pattern: &Pattern| {
        let method_rank = match () {
            () if pattern.methods.contains(method) => 0,
            () if method == Method::HEAD && pattern.methods.contains(&Method::GET) => 1,
            () if pattern.methods.is_empty() => 2,
            () => return None,
        };
        let mut kinds = Vec::new();
        let mut left = Some(&path[1..]);
        for segment in &pattern.segments {
            let path = left?;
            let (head, after) = path.split_once('/').map_or((path, None), |(a, b)| (a, Some(b)));
            (left, _) = match segment {
                Segment::Static(text) if **text == *head => (after, kinds.push(0)),
                Segment::Parameter if !head.is_empty() => (after, kinds.push(1)),
                Segment::Rest if !path.is_empty() => (None, kinds.push(2)),
                _ => return None,
            };
        }
        left.is_none().then_some((kinds, method_rank))
    };
    let ranked = patterns.iter().enumerate().filter_map(|(at, it)| Some((rank(it)?, at)));
    ranked.min().map(|(_, at)| at)
}

proptest! {
    #[test]
    fn the_tree_finds_what_trying_every_pattern_finds(
        texts in any_patterns(),
        method in prop::sample::select(vec!["GET", "HEAD", "POST", "PUT", "DELETE"]),
        path in "(/[abc]?){1,5}",
    ) {
        let mut patterns: Vec<Pattern> = Vec::new();
        for text in &texts {
            patterns.push(Pattern::parse(text).expect("valid"));
            if RouteTable::build(&patterns).is_err() {
                patterns.pop();
            }
        }
        let table = RouteTable::build(&patterns).expect("no conflicts are left");
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let found = table.find(&method, None, &path);
        let expected = naive(&patterns, &method, &path);
        prop_assert_eq!(found.as_ref().ok().map(|found| found.route), expected);
        if let Ok(found) = found {
            prop_assert_eq!(found.params.len(), patterns[found.route].parameters().len());
        }
    }
}
