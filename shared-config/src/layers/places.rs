//! Places: where each key of the merged configuration is written.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::diagnostics::Location;

/// Where one key is written.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) location: Location,
    /// Its layer, from the weakest.
    pub(crate) rank: usize,
    /// Its place in its layer's text, in bytes.
    pub(crate) offset: usize,
    pub(crate) kind: Kind,
}

/// How a key meets the same key of a stronger layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A table: both are merged.
    Table,
    /// Anything else: replaced as a whole.
    Whole,
    /// Inside of something that is replaced as a whole.
    Inside,
}

/// The places of all keys.
///
/// A value stands where the strongest layer wrote it; a table where the weakest began it, which
/// is where a reader looks for it.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    root: Location,
    by_path: BTreeMap<Vec<String>, Place>,
}

impl Places {
    /// No places yet; `root` is where something is due that is missing altogether.
    pub(crate) const fn new(root: Location) -> Self {
        Self { root, by_path: BTreeMap::new() }
    }

    /// Puts a stronger layer on top.
    pub(crate) fn add(&mut self, layer: &[(Vec<String>, Place)]) {
        for (path, place) in layer {
            let both_are_tables = place.kind == Kind::Table
                && self.by_path.get(path).is_some_and(|below| below.kind == Kind::Table);
            if both_are_tables {
                continue;
            }
            let below: Vec<_> = self.from(path).map(|(path, _)| path.clone()).collect();
            for path in below {
                self.by_path.remove(&path);
            }
            self.by_path.insert(path.clone(), place.clone());
        }
    }

    /// Where a key is written, or else the innermost table around it.
    pub(crate) fn locate(&self, path: &[String]) -> Location {
        let found = (1..=path.len()).rev().find_map(|depth| self.by_path.get(path.get(..depth)?));
        found.map_or_else(|| self.root.clone(), |place| place.location.clone())
    }

    /// Sorts by place of declaration: the weakest layer first, each from top to bottom.
    pub(crate) fn order(&self, path: &[String]) -> (usize, usize) {
        self.by_path.get(path).map_or((usize::MAX, 0), |place| (place.rank, place.offset))
    }

    /// The keys directly below a path.
    pub(crate) fn children<'a>(&'a self, path: &'a [String]) -> impl Iterator<Item = &'a str> {
        let below = self.from(path).filter(move |(key, _)| key.len() == path.len() + 1);
        below.filter_map(|(key, _)| key.last()).map(String::as_str)
    }

    /// Says that what stands at one path is read as standing at another.
    pub(crate) fn read_as(&mut self, from: &[String], to: &[String]) {
        let renamed = |path: &[String]| Some([to, path.strip_prefix(from)?].concat());
        let moved: Vec<_> = self
            .from(from)
            .filter_map(|(path, place)| Some((renamed(path)?, place.clone())))
            .collect();
        for (path, place) in moved {
            self.by_path.entry(path).or_insert(place);
        }
    }

    /// A path's own place and all below it, which stand side by side in the order of paths.
    fn from<'a>(
        &'a self,
        path: &'a [String],
    ) -> impl Iterator<Item = (&'a Vec<String>, &'a Place)> {
        let range = (Bound::Included(path), Bound::Unbounded);
        self.by_path.range::<[String], _>(range).take_while(move |(key, _)| key.starts_with(path))
    }
}
