//! API keys of partners: reading their records, issuing new ones.
//!
//! Not here: how a presented key is checked (`gateway_core::auth::api_key`).

pub mod issue;

use gateway_core::clock::Timestamp;
use gateway_core::principal::{IdentityText, InvalidIdentityText};
use gateway_core::store::{KeyDigest, KeyRecord};
use gateway_core::stores::memory::MemoryKeys;
use shared_config::{Diagnostic, Diagnostics, Loaded};

use crate::config::{KEYS, KeyEntry};

/// Reads the `[[keys]]` of the configuration.
///
/// # Errors
///
/// One diagnostic for each record that cannot be used.
pub fn records(loaded: &Loaded) -> Result<MemoryKeys, Diagnostics> {
    let entries: Vec<KeyEntry> = loaded.section(KEYS)?;
    let mut records = Vec::with_capacity(entries.len());
    let mut wrong = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        match record(entry) {
            Ok(record) => records.push(record),
            Err(Wrong { member, value, reason }) => {
                let path = [KEYS, &index.to_string(), member];
                wrong.push(Diagnostic::at(loaded, &path, value, reason));
            }
        }
    }
    Diagnostics::none_or(wrong)?;
    Ok(MemoryKeys::new(records))
}

/// A member of a record that cannot be used.
struct Wrong {
    member: &'static str,
    value: String,
    reason: &'static str,
}

fn record(entry: &KeyEntry) -> Result<KeyRecord, Wrong> {
    let text = |member, value: &str| {
        IdentityText::parse(value).map_err(|InvalidIdentityText| Wrong {
            member,
            value: value.to_owned(),
            reason: "must be 1 to 255 visible ASCII characters",
        })
    };
    let scopes =
        entry.scopes.iter().map(|scope| text("scopes", scope)).collect::<Result<_, _>>()?;
    Ok(KeyRecord {
        id: text("id", &entry.id)?,
        digest: digest(&entry.digest)?,
        partner: text("partner", &entry.partner)?,
        tier: text("tier", &entry.tier)?,
        scopes,
        expires_at: entry.expires_at.map(Timestamp::from_unix_seconds),
        is_revoked: entry.revoked,
    })
}

/// 64 hex digits.
fn digest(hex: &str) -> Result<KeyDigest, Wrong> {
    let wrong = || Wrong {
        member: "digest",
        value: hex.to_owned(),
        reason: "must be the 64 hex digits that `partner-gateway keys issue` printed",
    };
    let mut bytes = [0_u8; 32];
    if hex.len() != 2 * bytes.len() || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        let digits = hex.get(2 * place..2 * place + 2).ok_or_else(wrong)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
    }
    Ok(KeyDigest(bytes))
}

/// The digest as a record writes it.
fn hex(digest: KeyDigest) -> String {
    digest.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_as_it_is_written() {
        let written = hex(KeyDigest(std::array::from_fn(|place| (place * 8) as u8)));
        assert_eq!(digest(&written).map(hex).ok(), Some(written));
    }

    #[test]
    fn a_digest_of_another_shape_is_refused() {
        for bad in ["", "00", &"g".repeat(64), &"+1".repeat(32), &"é".repeat(32), &"0".repeat(65)]
        {
            assert!(digest(bad).is_err(), "{bad}");
        }
    }
}
