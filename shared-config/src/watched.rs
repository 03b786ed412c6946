//! Watching: whether the files that a configuration is read from say something else by now.
//!
//! Files are read and compared, whatever their times say: editors replace files, deployments swap
//! the links that lead to them, and network file systems report neither.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::Value;

use crate::layers;
use crate::schema::{self, Section};
use crate::secret;
use crate::sources::Sources;
use crate::text_file;

/// The files of one gateway.
#[derive(Debug)]
pub struct Watched {
    sources: Sources,
    schema: Value,
    texts: Option<u64>,
    secrets: Vec<String>,
    named: Vec<String>,
    json: Vec<String>,
}

impl Watched {
    /// The files of these sources, for a gateway with these sections of its own.
    #[must_use]
    pub fn new(sources: &Sources, sections: &[Section]) -> Self {
        let schema = schema::whole(sections);
        Self {
            sources: sources.clone(),
            schema,
            texts: None,
            secrets: Vec::new(),
            named: Vec::new(),
            json: Vec::new(),
        }
    }

    /// Whether there are files to look at.
    #[must_use]
    pub const fn has_files(&self) -> bool {
        self.sources.directory.is_some()
    }

    /// Reads the configuration's files, and those that its keys and secrets name. The same number as
    /// before: they say the same.
    pub fn look(&mut self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let (files, unreadable) = self.sources.files();
        for file in &files {
            (&file.name, &file.text).hash(&mut hasher);
        }
        unreadable.iter().for_each(|error| error.to_string().hash(&mut hasher));
        let texts = hasher.finish();
        if self.texts.replace(texts) != Some(texts) {
            // Only then can there be other secrets. What cannot be merged names none.
            let merged = layers::merge(&self.sources, self.schema.clone());
            (self.secrets, self.named, self.json) = merged.map_or_else(
                |_| (Vec::new(), Vec::new(), Vec::new()),
                |(it, _)| {
                    let named = |mark| distinct(text_file::names(&it, mark));
                    (secret::files(&it), named(text_file::SCHEMA_MARK), named(text_file::JSON_MARK))
                },
            );
        }
        for name in &self.named {
            self.sources.read_text(name, text_file::SIZE_MAX).hash(&mut hasher);
        }
        for name in &self.json {
            text_file::json_digest(&self.sources, name).hash(&mut hasher);
        }
        for name in &self.secrets {
            secret::read_file(&self.sources, name).hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// The files alone, each once.
fn distinct(names: Vec<(Vec<String>, String)>) -> Vec<String> {
    let mut names: Vec<String> = names.into_iter().map(|(_, name)| name).collect();
    names.sort_unstable();
    names.dedup();
    names
}
