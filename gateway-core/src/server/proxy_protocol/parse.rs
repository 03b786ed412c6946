//! What the bytes of a header say. Strict: a header is written by a machine, and two readings of
//! one would be two clients.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// What a version 2 header begins with.
pub(super) const V2_SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The longest version 1 header, line break included.
pub(super) const V1_SIZE_MAX: usize = 107;

/// Bytes that are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no PROXY header")]
pub(super) struct Malformed;

/// `PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n`: the first address and port. `None` for
/// `UNKNOWN`, behind which anything may stand.
pub(super) fn v1(line: &[u8]) -> Result<Option<SocketAddr>, Malformed> {
    let line = std::str::from_utf8(line).ok().and_then(|line| line.strip_suffix("\r\n"));
    let line = line.and_then(|line| line.strip_prefix("PROXY ")).ok_or(Malformed)?;
    if line.bytes().any(|byte| !(0x20..=0x7e).contains(&byte)) {
        return Err(Malformed);
    }
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Ok(None);
    }
    let mut fields = line.split(' ');
    let mut next = || fields.next().ok_or(Malformed);
    let client = match next()? {
        "TCP4" => ends::<Ipv4Addr>(next()?, next()?)?,
        "TCP6" => ends::<Ipv6Addr>(next()?, next()?)?,
        _ => return Err(Malformed),
    };
    let (client_port, _) = (port(next()?)?, port(next()?)?);
    match fields.next() {
        None => Ok(Some(SocketAddr::new(client, client_port))),
        Some(_) => Err(Malformed),
    }
}

/// The first of two addresses of one family; both must be right.
fn ends<A: FromStr + Into<IpAddr>>(client: &str, server: &str) -> Result<IpAddr, Malformed> {
    let client: A = client.parse().map_err(|_| Malformed)?;
    server.parse::<A>().map_err(|_| Malformed)?;
    Ok(client.into().to_canonical())
}

fn port(text: &str) -> Result<u16, Malformed> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_shortest = text == "0" || !text.starts_with('0');
    if is_plain && is_shortest { text.parse().map_err(|_| Malformed) } else { Err(Malformed) }
}

/// What follows the signature: version and command, family and transport, the body.
///
/// `None` where the connection is the peer's own (`LOCAL`), and where the client is of a family
/// that is not TCP: whoever it is has no address here.
pub(super) fn v2(command: u8, family: u8, body: &[u8]) -> Result<Option<SocketAddr>, Malformed> {
    match command {
        0x20 => return Ok(None),
        0x21 => {}
        _ => return Err(Malformed),
    }
    match family {
        0x11 => {
            let (client, rest) = body.split_first_chunk::<4>().ok_or(Malformed)?;
            address(Ipv4Addr::from(*client), rest.get(4..))
        }
        0x21 => {
            let (client, rest) = body.split_first_chunk::<16>().ok_or(Malformed)?;
            address(Ipv6Addr::from(*client), rest.get(16..))
        }
        // Unspecified, and UDP and UNIX sockets, each with as much as its addresses take.
        0x00 => Ok(None),
        0x12 if body.len() >= 12 => Ok(None),
        0x22 if body.len() >= 36 => Ok(None),
        0x31 | 0x32 if body.len() >= 216 => Ok(None),
        _ => Err(Malformed),
    }
}

/// `ports` are the client's and the server's; what follows is skipped.
fn address(
    client: impl Into<IpAddr>,
    ports: Option<&[u8]>,
) -> Result<Option<SocketAddr>, Malformed> {
    let ports = ports.and_then(<[u8]>::first_chunk::<4>).ok_or(Malformed)?;
    let [high, low, ..] = *ports;
    let port = u16::from_be_bytes([high, low]);
    Ok(Some(SocketAddr::new(client.into().to_canonical(), port)))
}
