//! Fields: the names a view shows, and those of them a client asks for.
//!
//! The language is the partial-response syntax of Google's APIs, `a,b(c,d),e/f`; `*` is
//! everything, and arrays are crossed without being named:
//!
//! ```text
//! fields = field *( "," field )
//! field  = "*" / path [ "(" fields ")" ]
//! path   = name *( "/" name )
//! name   = 1*( any character but "," "(" ")" "/" "*" and controls ), spaces around it ignored
//! ```
//!
//! Invariants
//! - Default deny: what no name leads to is not shown.
//! - A client's fields only ever narrow: [`Fields::narrow`] names what the view does not show.
//! - A text costs at most [`NAMES_MAX`] names and [`DEPTH_MAX`] levels, whoever wrote it.
//!
//! Not here: what is done with a value that is shown (`projection`).

use std::fmt;

/// The most names one text may hold.
pub const NAMES_MAX: usize = 5_000;

/// How deep names may nest.
pub const DEPTH_MAX: usize = 50;

/// Up to so many names it is cheaper to look at each one's length than to search.
const FEW: usize = 16;

/// What is shown of a value, as a tree of names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields {
    /// By name, sorted.
    names: Vec<(Box<str>, Self)>,
    /// Whether members that `names` does not hold are shown, whole.
    shows_others: bool,
    /// The most elements shown of an array at this place.
    limit: Option<usize>,
    /// Whether nothing is shown at this place, although its surroundings are.
    is_hidden: bool,
}

/// Everything, for what stands below a `*`.
static EVERYTHING: Fields =
    Fields { names: Vec::new(), shows_others: true, limit: None, is_hidden: false };

/// A text that is not in the language of fields.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFields {
    /// A name was due.
    #[error("a name is missing at character {0}")]
    NameMissing(usize),
    /// A bracket has no counterpart.
    #[error("a bracket is not closed, or was never opened, at character {0}")]
    Unbalanced(usize),
    /// Something follows where only `,` or `)` may.
    #[error("only \",\" or \")\" may follow at character {0}")]
    Unexpected(usize),
    /// More names than anybody needs.
    #[error("holds more than {NAMES_MAX} names")]
    TooManyNames,
    /// Deeper than anybody needs.
    #[error("is nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
}

/// A field that the view does not show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the view shows no field {0}")]
pub struct UnknownField(pub Box<str>);

impl Fields {
    /// Reads a text such as `profile(name),links/items(id,slug)`.
    ///
    /// # Errors
    ///
    /// [`InvalidFields`] with the place, counted in characters from 1.
    pub fn parse(text: &str) -> Result<Self, InvalidFields> {
        let mut parser = Parser { text, rest: text, names_left: NAMES_MAX };
        let fields = parser.fields(0)?;
        if parser.rest.is_empty() { Ok(fields) } else { Err(parser.unbalanced()) }
    }

    /// Everything.
    #[must_use]
    pub fn everything() -> Self {
        EVERYTHING.clone()
    }

