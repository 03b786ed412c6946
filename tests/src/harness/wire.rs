//! Bare connections: a client or a service of a test's own, byte for byte.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::PATIENCE;

/// A service that says what the test says.
#[derive(Debug)]
pub struct Origin(TcpListener);

impl Origin {
    /// One on a free port.
    pub async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.expect("a free port"))
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().expect("bound"))
    }

    /// The next connection.
    pub async fn accept(&self) -> Wire {
        let accepted = timeout(PATIENCE, self.0.accept()).await.expect("somebody comes");
        Wire(accepted.expect("a connection").0)
    }

    /// Whether nobody has connected.
    pub async fn is_alone(&self) -> bool {
        timeout(Duration::ZERO, self.0.accept()).await.is_err()
    }
}

/// One end of a connection.
#[derive(Debug)]
pub struct Wire(pub TcpStream);

impl Wire {
    /// A connection to a gateway's URL.
    pub async fn connect(url: &str) -> Self {
        let host = url.strip_prefix("http://").expect("http");
        Self(TcpStream::connect(host).await.expect("connected"))
    }

    /// Says something.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.expect("the other side hears");
    }

    /// The next head.
    pub async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// What is said up to this.
    pub async fn until(&mut self, end: &str) -> String {
        let mut heard = Vec::new();
        let hear = async {
            while !heard.ends_with(end.as_bytes()) {
                heard.push(self.0.read_u8().await.expect("more"));
            }
        };
        let in_time = timeout(PATIENCE, hear).await.is_ok();
        assert!(in_time, "no {end:?} after {:?}", String::from_utf8_lossy(&heard));
        String::from_utf8(heard).expect("text")
    }

    /// So many bytes.
    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let read = timeout(PATIENCE, self.0.read_exact(&mut bytes)).await;
        read.expect("in time").expect("more");
        bytes
    }

    /// What is said until the other side hangs up; a reset is an end too.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, self.0.read_to_end(&mut rest)).await.expect("an end in time");
        rest
    }

    /// Says pieces of `x` until nobody takes any more for a while; says how many bytes went.
    pub async fn say_until_blocked(&mut self, piece: usize, at_most: usize) -> usize {
        let piece = vec![b'x'; piece];
        let mut said = 0;
        while said < at_most {
            let rest = &piece[..piece.len().min(at_most - said)];
            match timeout(Duration::from_millis(300), self.0.write(rest)).await {
                Ok(count) => said += count.expect("the other side hears"),
                Err(_) => return said,
            }
        }
        said
    }
}
