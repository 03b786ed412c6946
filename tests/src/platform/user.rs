//! user-service: users, their passwords and their tokens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use gateway_core::clock::Clock;
use http::{StatusCode, header};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rand::RngExt as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::caller::{Caller, problem};

/// The sample user whose credentials the demo prints.
pub const DEMO_EMAIL: &str = "editor@example.com";
/// Every sample user's password.
pub const DEMO_PASSWORD: &str = "correct horse battery staple";

const ISSUER: &str = "https://users.example.com";
const AUDIENCE: &str = "https://api.example.com";
const ACCESS_LIFETIME_S: u64 = 900;

struct User {
    id: u64,
    email: &'static str,
    name: &'static str,
    role: &'static str,
    tenant: &'static str,
    tier: &'static str,
}

const USERS: [User; 3] = [
    User {
        id: 4821,
        email: DEMO_EMAIL,
        name: "Mara Lindqvist",
        role: "editor",
        tenant: "tenant-7",
        tier: "pro",
    },
    User {
        id: 4822,
        email: "viewer@example.com",
        name: "Jonas Weber",
        role: "viewer",
        tenant: "tenant-7",
        tier: "free",
    },
    User {
        id: 4823,
        email: "admin@example.com",
        name: "Aiko Tanaka",
        role: "admin",
        tenant: "tenant-7",
        tier: "pro",
    },
];

/// The tenant of a user; partners have none.
pub(super) fn tenant_of(id: &str) -> Option<&'static str> {
    USERS.iter().find(|user| user.id.to_string() == id).map(|user| user.tenant)
}

/// Issues tokens, and publishes the keys to verify them by.
#[derive(Debug)]
pub struct Issuer {
    clock: Clock,
    keys: Mutex<Vec<SigningKey>>,
    refresh_tokens: Mutex<HashMap<String, u64>>,
}

#[derive(Clone)]
struct SigningKey {
    id: String,
    private: EncodingKey,
    public: Value,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl SigningKey {
    fn generate() -> Result<Self> {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new())?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref())?;
        let point = pair.public_key().as_ref();
        let coordinate = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let id = format!("key-{:08x}", rand::rng().random::<u32>());
        let public = json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": id,
            "x": coordinate(&point[1..33]), "y": coordinate(&point[33..65]),
        });
        Ok(Self { id, private: EncodingKey::from_ec_der(document.as_ref()), public })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Issuer {
    pub(super) fn new(clock: Clock) -> Result<Self> {
        jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default().ok();
        let keys = Mutex::new(vec![SigningKey::generate()?]);
        Ok(Self { clock, keys, refresh_tokens: Mutex::default() })
    }

    /// New tokens get a new key; the old ones stay published.
    pub(super) fn rotate(&self) {
        let key = SigningKey::generate().expect("the first one could be generated");
        lock(&self.keys).push(key);
    }

    fn issue(&self, user: &User) -> Value {
        let now = self.clock.wall().unix_seconds();
        let key = lock(&self.keys).last().expect("there is always one").clone();
        let header = Header {
            typ: Some("at+jwt".into()),
            kid: Some(key.id),
            ..Header::new(Algorithm::ES256)
        };
        let claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": user.id.to_string(),
            "user_id": user.id, "role": user.role, "tenant_id": user.tenant, "tier": user.tier,
            "scope": "links:read links:write",
            "jti": format!("{:032x}", rand::rng().random::<u128>()),
            "iat": now, "exp": now + ACCESS_LIFETIME_S,
        });
        let access = jsonwebtoken::encode(&header, &claims, &key.private).expect("a good key");
        let refresh = format!("rt_{:032x}", rand::rng().random::<u128>());
        lock(&self.refresh_tokens).insert(refresh.clone(), user.id);
        json!({
            "access_token": access,
            "refresh_token": refresh,
            "token_type": "Bearer",
            "expires_in": ACCESS_LIFETIME_S,
            "user": shown(user),
        })
    }
}

/// Its paths.
pub fn router(issuer: Arc<Issuer>) -> Router {
    Router::new()
        .route("/auth/login", post(login))
        .route("/auth/refresh", post(refresh))
        .route("/users/{id}", get(read))
        .route("/.well-known/jwks.json", get(keys))
        .with_state(issuer)
}

fn shown(user: &User) -> Value {
    json!({
        "id": user.id, "name": user.name, "email": user.email, "role": user.role,
        "tenant_id": user.tenant, "tier": user.tier,
        "created_at": "2025-02-11T10:00:00Z",
        "settings": { "locale": "en", "time_zone": "Europe/Berlin", "weekly_report": true },
    })
}

#[derive(Deserialize)]
struct Login {
    email: String,
    password: String,
}

async fn login(State(issuer): State<Arc<Issuer>>, Json(login): Json<Login>) -> Response {
    let user = USERS.iter().find(|user| user.email == login.email);
    match user.filter(|_| login.password == DEMO_PASSWORD) {
        Some(user) => tokens(issuer.issue(user)),
        None => problem(StatusCode::UNAUTHORIZED, "wrong_credentials"),
    }
}

#[derive(Deserialize)]
struct Refresh {
    refresh_token: String,
}

/// A refresh token is good for one time.
async fn refresh(State(issuer): State<Arc<Issuer>>, Json(refresh): Json<Refresh>) -> Response {
    let known = lock(&issuer.refresh_tokens).remove(&refresh.refresh_token);
    let user = known.and_then(|id| USERS.iter().find(|user| user.id == id));
    match user {
        Some(user) => tokens(issuer.issue(user)),
        None => problem(StatusCode::UNAUTHORIZED, "wrong_refresh_token"),
    }
}

fn tokens(body: Value) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

async fn read(caller: Caller, Path(id): Path<String>) -> Response {
    let user = USERS.iter().find(|user| user.id.to_string() == id);
    match user.filter(|_| caller.may_see(&id)) {
        Some(user) => Json(shown(user)).into_response(),
        None => problem(StatusCode::NOT_FOUND, "no_such_user"),
    }
}

async fn keys(State(issuer): State<Arc<Issuer>>) -> Response {
    let keys: Vec<Value> = lock(&issuer.keys).iter().map(|key| key.public.clone()).collect();
    let kind = [
        (header::CONTENT_TYPE, "application/jwk-set+json"),
        (header::CACHE_CONTROL, "public, max-age=300"),
    ];
    (kind, json!({ "keys": keys }).to_string()).into_response()
}
