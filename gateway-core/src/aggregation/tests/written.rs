//! The one write of an aggregate (rule 23), bodies, and conditions.

use super::*;

fn create() -> PartSource {
    PartSource {
        body: Some(json!({ "title": "{body.title}", "owner": "{part.profile.id}" })),
        ..part("created", "POST b:/links")
    }
}

fn with_write(second: PartSource) -> PlanSource {
    aggregate(vec![create(), part("profile", "GET a:/profile"), second])
}

fn services() -> Platform {
    platform([
        ("created", after(1, answers(201, r#"{"id":"n1"}"#))),
        ("profile", after(10, says(r#"{"id":4821}"#))),
        ("limits", after(40, says("1"))),
    ])
}

#[tokio::test(start_paused = true)]
async fn a_write_runs_last_with_what_it_reads() {
    let platform = services();
    let source = with_write(part("limits", "GET a:/limits"));
    let answered = shown(answer(&view(&source, "*"), &platform, "").await);
    assert_eq!(
        answered,
        r#"{"created":{"id":"n1"},"profile":{"id":4821},"limits":1} created;o=ok profile;o=ok limits;o=ok"#
    );
    let calls = platform.calls();
    assert_eq!(calls[2], r#"1 POST /links {"owner":4821,"title":"new"}"#);
    // It is made for its effect, whatever is shown.
    answer(&view(&source, "limits"), &platform, "").await.expect("an answer");
    assert_eq!(platform.calls().iter().filter(|call| call.contains("POST")).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_write_does_not_run_when_something_required_has_failed() {
    let platform = services();
    platform.does("limits", after(40, answers(503, "")));
    let required = PartSource { need: Some(Need::Required), ..part("limits", "GET a:/limits") };
    let answered = shown(answer(&view(&with_write(required), "*"), &platform, "").await);
    assert_eq!(
        answered,
        "502 part_failed created;o=skipped;r=cancelled profile;o=ok limits;o=failed;r=status;status=503"
    );
    assert!(platform.calls().iter().all(|call| !call.contains("POST")));
    // What is only optional does not keep it from running.
    let view = view(&with_write(part("limits", "GET a:/limits")), "*");
    assert!(shown(answer(&view, &platform, "").await).contains("created;o=ok"));
}

#[test]
fn a_write_is_reached_by_no_get() {
    let plan = Plan::compile(&with_write(part("limits", "GET a:/limits")), &|_| Some(0));
    let source = ViewSource {
        name: "new".into(),
        fields: "*".into(),
        drop: None,
        limits: Vec::new(),
        has_meta: false,
        params: Vec::new(),
        takes_safe_methods: true,
    };
    let errors = View::compile(&source, Arc::new(plan.expect("a plan"))).expect_err("refused");
    let reason =
        "views.new.route: must take no method that only reads: the aggregate holds a write";
    assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), [reason]);
}

#[tokio::test(start_paused = true)]
async fn a_part_whose_condition_does_not_hold_is_no_gap() {
    let hooks = PartSource {
        when: Some("identity.tier in ['partner']".into()),
        fallback: Some("[]".into()),
        ..part("hooks", "GET a:/hooks")
    };
    let source = aggregate(vec![hooks, part("x", "GET a:/x")]);
    let platform = platform([("x", says("1"))]);
    let composed = answer(&view(&source, "*"), &platform, "").await.expect("an answer");
    assert!(composed.report.is_whole());
    assert!((composed.report.completeness() - 1.0).abs() < f64::EPSILON);
    assert_eq!(shown(Ok(composed)), r#"{"hooks":null,"x":1} hooks;o=skipped;r=condition x;o=ok"#);
    assert_eq!(platform.calls().len(), 1);
}
