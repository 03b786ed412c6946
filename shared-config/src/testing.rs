//! Configurations for tests: files in a directory of their own, variables in a map.

use tempfile::TempDir;

use crate::{Diagnostics, Loaded, Section, Sources, load};

/// What `platform.toml` says in most tests: one of everything.
pub(crate) const PLATFORM: &str = r#"
[services.links]
url = "http://127.0.0.1:8080"

[limits.consumer]
key = "consumer"
rate = { free = "100/min", pro = "1000/min" }

[policy]
limits = ["consumer"]

[routes.links-get]
match = "GET /links/{id}"
service = "links"

[aggregates.dashboard]
deadline = "800ms"

[aggregates.dashboard.parts.links]
call = "GET links:/links"
"#;

/// What `gw.toml` says in most tests.
pub(crate) const GATEWAY: &str = r#"
[gateway]
name = "gw"
scheme = "session"
expose = ["*"]

[auth.session]
"#;

/// A directory of configuration files.
pub(crate) struct Files {
    directory: TempDir,
    sources: Sources,
}

impl Files {
    /// `platform.toml` and `gw.toml`.
    pub(crate) fn new(platform: &str, gateway: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let sources = Sources {
            directory: Some(directory.path().to_owned()),
            gateway: "gw".to_owned(),
            environment: None,
            variables: [].into(),
        };
        Self { directory, sources }.file("platform.toml", platform).file("gw.toml", gateway)
    }

    /// One more file, or another text for one.
    pub(crate) fn file(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(path.parent().expect("in a directory")).expect("a directory");
        std::fs::write(path, text).expect("written");
        self
    }

    /// The layer of an environment.
    pub(crate) fn environment(mut self, name: &str) -> Self {
        self.sources.environment = Some(name.to_owned());
        self
    }

    /// Another gateway's name.
    pub(crate) fn gateway(mut self, name: &str) -> Self {
        self.sources.gateway = name.to_owned();
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.sources.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn load(&self, sections: &[Section]) -> Result<Loaded, Diagnostics> {
        load(&self.sources, sections)
    }

    #[track_caller]
    pub(crate) fn loaded(&self) -> Loaded {
        self.load(&[]).unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
    }

    /// What loading says is wrong, without the directory's name.
    pub(crate) fn mistakes(&self, sections: &[Section]) -> String {
        match self.load(sections) {
            Ok(_) => "none".to_owned(),
            Err(diagnostics) => self.named(&diagnostics),
        }
    }

    /// Diagnostics as they print, without the directory's name.
    pub(crate) fn named(&self, diagnostics: &Diagnostics) -> String {
        let directory = format!("{}/", self.directory.path().display());
        diagnostics.to_string().replace(&directory, "")
    }
}
