//! A flat JSON object, written by hand: for what is written with every request, where a serializer
//! would cost more than all that is said.
//!
//! Not here: JSON of any depth (`serde_json`), reading (`strict_json`).

/// An object that is being written, member by member. Names are written as they are: they are ours.
#[derive(Debug)]
pub struct ObjectWriter<'a> {
    out: &'a mut Vec<u8>,
    /// What stands before the next name.
    before: &'static [u8],
}

impl<'a> ObjectWriter<'a> {
    /// Begins an object at the end of `out`.
    pub const fn begin(out: &'a mut Vec<u8>) -> Self {
        Self { out, before: b"{\"" }
    }

    /// Goes on with an object that has been left without its end, and has members already.
    pub const fn go_on(out: &'a mut Vec<u8>) -> Self {
        Self { out, before: b",\"" }
    }

    /// A text.
    pub fn text(&mut self, name: &'static str, value: &str) {
        self.name(name);
        push_text(value, self.out);
    }

    /// A text, or null.
    pub fn optional_text(&mut self, name: &'static str, value: Option<&str>) {
        match value {
            Some(value) => self.text(name, value),
            None => self.raw(name, b"null"),
        }
    }

    /// A whole number.
    pub fn number(&mut self, name: &'static str, value: u64) {
        self.name(name);
        self.out.extend_from_slice(decimal(value, &mut Digits::default()));
    }

    /// A number of thousandths, as serializers write fractions: `11.1`, `2.0`.
    pub fn thousandths(&mut self, name: &'static str, value: u64) {
        self.number(name, value / 1_000);
        let (tenth, rest) = (value / 100 % 10, value % 100);
        self.out.extend([b'.', digit(tenth)]);
        if rest > 0 {
            self.out.push(digit(rest / 10));
        }
        if rest % 10 > 0 {
            self.out.push(digit(rest % 10));
        }
    }

    /// What is JSON already.
    pub fn raw(&mut self, name: &'static str, json: &[u8]) {
        self.name(name);
        self.out.extend_from_slice(json);
    }

    /// Ends the object.
    pub fn end(self) {
        if self.before.first() == Some(&b'{') {
            self.out.push(b'{');
        }
        self.out.push(b'}');
    }

    fn name(&mut self, name: &'static str) {
        self.out.extend_from_slice(std::mem::replace(&mut self.before, b",\""));
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

/// A text with its quotes, and with what JSON wants escaped, escaped.
fn push_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    // Looks at all of it, since that is faster than stopping.
    let is_plain = |all: bool, byte: u8| all & (byte >= 0x20) & (byte != b'"') & (byte != b'\\');
    if text.bytes().fold(true, is_plain) {
        out.extend_from_slice(text.as_bytes());
    } else {
        for byte in text.bytes() {
            match byte {
                b'"' | b'\\' => out.extend([b'\\', byte]),
                0..0x20 => {
                    out.extend_from_slice(b"\\u00");
                    out.extend([b'0' + byte / 16, hex_digit(byte % 16)]);
                }
                _ => out.push(byte),
            }
        }
    }
    out.push(b'"');
}

const fn hex_digit(digit: u8) -> u8 {
    if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }
}

/// Room for the digits of any whole number.
pub type Digits = [u8; 20];

/// A whole number in decimal digits.
pub fn decimal(number: u64, room: &mut Digits) -> &[u8] {
    let mut rest = number;
    let mut length = 0;
    for place in room.iter_mut().rev() {
        *place = digit(rest % 10);
        rest /= 10;
        length += 1;
        if rest == 0 {
            break;
        }
    }
    room.get(room.len() - length..).unwrap_or_default()
}

/// The digit of a number below ten.
fn digit(number: u64) -> u8 {
    b'0' + u8::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_object_is_written_as_serializers_write_it() {
        let mut out = b"before ".to_vec();
        let mut object = ObjectWriter::begin(&mut out);
        object.text("text", "a\"b\\c\n\u{1f}é\u{2028}");
        object.optional_text("some", Some(""));
        object.optional_text("none", None);
        object.number("number", 1_020);
        object.raw("raw", b"[1]");
        object.end();
        assert_eq!(
            String::from_utf8(out).expect("UTF-8"),
            "before {\"text\":\"a\\\"b\\\\c\\u000a\\u001fé\u{2028}\",\"some\":\"\",\"none\":null,\
             \"number\":1020,\"raw\":[1]}"
        );
        let mut out = Vec::new();
        ObjectWriter::begin(&mut out).number("a", 1);
        let mut object = ObjectWriter::go_on(&mut out);
        object.number("b", 2);
        object.end();
        assert_eq!(out, br#"{"a":1,"b":2}"#);
        let mut out = Vec::new();
        ObjectWriter::begin(&mut out).end();
        assert_eq!(out, b"{}");
    }

    proptest! {
        #[test]
        fn whatever_is_written_reads_back(text: String, number: u64) {
            let mut out = Vec::new();
            let mut object = ObjectWriter::begin(&mut out);
            object.text("text", &text);
            object.number("number", number);
            object.end();
            let read: Value = serde_json::from_slice(&out).expect("JSON");
            prop_assert_eq!(read, json!({ "text": text, "number": number }));
        }

        #[test]
        fn thousandths_are_the_shortest_fraction(value in 0..=u64::from(u32::MAX)) {
            let mut out = Vec::new();
            let mut object = ObjectWriter::begin(&mut out);
            object.thousandths("n", value);
            object.end();
            let fraction = f64::from(u32::try_from(value).expect("small")) / 1_000.0;
            let expected = json!({ "n": fraction }).to_string();
            prop_assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
        }
    }
}
