//! XML as JSON, by one fixed mapping.
//!
//! ```xml
//! <?xml version="1.0"?>
//! <usage xmlns="urn:billing" plan="pro">
//!   <period from="2026-03-01">March</period>
//!   <item>7</item>
//!   <item>8.50</item>
//!   <note/>
//! </usage>
//! ```
//! ```json
//! {"plan":"pro","period":{"from":"2026-03-01","#text":"March"},"item":[7,8.50],"note":null}
//! ```
//!
//! - The root's name is dropped; its content is the document.
//! - Attributes and child elements are members, by their names without prefix, in the order of
//!   their first appearance. Several of one name are an array. `xmlns` declarations are dropped.
//! - The text of an element that has members stands under `#text`; CDATA is text like any other.
//!   White space around a text is dropped; comments are.
//! - An element without members is its text; without text too, `null`.
//! - A text is a number when it is written as JSON writes one without exponent (`12`, `-0.10`, not
//!   `007`, `1e5`, `+1`), and keeps its digits; `true` and `false` are booleans; anything else
//!   is a string.
//!
//! Refused: document types, entities beyond the five that XML itself has, processing
//! instructions, encodings other than UTF-8, nesting and numbers of elements beyond the ceilings.

use std::collections::HashMap;

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};

/// Nesting of elements, the root included.
pub const DEPTH_MAX: usize = 64;
/// Elements and attributes together: what bounds the memory, at some 100 bytes each.
pub const NODES_MAX: usize = 100_000;
/// Bytes of a document.
pub const SIZE_MAX: usize = 16 << 20;

/// XML that is not turned into JSON.
#[derive(Debug, thiserror::Error)]
pub enum XmlRefused {
    /// Not UTF-8, or it says so.
    #[error("the XML is not in UTF-8")]
    EncodingUnknown,
    /// Not well-formed.
    #[error("the XML is not well-formed: {0}")]
    Malformed(String),
    /// `<!DOCTYPE …>`.
    #[error("the XML has a document type")]
    DocumentType,
    /// `&name;` other than the five of XML itself.
    #[error("the XML refers to an entity")]
    Entity,
    /// `<?name …?>`.
    #[error("the XML has a processing instruction")]
    ProcessingInstruction,
    /// Nested more deeply than [`DEPTH_MAX`].
    #[error("the XML is nested more than {DEPTH_MAX} elements deep")]
    TooDeep,
    /// More than [`NODES_MAX`] or [`SIZE_MAX`].
    #[error("the XML has more than {NODES_MAX} elements and attributes, or {SIZE_MAX} bytes")]
    TooLarge,
}

impl<E: Into<quick_xml::Error>> From<E> for XmlRefused {
    fn from(error: E) -> Self {
        Self::Malformed(error.into().to_string())
    }
}

/// Turns a document into JSON.
///
/// # Errors
///
/// [`XmlRefused`] with the first thing that cannot be read, or is not allowed.
pub fn to_json(xml: &[u8]) -> Result<Vec<u8>, XmlRefused> {
    if xml.len() > SIZE_MAX {
        return Err(XmlRefused::TooLarge);
    }
    let text = std::str::from_utf8(xml).map_err(|_| XmlRefused::EncodingUnknown)?;
    let root = read(text.strip_prefix('\u{feff}').unwrap_or(text))?;
    let mut json = Vec::with_capacity(xml.len());
    root.write(&mut json);
    Ok(json)
}

/// An element, or an attribute: a name and a text.
#[derive(Debug, Default)]
struct Element {
    name: Box<str>,
    children: Vec<Self>,
    text: String,
}

fn read(xml: &str) -> Result<Element, XmlRefused> {
    let mut reader = Reader::from_str(xml);
    let mut document = Document::default();
    loop {
        match reader.read_event()? {
            Event::Start(start) => document.open(&start)?,
            Event::Empty(start) => {
                document.open(&start)?;
                document.close()?;
            }
            Event::End(_) => document.close()?,
            Event::Text(text) => document.push_text(&text.xml10_content())?,
            Event::CData(text) => document.push_text(&text.xml10_content())?,
            Event::GeneralRef(reference) => document.push_reference(&reference)?,
            Event::Comment(_) => {}
            Event::Decl(declaration) if document.nodes == 0 => {
                check_declaration(&declaration, xml)?;
            }
            Event::Decl(_) | Event::PI(_) => return Err(XmlRefused::ProcessingInstruction),
            Event::DocType(_) => return Err(XmlRefused::DocumentType),
            Event::Eof => return document.finish(),
        }
    }
}

/// What is written in ASCII alone means the same in any encoding that gets here.
fn check_declaration(declaration: &BytesDecl<'_>, xml: &str) -> Result<(), XmlRefused> {
    match declaration.encoding().transpose()? {
        Some(name) if !name.eq_ignore_ascii_case("utf-8") && !xml.is_ascii() => {
            Err(XmlRefused::EncodingUnknown)
        }
        _ => Ok(()),
    }
}

