//! The registry in memory: registrations by token, and an index by user.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gateway_core::clock::Timestamp;
use gateway_core::principal::IdentityText;
use serde_json::{Value, json};

use super::{Platform, PushTokenRefused};
use crate::config::PushTokenLimits;

/// One installation that gets notifications.
#[derive(Clone, PartialEq, Eq)]
pub struct Registration {
    token: Box<str>,
    platform: Platform,
    installation_id: Box<str>,
    registered_at: Timestamp,
    last_seen_at: Timestamp,
}

impl std::fmt::Debug for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registration").field("token", &masked(&self.token)).finish_non_exhaustive()
    }
}

impl Registration {
    /// A registration made now.
    #[must_use]
    pub fn new(token: &str, platform: Platform, installation_id: &str, now: Timestamp) -> Self {
        Self {
            token: token.into(),
            platform,
            installation_id: installation_id.into(),
            registered_at: now,
            last_seen_at: now,
        }
    }

    /// As its owner sees it: the token masked.
    #[must_use]
    pub fn shown(&self) -> Value {
        json!({
            "token": masked(&self.token),
            "platform": self.platform,
            "installation_id": self.installation_id,
            "registered_at": self.registered_at.to_string(),
            "last_seen_at": self.last_seen_at.to_string(),
        })
    }
}

/// The last four characters tell one's own tokens apart and are of no use to anybody else.
fn masked(token: &str) -> String {
    let shown = if token.len() >= 16 { token.get(token.len() - 4..).unwrap_or("") } else { "" };
    format!("…{shown}")
}

/// All registrations, under the limits of one configuration.
#[derive(Debug)]
pub struct PushTokens {
    limits: PushTokenLimits,
    registrations: Arc<Registrations>,
}

/// The registrations themselves, whatever the limits: they outlive a configuration.
#[derive(Debug, Default)]
pub struct Registrations(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    by_user: HashMap<IdentityText, Vec<Registration>>,
    owners: HashMap<Box<str>, IdentityText>,
}

impl PushTokens {
    /// These registrations under these limits.
    #[must_use]
    pub const fn new(limits: PushTokenLimits, registrations: Arc<Registrations>) -> Self {
        Self { limits, registrations }
    }

    /// Registers an installation's token, or notes that it was seen again. `true`: it is new to
    /// this user. A token that was another's is theirs no more.
    ///
    /// # Errors
    ///
    /// [`PushTokenRefused::Full`] when the registry holds as many as it may.
    pub fn register(
        &self,
        user_id: &IdentityText,
        new: Registration,
    ) -> Result<(Registration, bool), PushTokenRefused> {
        let mut kept = self.lock();
        if let Some(known) = kept.seen_again(user_id, &new) {
            return Ok((known, false));
        }
        if kept.owners.len() >= self.limits.total_max && !kept.owners.contains_key(&new.token) {
            return Err(PushTokenRefused::Full);
        }
        kept.forget_token(&new.token);
        kept.forget_installation(user_id, &new.installation_id);
        kept.make_room(user_id, self.limits.per_user_max);
        kept.owners.insert(new.token.clone(), user_id.clone());
        kept.by_user.entry(user_id.clone()).or_default().push(new.clone());
        Ok((new, true))
    }

    /// A user's registrations, the earliest first.
    #[must_use]
    pub fn of(&self, user_id: &IdentityText) -> Vec<Registration> {
        self.lock().by_user.get(user_id).cloned().unwrap_or_default()
    }

