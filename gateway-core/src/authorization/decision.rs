//! Decisions that a service makes: the question, its answer, and answers that are kept.
//!
//! ```text
//! → { "identity": { "user_id": …, "role": …, "roles": […], "tenant": …, "tier": …, "scheme": …,
//!                   "scopes": […] } or null,
//!     "method": "GET", "path": "/links/x7Kp2", "route": "links-get", "params": { "id": "x7Kp2" } }
//! ← { "allow": true }  or  { "allow": false, "reason": "not_your_link" }
//! ```
//!
//! Invariants
//! - Only a 200 with `allow` as `true` or `false` is an answer; anything else lets nobody pass.
//! - A kept answer is one to exactly the same question, whoever asked it how.
//! - The credential is no part of the question.
//!
//! Not here: the call itself (`pipeline`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Method, StatusCode};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::clock::Moment;
use crate::error::Refusal;
use crate::principal::{IdentityText, Principal};

/// Answers that one `decide` keeps: enough for the callers of a few seconds, and at most a few MiB.
const KEPT_MAX: usize = 10_000;
/// The longest reason that is passed on.
const REASON_LENGTH_MAX: usize = 64;

/// Who decides, and how.
#[derive(Debug)]
pub struct DecisionPoint {
    /// The service: its index in the site.
    pub service: usize,
    /// The path and query at the service.
    pub target: PathAndQuery,
    /// Time for its answer.
    pub deadline: Duration,
    kept: Option<Kept>,
}

#[derive(Debug)]
struct Kept {
    lifetime: Duration,
    answers: OnceLock<Arc<Answers>>,
}

type Answers = Cache<[u8; 32], (Moment, Verdict)>;

/// What a service has decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The request may go on.
    Allow,
    /// It may not; perhaps for a reason that the client may know.
    Deny(Option<Box<str>>),
}

/// A question as it is sent.
#[derive(Debug, Clone)]
pub struct Question(pub Bytes);

/// What a question is made of.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Who asks.
    pub principal: Option<&'a Principal>,
    /// The method.
    pub method: &'a Method,
    /// The normalised path.
    pub path: &'a str,
    /// The route's name.
    pub route: &'a str,
    /// The names of the path's parameters.
    pub names: &'a [Box<str>],
    /// Their values.
    pub params: &'a [Box<str>],
}

#[derive(Serialize)]
struct Written<'a> {
    identity: Option<Identity<'a>>,
    method: &'a str,
    path: &'a str,
    route: &'a str,
    params: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct Identity<'a> {
    user_id: &'a str,
    role: Option<&'a str>,
    roles: Vec<&'a str>,
    tenant: Option<&'a str>,
    tier: &'a str,
    scheme: &'static str,
    scopes: Vec<&'a str>,
}

impl<'a> Identity<'a> {
    fn of(principal: &'a Principal) -> Self {
        let texts = |all: &'a [IdentityText]| all.iter().map(IdentityText::as_str).collect();
        Self {
            user_id: principal.user_id.as_str(),
            role: principal.role.as_ref().map(IdentityText::as_str),
            roles: texts(&principal.roles),
            tenant: principal.tenant.as_ref().map(IdentityText::as_str),
            tier: principal.tier.as_str(),
            scheme: principal.scheme.as_str(),
            scopes: texts(&principal.scopes),
        }
    }
}

impl Question {
    /// The question about a request.
    #[must_use]
    pub fn of(asked: &Asked<'_>) -> Self {
        let params = asked.names.iter().zip(asked.params);
        let written = Written {
            identity: asked.principal.map(Identity::of),
            method: asked.method.as_str(),
            path: asked.path,
            route: asked.route,
            params: params.map(|(name, value)| (&**name, &**value)).collect(),
        };
        // Texts and lists of texts are always JSON; without a question there is no answer.
        Self(serde_json::to_vec(&written).map(Bytes::from).unwrap_or_default())
    }

    fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }
}

impl Verdict {
    /// Reads an answer; `None` for what is none.
    #[must_use]
    pub fn parse(status: StatusCode, body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Answer {
            allow: bool,
            reason: Option<Box<str>>,
        }
        if status != StatusCode::OK {
            return None;
        }
        let answer: Answer = serde_json::from_slice(body).ok()?;
        if answer.allow {
            return Some(Self::Allow);
        }
        let is_code = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let reason = answer.reason.filter(|reason| {
            let is_short = (1..=REASON_LENGTH_MAX).contains(&reason.len());
            is_short && reason.bytes().all(is_code)
        });
        Some(Self::Deny(reason))
    }

    /// Lets the request go on.
    ///
    /// # Errors
    ///
    /// [`Denied`].
    pub fn apply(self) -> Result<(), Denied> {
        match self {
            Self::Allow => Ok(()),
            Self::Deny(reason) => Err(Denied { reason }),
        }
    }
}

impl DecisionPoint {
    /// A service that decides; its answers are kept for `lifetime`.
    #[must_use]
    pub fn new(
        service: usize,
        target: PathAndQuery,
        deadline: Duration,
        lifetime: Option<Duration>,
    ) -> Self {
        let kept = lifetime.map(|lifetime| Kept { lifetime, answers: OnceLock::new() });
        Self { service, target, deadline, kept }
    }

