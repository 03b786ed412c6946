//! The five services, each with an address of its own, as five services have.

use std::net::SocketAddr;

use anyhow::Result;

use crate::bench::{parts, upstream};

/// In the order of the answer's parts.
#[derive(Debug)]
pub(super) struct Services {
    named: Vec<(&'static str, SocketAddr)>,
}

impl Services {
    pub(super) async fn start() -> Result<Self> {
        let mut named = Vec::new();
        for part in parts::ALL {
            named.push((part.name, upstream::start().await?));
        }
        Ok(Self { named })
    }

    /// Where other routes lead.
    pub(super) fn first(&self) -> SocketAddr {
        self.named[0].1
    }

    /// The names, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> + Clone {
        self.named.iter().map(|(name, _)| *name)
    }

    /// A text in which `{profile}` is the address of that service, and so on.
    pub(super) fn fill(&self, text: &str) -> String {
        let fill = |text: String, (name, address): &(&str, SocketAddr)| {
            text.replace(&format!("{{{name}}}"), &address.to_string())
        };
        self.named.iter().fold(text.to_owned(), fill)
    }

    /// `profile=http://127.0.0.1:4000/profile` and so on: the arguments of a hand-written BFF.
    pub(super) fn arguments(&self) -> impl Iterator<Item = String> {
        self.named.iter().map(|(name, address)| format!("{name}=http://{address}/{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_is_filled_in_where_its_name_stands() {
        let named =
            vec![("profile", ([127, 0, 0, 1], 1).into()), ("links", ([127, 0, 0, 1], 2).into())];
        let services = Services { named };
        assert_eq!(services.fill("{links} {profile} {other}"), "127.0.0.1:2 127.0.0.1:1 {other}");
        let arguments: Vec<String> = services.arguments().collect();
        assert_eq!(arguments[1], "links=http://127.0.0.1:2/links");
    }
}
