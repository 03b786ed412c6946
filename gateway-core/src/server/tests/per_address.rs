//! The connections of one address, over TCP and over all cores.

use std::num::NonZeroU32;

use super::*;
use crate::server::proxy_protocol::ProxyProtocol;

fn start_with(max: u32, is_behind_balancer: bool) -> Started {
    let settings = ServerSettings {
        cores: 2,
        connections_per_address_max: NonZeroU32::new(max),
        ..settings()
    };
    let from =
        if is_behind_balancer { vec!["127.0.0.0/8".parse().expect("a network")] } else { vec![] };
    let proxy_protocol =
        ProxyProtocol::new(from, Duration::from_secs(60), Arc::new(Metrics::new()));
    start_behind(settings, Entrance { proxy_protocol: Some(proxy_protocol), tls: None })
}

fn refused(started: &Started) -> u64 {
    started.metrics.connection_ends.get_or_create(&ConnectionEnd { reason: "address_full" }).get()
}

/// What a new connection hears that begins with `start` and asks for something.
fn heard(started: &Started, start: &str) -> (TcpStream, String) {
    let mut client = started.connect();
    let _ = client.write_all(format!("{start}{GET}").as_bytes());
    let heard = answered(&mut client);
    (client, heard)
}

#[test]
fn above_the_bound_of_an_address_its_new_connections_are_closed_until_one_ends() {
    let started = start_with(2, false);
    let mut held = [heard(&started, ""), heard(&started, "")];
    assert!(held.iter().all(|(_, heard)| heard == OK));
    assert_eq!(heard(&started, "").1, "");
    assert_eq!(refused(&started), 1);
    ask(&mut held[0].0, "/");
    assert_eq!(answered(&mut held[0].0), OK, "the others are not disturbed");
    drop(held);
    // Until the server has noticed.
    let next = std::iter::repeat_with(|| heard(&started, "").1);
    assert_eq!(next.take(100_000).find(|heard| !heard.is_empty()).as_deref(), Some(OK));
    started.stop();
}

#[test]
fn behind_a_balancer_it_is_the_clients_own_address_that_counts() {
    let started = start_with(1, true);
    let from = |host: u32| format!("PROXY TCP4 203.0.113.{host} 203.0.113.1 1 1\r\n");
    let held: Vec<_> = (7..17).map(|host| heard(&started, &from(host))).collect();
    assert!(held.iter().all(|(_, heard)| heard == OK), "as many as there are clients");
    assert_eq!(heard(&started, &from(7)).1, "");
    assert_eq!(refused(&started), 1);
    drop(held);
    started.stop();
}

#[test]
fn without_a_bound_those_behind_a_balancer_that_says_nothing_may_be_many() {
    let started = start(settings());
    let held: Vec<_> = (0..50).map(|_| heard(&started, "")).collect();
    assert!(held.iter().all(|(_, heard)| heard == OK));
    assert_eq!(refused(&started), 0);
    drop(held);
    started.stop();
}
