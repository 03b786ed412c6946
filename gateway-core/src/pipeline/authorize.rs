//! Step 7: may they. The gate knows scopes and the identity; what a principal may do with a thing is the service's
//! decision.

use std::borrow::Cow;

use http::StatusCode;
use serde_json::{Map, Value};

use super::identify::NobodyIdentified;
use crate::error::{Refusal, Refused};
use crate::exchange::Exchange;
use crate::principal::{IdentityText, Principal, Scheme};
use crate::site::{Route, Site};

/// Lets the caller pass who has every scope that the route asks for, and of whom everything holds
/// that the route, its service and the policy require.
///
/// A session stands for its user, and has no scopes; a key without scopes is good for everything
/// that the gateway offers; a certificate has none, and is good for routes that ask for none.
pub(super) fn authorize(site: &Site, route: &Route, exchange: &Exchange) -> Result<(), Refused> {
    if route.scheme.is_none() {
        return Ok(());
    }
    let principal = exchange.principal.as_deref().ok_or(NobodyIdentified)?;
    has_scopes(site, route, principal)?;
    Ok(route.gate.require.iter().try_for_each(|required| required.check(principal))?)
}

/// A session stands for its user, and has no scopes; a key without scopes is good for everything
/// that the gateway offers.
fn has_scopes(site: &Site, route: &Route, principal: &Principal) -> Result<(), Refused> {
    let has_all = || route.scopes.iter().all(|scope| principal.scopes.contains(scope));
    match principal.scheme {
        Scheme::Session => Ok(()),
        Scheme::Jwt => match &site.jwt {
            Some(scheme) => Ok(scheme.require_scopes(principal, &route.scopes)?),
            None => Err(NobodyIdentified.into()),
        },
        Scheme::ApiKey if principal.scopes.is_empty() || has_all() => Ok(()),
        Scheme::ClientCertificate if route.scopes.is_empty() => Ok(()),
        Scheme::ApiKey | Scheme::ClientCertificate => {
            Err(ScopeMissing(route.scopes.clone()).into())
        }
    }
}

/// A credential lacks a scope that the route asks for.
#[derive(Debug, thiserror::Error)]
#[error("the credential lacks a scope that the route asks for")]
struct ScopeMissing(Vec<IdentityText>);

impl Refusal for ScopeMissing {
    fn status(&self) -> StatusCode {
        StatusCode::FORBIDDEN
    }
    fn code(&self) -> &'static str {
        "insufficient_scope"
    }
    fn detail(&self) -> Cow<'static, str> {
        "This route needs scopes that the credential does not have; see `required_scopes`.".into()
    }
    fn add_members(&self, members: &mut Map<String, Value>) {
        let scopes = self.0.iter().map(|scope| Value::from(scope.as_str())).collect();
        members.insert("required_scopes".to_owned(), Value::Array(scopes));
    }
}
