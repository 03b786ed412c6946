//! What a key looks like: `plk_live_`, 32 characters of secret, 6 of checksum.
//!
//! The prefix lets scanners find leaked keys, the environment keeps test keys out of production's
//! configuration, and the checksum covers both. 32 characters of base 62 are 190 bits.

use std::fmt;

use rand::RngExt as _;
use secrecy::{ExposeSecret as _, SecretString};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const SECRET_LEN: usize = 32;
const CHECKSUM_LEN: usize = 6;

/// What all keys of a gateway start with, such as `plk`: 2 to 12 small letters and digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPrefix(Box<str>);

/// A text that keys cannot start with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no key prefix: use 2 to 12 small letters and digits, a letter first")]
pub struct InvalidKeyPrefix {
    /// The text as configured.
    pub text: String,
}

impl KeyPrefix {
    /// Reads a prefix.
    ///
    /// # Errors
    ///
    /// [`InvalidKeyPrefix`] unless it is 2 to 12 small letters and digits, a letter first.
    pub fn parse(text: &str) -> Result<Self, InvalidKeyPrefix> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let starts_well = text.starts_with(|first: char| first.is_ascii_lowercase());
        if (2..=12).contains(&text.len()) && starts_well && text.bytes().all(is_plain) {
            return Ok(Self(text.into()));
        }
        Err(InvalidKeyPrefix { text: text.to_owned() })
    }

    /// Whether the text begins as a key of this prefix does, whole or not.
    pub(super) fn begins(&self, text: &[u8]) -> bool {
        self.split(text).is_some()
    }

    /// Splits a text behind its prefix and environment.
    fn split<'a>(&self, text: &'a [u8]) -> Option<(Environment, &'a [u8])> {
        let rest = text.strip_prefix(self.0.as_bytes())?.strip_prefix(b"_")?;
        Environment::ALL.into_iter().find_map(|environment| {
            let rest = rest.strip_prefix(environment.as_str().as_bytes())?.strip_prefix(b"_")?;
            Some((environment, rest))
        })
    }
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Environment {
    /// Real use.
    Live,
    /// Trying things out.
    Test,
}

impl Environment {
    const ALL: [Self; 2] = [Self::Live, Self::Test];

    /// The environment of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }

    /// The word in the key.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }
}

/// A whole, well-formed key. It can be shown once, to whom it is issued.
#[derive(Clone)]
pub struct ApiKey {
    text: SecretString,
    environment: Environment,
}

/// A text that is not a whole, well-formed key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text is not a key: its prefix, length, alphabet or checksum is wrong")]
pub struct MalformedKey;

impl ApiKey {
    /// A new key.
    #[must_use]
    pub fn generate(prefix: &KeyPrefix, environment: Environment) -> Self {
        let mut rng = rand::rng();
        let mut text = format!("{}_{}_", prefix.0, environment.as_str());
        text.extend((0..SECRET_LEN).map(|_| digit(rng.random_range(0..62))));
        let checksum = checksum(text.as_bytes());
        text.extend(checksum.map(char::from));
        Self { text: text.into(), environment }
    }

    /// Reads a key.
    ///
    /// # Errors
    ///
    /// [`MalformedKey`] when it is not exactly the prefix, an environment, 32 characters and their
    /// checksum. Nothing is trimmed.
    pub fn parse(text: &[u8], prefix: &KeyPrefix) -> Result<Self, MalformedKey> {
        let (environment, rest) = prefix.split(text).ok_or(MalformedKey)?;
        let is_whole = rest.len() == SECRET_LEN + CHECKSUM_LEN;
        if !is_whole || !rest.iter().all(u8::is_ascii_alphanumeric) {
            return Err(MalformedKey);
        }
        let (covered, given) = text.split_last_chunk::<CHECKSUM_LEN>().ok_or(MalformedKey)?;
        if checksum(covered) != *given {
            return Err(MalformedKey);
        }
        let text = std::str::from_utf8(text).map_err(|_| MalformedKey)?;
        Ok(Self { text: text.into(), environment })
    }

    /// What it is for.
    #[must_use]
    pub const fn environment(&self) -> Environment {
        self.environment
    }

    /// The key itself: for its holder, once, and for digesting it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// What may be shown of it afterwards: `plk_live_EPjp…jcyJ`.
    #[must_use]
    pub fn display(&self) -> String {
        let text = self.expose();
        let shown_to = text.len() - SECRET_LEN - CHECKSUM_LEN + 4;
        let (start, _) = text.split_at_checked(shown_to).unwrap_or_default();
        let (_, end) = text.split_at_checked(text.len() - 4).unwrap_or_default();
        format!("{start}…{end}")
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({})", self.display())
    }
}

/// CRC-32 (IEEE 802.3) in base 62, with zeros in front.
///
/// It finds typing errors and keeps nobody out, so it need not be compared in constant time.
fn checksum(covered: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut rest = crc32fast::hash(covered);
    let mut digits = [b'0'; CHECKSUM_LEN];
    for place in digits.iter_mut().rev() {
        *place = BASE62.get(rest as usize % 62).copied().unwrap_or(b'0');
        rest /= 62;
    }
    digits
}

fn digit(value: usize) -> char {
    BASE62.get(value).copied().map_or('0', char::from)
}
