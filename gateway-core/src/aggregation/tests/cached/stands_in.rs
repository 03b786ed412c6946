//! Kept answers that stand in where no new one can be had.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_last_good_answer_stands_in_where_no_new_one_can_be_had() {
    let asking = Asking::of(cached("GET a:/x", RULE), counting());
    assert_eq!(asking.x("ada").await, "0 x;o=ok");
    asking.platform.does("x", answers(500, "secret"));
    asking.pass(1_800).await;
    let answered = answer_to(&asking.view, &asking.environment, &principal("ada"), "").await;
    let composed = answered.expect("an answer");
    assert!(!composed.report.is_whole(), "and is not stored by anyone");
    assert_eq!(composed.report.cache_status().expect("a cache"), "x;fwd=stale;ttl=-1");
    assert!((composed.report.completeness() - 1.0).abs() < f64::EPSILON, "it counts as delivered");
    asking.pass(1_500).await;
    assert_eq!(asking.x("ada").await, "null x;o=failed;r=status;status=500");
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_when_the_answer_is_due_takes_nothing_from_what_stands_in() {
    let asking = Asking::of(cached("GET a:/x", RULE), counting());
    assert_eq!(asking.x("ada").await, "0 x;o=ok");
    asking.pass(1_800).await;
    for part in ["x", "y"] {
        asking.platform.does(part, after(60_000, says("9")));
    }
    let answered = asking.ask(&principal("ada")).await;
    assert_eq!(answered, r#"{"x":0,"y":null} x;o=stale y;o=failed;r=timeout"#);
    asking.pass(1).await;
    assert_eq!(asking.platform.under_way().0, 0);
}
