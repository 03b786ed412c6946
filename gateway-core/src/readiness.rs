//! Readiness: whether this process should get traffic, and if not, why.
//!
//! Not ready means: a load balancer should send nobody here. It fails while an issuer's keys were
//! never loaded, and from the moment a drain begins. A service that is down is detail only: taking
//! every gateway away would not bring it back.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

/// The process's own part of readiness.
#[derive(Debug, Default)]
pub struct Readiness {
    is_serving: AtomicBool,
    is_draining: AtomicBool,
}

/// One reason not to send traffic here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unready {
    /// A stable word.
    pub code: &'static str,
    /// Where to look.
    pub detail: String,
}

impl Readiness {
    /// The listeners are bound.
    pub fn serving(&self) {
        self.is_serving.store(true, Ordering::Release);
    }

    /// A drain has begun; there is no way back.
    pub fn draining(&self) {
        self.is_draining.store(true, Ordering::Release);
    }

    /// The reasons of the process itself; `keys_missing` are issuers whose keys were never loaded.
    #[must_use]
    pub fn reasons(&self, keys_missing: &[String]) -> Vec<Unready> {
        let mut reasons = Vec::new();
        if self.is_draining.load(Ordering::Acquire) {
            let detail = "the process is shutting down".to_owned();
            reasons.push(Unready { code: "draining", detail });
        } else if !self.is_serving.load(Ordering::Acquire) {
            let detail = "the listeners are not bound yet".to_owned();
            reasons.push(Unready { code: "starting", detail });
        }
        for issuer in keys_missing {
            let detail = format!("the keys of issuer `{issuer}` were never loaded");
            reasons.push(Unready { code: "keys_not_loaded", detail });
        }
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(readiness: &Readiness, keys_missing: &[String], expected: &[&str]) {
        let reasons = readiness.reasons(keys_missing);
        let codes: Vec<_> = reasons.iter().map(|reason| reason.code).collect();
        assert_eq!(codes, expected);
    }

    #[test]
    fn a_process_is_ready_between_being_bound_and_draining_once_all_keys_were_loaded() {
        let readiness = Readiness::default();
        check(&readiness, &[], &["starting"]);
        readiness.serving();
        check(&readiness, &["user-service".to_owned()], &["keys_not_loaded"]);
        check(&readiness, &[], &[]);
        readiness.draining();
        check(&readiness, &[], &["draining"]);
    }
}
