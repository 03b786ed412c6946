//! Shaping, contracts and header fields of whole answers (rules 18 to 21).

use super::super::plan::HeaderRule;
use super::*;

async fn ask(change: impl FnOnce(&mut PartSource), fields: &str, body: &str) -> String {
    let mut x = part("x", "GET a:/x");
    change(&mut x);
    let platform = platform([("x", says(body)), ("y", says("1"))]);
    let source = aggregate(vec![x, part("y", "GET b:/y")]);
    shown(answer(&view(&source, fields), &platform, "").await)
}

#[tokio::test(start_paused = true)]
async fn a_part_is_shaped_before_a_view_shows_of_it() {
    let body = r#"{"items":[{"id":1e400,"utm":{"q":1},"secret":1},{"id":2}],"a":1}"#;
    let shape = |part: &mut PartSource| {
        part.drop = Some("items/secret".into());
        part.rename = vec![("items/id".into(), "key".into())];
        part.flatten = vec!["items/utm".into()];
        part.limits = vec![("items".into(), 1)];
    };
    assert_eq!(
        ask(shape, "x", body).await,
        r#"{"x":{"items":[{"key":1e400,"q":1}],"a":1}} x;o=ok"#
    );
    assert_eq!(ask(shape, "x/items/key", body).await, r#"{"x":{"items":[{"key":1e400}]}} x;o=ok"#);
    // What has another shape than expected is shown as it is.
    assert_eq!(ask(shape, "x", "[1,2]").await, r#"{"x":[1,2]} x;o=ok"#);
}

#[tokio::test(start_paused = true)]
async fn a_broken_contract_is_a_failure_with_its_name() {
    let contract = |part: &mut PartSource| part.required_fields = Some("id,items(id)".into());
    let good = r#"{"id":1,"items":[{"id":2}]}"#;
    assert_eq!(ask(contract, "x(id),y", good).await, r#"{"x":{"id":1},"y":1} x;o=ok y;o=ok"#);
    let broken = ask(contract, "*", r#"{"id":1,"items":[{}]}"#).await;
    assert_eq!(broken, r#"{"x":null,"y":1} x;o=failed;r=contract y;o=ok"#);
    let empty = ask(contract, "*", "").await;
    assert_eq!(empty, r#"{"x":null,"y":1} x;o=failed;r=contract y;o=ok"#);
    let schema = |part: &mut PartSource| {
        part.schema = Some(json!({ "type": "object", "required": ["id"] }));
        part.fallback = Some("{}".into());
    };
    assert_eq!(ask(schema, "*", "[]").await, r#"{"x":{},"y":1} x;o=fallback;r=contract y;o=ok"#);
    let required = |part: &mut PartSource| {
        contract(part);
        part.need = Some(Need::Required);
    };
    assert!(ask(required, "*", "{}").await.starts_with("502 part_failed x;o=failed;r=contract"));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_answers_for_another_user_is_not_shown() {
    let owner = |part: &mut PartSource| part.owner = Some("owner_id".into());
    let own = ask(owner, "*", r#"{"owner_id":4821,"a":1}"#).await;
    assert_eq!(own, r#"{"x":{"owner_id":4821,"a":1},"y":1} x;o=ok y;o=ok"#);
    let foreign = ask(owner, "*", r#"{"owner_id":"4822","a":1}"#).await;
    assert_eq!(foreign, r#"{"x":null,"y":1} x;o=failed;r=foreign_data y;o=ok"#);
}

#[tokio::test(start_paused = true)]
async fn what_a_view_drops_is_unknown_to_clients_too() {
    let plan = Plan::compile(&dashboard(), &|name| "abcdefs".find(name)).expect("a plan");
    let plan = Arc::new(plan);
    let mut source = ViewSource {
        name: "dashboard".into(),
        fields: "profile,links".into(),
        drop: Some("profile/email,links/items/slug".into()),
        limits: Vec::new(),
        has_meta: false,
        params: Vec::new(),
        takes_safe_methods: true,
    };
    let view = View::compile(&source, Arc::clone(&plan)).expect("a view");
    assert_eq!(
        shown(answer(&view, &healthy(), "").await),
        concat!(
            r#"{"profile":{"name":"Ada"},"links":{"items":[{"id":9007199254740993},{"id":0.10}]}} "#,
            "profile;o=ok links;o=ok"
        )
    );
    let asked = answer(&view, &healthy(), "fields=profile/email").await;
    assert_eq!(shown(asked), "400 unknown_field ");
    for (drop, reason) in [
        ("usage", "\"usage\" is not shown anyhow"),
        ("*", "must name what is not shown; \"*\" would leave nothing"),
        ("a(", "a name is missing at character 3"),
    ] {
        source.drop = Some(drop.into());
        let errors = View::compile(&source, Arc::clone(&plan)).expect_err(drop);
        assert_eq!(errors[0].to_string(), format!("views.dashboard.drop: {reason}"));
    }
}

#[tokio::test(start_paused = true)]
async fn header_fields_reach_the_client_only_by_the_list() {
    let with = |fields: &[(&'static str, &'static str)]| {
        let (delay, answer) = says("1");
        let mut answer = answer.expect("an answer");
        for &(name, value) in fields {
            answer.headers.append(name, HeaderValue::from_static(value));
        }
        (delay, Ok(answer))
    };
    let mut source = aggregate(vec![part("x", "GET a:/x"), part("y", "GET b:/y")]);
    source.response_headers = vec![
        ("X-First".into(), HeaderRule::First),
        ("X-All".into(), HeaderRule::All),
        ("X-Join".into(), HeaderRule::Join),
    ];
    source.set_cookies = vec!["theme".into()];
    let platform = platform([
        (
            "x",
            after(20, with(&[("x-first", "1"), ("x-all", "1"), ("x-join", "1"), ("x-other", "1")])),
        ),
        (
            "y",
            after(
                1,
                with(&[
                    ("x-first", "2"),
                    ("x-all", "2"),
                    ("x-join", "2"),
                    ("set-cookie", "theme=dark; Path=/"),
                    ("set-cookie", "sid=secret"),
                    ("set-cookie", "theme2=x"),
                ]),
            ),
        ),
    ]);
    let composed = answer(&view(&source, "*"), &platform, "").await.expect("an answer");
    let shown = composed.headers.iter().map(|(name, value)| format!("{name}: {value:?}"));
    assert_eq!(
        shown.collect::<Vec<_>>(),
        [
            r#"x-first: "1""#,
            r#"x-all: "1""#,
            r#"x-all: "2""#,
            r#"x-join: "1, 2""#,
            r#"set-cookie: "theme=dark; Path=/""#,
        ]
    );
}
