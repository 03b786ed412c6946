//! Handing a connection over: what becomes of it once HTTP is done with it.
//!
//! An answer of 101 carries a [`Handover`] among its extensions, and so does one of 200 to an extended
//! CONNECT of HTTP/2. When it has been sent, the connection, or the stream of it, goes to whoever
//! made it, and stays one of its core's: a drain waits for it, and cuts it at the drain time-out.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite};

/// A client's connection, whatever it is made of. It never leaves its thread.
pub trait ClientIo: AsyncRead + AsyncWrite + Unpin {
    /// Has it end as a broken connection does, now or when it is dropped. Whether its protocol can
    /// say that; where not, nothing has changed.
    fn breaks_off(&mut self) -> bool {
        false
    }
}

type Serving = Pin<Box<dyn Future<Output = ()>>>;
type Take = Box<dyn FnOnce(Box<dyn ClientIo>) -> Serving + Send>;

/// Takes a connection over, once. Dropped before, it gives up what it holds.
#[derive(Clone)]
pub struct Handover(Arc<Mutex<Option<Take>>>);

impl Handover {
    /// Whoever takes the connection over, and serves it to its end.
    pub fn new<F>(take: impl FnOnce(Box<dyn ClientIo>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        let take: Take = Box::new(|io| Box::pin(take(io)));
        Self(Arc::new(Mutex::new(Some(take))))
    }

    /// Serves the connection to its end; a second time does nothing.
    pub(super) async fn take(self, io: Box<dyn ClientIo>) {
        let take = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        // What else it holds is let go of before the connection is served, not after.
        drop(self);
        if let Some(take) = take {
            take(io).await;
        }
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handover")
    }
}