    /// These names, each with all that is in it.
    #[must_use]
    pub fn each_of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut fields = Self::default();
        for name in names {
            *fields.child_mut(name) = Self::everything();
        }
        fields
    }

    /// Whether values are shown as they are; a limit may still cut an array at this very place.
    #[must_use]
    pub const fn shows_everything(&self) -> bool {
        self.shows_others && self.names.is_empty()
    }

    /// Whether members are shown that no name leads to.
    #[must_use]
    pub const fn shows_others(&self) -> bool {
        self.shows_others
    }

    /// The most elements shown of an array at this place.
    #[must_use]
    pub const fn limit(&self) -> Option<usize> {
        self.limit
    }

    /// The names at this level, in the order of their bytes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|(name, _)| &**name)
    }

    /// What is shown of a member; `None` when it is not.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.child_of_bytes(name.as_bytes())
    }

    /// The same for a name that need not be known to be text.
    #[inline]
    pub(super) fn child_of_bytes(&self, name: &[u8]) -> Option<&Self> {
        let found = if self.names.len() <= FEW {
            self.names.iter().find(|(known, _)| known.as_bytes() == name)
        } else {
            let found = self.names.binary_search_by(|(known, _)| known.as_bytes().cmp(name));
            found.ok().and_then(|found| self.names.get(found))
        };
        match found {
            Some((_, child)) => (!child.is_hidden).then_some(child),
            None => self.shows_others.then_some(&EVERYTHING),
        }
    }

    /// Shows at most `limit` elements of the array at `path` (`links/items`). False, and nothing
    /// is changed, when the path does not read as one or leads to nothing that is shown.
    pub fn set_limit(&mut self, path: &str, limit: usize) -> bool {
        let names: Vec<&str> = path.split('/').map(str::trim).collect();
        if names.len() > DEPTH_MAX || names.iter().any(|name| name.is_empty()) {
            return false;
        }
        let mut shown = &*self;
        for name in &names {
            let Some(child) = shown.child(name) else { return false };
            shown = child;
        }
        let place = names.iter().fold(self, |place, name| {
            // A name of its own, below a `*`, must go on showing what it showed as one of all.
            let is_new = !place.names().any(|known| known == *name);
            let child = place.child_mut(name);
            if is_new {
                *child = Self::everything();
            }
            child
        });
        place.limit = Some(limit);
        true
    }

    /// Takes out what `hidden` names, down to its leaves; the error names what is not shown anyhow.
    pub(super) fn hide(&mut self, hidden: &Self) -> Result<(), String> {
        if hidden.shows_everything() {
            return Err("must name what is not shown; \"*\" would leave nothing".into());
        }
        for (name, below) in &hidden.names {
            if self.child(name).is_none() {
                return Err(format!("{name:?} is not shown anyhow"));
            }
            let is_new = !self.names().any(|known| known == &**name);
            let child = self.child_mut(name);
            if is_new {
                *child = Self::everything();
            }
            if below.shows_everything() {
                child.is_hidden = true;
            } else {
                child.hide(below)?;
            }
        }
        Ok(())
    }

    /// What is left of these fields when only `asked` is wanted. Limits stay.
    ///
    /// # Errors
    ///
    /// [`UnknownField`] names the first of `asked`, as a path, that is not shown.
    pub fn narrow(&self, asked: &Self) -> Result<Self, UnknownField> {
        self.narrow_below(asked, &mut Vec::new())
    }

    fn narrow_below<'a>(
        &self,
        asked: &'a Self,
        path: &mut Vec<&'a str>,
    ) -> Result<Self, UnknownField> {
        if asked.shows_everything() {
            return Ok(self.clone());
        }
        let mut names = Vec::with_capacity(asked.names.len());
        for (name, below) in &asked.names {
            path.push(name);
            // No service means this name; some clients' languages do something odd with it.
            let shown = self.child(name).filter(|_| **name != *"__proto__");
            let Some(shown) = shown else { return Err(UnknownField(path.join("/").into())) };
            names.push((name.clone(), shown.narrow_below(below, path)?));
            path.pop();
        }
        Ok(Self { names, shows_others: false, limit: self.limit, is_hidden: false })
    }

    fn child_mut(&mut self, name: &str) -> &mut Self {
        let place = match self.names.binary_search_by(|(known, _)| (**known).cmp(name)) {
            Ok(found) => found,
            Err(place) => {
                self.names.insert(place, (name.into(), Self::default()));
                place
            }
        };
        #[expect(clippy::indexing_slicing, reason = "found or inserted just above")]
        &mut self.names[place].1
    }

    /// Shows what either shows.
    fn join(&mut self, other: Self) {
        if self.shows_everything() || other.shows_everything() {
            *self = Self::everything();
            return;
        }
        for (name, child) in other.names {
            self.child_mut(&name).join(child);
        }
    }
}

/// The text in the language, names in the order of their bytes; limits are not part of it.
impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.shows_others {
            return f.write_str("*");
        }
        for (place, (name, child)) in self.names.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{name}")?;
            if !child.shows_others {
                write!(f, "({child})")?;
            }
        }
        Ok(())
    }
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    names_left: usize,
}

impl<'a> Parser<'a> {
    fn fields(&mut self, depth: usize) -> Result<Fields, InvalidFields> {
        let mut fields = Fields::default();
        loop {
            self.field(&mut fields, depth)?;
            if !self.take_if(',') {
                return Ok(fields);
            }
        }
    }

