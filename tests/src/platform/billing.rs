//! billing-service: what is used and paid for. It is the oldest of the five, and answers XML.

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::header;

use super::caller::Caller;

/// Its paths.
pub fn router() -> Router {
    Router::new().route("/usage", get(usage))
}

async fn usage(caller: Caller) -> Response {
    let plan = caller.tier.as_deref().unwrap_or("free");
    let body = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<usage currency="EUR">
  <plan>{plan}</plan>
  <period><from>2026-11-01</from><to>2026-11-30</to></period>
  <links used="24" included="500"/>
  <clicks used="18250" included="100000"/>
  <overage amount="0.00"/>
  <invoice number="2026-0917" month="2026-09" amount="49.00" paid="true"/>
  <invoice number="2026-1018" month="2026-10" amount="49.00" paid="false"/>
  <note><![CDATA[Prices without VAT & discounts.]]></note>
</usage>
"#
    );
    ([(header::CONTENT_TYPE, "application/xml; charset=utf-8")], body).into_response()
}
