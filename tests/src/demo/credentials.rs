//! What a newcomer needs to try everything: obtained as a client would.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::json;

use super::configuration::Configuration;
use super::layout::{DemoGateway, Layout};
use crate::platform::user::{DEMO_EMAIL, DEMO_PASSWORD};

/// Credentials of one run.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) email: &'static str,
    pub(super) password: &'static str,
    /// Absent when the user service was left out.
    pub(super) tokens: Option<Tokens>,
    pub(super) keys: BTreeMap<&'static str, String>,
}

/// A pair of tokens as the user service answers it.
#[derive(Debug, Deserialize)]
pub(super) struct Tokens {
    pub(super) access_token: String,
    pub(super) refresh_token: String,
}

impl Credentials {
    pub(super) async fn obtain(layout: &Layout, configuration: &Configuration) -> Result<Self> {
        let mut client = reqwest::Client::builder().no_proxy();
        if let Some(file) = &configuration.authority {
            let authority = reqwest::Certificate::from_pem(&std::fs::read(file)?)?;
            client = client.tls_certs_only([authority]);
        }
        let client = client.build()?;
        let url = format!("{}/auth/login", layout.url(DemoGateway::Mobile));
        let body = json!({ "email": DEMO_EMAIL, "password": DEMO_PASSWORD }).to_string();
        let answer =
            client.post(url).header("content-type", "application/json").body(body).send().await?;
        let tokens = match answer.status().as_u16() {
            200 => {
                let body = answer.bytes().await?;
                Some(serde_json::from_slice(&body).context("the answer to a login")?)
            }
            // The user service was left out.
            502..=504 => None,
            status => bail!("mobile-bff answered a login with {status}"),
        };
        let keys = configuration.keys.clone();
        Ok(Self { email: DEMO_EMAIL, password: DEMO_PASSWORD, tokens, keys })
    }
}
