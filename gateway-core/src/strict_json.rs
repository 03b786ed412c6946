//! JSON that something is decided by, read so that no two readers can understand it differently: no
//! member stands twice in an object, at any depth (RFC 8259 §4 and RFC 7519 §4 leave that to the
//! reader).
//!
//! Not here: JSON that is only passed on or cut up (`aggregation`, `transform`).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Reads one JSON value of at most `nesting_max` objects and arrays inside one another.
///
/// # Errors
///
/// What is no JSON, nested deeper, or has a member twice.
pub fn value(bytes: &[u8], nesting_max: u8) -> Result<Value, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { levels_left: nesting_max }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Reads one JSON object.
///
/// # Errors
///
/// As [`value`], and what is no object.
pub fn object(bytes: &[u8], nesting_max: u8) -> Result<Value, serde_json::Error> {
    let value = value(bytes, nesting_max)?;
    if !value.is_object() {
        return Err(serde_json::Error::custom("not an object"));
    }
    Ok(value)
}

#[derive(Clone, Copy)]
struct Strict {
    levels_left: u8,
}

impl Strict {
    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        let levels_left = self.levels_left.checked_sub(1);
        let levels_left = levels_left.ok_or_else(|| E::custom("nested too deeply"))?;
        Ok(Self { levels_left })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inside)? {
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(inside)?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(bytes: &[u8]) -> Result<Value, serde_json::Error> {
        super::object(bytes, 16)
    }

    fn fault(text: &str) -> String {
        object(text.as_bytes()).expect_err(text).to_string()
    }

    #[test]
    fn an_object_is_read_as_serde_json_reads_it() {
        let text = r#"{"a":[1,-2,0.5,"x",null,true],"b":{"c":18446744073709551615}}"#;
        let expected: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(object(text.as_bytes()).expect("strict"), expected);
    }

    #[test]
    fn a_member_that_stands_twice_is_refused_at_any_depth_and_in_any_spelling() {
        for text in [
            r#"{"sub":"a","sub":"a"}"#,
            r#"{"sub":"a","\u0073ub":"b"}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":[{"b":1,"b":2}]}"#,
        ] {
            assert!(fault(text).contains("stands twice"), "{text}: {}", fault(text));
        }
    }

    #[test]
    fn deep_nesting_is_refused_at_the_cap_and_not_at_the_end_of_the_stack() {
        let nested = |levels| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(object(nested(15).as_bytes()).is_ok());
        assert!(fault(&nested(16)).contains("nested too deeply"));
        assert!(fault(&nested(10_000)).contains("nested too deeply"));
        assert!(fault(&"{\"a\":".repeat(10_000)).contains("nested too deeply"));
    }

    #[test]
    fn only_one_whole_object_is_read() {
        for text in ["", "[]", "1", "null", "\"a\"", "{} {}", "{}x", "{", "{\"a\":NaN}", "{'a':1}"]
        {
            assert!(object(text.as_bytes()).is_err(), "{text}");
        }
        assert!(object(b"{\"a\":\"\xff\"}").is_err(), "not UTF-8");
    }
}
