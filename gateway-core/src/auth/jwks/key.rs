//! One public key: what it is, what it may serve, and the signatures it verifies.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::KEY_ID_LENGTH_MAX;

/// Fewest bits of an RSA modulus (RFC 7518 §3.3), and most: beyond these a single verification
/// would cost milliseconds.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;

/// An algorithm of asymmetric signatures. Symmetric ones have no name here, so no public key can
/// ever be taken for a shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// ECDSA over P-384 with SHA-384.
    Es384,
    /// Ed25519, by its old name `EdDSA` or its new one `Ed25519` (RFC 9864).
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
}

impl Algorithm {
    /// The algorithm of this `alg` (RFC 7518 §3.1), which is case-sensitive.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" | "Ed25519" => Self::EdDsa,
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            _ => return None,
        })
    }

    const fn key_type(self) -> KeyType {
        match self {
            Self::Es256 => KeyType::P256,
            Self::Es384 => KeyType::P384,
            Self::EdDsa => KeyType::Ed25519,
            _ => KeyType::Rsa,
        }
    }

    const fn for_signatures(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::Es384 => jsonwebtoken::Algorithm::ES384,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Rs384 => jsonwebtoken::Algorithm::RS384,
            Self::Rs512 => jsonwebtoken::Algorithm::RS512,
            Self::Ps256 => jsonwebtoken::Algorithm::PS256,
            Self::Ps384 => jsonwebtoken::Algorithm::PS384,
            Self::Ps512 => jsonwebtoken::Algorithm::PS512,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyType {
    P256,
    P384,
    Ed25519,
    Rsa,
}

/// Why a key of a set is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IgnoredReason {
    /// A member is of the wrong type, stands twice or is missing.
    #[error("it is no well-formed key")]
    Malformed,
    /// A symmetric key, a curve or a type that nothing here can verify with.
    #[error("its type or curve is not supported")]
    Unsupported,
    /// `use` or `key_ops` says that it is for something else.
    #[error("it is not meant for verifying signatures")]
    NotForSignatures,
    /// `alg` is unknown, or belongs to another type of key.
    #[error("its algorithm does not fit it")]
    AlgorithmDoesNotFit,
    /// Shorter than 2048 bits, longer than 8192, or an exponent without strength.
    #[error("it is too weak, or too large to use")]
    UnsafeRsa,
    /// The private half was published with it.
    #[error("its private half is in the set")]
    Private,
}

/// The members of a JSON Web Key that matter here.
#[derive(Deserialize)]
struct Jwk<'j> {
    #[serde(borrow)]
    kty: Cow<'j, str>,
    kid: Option<Box<str>>,
    alg: Option<Cow<'j, str>>,
    #[serde(rename = "use")]
    usage: Option<Cow<'j, str>>,
    key_ops: Option<Vec<Cow<'j, str>>>,
    crv: Option<Cow<'j, str>>,
    x: Option<Cow<'j, str>>,
    y: Option<Cow<'j, str>>,
    n: Option<Cow<'j, str>>,
    e: Option<Cow<'j, str>>,
    d: Option<IgnoredAny>,
}

/// A key that can verify signatures.
#[derive(Debug)]
pub(crate) struct Key {
    id: Option<Box<str>>,
    key_type: KeyType,
    /// The only algorithm it serves (RFC 8725 §3.1), where the set says so.
    algorithm: Option<Algorithm>,
    decoding: DecodingKey,
}

impl Key {
    pub(super) fn parse(json: &str) -> Result<Self, IgnoredReason> {
        let jwk: Jwk<'_> = serde_json::from_str(json).map_err(|_| IgnoredReason::Malformed)?;
        let (key_type, decoding) = jwk.public_key()?;
        if jwk.d.is_some() {
            return Err(IgnoredReason::Private);
        }
        jwk.check_purpose()?;
        let algorithm = match jwk.alg.as_deref().map(Algorithm::parse) {
            None => None,
            Some(Some(algorithm)) if algorithm.key_type() == key_type => Some(algorithm),
            Some(_) => return Err(IgnoredReason::AlgorithmDoesNotFit),
        };
        if jwk.kid.as_ref().is_some_and(|id| id.len() > KEY_ID_LENGTH_MAX) {
            return Err(IgnoredReason::Malformed);
        }
        Ok(Self { id: jwk.kid, key_type, algorithm, decoding })
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(super) fn serves(&self, algorithm: Algorithm) -> bool {
        self.algorithm.map_or_else(|| algorithm.key_type() == self.key_type, |own| own == algorithm)
    }

    /// Whether `signature`, in strict base64url, is this key's over `message`.
    pub(crate) fn verifies(&self, message: &str, signature: &str, algorithm: Algorithm) -> bool {
        let algorithm = algorithm.for_signatures();
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.decoding, algorithm)
            .unwrap_or(false)
    }
}

impl Jwk<'_> {
    fn public_key(&self) -> Result<(KeyType, DecodingKey), IgnoredReason> {
        match (&*self.kty, self.crv.as_deref()) {
            ("EC", Some("P-256")) => Ok((KeyType::P256, self.point(32)?)),
            ("EC", Some("P-384")) => Ok((KeyType::P384, self.point(48)?)),
            ("OKP", Some("Ed25519")) => {
                let x = decode(self.x.as_deref(), Some(32))?;
                Ok((KeyType::Ed25519, DecodingKey::from_ed_der(&x)))
            }
            ("RSA", _) => Ok((KeyType::Rsa, self.rsa()?)),
            _ => Err(IgnoredReason::Unsupported),
        }
    }

    fn point(&self, length: usize) -> Result<DecodingKey, IgnoredReason> {
        // SEC 1 §2.3.3: 4 says that both coordinates follow. Whether the point lies on the curve
        // is checked with every signature.
        let mut point = vec![4];
        point.extend(decode(self.x.as_deref(), Some(length))?);
        point.extend(decode(self.y.as_deref(), Some(length))?);
        Ok(DecodingKey::from_ec_der(&point))
    }

    fn rsa(&self) -> Result<DecodingKey, IgnoredReason> {
        let modulus = decode(self.n.as_deref(), None)?;
        let exponent = decode(self.e.as_deref(), None)?;
        let is_odd = exponent.last().is_some_and(|byte| byte % 2 == 1);
        let exponent_is_safe = is_odd && (2..=33).contains(&bits(&exponent));
        if !RSA_BITS.contains(&bits(&modulus)) || !exponent_is_safe {
            return Err(IgnoredReason::UnsafeRsa);
        }
        Ok(DecodingKey::from_rsa_raw_components(&modulus, &exponent))
    }

    fn check_purpose(&self) -> Result<(), IgnoredReason> {
        let is_for_signatures = self.usage.as_deref().is_none_or(|usage| usage == "sig");
        let may_verify =
            self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if is_for_signatures && may_verify { Ok(()) } else { Err(IgnoredReason::NotForSignatures) }
    }
}

fn decode(text: Option<&str>, length: Option<usize>) -> Result<Vec<u8>, IgnoredReason> {
    text.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
        .filter(|bytes| length.is_none_or(|length| bytes.len() == length))
        .ok_or(IgnoredReason::Malformed)
}

/// The bits of a big-endian number, leading zeros not counted.
fn bits(number: &[u8]) -> usize {
    let mut significant = number.iter().skip_while(|&&byte| byte == 0);
    let Some(first) = significant.next() else { return 0 };
    let first_bits = u8::BITS - first.leading_zeros();
    usize::try_from(first_bits).unwrap_or(8) + 8 * significant.count()
}
