//! Items: one part's calls for the items of another, made once each and joined back.
//!
//! Invariants
//! - Equal calls are one call, whoever needs it; with `batch`, fifty items of ten ids are one call
//!   for ten ids.
//! - What was fetched for the third item is the third result; one call failing leaves the others.
//! - Ids are compared as texts: `4821` and `"4821"` are one.
//!
//! Not here: where results stand in the answer (`compose`).

use std::collections::HashMap;

use bytes::Bytes;

use super::bindings::Scope;
use super::call::Call;
use super::caller::PartFailure;
use super::judge::NULL;
use super::plan::{Batch, ForEach, Part};
use super::status::{Outcome, Reason};
use super::values::{elements, lookup, scalar};

/// The calls for a list of items, and what they have brought so far.
#[derive(Debug)]
pub(super) struct Items {
    /// One for each item, in their order; null until something has come.
    pub(super) results: Vec<Bytes>,
    wanted: Vec<WantedBy>,
    calls_left: usize,
    failed: usize,
    reason: Option<Reason>,
}

/// Which items a call is for, by number.
#[derive(Debug)]
enum WantedBy {
    /// Its whole answer is for each of them.
    All(Vec<usize>),
    /// Each finds its own among the results.
    ByKey(HashMap<Box<str>, Vec<usize>>),
}

impl WantedBy {
    fn count(&self) -> usize {
        match self {
            Self::All(items) => items.len(),
            Self::ByKey(items) => items.values().map(Vec::len).sum(),
        }
    }
}

/// Plans the calls of `part` for the items in `host`, its host part's value.
pub(super) fn plan(
    part: &Part,
    for_each: &ForEach,
    host: &[u8],
    scope: &Scope<'_>,
    items_max: usize,
) -> Result<(Items, Vec<Call>), Reason> {
    let items = elements(host, &for_each.path);
    if items.len() > items_max {
        return Err(Reason::TooManyItems);
    }
    let (calls, wanted) = match &for_each.batch {
        Some(batch) => batched(part, batch, &items, scope)?,
        None => single(part, &items, scope),
    };
    let results = vec![NULL; items.len()];
    let calls_left = calls.len();
    Ok((Items { results, wanted, calls_left, failed: 0, reason: None }, calls))
}

/// A call for each item, equal ones once. An item that lacks what the call needs gets none.
fn single(part: &Part, items: &[&[u8]], scope: &Scope<'_>) -> (Vec<Call>, Vec<WantedBy>) {
    let mut calls: Vec<Call> = Vec::new();
    let mut by_target: HashMap<String, Vec<usize>> = HashMap::new();
    let mut wanted: Vec<Vec<usize>> = Vec::new();
    for (number, item) in items.iter().enumerate() {
        let Ok(call) = part.call.fill(&Scope { items: &[item], ..*scope }) else { continue };
        let same_target = by_target.entry(call.target.as_str().to_owned()).or_default();
        let known = same_target.iter().find(|&&known| calls.get(known) == Some(&call)).copied();
        let place = known.unwrap_or_else(|| {
            same_target.push(calls.len());
            calls.push(call);
            wanted.push(Vec::new());
            calls.len() - 1
        });
        if let Some(items) = wanted.get_mut(place) {
            items.push(number);
        }
    }
    (calls, wanted.into_iter().map(WantedBy::All).collect())
}

/// A call for each so many distinct keys.
fn batched(
    part: &Part,
    batch: &Batch,
    items: &[&[u8]],
    scope: &Scope<'_>,
) -> Result<(Vec<Call>, Vec<WantedBy>), Reason> {
    let mut by_key: HashMap<Box<str>, Vec<usize>> = HashMap::new();
    let mut distinct: Vec<(Box<str>, &[u8])> = Vec::new();
    for (number, item) in items.iter().enumerate() {
        let keys = elements(item, &batch.item_key);
        let Some(key) = keys.first().and_then(|key| scalar(key)) else { continue };
        let wanted_by = by_key.entry((*key).into()).or_default();
        if wanted_by.is_empty() {
            distinct.push(((*key).into(), item));
        }
        wanted_by.push(number);
    }
    let (mut calls, mut wanted) = (Vec::new(), Vec::new());
    for chunk in distinct.chunks(batch.size) {
        let items: Vec<&[u8]> = chunk.iter().map(|(_, item)| *item).collect();
        let call = part.call.fill(&Scope { items: &items, ..*scope });
        calls.push(call.map_err(|unfilled| unfilled.reason)?);
        let keys = chunk.iter().filter_map(|(key, _)| by_key.remove_entry(key));
        wanted.push(WantedBy::ByKey(keys.collect()));
    }
    Ok((calls, wanted))
}

impl Items {
    /// Takes what one call has brought. Items of a call that failed get `instead`.
    pub(super) fn land(
        &mut self,
        call: usize,
        result: Result<&Bytes, &PartFailure>,
        batch: Option<&Batch>,
        instead: &Bytes,
    ) {
        self.calls_left = self.calls_left.saturating_sub(1);
        let Some(wanted) = self.wanted.get(call) else { return };
        let mut set = |numbers: &[usize], value: &Bytes| {
            for &number in numbers {
                if let Some(result) = self.results.get_mut(number) {
                    *result = value.clone();
                }
            }
        };
        match (result, wanted) {
            (Ok(value), WantedBy::All(numbers)) => set(numbers, value),
            (Ok(value), WantedBy::ByKey(by_key)) => {
                let Some(batch) = batch else { return };
                for result in elements(value, &batch.from) {
                    let key = lookup(result, &batch.result_key).and_then(scalar);
                    if let Some(numbers) = key.and_then(|key| by_key.get(&*key)) {
                        set(numbers, &value.slice_ref(result));
                    }
                }
            }
            (Err(failure), wanted) => {
                match wanted {
                    WantedBy::All(numbers) => set(numbers, instead),
                    WantedBy::ByKey(by_key) => {
                        by_key.values().for_each(|numbers| set(numbers, instead));
                    }
                }
                self.failed += wanted.count();
                self.reason.get_or_insert(failure.reason);
            }
        }
    }

    pub(super) const fn are_done(&self) -> bool {
        self.calls_left == 0
    }

    /// What became of the part, and why it is not ok.
    pub(super) fn outcome(&self, has_fallback: bool) -> (Outcome, Option<Reason>) {
        let wanted: usize = self.wanted.iter().map(WantedBy::count).sum();
        let outcome = match self.failed {
            0 => Outcome::Ok,
            _ if has_fallback => Outcome::Fallback,
            failed if failed == wanted => Outcome::Failed,
            _ => Outcome::Partial,
        };
        (outcome, self.reason)
    }

    /// Items that lack what was to be fetched, and all items.
    pub(super) const fn counts(&self) -> (usize, usize) {
        (self.failed, self.results.len())
    }

    /// Bytes of all results.
    pub(super) fn size(&self) -> usize {
        self.results.iter().map(Bytes::len).sum()
    }

    /// The results as one list.
    pub(super) fn list(&self) -> Bytes {
        let mut list = Vec::with_capacity(self.size() + self.results.len() + 2);
        list.push(b'[');
        list.extend_from_slice(&self.results.join(&b','));
        list.push(b']');
        list.into()
    }
}
