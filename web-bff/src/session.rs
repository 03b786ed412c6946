//! A browser's session, for the endpoints this gateway owns.
//!
//! Read in this order: [`keep_session`] stands around those endpoints and gives each request its
//! [`Session`]; [`sign_in`] and [`sign_out`] begin and end one; [`VaultStore`] puts what handlers
//! do with it into the vault.
//!
//! Handlers use tower-sessions' `Session`. Its layer is not used: it finds the cookie by decoding
//! names that no browser protects, writes one without `Secure` to remove it, and saves nothing
//! when the answer is a 5xx. Here the core's raw-byte parser finds the cookie, the core's policy
//! writes it, and what was changed is saved whatever the answer is.
//!
//! Invariants
//! - An id that a browser brought is never given a session: beginning one always makes a new id.
//! - A request whose session another one has ended changes nothing and sets no cookie.
//!
//! Not here: who may sign in (`login`), the pipeline's own look at the cookie
//! (`gateway_core::auth::session`).

mod stored_principal;
mod vault_store;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use gateway_core::auth::session::{SessionPolicy, SessionRefusal, presented};
use gateway_core::clock::Clock;
use gateway_core::error::{Refusal as _, Refused};
use gateway_core::principal::Principal;
use gateway_core::store::StoreUnavailable;
use gateway_core::stores::Vault;
use tower_sessions::Session;
use tower_sessions::session::Error;

use self::stored_principal::StoredPrincipal;
use self::vault_store::Outcome;
pub use self::vault_store::VaultStore;

/// The key under which a session keeps who has signed in. The pipeline identifies by it.
const PRINCIPAL: &str = "principal";

/// What sessions are made of. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sessions {
    vault: Vault,
    policy: Arc<SessionPolicy>,
    clock: Clock,
}

impl Sessions {
    /// Sessions of this policy, kept in this vault.
    #[must_use]
    pub const fn new(vault: Vault, policy: Arc<SessionPolicy>, clock: Clock) -> Self {
        Self { vault, policy, clock }
    }
}

/// Middleware: the handlers behind it can extract a [`Session`], which is loaded when it is first
/// touched, and saved when the answer is there.
pub async fn keep_session(
    State(sessions): State<Sessions>,
    mut request: Request,
    next: Next,
) -> Response {
    let presented = match presented(request.headers(), &sessions.policy) {
        Ok(presented) => presented,
        Err(refusal @ SessionRefusal::TooLarge) => return refuse(refusal),
        // Only public routes are reached like this: there such a cookie counts for nothing, and
        // signing in replaces it. Any other route has been refused by the pipeline.
        Err(_) => None,
    };
    let store = Arc::new(VaultStore::new(&sessions));
    let id = presented.map(vault_store::to_record_id);
    let session = Session::new(id, Arc::clone(&store), None);
    request.extensions_mut().insert(session.clone());

    let mut response = next.run(request).await;
    if session.is_modified()
        && !session.is_empty().await
        && let Err(error) = session.save().await
    {
        return refuse(unavailable(error));
    }
    let cookie = match store.outcome() {
        Outcome::Unchanged | Outcome::Lost => return response,
        Outcome::Begun(id) => sessions.policy.set_cookie(id),
        Outcome::Ended => sessions.policy.removal_cookie(),
    };
    let headers = response.headers_mut();
    headers.append(header::SET_COOKIE, cookie);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Begins a session for whoever has just proved who they are. The id is new, and nothing that was
/// kept under the old one is taken over.
///
/// # Errors
///
/// [`SessionRefusal::Unavailable`] when the old session cannot be ended; nobody is signed in then.
pub async fn sign_in(session: &Session, principal: &Principal) -> Result<(), SessionRefusal> {
    session.flush().await.map_err(unavailable)?;
    let principal = StoredPrincipal::from(principal);
    session.insert(PRINCIPAL, principal).await.map_err(unavailable)
}

/// Ends the session for good: what is still under way with it changes nothing any more.
///
/// # Errors
///
/// [`SessionRefusal::Unavailable`] when the vault does not answer; the session lives on then.
pub async fn sign_out(session: &Session) -> Result<(), SessionRefusal> {
    session.flush().await.map_err(unavailable)
}

/// Turns what went wrong with a session in a handler into its refusal.
#[must_use]
#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
pub fn unavailable(error: Error) -> SessionRefusal {
    StoreUnavailable { store: "session vault", reason: error.to_string() }.into()
}

/// The pipeline renders every refusal; it finds this one in the answer's extensions.
fn refuse(refusal: SessionRefusal) -> Response {
    let status: StatusCode = refusal.status();
    let mut response = status.into_response();
    response.extensions_mut().insert(Refused::from(refusal));
    response
}

#[cfg(test)]
mod tests;
