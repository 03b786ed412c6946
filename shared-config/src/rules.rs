//! Rules: what must hold between keys.
//!
//! They read the merged value rather than its types, and pass over what is missing or of the
//! wrong kind, which `structure` reports; so a mistake of structure hides none of these.
//!
//! A route that this gateway does not offer must name what exists, but needs neither scheme nor
//! limit here.
//!
//! Not here: what patterns, templates, fields and names of endpoints mean (`gateway-core`).

mod aggregates;
mod gate;
mod limits;
mod node;
mod routes;
mod schemes;
mod sections;
mod services;
mod targets;
#[cfg(test)]
mod tests;
mod tls;
mod traces;

use self::node::Node;
use crate::diagnostics::Diagnostic;
use crate::merged::Merged;

/// Reports every rule that a configuration breaks.
pub(crate) fn check(merged: &Merged, found: &mut Vec<Diagnostic>) {
    let mut report = Report { merged, found };
    let root = Node::root(&merged.value);
    sections::check(&root, &mut report);
    services::check(&root, &mut report);
    targets::check(&root, &mut report);
    tls::check(&root, &mut report);
    traces::check(&root, &mut report);
    schemes::check(&root, &mut report);
    limits::check(&root, &mut report);
    routes::check(&root, &mut report);
    gate::check(&root, &mut report);
    aggregates::check(&root, &mut report);
}

/// The mistakes found so far.
struct Report<'a> {
    merged: &'a Merged,
    found: &'a mut Vec<Diagnostic>,
}

impl Report<'_> {
    /// Notes a mistake at a key, with its value.
    fn add(&mut self, node: &Node<'_>, reason: impl Into<String>) {
        let value = self.merged.shown(node.path());
        self.found.push(Diagnostic::new(self.merged, node.path(), value, reason));
    }

    /// Notes a mistake at a key whose value must not be shown.
    fn add_without_value(&mut self, node: &Node<'_>, reason: impl Into<String>) {
        self.found.push(Diagnostic::new(self.merged, node.path(), None, reason));
    }

    /// Notes a name that is none of a table's keys.
    fn require_known(&mut self, node: &Node<'_>, name: &str, table: &Node<'_>, what: &str) {
        let known = || table.entries().map(|(name, _)| name);
        if !known().any(|known| known == name) {
            self.add_misnamed(node, format!("names no {what}"), (name, known()));
        }
    }

    /// Notes a name that stands for nothing, and the known one that is nearest to it.
    fn add_misnamed<'n>(
        &mut self,
        node: &Node<'_>,
        reason: impl Into<String>,
        (name, known): (&str, impl Iterator<Item = &'n str>),
    ) {
        let value = self.merged.shown(node.path());
        let diagnostic = Diagnostic::new(self.merged, node.path(), value, reason);
        self.found.push(diagnostic.suggest(name, known));
    }
}
