//! What is measured: a peer by its name, its process, its address and the request that it is sent.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::process::Process;

/// One of the peers.
#[derive(Debug, Clone)]
pub(super) struct Proxy {
    pub(super) name: String,
    pub(super) process: u32,
    pub(super) address: SocketAddr,
    /// The bytes of one request.
    pub(super) request: String,
    /// Where it writes a line for each request; one process has one file.
    pub(super) access_log: Option<PathBuf>,
    /// How many requests it has answered so far.
    pub(super) served: u64,
}

impl Proxy {
    pub(super) fn new(name: &str, process: &Process, address: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            process: process.id(),
            address,
            request: String::new(),
            access_log: None,
            served: 0,
        }
    }

    pub(super) fn logging_to(mut self, access_log: PathBuf) -> Self {
        self.access_log = Some(access_log);
        self
    }

    pub(super) fn asked(mut self, request: String) -> Self {
        self.request = request;
        self
    }
}

/// A request for a path. Every peer reads the same bytes.
pub(super) fn request(path: &str, token: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    )
}

/// Ends every peer. A line that a peer had to write and has not is work that it was not charged
/// for: each must have written one for every request that it served.
pub(super) fn end<'a>(
    processes: Vec<Process>,
    peers: impl IntoIterator<Item = &'a Proxy>,
) -> Result<()> {
    drop(processes);
    let mut served: BTreeMap<&Path, (&str, u64)> = BTreeMap::new();
    for peer in peers {
        if let Some(log) = &peer.access_log {
            served.entry(log).or_insert((&peer.name, 0)).1 += peer.served;
        }
    }
    for (log, (name, served)) in served {
        check_lines(log, served).with_context(|| name.to_owned())?;
    }
    Ok(())
}

fn check_lines(log: &Path, served: u64) -> Result<()> {
    let lines = lines_of(log)?;
    ensure!(lines >= served, "has written {lines} access lines for {served} requests");
    Ok(())
}

fn lines_of(file: &Path) -> Result<u64> {
    let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let (mut reader, mut lines) = (BufReader::with_capacity(1 << 20, opened), 0);
    while reader.skip_until(b'\n')? > 0 {
        lines += 1;
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_peer_that_wrote_fewer_lines_than_it_served_fails_the_run() {
        let directory = tempfile::tempdir().expect("a folder");
        let log = directory.path().join("access.log");
        fs::write(&log, "one\ntwo\n").expect("written");
        assert!(check_lines(&log, 2).is_ok());
        let error = check_lines(&log, 3).expect_err("one is missing").to_string();
        assert_eq!(error, "has written 2 access lines for 3 requests");
    }

    #[test]
    fn what_one_process_served_under_several_names_is_counted_together() {
        let directory = tempfile::tempdir().expect("a folder");
        let log = directory.path().join("access.log");
        fs::write(&log, "one\ntwo\n").expect("written");
        let peer = |served| Proxy {
            name: "it".to_owned(),
            process: 1,
            address: ([127, 0, 0, 1], 1).into(),
            request: String::new(),
            access_log: Some(log.clone()),
            served,
        };
        assert!(end(Vec::new(), &[peer(1), peer(1)]).is_ok());
        let error = end(Vec::new(), &[peer(1), peer(2)]).expect_err("one is missing");
        assert_eq!(format!("{error:#}"), "it: has written 2 access lines for 3 requests");
    }
}
