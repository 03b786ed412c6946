//! Explaining: a plan and a view of it as text, for people who wonder what a request will do.
//!
//! Not here: what a request did (`status`, the access log).

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::place::Place;
use super::{OnFailure, Part, Plan};
use crate::aggregation::View;
use crate::aggregation::fields::Fields;
use crate::aggregation::part_cache::CacheRule;

/// Writes what a view does with a request: its calls, in which order, and what it shows.
///
/// # Errors
///
/// What the writer says.
pub fn explain(view: &View, out: &mut dyn fmt::Write) -> fmt::Result {
    let plan = view.plan();
    writeln!(out, "aggregate {}, answered within {}", plan.aggregate, length(plan.deadline))?;
    let called = view.called();
    writeln!(out, "\ncalls")?;
    for (depth, parts) in plan.waves(called).into_iter().enumerate() {
        for part in parts {
            plan.explain_part(part, depth + 1, out)?;
        }
    }
    for (part, _) in plan.parts.iter().zip(called).filter(|(_, called)| !**called) {
        writeln!(out, "  –  {}: not called, the view does not show it", part.name)?;
    }
    writeln!(out, "\nshows")?;
    for name in view.fields().names() {
        let below = view.fields().child(name).map_or_else(|| "not shown".to_owned(), shown);
        writeln!(out, "  {name}: {below}")?;
    }
    if view.fields().shows_others() {
        writeln!(out, "  everything that the root parts bring")?;
    }
    if view.has_meta() {
        writeln!(out, "  _meta: the report")?;
    }
    Ok(())
}

impl Plan {
    /// The called parts by what they wait for: each wave waits for parts of those before it.
    fn waves(&self, called: &[bool]) -> Vec<Vec<&Part>> {
        let mut depths: Vec<usize> = vec![0; self.parts.len()];
        // Each round settles one wave more, and there are no more waves than parts.
        for _ in 0..self.parts.len() {
            for (number, part) in self.parts.iter().enumerate() {
                let of = |part: &usize| depths.get(*part).map_or(0, |depth| depth + 1);
                let depth = part.waits_for.iter().map(of).max().unwrap_or(0);
                if let Some(known) = depths.get_mut(number) {
                    *known = depth;
                }
            }
        }
        let last = depths.iter().max().copied().unwrap_or(0) + 1;
        let mut waves = vec![Vec::new(); last + 1];
        for (number, part) in self.parts.iter().enumerate() {
            let depth =
                if part.call.is_write() { last } else { depths.get(number).copied().unwrap_or(0) };
            if called.get(number) == Some(&true)
                && let Some(wave) = waves.get_mut(depth)
            {
                wave.push(part);
            }
        }
        waves.retain(|wave| !wave.is_empty());
        waves
    }

    fn explain_part(&self, part: &Part, wave: usize, out: &mut dyn fmt::Write) -> fmt::Result {
        writeln!(out, "  {wave}  {}: {}", part.name, part.call.text)?;
        let mut line = |name: &str, text: &str| writeln!(out, "       {name:<10} {text}");
        let names = |numbers: &[usize]| {
            let names = numbers.iter().filter_map(|&part| self.parts.get(part));
            names.map(|part| &*part.name).collect::<Vec<_>>().join(", ")
        };
        if part.call.is_write() {
            line("after", "everything else; it runs last and only if nothing required failed")?;
        } else if !part.waits_for.is_empty() {
            line("after", &names(&part.waits_for))?;
        }
        if let Some(for_each) = &part.for_each {
            line("for each", &self.items(for_each))?;
        }
        if part.when.is_some() {
            line("when", "its condition holds")?;
        }
        let own = part.deadline.map_or_else(|| "what is left".to_owned(), length);
        line("deadline", &own)?;
        let on_failure = match &part.on_failure {
            OnFailure::FailAnswer => "the answer fails".to_owned(),
            OnFailure::Null => "null".to_owned(),
            OnFailure::Value(value) => String::from_utf8_lossy(value).into_owned(),
        };
        let overload = if part.is_spare { "; under overload not called" } else { "" };
        line("on failure", &(on_failure + overload))?;
        if let Some(rule) = part.cache {
            line("cache", &cache(rule))?;
            line("key", &key(part, rule))?;
        }
        if let Some(place) = self.elsewhere(part) {
            line("stands", &place)?;
        }
        Ok(())
    }

    fn items(&self, for_each: &super::ForEach) -> String {
        let host = self.parts.get(for_each.part).map(|part| &*part.name).unwrap_or_default();
        let mut text = format!("{host}.{}", for_each.path);
        let _ = match &for_each.batch {
            Some(batch) => write!(
                text,
                ", {} in one call, joined by {} = {}",
                batch.size, batch.item_key, batch.result_key
            ),
            None => write!(text, ", equal calls once"),
        };
        text
    }

