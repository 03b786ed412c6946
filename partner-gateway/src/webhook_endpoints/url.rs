//! What an endpoint's URL must look like: https, a host name, nothing that hides where it leads.

use http::Uri;

/// The longest URL that is kept.
const URL_SIZE_MAX: usize = 2_048;

/// Checks a URL.
///
/// # Errors
///
/// What is wrong, to follow the name of the member: "must start with https://".
pub(super) fn check(url: &str) -> Result<(), &'static str> {
    if url.len() > URL_SIZE_MAX {
        return Err("may have at most 2048 characters");
    }
    if !url.starts_with("https://") {
        return Err("must start with https://");
    }
    if url.contains('#') {
        return Err("must not have a fragment");
    }
    let uri: Uri = url.parse().map_err(|_| "is not a URL")?;
    let authority = uri.authority().ok_or("must name a host")?;
    if authority.as_str().contains('@') {
        return Err("must not hold a user name or password");
    }
    if !is_public_name(authority.host()) {
        return Err("must name a public host such as hooks.example.com");
    }
    Ok(())
}

/// A host name with a dot whose last label is no number: addresses in any notation, `localhost`
/// and single-label names of an internal network are refused here already.
fn is_public_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let labels: Vec<&str> = host.split('.').collect();
    let is_label = |label: &&str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let Some(last) = labels.last().map(|last| last.to_ascii_lowercase()) else { return false };
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    let is_internal = ["localhost", "local", "internal", "localdomain"].contains(&last.as_str());
    labels.len() >= 2 && labels.iter().all(is_label) && !is_number && !is_internal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_https_url_is_accepted() {
        for url in [
            "https://hooks.example.com",
            "https://hooks.example.com:8443/a/b?c=d",
            "https://xn--bcher-kva.example/hook",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn a_url_that_is_plain_internal_or_ambiguous_is_refused() {
        for url in [
            "http://hooks.example.com",
            "HTTPS://hooks.example.com\r\n",
            "https://",
            "https://localhost/hook",
            "https://api.localhost/hook",
            "https://intranet/hook",
            "https://db.internal/hook",
            "https://127.0.0.1/hook",
            "https://2130706433/hook",
            "https://0x7f.0.0.0x1/hook",
            "https://[::1]/hook",
            "https://user:pw@hooks.example.com",
            "https://hooks.example.com/#x",
            "ftp://hooks.example.com",
            "javascript:alert(1)",
            "",
        ] {
            assert!(check(url).is_err(), "{url}");
        }
    }
}
