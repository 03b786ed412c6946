//! What every call of a request says of it: its public name, its client, its trace, and who asks.
//!
//! Not here: what is each attempt's own (`Calling::own_fields`).

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use super::CallContext;
use crate::assertion::CommonClaims;
use crate::header::{BAGGAGE, TRACESTATE, X_FORWARDED_FOR, X_REQUEST_ID};
use crate::json_object::{Digits, decimal};
use crate::site::Site;
use crate::upstream::SharedFields;

/// What all calls of a request say of it, written down once.
#[derive(Debug)]
pub(in crate::pipeline) struct Common {
    pub(in crate::pipeline) fields: SharedFields,
    pub(super) claims: CommonClaims,
}

impl Common {
    pub(in crate::pipeline) fn of(site: &Site, context: &CallContext) -> Self {
        let mut fields = HeaderMap::with_capacity(6);
        dress(site, context, &mut fields);
        Self { fields: SharedFields::new(fields), claims: claims_of(site, context) }
    }
}

pub(super) fn claims_of(site: &Site, context: &CallContext) -> CommonClaims {
    site.signer.common(context.request_id.as_str(), context.principal.as_deref())
}

/// What every call of a request says of it.
pub(super) fn dress(site: &Site, context: &CallContext, headers: &mut HeaderMap) {
    headers.insert(X_REQUEST_ID, context.request_id.to_header());
    if let Some(client) = context.client {
        headers.insert(X_FORWARDED_FOR, address(client));
    }
    if let Some(state) = context.trace.state() {
        headers.insert(TRACESTATE, state.clone());
    }
    if let Some(baggage) = context.trace.baggage() {
        headers.insert(BAGGAGE, baggage.clone());
    }
    if let Some(principal) = &context.principal {
        site.identity_headers.write(principal, headers);
    }
}

/// An address of IPv4 without `fmt`, since it is written with every request.
fn address(client: IpAddr) -> HeaderValue {
    let text = match client {
        IpAddr::V4(client) => {
            let mut text = Vec::with_capacity("255.255.255.255".len());
            for (place, octet) in client.octets().into_iter().enumerate() {
                if place > 0 {
                    text.push(b'.');
                }
                text.extend_from_slice(decimal(octet.into(), &mut Digits::default()));
            }
            text
        }
        IpAddr::V6(client) => client.to_string().into_bytes(),
    };
    HeaderValue::from_maybe_shared(Bytes::from(text))
        .unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_everybody_writes_it() {
        for text in ["203.0.113.7", "0.10.200.255", "2001:db8::1"] {
            assert_eq!(address(text.parse().expect("an address")), text);
        }
    }
}