    fn elsewhere(&self, part: &Part) -> Option<String> {
        match &part.place {
            Place::Member { name: None, .. } => None,
            Place::Member { name: Some(name), .. } => Some(format!("as {name}")),
            Place::Root { .. } => Some("its members in the answer itself".to_owned()),
            Place::Into { host, path, name, .. } => {
                let host = self.parts.get(*host).map(|part| &*part.name).unwrap_or_default();
                let way = path.names().iter().map(|name| &**name).chain([&**name]);
                let way: Vec<&str> = [host].into_iter().chain(way).collect();
                Some(format!("in {}", way.join(".")))
            }
        }
    }
}

/// What is shown of a value, with its limits and what is dropped.
fn shown(fields: &Fields) -> String {
    let mut words = Vec::new();
    if let Some(limit) = fields.limit() {
        words.push(format!("at most {limit}"));
    }
    if fields.shows_others() {
        words.push("everything".to_owned());
    }
    for name in fields.names() {
        words.push(match fields.child(name) {
            None => format!("not {name}"),
            Some(below) if below.shows_everything() && below.limit().is_none() => name.to_owned(),
            Some(below) => format!("{name}({})", shown(below)),
        });
    }
    words.join(", ")
}

fn cache(rule: CacheRule) -> String {
    let mut text = format!("for {}", length(rule.ttl));
    for (length_of, why) in [
        (rule.stale_while_revalidate, "while a new one is fetched"),
        (rule.stale_if_error, "where none can be had"),
    ] {
        if !length_of.is_zero() {
            let _ = write!(text, ", {} more {why}", length(length_of));
        }
    }
    text
}

/// The key with a placeholder where a request's value stands.
fn key(part: &Part, rule: CacheRule) -> String {
    let whose = if rule.is_shared {
        "everybody"
    } else {
        "{scheme, user_id, role, roles, tenant, tier, scopes, credential}"
    };
    let headers: Vec<&str> = part.call.header_names().map(http::HeaderName::as_str).collect();
    let headers =
        if headers.is_empty() { String::new() } else { format!(" + {}", headers.join(", ")) };
    format!("{whose} + {}{headers}", part.call.text)
}

/// A length as configuration writes it.
fn length(length: Duration) -> String {
    shared_config::units::Duration::of(length).to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::aggregation::ViewSource;
    use crate::aggregation::plan::{BatchSource, CacheSource, Need, PartSource};
    use crate::aggregation::testing::{aggregate, part};

    #[test]
    fn a_plan_says_what_a_request_would_do() {
        let source = aggregate(vec![
            PartSource { need: Some(Need::Required), ..part("profile", "GET u:/users/{path.id}") },
            PartSource {
                for_each: Some("links.items".into()),
                batch: Some(BatchSource { size: 50, key: "id".into(), from: None }),
                into: Some("links.items.clicks".into()),
                deadline: Some(Duration::from_millis(1_500)),
                ..part("clicks", "GET a:/links?ids={items.id}")
            },
            PartSource {
                cache: Some(CacheSource {
                    ttl: Duration::from_secs(30),
                    stale_while_revalidate: Duration::from_secs(300),
                    stale_if_error: Duration::ZERO,
                    is_shared: true,
                }),
                headers: vec![("Accept-Language".into(), "{header.accept-language|en}".into())],
                ..part("links", "GET l:/links")
            },
            PartSource { fallback: Some("[]".into()), ..part("hidden", "GET u:/hidden") },
        ]);
        let plan = Plan::compile(&source, &|_| Some(0)).expect("a plan");
        let view = ViewSource {
            name: "v".into(),
            fields: "profile,links".into(),
            drop: Some("profile/email".into()),
            limits: vec![("links/items".into(), 5)],
            has_meta: true,
            params: vec!["id".into()],
            takes_safe_methods: true,
        };
        let view = View::compile(&view, Arc::new(plan)).expect("a view");
        let mut text = String::new();
        explain(&view, &mut text).expect("written");
        assert_eq!(
            text,
            "\
aggregate dashboard, answered within 800ms

calls
  1  profile: GET u:/users/{path.id}
       deadline   what is left
       on failure the answer fails
  1  links: GET l:/links
       deadline   what is left
       on failure null; under overload not called
       cache      for 30s, 5m more while a new one is fetched
       key        everybody + GET l:/links + accept-language
  2  clicks: GET a:/links?ids={items.id}
       after      links
       for each   links.items, 50 in one call, joined by id = id
       deadline   1500ms
       on failure null; under overload not called
       stands     in links.items.clicks
  –  hidden: not called, the view does not show it

shows
  links: everything, items(at most 5, everything)
  profile: everything, not email
  _meta: the report
"
        );
    }
}
