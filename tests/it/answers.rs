//! What services answer and what clients get: framing, places, errors, and what must not get out.

use tests::harness::Harness;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A service that answers every request with these bytes, whatever they are.
async fn origin(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = vec![0; 16 * 1024];
                while stream.read(&mut head).await.is_ok_and(|read| read > 0) {
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    format!("http://{address}")
}

/// The sample with link-service and billing-service behind `answer`.
async fn before(answer: &'static [u8]) -> Harness {
    let url = origin(answer).await;
    let layer = format!(
        "[services.link-service]\nurl = \"{url}\"\n[services.billing-service]\nurl = \"{url}\"\n"
    );
    Harness::builder().layer("mobile-bff", &layer).start().await
}

#[tokio::test]
async fn a_length_beside_a_coding_is_not_believed() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\
           Transfer-Encoding: chunked\r\n\r\n7\r\n{\"a\":1}\r\n0\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\
          Transfer-Encoding: chunked\r\n\r\n7\r\n{\"a\":1}\r\n0\r\n\r\n",
    ] {
        let harness = before(answer).await;
        // Streamed through, and held whole for a transform.
        for path in ["/links/x7Kp2", "/billing/usage"] {
            for _ in 0..2 {
                let answer = harness.mobile_get(path).await;
                assert_eq!(answer.status(), 200, "{path}");
                assert_eq!(answer.text().await.expect("a whole body"), "{\"a\":1}", "{path}");
            }
        }
    }
}