    /// Reads one field and what follows its name, into `into`.
    fn field(&mut self, into: &mut Fields, depth: usize) -> Result<(), InvalidFields> {
        if depth == DEPTH_MAX {
            return Err(InvalidFields::TooDeep);
        }
        self.rest = self.rest.trim_start();
        if self.take_if('*') {
            into.join(Fields::everything());
            return self.ends_field();
        }
        let name = self.name()?;
        let below = if self.take_if('/') {
            let mut below = Fields::default();
            self.field(&mut below, depth + 1)?;
            below
        } else if self.take_if('(') {
            let below = self.fields(depth + 1)?;
            if !self.take_if(')') {
                return Err(self.unbalanced());
            }
            below
        } else {
            Fields::everything()
        };
        self.ends_field()?;
        if !into.shows_everything() {
            into.child_mut(name).join(below);
        }
        Ok(())
    }

    fn name(&mut self) -> Result<&'a str, InvalidFields> {
        let end = self.rest.find([',', '(', ')', '/', '*']).unwrap_or(self.rest.len());
        let (written, rest) = self.rest.split_at(end);
        let name = written.trim();
        if name.is_empty() || name.contains(char::is_control) {
            return Err(InvalidFields::NameMissing(self.place()));
        }
        self.names_left = self.names_left.checked_sub(1).ok_or(InvalidFields::TooManyNames)?;
        self.rest = rest;
        Ok(name)
    }

    fn ends_field(&mut self) -> Result<(), InvalidFields> {
        self.rest = self.rest.trim_start();
        if self.rest.is_empty() || self.rest.starts_with([',', ')']) {
            return Ok(());
        }
        Err(InvalidFields::Unexpected(self.place()))
    }

    fn take_if(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn unbalanced(&self) -> InvalidFields {
        InvalidFields::Unbalanced(self.place())
    }

    fn place(&self) -> usize {
        let read = self.text.len() - self.rest.len();
        self.text.get(..read).unwrap_or_default().chars().count() + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a text and writes it back.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let read = Fields::parse(text).map(|fields| fields.to_string());
        assert_eq!(read.unwrap_or_else(|error| error.to_string()), expected, "{text:?}");
    }

    #[test]
    fn fields_are_read_as_a_tree_of_names() {
        check("a", "a");
        check("*", "*");
        check("b,a", "a,b");
        check("a,b(c,d),e/f", "a,b(c,d),e(f)");
        check(
            "profile(name),links/items(id,slug,clicks/total)",
            "links(items(clicks(total),id,slug)),profile(name)",
        );
        check("a/b/c,a/b/d,a/e", "a(b(c,d),e)");
        check("a(b(c),d),a(b(e))", "a(b(c,e),d)");
        check("a(b),a", "a");
        check("a,a(b)", "a");
        check("a/*", "a");
        check("a(*,b)", "a");
        check("b(c),*", "*");
        check("*,b(c)", "*");
        check(" a , b ( c , d ) ", "a,b(c,d)");
        check("@id,#text,näme,two words", "#text,@id,näme,two words");
    }

    #[test]
    fn a_text_that_is_not_fields_says_where_it_goes_wrong() {
        check("", "a name is missing at character 1");
        check("a,", "a name is missing at character 3");
        check("a//b", "a name is missing at character 3");
        check("a()", "a name is missing at character 3");
        check("é,(b)", "a name is missing at character 3");
        check("a\nb", "a name is missing at character 1");
        check("a(b", "a bracket is not closed, or was never opened, at character 4");
        check("a)", "a bracket is not closed, or was never opened, at character 2");
        check("a(b)c", "only \",\" or \")\" may follow at character 5");
        check("*/a", "only \",\" or \")\" may follow at character 2");
        check("a*", "only \",\" or \")\" may follow at character 2");
        check("a(b)/c", "only \",\" or \")\" may follow at character 5");
    }

    #[test]
    fn nobody_s_text_costs_more_than_the_caps() {
        let names = |count: usize| vec!["a"; count].join(",");
        check(&names(NAMES_MAX), "a");
        check(&names(NAMES_MAX + 1), "holds more than 5000 names");
        let nested = |depth: usize| ["a(".repeat(depth), "a".into(), ")".repeat(depth)].concat();
        check(&nested(49), &nested(49));
        check(&nested(50), "is nested deeper than 50 levels");
        check(&["a/".repeat(50), "a".into()].concat(), "is nested deeper than 50 levels");
        check(&"(".repeat(1_000_000), "a name is missing at character 1");
    }

    /// Narrows a view to what a client asks for.
    #[track_caller]
    fn narrows(view: &str, asked: &str, expected: &str) {
        let view = Fields::parse(view).expect("view");
        let asked = Fields::parse(asked).expect("asked");
        let narrowed = view.narrow(&asked).map(|fields| fields.to_string());
        assert_eq!(narrowed.unwrap_or_else(|unknown| unknown.to_string()), expected);
    }

    #[test]
    fn a_client_narrows_within_the_view_and_never_beyond() {
        narrows("*", "a(b)", "a(b)");
        narrows("a(b,c),d", "*", "a(b,c),d");
        narrows("a(b,c),d", "a", "a(b,c)");
        narrows("a(b,c),d", "a/c,d/e", "a(c),d(e)");
        narrows("a(b,c),d", "a(b,x)", "the view shows no field a/x");
        narrows("a(b,c),d", "x", "the view shows no field x");
        narrows("a/b", "a/b/c", "a(b(c))");
        narrows("*", "a/__proto__", "the view shows no field a/__proto__");
    }

    #[test]
    fn a_limit_stands_only_where_something_is_shown_and_outlives_narrowing() {
        let mut view = Fields::parse("links/items(id),usage").expect("view");
        assert!(view.set_limit("links/items", 5));
        assert!(view.set_limit("usage/days", 7));
        assert!(!view.set_limit("links/others", 1));
        assert!(!view.set_limit("links//items", 1));
        assert!(!view.set_limit("", 1));
        let limit = |fields: &Fields, path: &str| {
            path.split('/').try_fold(fields, |at, name| at.child(name)).and_then(Fields::limit)
        };
        assert_eq!(limit(&view, "links/items"), Some(5));
        assert_eq!(limit(&view, "links/items/id"), None);
        assert_eq!(limit(&view, "usage/days"), Some(7));
        assert!(view.child("usage").is_some_and(|usage| usage.child("plan").is_some()));
        let narrowed = view.narrow(&Fields::parse("links/items/id,usage/days").expect("asked"));
        let narrowed = narrowed.expect("shown");
        assert_eq!(limit(&narrowed, "links/items"), Some(5));
        assert_eq!(limit(&narrowed, "usage/days"), Some(7));
    }

    proptest::proptest! {
        /// Any text is fields or a mistake with its place; what was read reads back the same.
        #[test]
        fn any_text_is_fields_or_a_mistake(text in r"[ab*,()/ é\n]{0,40}") {
            match Fields::parse(&text) {
                Ok(fields) => {
                    let again = Fields::parse(&fields.to_string()).expect("what was written");
                    proptest::prop_assert_eq!(again, fields);
                }
                Err(
                    InvalidFields::NameMissing(place)
                    | InvalidFields::Unbalanced(place)
                    | InvalidFields::Unexpected(place),
                ) => {
                    proptest::prop_assert!((1..=text.chars().count() + 1).contains(&place));
                }
                Err(InvalidFields::TooManyNames | InvalidFields::TooDeep) => {}
            }
        }

        /// Whatever a client asks for: what it gets is what the view shows, or less.
        #[test]
        fn a_client_never_gets_more_than_the_view(view in r"[ab](\([abc](,[abc])?\)|/[abc])?(,[bc])?", asked in r"[abc](/[abc])?(,[abc])?") {
            let view = Fields::parse(&view).expect("generated");
            let asked = Fields::parse(&asked).expect("generated");
            if let Ok(narrowed) = view.narrow(&asked) {
                for name in narrowed.names() {
                    proptest::prop_assert!(view.child(name).is_some());
                    let below = narrowed.child(name).expect("named");
                    for inner in below.names() {
                        let shown = view.child(name).and_then(|view| view.child(inner));
                        proptest::prop_assert!(shown.is_some());
                    }
                }
            }
        }
    }
}
