//! Sources: the files and variables that a configuration is read from.
//!
//! [`Sources::from_process`] is the one place in the workspace that reads the environment; tests
//! give their own map.
//!
//! Not here: what the files say (`layers`).

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, fs, io};

use crate::diagnostics::{Diagnostic, Location};

const DEFAULTS: &str = include_str!("../../config/defaults.toml");
const PLATFORM: &str = include_str!("../../config/platform.toml");
const GATEWAYS: [(&str, &str); 3] = [
    ("web-bff", include_str!("../../config/web-bff.toml")),
    ("mobile-bff", include_str!("../../config/mobile-bff.toml")),
    ("partner-gateway", include_str!("../../config/partner-gateway.toml")),
];

/// Where a gateway's configuration comes from.
#[derive(Clone)]
pub struct Sources {
    /// Where `platform.toml` and the gateway's own file are; none: the sample platform's, which
    /// are compiled in.
    pub directory: Option<PathBuf>,
    /// The gateway, whose file is `<gateway>.toml`.
    pub gateway: String,
    /// Adds the layer `<gateway>.<environment>.toml`.
    pub environment: Option<String>,
    /// The environment variables: those that override keys, and those that hold secrets.
    pub variables: BTreeMap<String, String>,
}

impl Sources {
    /// The sources of this process, with its environment variables.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn from_process(
        gateway: &str,
        directory: Option<PathBuf>,
        environment: Option<String>,
    ) -> Self {
        // A variable that is not UTF-8 can be neither a key's value nor a secret.
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { directory, gateway: gateway.to_owned(), environment, variables }
    }

    /// Every file, from the weakest layer to the strongest, and those that cannot be read.
    pub(crate) fn files(&self) -> (Vec<SourceFile>, Vec<Diagnostic>) {
        let mut files = vec![SourceFile::built_in("defaults", DEFAULTS, Role::Defaults)];
        let mut unreadable = Vec::new();
        for (stem, role) in self.own_files() {
            match self.read(&stem, role) {
                Ok(file) => files.push(file),
                Err(diagnostic) => unreadable.push(diagnostic),
            }
            if role == Role::Platform {
                self.read_fragments(&mut files, &mut unreadable);
            }
        }
        (files, unreadable)
    }

    /// A file's text without the line break that editors end it with, or the end of a sentence
    /// that starts with the file: `does not exist`. A relative name starts at the configuration's
    /// directory.
    pub(crate) fn read_text(&self, name: &str, size_max: u64) -> Result<String, String> {
        let path = self.directory.as_deref().unwrap_or_else(|| "".as_ref()).join(name);
        let mut text = String::new();
        let read =
            fs::File::open(path).and_then(|file| file.take(size_max + 1).read_to_string(&mut text));
        match read {
            Ok(length) if length as u64 > size_max => {
                return Err(format!("is longer than {size_max} bytes"));
            }
            Ok(_) => {}
            Err(error) => return Err(unreadable(&error)),
        }
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        Ok(text)
    }

    /// The name of the gateway's own file, where whatever is missing altogether is due.
    pub(crate) fn main_file(&self) -> String {
        self.name_of(&self.gateway)
    }

    fn own_files(&self) -> Vec<(String, Role)> {
        let mut files =
            vec![("platform".to_owned(), Role::Platform), (self.gateway.clone(), Role::Gateway)];
        if let Some(environment) = &self.environment {
            files.push((format!("{}.{environment}", self.gateway), Role::Gateway));
        }
        files
    }

    fn name_of(&self, stem: &str) -> String {
        match &self.directory {
            Some(directory) => directory.join(format!("{stem}.toml")).display().to_string(),
            None => built_in_name(stem),
        }
    }

    fn read(&self, stem: &str, role: Role) -> Result<SourceFile, Diagnostic> {
        let wrong = |reason: &str| {
            Diagnostic::of_source(Location::file(&self.name_of(stem)), reason.to_owned())
        };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !stem.bytes().all(is_plain) {
            return Err(wrong("a gateway or environment is named by letters, digits, `-` and `_`"));
        }
        let Some(directory) = &self.directory else {
            let known = GATEWAYS.iter().chain([&("platform", PLATFORM)]);
            let found = known.copied().find(|(name, _)| *name == stem);
            let (_, text) = found.ok_or_else(|| {
                wrong("is not built in; say with --config which directory it is in")
            })?;
            return Ok(SourceFile::built_in(stem, text, role));
        };
        read_file(&directory.join(format!("{stem}.toml")), role)
    }

    /// `platform.d/*.toml`, by name. Files whose names begin with a dot are editors' own.
    fn read_fragments(&self, files: &mut Vec<SourceFile>, unreadable: &mut Vec<Diagnostic>) {
        let Some(directory) = self.directory.as_ref().map(|path| path.join("platform.d")) else {
            return;
        };
        let listed = match fs::read_dir(&directory) {
            Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => Err(error),
        };
        let mut paths = match listed {
            Ok(paths) => paths,
            Err(error) => return unreadable.push(unreadable_file(&directory, &error)),
        };
        paths.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.ends_with(".toml") && !name.starts_with('.')
        });
        paths.sort();
        for path in paths {
            match read_file(&path, Role::Platform) {
                Ok(file) => files.push(file),
                Err(diagnostic) => unreadable.push(diagnostic),
            }
        }
    }
}

/// The variables' names alone: their values may be secrets.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("directory", &self.directory)
            .field("gateway", &self.gateway)
            .field("environment", &self.environment)
            .field("variables", &self.variables.keys())
            .finish()
    }
}

/// A file's text, and the name it goes by in diagnostics.
#[derive(Debug)]
pub(crate) struct SourceFile {
    pub(crate) name: Arc<str>,
    pub(crate) text: String,
    pub(crate) role: Role,
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The embedded defaults.
    Defaults,
    /// `platform.toml` and `platform.d`: parts of one whole, so that none may override another.
    Platform,
    /// The gateway's own files, each overriding what is below it.
    Gateway,
}

impl SourceFile {
    fn built_in(stem: &str, text: &str, role: Role) -> Self {
        Self { name: built_in_name(stem).into(), text: text.to_owned(), role }
    }
}

fn built_in_name(stem: &str) -> String {
    format!("built-in/{stem}.toml")
}

fn read_file(path: &Path, role: Role) -> Result<SourceFile, Diagnostic> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(SourceFile { name: path.display().to_string().into(), text, role }),
        Err(error) => Err(unreadable_file(path, &error)),
    }
}

fn unreadable_file(path: &Path, error: &io::Error) -> Diagnostic {
    Diagnostic::of_source(Location::file(&path.display().to_string()), unreadable(error))
}

/// The end of a sentence that starts with the file.
fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        io::ErrorKind::InvalidData => "is not UTF-8".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_s_variables_are_read_and_their_values_never_printed() {
        let sources = Sources::from_process("gw", None, None);
        let path = sources.variables.get("PATH").expect("every process has a PATH");
        let printed = format!("{sources:?}");
        assert!(printed.contains("\"PATH\"") && !printed.contains(path), "{printed}");
    }
}
