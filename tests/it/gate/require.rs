//! What is required of whoever asks: by rules of all levels, and of the services that a view shows.

use serde_json::json;
use tests::harness::Harness;
use tests::platform::Service;

use super::get_as;

#[tokio::test]
async fn requirements_of_all_levels_hold_together_and_a_refusal_costs_nothing() {
    let layer = "
        [policy]\nrequire = \"tier in ['free', 'pro']\"
        [services.link-service]\nrequire = \"tenant == 'tenant-7'\"
        [routes.links-list]\nrequire = \"role == 'admin' or user_id == '4821' and not tier == 'free'\"
        [routes.links-get]\nrequire = \"tenant == 'tenant-8'\"
        [routes.links-update]\nrequire = \"role != 'viewer'\"\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    let viewer = harness.log_in("viewer@example.com").await;
    let admin = harness.log_in("admin@example.com").await;
    assert_eq!(get_as(&harness, "/links?limit=1", &harness.token).await.0, 200);
    assert_eq!(get_as(&harness, "/links?limit=1", &admin).await.0, 200);
    let before = harness.calls(Service::Link);
    let (status, problem) = get_as(&harness, "/links", &viewer).await;
    assert_eq!((status, &problem["code"]), (403, &json!("requirement_not_met")));
    assert!(!problem.to_string().contains("admin"), "{problem}");
    // The service holds of everybody here, the route of nobody.
    assert_eq!(get_as(&harness, "/links/x7Kp2", &admin).await.0, 403);
    assert_eq!(harness.calls(Service::Link), before);
    assert_eq!(harness.mobile.last_steps(), Some(vec![2, 3, 4, 5, 6, 7, 13]));
    // Public routes have nobody to require anything of.
    assert!(!harness.log_in("viewer@example.com").await.is_empty());
}

#[tokio::test]
async fn a_view_is_for_those_whom_each_service_it_shows_is_for() {
    let layer = "[services.billing-service]\nrequire = \"role == 'admin'\"\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    let (status, problem) = get_as(&harness, "/dashboard", &harness.token).await;
    assert_eq!((status, &problem["code"]), (403, &json!("requirement_not_met")));
    assert_eq!(harness.calls(Service::Billing), 0);
    let admin = harness.log_in("admin@example.com").await;
    assert_eq!(get_as(&harness, "/dashboard", &admin).await.0, 200);
}