    /// The answer that is kept for this question.
    #[must_use]
    pub fn kept(&self, question: &Question, now: Moment) -> Option<Verdict> {
        let kept = self.kept.as_ref()?;
        let (until, verdict) = kept.answers.get()?.get(&question.digest())?;
        (now < until).then_some(verdict)
    }

    /// Keeps an answer, where answers are kept.
    pub fn keep(&self, question: &Question, verdict: &Verdict, now: Moment) {
        if let Some(kept) = &self.kept {
            let answers = kept.answers.get_or_init(|| Arc::new(Cache::new(KEPT_MAX)));
            answers.insert(question.digest(), (now.after(kept.lifetime), verdict.clone()));
        }
    }

    /// Goes on with the answers that an earlier one of the same service keeps, where they are of
    /// the same kind. Call it before the first question.
    pub fn adopt(&self, earlier: &Self) {
        if let (Some(kept), Some(before)) = (&self.kept, &earlier.kept)
            && kept.lifetime == before.lifetime
            && self.target == earlier.target
            && let Some(answers) = before.answers.get()
        {
            // What several routes share is adopted once.
            let _ = kept.answers.set(Arc::clone(answers));
        }
    }
}

/// A service has decided against the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("denied by the service that decides ({})", reason.as_deref().unwrap_or("no reason"))]
pub struct Denied {
    reason: Option<Box<str>>,
}

impl Refusal for Denied {
    fn status(&self) -> StatusCode {
        StatusCode::FORBIDDEN
    }
    fn code(&self) -> &'static str {
        "denied"
    }
    fn detail(&self) -> Cow<'static, str> {
        "You may not do this.".into()
    }
    fn add_members(&self, members: &mut Map<String, Value>) {
        if let Some(reason) = &self.reason {
            members.insert("reason".to_owned(), Value::from(&**reason));
        }
    }
}

/// The service that decides has not decided, so nobody passes.
#[derive(Debug, thiserror::Error)]
#[error("no decision: {0}")]
pub struct DecisionUnavailable(pub Cow<'static, str>);

impl Refusal for DecisionUnavailable {
    fn status(&self) -> StatusCode {
        StatusCode::SERVICE_UNAVAILABLE
    }
    fn code(&self) -> &'static str {
        "decision_unavailable"
    }
    fn detail(&self) -> Cow<'static, str> {
        "Whether you may do this cannot be found out right now. Try again.".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(path: &str) -> Question {
        Question::of(&Asked {
            principal: None,
            method: &Method::GET,
            path,
            route: "links-get",
            names: &["id".into()],
            params: &["x\"7".into()],
        })
    }

    #[test]
    fn a_question_is_the_request_without_its_credential() {
        let written: Value = serde_json::from_slice(&question("/links/x").0).expect("JSON");
        let expected = serde_json::json!({
            "identity": null, "method": "GET", "path": "/links/x", "route": "links-get",
            "params": { "id": "x\"7" },
        });
        assert_eq!(written, expected);
    }

    #[test]
    fn only_a_plain_yes_lets_a_request_pass() {
        let deny = |reason: Option<&str>| Some(Verdict::Deny(reason.map(Into::into)));
        let long = format!(r#"{{"allow":false,"reason":"{}"}}"#, "a".repeat(65));
        let cases = [
            (200, r#"{"allow":true}"#, Some(Verdict::Allow)),
            (200, r#"{"allow":true,"obligations":[]}"#, Some(Verdict::Allow)),
            (200, r#"{"allow":false}"#, deny(None)),
            (200, r#"{"allow":false,"reason":"not_yours"}"#, deny(Some("not_yours"))),
            (200, r#"{"allow":false,"reason":"<b>no</b>"}"#, deny(None)),
            (200, &long, deny(None)),
            (200, r#"{"allow":"true"}"#, None),
            (200, r#"{"allow":1}"#, None),
            (200, r#"{"result":true}"#, None),
            (200, r#"{"allow":false,"allow":true}"#, None),
            (200, "true", None),
            (200, "", None),
            (201, r#"{"allow":true}"#, None),
            (403, r#"{"allow":true}"#, None),
        ];
        for (status, body, expected) in cases {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(Verdict::parse(status, body.as_bytes()), expected, "{status} {body}");
        }
    }

    #[test]
    fn a_kept_answer_is_one_to_the_same_question_for_its_time() {
        let target = PathAndQuery::from_static("/d");
        let second = Duration::from_secs(1);
        let point = DecisionPoint::new(0, target.clone(), second, Some(second));
        let (now, asked) = (Moment::from_micros(5), question("/a"));
        point.keep(&asked, &Verdict::Allow, now);
        let almost = now.after(second - Duration::from_micros(1));
        assert_eq!(point.kept(&asked, almost), Some(Verdict::Allow));
        assert_eq!(point.kept(&asked, now.after(second)), None);
        assert_eq!(point.kept(&question("/b"), now), None);
        let again = |path, lifetime| {
            let again = DecisionPoint::new(1, path, second, Some(lifetime));
            again.adopt(&point);
            again.kept(&asked, almost)
        };
        assert_eq!(again(target.clone(), second), Some(Verdict::Allow));
        assert_eq!(again(PathAndQuery::from_static("/e"), second), None, "it may say otherwise");
        assert_eq!(again(target.clone(), second * 2), None, "they were given less time");
        let forgetful = DecisionPoint::new(0, target, second, None);
        forgetful.keep(&asked, &Verdict::Allow, now);
        assert_eq!(forgetful.kept(&asked, now), None);
    }
}