/// The document as far as it has been read.
#[derive(Debug, Default)]
struct Document {
    /// The elements that are open, the root first.
    open: Vec<Element>,
    root: Option<Element>,
    nodes: usize,
}

impl Document {
    fn open(&mut self, start: &BytesStart<'_>) -> Result<(), XmlRefused> {
        if self.open.len() >= DEPTH_MAX {
            return Err(XmlRefused::TooDeep);
        }
        if self.open.is_empty() && self.root.is_some() {
            return Err(XmlRefused::Malformed("there are two roots".into()));
        }
        self.count()?;
        let name = checked_name(start.local_name().as_ref())?;
        let mut element = Element { name, ..Element::default() };
        for attribute in start.attributes() {
            let attribute = attribute?;
            if attribute.key.as_namespace_binding().is_some() {
                continue;
            }
            self.count()?;
            let name = checked_name(attribute.key.local_name().as_ref())?;
            let text = attribute.normalized_value(XmlVersion::Implicit1_0);
            let text = text.map_err(|_| XmlRefused::Entity)?.into_owned();
            element.children.push(Element { name, text, ..Element::default() });
        }
        self.open.push(element);
        Ok(())
    }

    fn close(&mut self) -> Result<(), XmlRefused> {
        let Some(element) = self.open.pop() else {
            return Err(XmlRefused::Malformed("an element ends that never began".into()));
        };
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn push_text(&mut self, text: &str) -> Result<(), XmlRefused> {
        match self.open.last_mut() {
            Some(element) => element.text.push_str(text),
            None if trim(text).is_empty() => {}
            None => return Err(XmlRefused::Malformed("there is text outside of the root".into())),
        }
        Ok(())
    }

    fn push_reference(&mut self, reference: &BytesRef<'_>) -> Result<(), XmlRefused> {
        if let Some(letter) = reference.resolve_char_ref()? {
            return self.push_text(letter.encode_utf8(&mut [0; 4]));
        }
        let text = resolve_predefined_entity(reference).ok_or(XmlRefused::Entity)?;
        self.push_text(text)
    }

    const fn count(&mut self) -> Result<(), XmlRefused> {
        self.nodes += 1;
        if self.nodes > NODES_MAX { Err(XmlRefused::TooLarge) } else { Ok(()) }
    }

    fn finish(self) -> Result<Element, XmlRefused> {
        let unfinished = || XmlRefused::Malformed("the root is missing, or does not end".into());
        if self.open.is_empty() { self.root.ok_or_else(unfinished) } else { Err(unfinished()) }
    }
}

/// The parser takes any text for a name; `#text` must stay ours.
fn checked_name(name: &str) -> Result<Box<str>, XmlRefused> {
    let is_letter = |letter: char| {
        letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.') || !letter.is_ascii()
    };
    if name.is_empty() || !name.chars().all(is_letter) {
        return Err(XmlRefused::Malformed("a name has a character that names cannot have".into()));
    }
    Ok(name.into())
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

impl Element {
    /// As deep as the document, which is bounded.
    fn write(&self, out: &mut Vec<u8>) {
        let text = trim(&self.text);
        if self.children.is_empty() {
            return write_scalar(text, out);
        }
        out.push(b'{');
        for (place, group) in self.groups().iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            write_group(group, out);
        }
        if !text.is_empty() {
            out.extend_from_slice(b",\"#text\":");
            write_scalar(text, out);
        }
        out.push(b'}');
    }

    /// The children by name, in the order of their first appearance; no group is empty.
    fn groups(&self) -> Vec<Vec<&Self>> {
        let mut groups: Vec<Vec<&Self>> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for child in &self.children {
            let place = *places.entry(&child.name).or_insert(groups.len());
            match groups.get_mut(place) {
                Some(group) => group.push(child),
                None => groups.push(vec![child]),
            }
        }
        groups
    }
}

/// One member: a value, or an array where there are several.
fn write_group(group: &[&Element], out: &mut Vec<u8>) {
    write_string(group.first().map_or("", |first| &first.name), out);
    out.push(b':');
    if let [only] = group {
        return only.write(out);
    }
    for (place, element) in group.iter().enumerate() {
        out.push(if place == 0 { b'[' } else { b',' });
        element.write(out);
    }
    out.push(b']');
}

fn write_scalar(text: &str, out: &mut Vec<u8>) {
    match text {
        "" => out.extend_from_slice(b"null"),
        "true" | "false" => out.extend_from_slice(text.as_bytes()),
        _ if is_number(text) => out.extend_from_slice(text.as_bytes()),
        _ => write_string(text, out),
    }
}

/// A number of JSON without exponent: `12e4` is more often a name than a number.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits(whole) && is_digits(fraction) && (whole == "0" || !whole.starts_with('0'))
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    // Writing text into memory cannot fail.
    if serde_json::to_writer(&mut *out, text).is_err() {
        out.extend_from_slice(b"null");
    }
}

#[cfg(test)]
mod tests;
