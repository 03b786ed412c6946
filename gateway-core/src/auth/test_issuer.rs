//! For tests: keys made on the spot, their JSON Web Keys, and tokens signed with them by hand, so
//! that a test can sign what no library would.

use std::sync::LazyLock;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// The time at which every test's tokens are good.
pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key pair of an issuer.
#[derive(Debug)]
pub(crate) struct TestKey {
    pub(crate) algorithm: &'static str,
    pair: Pair,
}

#[derive(Debug)]
enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl TestKey {
    pub(crate) fn es256() -> Self {
        Self { algorithm: "ES256", pair: ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING) }
    }

    pub(crate) fn es384() -> Self {
        Self { algorithm: "ES384", pair: ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING) }
    }

    pub(crate) fn ed25519() -> Self {
        let pair = Ed25519KeyPair::generate().expect("a key");
        Self { algorithm: "EdDSA", pair: Pair::Ed25519(pair) }
    }

    /// One pair for the whole test run, since making one takes long.
    pub(crate) fn rsa(algorithm: &'static str) -> Self {
        static DER: LazyLock<Vec<u8>> = LazyLock::new(|| {
            let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).expect("a key");
            pair.as_der().expect("PKCS#8").as_ref().to_vec()
        });
        Self { algorithm, pair: Pair::Rsa(RsaKeyPair::from_pkcs8(&DER).expect("PKCS#8")) }
    }

    /// The public half, with `kid` and `alg`.
    pub(crate) fn jwk(&self, key_id: &str) -> Value {
        let mut jwk = match &self.pair {
            Pair::Ecdsa(pair) => {
                let coordinates = &pair.public_key().as_ref()[1..];
                let (x, y) = coordinates.split_at(coordinates.len() / 2);
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y)})
            }
            Pair::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(pair.public_key())})
            }
            Pair::Rsa(pair) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({"kty": "RSA", "n": base64url(public.n), "e": base64url(public.e)})
            }
        };
        jwk["kid"] = key_id.into();
        jwk["alg"] = self.algorithm.into();
        jwk
    }

    pub(crate) fn signature(&self, message: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ecdsa(pair) => {
                pair.sign(&random, message.as_bytes()).expect("signs").as_ref().to_vec()
            }
            Pair::Ed25519(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let padding: &'static dyn RsaEncoding =
                    if self.algorithm == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message.as_bytes(), &mut signature).expect("signs");
                signature
            }
        }
    }

    /// A token of exactly these two texts.
    pub(crate) fn sign_text(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", base64url(header), base64url(claims));
        let signature = base64url(self.signature(&message));
        format!("{message}.{signature}")
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// The header of a good token of this key.
    pub(crate) fn header(&self, key_id: &str) -> Value {
        json!({"typ": "at+jwt", "alg": self.algorithm, "kid": key_id})
    }
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> Pair {
    Pair::Ecdsa(EcdsaKeyPair::generate(algorithm).expect("a key"))
}

/// The claims of a good token.
pub(crate) fn good_claims() -> Value {
    json!({
        "iss": "https://users.example.com", "aud": "https://api.example.com",
        "sub": "4821", "user_id": 4821, "role": "editor", "scope": "links:read",
        "iat": NOW - 60, "exp": NOW + 840, "jti": "t-1",
    })
}

/// A JSON Web Key Set of these keys.
pub(crate) fn key_set(keys: &[Value]) -> Vec<u8> {
    json!({"keys": keys}).to_string().into_bytes()
}
