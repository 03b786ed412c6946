//! Open WebSockets under paused time, over pipes.

use std::sync::Arc;

use tokio::io::{DuplexStream, duplex};
use tokio::time::sleep;

use super::*;
use crate::body::ByteCount;
use crate::permit::Permits;
use crate::pipeline::Streams;

impl ClientIo for DuplexStream {}

/// Runs a tunnel while `script` plays client and service; says how long the tunnel took.
async fn play(
    idle_timeout: Duration,
    script: impl AsyncFnOnce(DuplexStream, DuplexStream, &Arc<Streams>),
) -> Duration {
    let (client, near) = duplex(64 * 1024);
    let (service, far) = duplex(64 * 1024);
    let streams = Streams::new(Default::default());
    let tunnel = Tunnel {
        service: Box::new(far),
        open: streams.enter_nobody(),
        idle_timeout,
        bytes_in: ByteCount::start(),
        record: LateClosing::default(),
        permit: Permits::new(1).take().expect("a permit"),
    };
    let started = Instant::now();
    let run = async {
        tunnel.run(Box::new(near)).await;
        started.elapsed()
    };
    tokio::join!(run, script(client, service, &streams)).0
}

async fn hear_all(pipe: &mut DuplexStream) -> Vec<u8> {
    let mut heard = Vec::new();
    pipe.read_to_end(&mut heard).await.expect("an end");
    heard
}

#[tokio::test(start_paused = true)]
async fn silence_ends_it_and_a_word_from_either_side_puts_that_off() {
    let script = async |mut client: DuplexStream, mut service: DuplexStream, _: &_| {
        sleep(Duration::from_secs(50)).await;
        client.write_all(&[0x81, 0x80, 0, 0, 0, 0]).await.expect("a tunnel");
        sleep(Duration::from_secs(50)).await;
        service.write_all(&[0x81, 0]).await.expect("a tunnel");
        let started = Instant::now();
        assert_eq!(hear_all(&mut client).await, [0x81, 0, 0x88, 2, 0x03, 0xe9]);
        assert_eq!(started.elapsed().as_secs(), 60);
        assert_eq!(hear_all(&mut service).await.len(), 6 + 8);
    };
    let took = play(Duration::from_secs(60), script).await;
    assert_eq!(took.as_secs(), 160, "both sides hung up as soon as they were told");
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_the_end_of_a_frame_but_not_for_ever() {
    let script = async |mut client: DuplexStream, mut service: DuplexStream, streams: &Arc<_>| {
        service.write_all(&[0x82, 126, 0xff, 0xff, 1, 2, 3]).await.expect("a tunnel");
        let mut begun = [0; 7];
        client.read_exact(&mut begun).await.expect("a tunnel");
        Streams::drain(streams);
        let started = Instant::now();
        // A Close frame here would be taken for payload: there is none.
        assert_eq!(hear_all(&mut client).await, b"");
        assert_eq!(started.elapsed().as_secs(), 1);
        assert_eq!(hear_all(&mut service).await.len(), 8);
    };
    play(Duration::from_secs(60), script).await;
}

#[tokio::test(start_paused = true)]
async fn an_identity_that_has_ended_lets_nothing_more_pass() {
    let script =
        async |mut client: DuplexStream, mut service: DuplexStream, streams: &Arc<Streams>| {
            service.write_all(&[0x81, 3, b'a']).await.expect("a tunnel");
            let mut begun = [0; 3];
            client.read_exact(&mut begun).await.expect("a tunnel");
            streams.end_everybody();
            service.write_all(b"bc").await.expect("a tunnel");
            let started = Instant::now();
            assert_eq!(hear_all(&mut client).await, b"", "not even the end of the frame");
            assert_eq!(started.elapsed().as_millis(), 0);
            let goodbye = hear_all(&mut service).await;
            assert_eq!(goodbye[..2], [0x88, 0x82]);
            assert_eq!([goodbye[6] ^ goodbye[2], goodbye[7] ^ goodbye[3]], 1008_u16.to_be_bytes());
        };
    play(Duration::from_secs(60), script).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_side_said_before_it_left_is_delivered_and_the_other_side_let_go() {
    let said: Vec<u8> =
        std::iter::repeat_n([0x82, 125].into_iter().chain([7; 125]), 2_000).flatten().collect();
    let script = async |mut client: DuplexStream, mut service: DuplexStream, _: &_| {
        let say = async {
            service.write_all(&said).await.expect("a tunnel");
            service.shutdown().await.expect("a tunnel");
        };
        let ((), heard) = tokio::join!(say, hear_all(&mut client));
        assert_eq!(heard.len(), said.len());
        assert!(heard == said);
    };
    play(Duration::from_secs(60), script).await;
}
