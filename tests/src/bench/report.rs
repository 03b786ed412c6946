//! What is said about a run: tables for people, JSON for programs, a block in the documents.

use std::fs;

use anyhow::{Context as _, Result};
use gateway_core::clock::Clock;
use serde_json::{Map, Value};

use super::machine;
use crate::verify::repository;

/// What was found out about a workload.
#[derive(Debug)]
pub(super) struct Report {
    workload: &'static str,
    /// Programs beside nginx that the figures depend on, with their versions.
    software: Vec<String>,
    sections: Vec<Section>,
}

/// One table of a report.
#[derive(Debug)]
pub(super) struct Section {
    /// Its name in the JSON.
    pub(super) key: String,
    /// Markdown: a table, and the sentence in front of it where it needs one.
    pub(super) text: String,
    /// The same for programs.
    pub(super) figures: Value,
}

impl Report {
    pub(super) const fn new(workload: &'static str) -> Self {
        Self { workload, software: Vec::new(), sections: Vec::new() }
    }

    pub(super) fn depends_on(&mut self, software: String) {
        self.software.push(software);
    }

    pub(super) fn add(&mut self, section: Section) {
        self.sections.push(section);
    }

    pub(super) fn finish(&self, writes_docs: bool) -> Result<()> {
        let text = self.text();
        println!("{text}");
        let file = repository().join("target/bench-gateways.json");
        fs::write(&file, self.json().to_string())
            .with_context(|| format!("cannot write {}", file.display()))?;
        println!("\nwritten: {}", file.display());
        if writes_docs {
            let file = repository().join("docs/performance.md");
            let before = fs::read_to_string(&file)?;
            let after = replaced(&before, self.workload, &text).with_context(|| {
                format!("docs/performance.md has no block for {}", self.workload)
            })?;
            fs::write(&file, after)?;
            println!("written: {}", file.display());
        }
        Ok(())
    }

    fn text(&self) -> String {
        let mut place = machine::described();
        for software in &self.software {
            place = format!("{place}, {software}");
        }
        let mut text = format!(
            "Workload `{}`, {place}, {}, by `{}`.\n\n",
            self.workload,
            Clock::system().wall().to_string().get(..10).unwrap_or_default(),
            command(std::env::args().skip(1)),
        );
        let sections: Vec<&str> = self.sections.iter().map(|section| &*section.text).collect();
        text += &sections.join("\n");
        text
    }

    /// `{"pass":…}`: each section's figures under its name.
    fn json(&self) -> Value {
        let figures = |section: &Section| (section.key.clone(), section.figures.clone());
        Value::Object(self.sections.iter().map(figures).collect::<Map<_, _>>())
    }
}

/// What was typed.
fn command(arguments: impl Iterator<Item = String>) -> String {
    let arguments: Vec<String> = arguments.collect();
    if arguments.is_empty() {
        return "cargo bench-gateways".to_owned();
    }
    format!("cargo bench-gateways -- {}", arguments.join(" "))
}

/// The text with another block between the marks of a workload.
fn replaced(text: &str, workload: &str, block: &str) -> Option<String> {
    let start = format!("<!-- last run: {workload} -->");
    let end = format!("<!-- end of last run: {workload} -->");
    let (before, rest) = text.split_once(&start)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{start}\n{block}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_json_has_the_figures_of_each_table_under_its_name() {
        let mut report = Report::new("pass");
        for key in ["pass", "more"] {
            let figures = json!({ "is": key });
            report.add(Section { key: key.to_owned(), text: String::new(), figures });
        }
        assert_eq!(report.json(), json!({ "pass": { "is": "pass" }, "more": { "is": "more" } }));
    }

    #[test]
    fn the_block_of_a_workload_in_the_document_is_replaced_and_nothing_else() {
        let block = |workload: &str, inside: &str| {
            format!("<!-- last run: {workload} -->\n{inside}\n<!-- end of last run: {workload} -->")
        };
        let text = format!("a {} b {} c", block("pass", "old"), block("other", "old"));
        let expected = format!("a {} b {} c", block("pass", "new\n"), block("other", "old"));
        assert_eq!(replaced(&text, "pass", "new\n"), Some(expected));
        assert_eq!(replaced(&text, "third", "new"), None);
    }

    #[test]
    fn the_document_has_a_block_for_each_workload() {
        let text = fs::read_to_string(repository().join("docs/performance.md")).expect("readable");
        for workload in ["pass", "idle", "aggregate", "scale"] {
            assert!(replaced(&text, workload, "").is_some(), "{workload}");
        }
    }

    #[test]
    fn the_command_is_shown_as_it_was_typed() {
        let check = |typed: &str, expected: &str| {
            assert_eq!(command(typed.split_whitespace().map(str::to_owned)), expected);
        };
        check("", "cargo bench-gateways");
        check("pass --rounds 9", "cargo bench-gateways -- pass --rounds 9");
    }
}