    /// Deletes a user's token. Another's token of that value is left alone.
    pub fn delete(&self, user_id: &IdentityText, token: &str) {
        let mut kept = self.lock();
        if kept.owners.get(token) == Some(user_id) {
            kept.forget_token(token);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.registrations.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn seen_again(&mut self, user_id: &IdentityText, new: &Registration) -> Option<Registration> {
        let known = self.by_user.get_mut(user_id)?.iter_mut().find(|known| {
            known.token == new.token && known.installation_id == new.installation_id
        })?;
        known.last_seen_at = known.last_seen_at.max(new.last_seen_at);
        Some(known.clone())
    }

    fn forget_token(&mut self, token: &str) {
        let Some(owner) = self.owners.remove(token) else { return };
        self.drop_of(&owner, |registration| &*registration.token == token);
    }

    fn forget_installation(&mut self, user_id: &IdentityText, installation_id: &str) {
        let token = self.by_user.get(user_id).into_iter().flatten().find_map(|known| {
            (&*known.installation_id == installation_id).then(|| known.token.clone())
        });
        if let Some(token) = token {
            self.forget_token(&token);
        }
    }

    /// Drops the registrations unused for longest until one more fits.
    fn make_room(&mut self, user_id: &IdentityText, per_user_max: usize) {
        loop {
            let kept = self.by_user.get(user_id).map_or(&[][..], Vec::as_slice);
            if kept.len() < per_user_max.max(1) {
                return;
            }
            let oldest = kept.iter().min_by_key(|known| known.last_seen_at);
            let Some(token) = oldest.map(|known| known.token.clone()) else { return };
            self.forget_token(&token);
        }
    }

    fn drop_of(&mut self, user_id: &IdentityText, is_dropped: impl Fn(&Registration) -> bool) {
        if let Some(kept) = self.by_user.get_mut(user_id) {
            kept.retain(|registration| !is_dropped(registration));
            if kept.is_empty() {
                self.by_user.remove(user_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> IdentityText {
        IdentityText::parse(name).expect("visible ASCII")
    }

    fn registry(per_user_max: usize, total_max: usize) -> PushTokens {
        PushTokens::new(PushTokenLimits { per_user_max, total_max }, Arc::default())
    }

    fn installation(token: &str, id: &str, second: u64) -> Registration {
        Registration::new(token, Platform::Fcm, id, Timestamp::from_unix_seconds(second))
    }

    fn tokens_of(registry: &PushTokens, name: &str) -> Vec<String> {
        registry.of(&user(name)).iter().map(|known| known.token.to_string()).collect()
    }

    #[test]
    fn registering_the_same_token_twice_only_moves_last_seen() {
        let registry = registry(5, 10);
        let first = registry.register(&user("a"), installation("t1", "phone", 1)).expect("room");
        let again = registry.register(&user("a"), installation("t1", "phone", 9)).expect("room");
        assert!(first.1 && !again.1);
        assert_eq!(again.0.registered_at.unix_seconds(), 1);
        assert_eq!(again.0.last_seen_at.unix_seconds(), 9);
        assert_eq!(tokens_of(&registry, "a"), ["t1"]);
    }

    #[test]
    fn a_token_that_changes_hands_is_gone_from_its_former_owner() {
        let registry = registry(5, 10);
        registry.register(&user("a"), installation("t1", "phone", 1)).expect("room");
        registry.register(&user("b"), installation("t1", "phone", 2)).expect("room");
        assert!(tokens_of(&registry, "a").is_empty());
        assert_eq!(tokens_of(&registry, "b"), ["t1"]);
    }

    #[test]
    fn a_new_token_of_an_installation_takes_the_old_ones_place() {
        let registry = registry(5, 10);
        registry.register(&user("a"), installation("t1", "phone", 1)).expect("room");
        registry.register(&user("a"), installation("t2", "phone", 2)).expect("room");
        assert_eq!(tokens_of(&registry, "a"), ["t2"]);
    }

    #[test]
    fn one_installation_too_many_takes_the_place_of_the_one_unused_for_longest() {
        let registry = registry(2, 10);
        registry.register(&user("a"), installation("t1", "phone", 1)).expect("room");
        registry.register(&user("a"), installation("t2", "tablet", 2)).expect("room");
        registry.register(&user("a"), installation("t1", "phone", 3)).expect("room");
        registry.register(&user("a"), installation("t3", "watch", 4)).expect("room");
        assert_eq!(tokens_of(&registry, "a"), ["t1", "t3"]);
    }

    #[test]
    fn nobody_deletes_another_users_token_and_deleting_twice_is_no_error() {
        let registry = registry(5, 10);
        registry.register(&user("a"), installation("t1", "phone", 1)).expect("room");
        registry.delete(&user("b"), "t1");
        assert_eq!(tokens_of(&registry, "a"), ["t1"]);
        registry.delete(&user("a"), "t1");
        registry.delete(&user("a"), "t1");
        assert!(tokens_of(&registry, "a").is_empty());
    }

    #[test]
    fn a_full_registry_refuses_new_tokens_and_keeps_the_others() {
        let registry = registry(5, 1);
        registry.register(&user("a"), installation("t1", "phone", 1)).expect("room");
        let refused = registry.register(&user("b"), installation("t2", "phone", 2));
        assert!(matches!(refused, Err(PushTokenRefused::Full)));
        assert_eq!(tokens_of(&registry, "a"), ["t1"]);
    }

    #[test]
    fn a_token_is_shown_and_debugged_by_its_last_four_characters_alone() {
        let registration = installation("fcm-abcdefghijklmnop-WXYZ", "phone", 1);
        assert_eq!(registration.shown()["token"], "…WXYZ");
        assert!(!format!("{registration:?}").contains("abcdef"));
        assert_eq!(installation("short", "phone", 1).shown()["token"], "…");
    }
}
