//! The access log: finished lines leave the cores in batches, and one thread writes them.
//!
//! Read in this order: [`LineWriter`] is a core's end and costs little more than formatting the
//! line; [`AccessLog`] owns the thread at the other end; between them each core has a lane. [`Reopener`]
//! is for whoever has moved the file away.
//!
//! Invariants
//! - A core never waits for the disk: what does not fit is dropped and counted.
//! - A line is handed to the operating system [`BATCH_EVERY`] after it was written, if that is fast.
//! - [`AccessLog::close`] loses nothing that was written before, and [`Reopener`] nothing at all.
//! - Without requests the thread sleeps: it does not poll.
//!
//! Not here: what a line says (`record`).

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

use crate::record::Record;

/// How long the first line of a batch waits for others.
pub const BATCH_EVERY: Duration = Duration::from_millis(20);

/// A batch of this many bytes does not wait.
const BATCH_BYTES: usize = 256 * 1024;

/// Where lines go.
pub enum Destination {
    /// Nowhere; lines are not even formatted.
    Off,
    /// Standard output.
    Stdout,
    /// A file, which is appended to.
    File(PathBuf),
    /// Anything else.
    Writer(Box<dyn Write + Send>),
}

impl Destination {
    /// `off`, `stdout`, or else the path of a file.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "off" => Self::Off,
            "stdout" => Self::Stdout,
            path => Self::File(path.into()),
        }
    }

    /// The file's, where it is one.
    fn path(&self) -> Option<PathBuf> {
        if let Self::File(path) = self { Some(path.clone()) } else { None }
    }

    fn open(self) -> io::Result<Option<Box<dyn Write + Send>>> {
        Ok(match self {
            Self::Off => None,
            Self::Stdout => Some(Box::new(io::stdout())),
            Self::File(path) => Some(Box::new(append_to(&path)?)),
            Self::Writer(writer) => Some(writer),
        })
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("Off"),
            Self::Stdout => f.write_str("Stdout"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Writer(_) => f.write_str("Writer"),
        }
    }
}

/// The lines in memory, for tests. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemoryLines(Arc<Mutex<Vec<u8>>>);

impl MemoryLines {
    /// Everything written so far.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&lock(&self.0)).into_owned()
    }
}

impl Write for MemoryLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One core's end of the access log; by default of none.
#[derive(Debug, Clone, Default)]
pub struct LineWriter(Option<(Arc<Shared>, usize)>);

impl LineWriter {
    /// Writes down one request. Never waits; a line that finds no room is dropped and counted.
    pub fn write(&self, record: &Record) {
        let Some((shared, lane)) = &self.0 else { return };
        let Some(Lane(batch)) = shared.lanes.get(*lane) else { return };
        let mut batch = lock(batch);
        if batch.is_closed || batch.lines >= shared.lane_lines_max {
            shared.dropped.inc();
            return;
        }
        let was_small = batch.bytes.len() < BATCH_BYTES;
        record.write_json_line(&mut batch.bytes);
        batch.lines += 1;
        let is_first = batch.lines == 1;
        let is_urgent = was_small && batch.bytes.len() >= BATCH_BYTES;
        drop(batch);
        if is_urgent || (is_first && shared.sleeps.swap(false, Ordering::SeqCst)) {
            shared.wake();
        }
    }
}

/// The thread that writes the lines, until it is closed or dropped.
#[derive(Debug)]
pub struct AccessLog {
    shared: Option<Arc<Shared>>,
    thread: Option<JoinHandle<()>>,
}

impl AccessLog {
    /// Opens `destination` for the lines of `cores` cores. Up to `lines_max` lines wait for the
    /// thread, an equal share of them for each core; `dropped` counts what is above it or could not
    /// be written.
    ///
    /// # Errors
    ///
    /// What the operating system says when the file cannot be opened or the thread not be started.
    pub fn open(
        destination: Destination,
        lines_max: usize,
        cores: usize,
        dropped: Counter,
    ) -> io::Result<Self> {
        let path = destination.path();
        let Some(out) = destination.open()? else {
            return Ok(Self { shared: None, thread: None });
        };
        let cores = cores.max(1);
        let shared = Arc::new(Shared {
            lanes: (0..cores).map(|_| Lane::default()).collect(),
            lane_lines_max: lines_max.div_ceil(cores),
            sleeps: AtomicBool::new(false),
            closes: AtomicBool::new(false),
            reopens: AtomicBool::new(false),
            thread: OnceLock::new(),
            dropped,
        });
        let (spare, fails) = (Vec::new(), false);
        let writing = Writing { shared: Arc::clone(&shared), path, out, spare, fails };
        let thread =
            thread::Builder::new().name("access-log".to_owned()).spawn(move || writing.run())?;
        // A core gets its end only after this, so whoever wakes the thread knows it.
        let _ = shared.thread.set(thread.thread().clone());
        Ok(Self { shared: Some(shared), thread: Some(thread) })
    }

    /// The end of one core. Cores that share a lane wait for each other.
    #[must_use]
    pub fn writer(&self, core: usize) -> LineWriter {
        let lane = |shared: &Arc<Shared>| (Arc::clone(shared), core % shared.lanes.len());
        LineWriter(self.shared.as_ref().map(lane))
    }

    /// For whoever moves the file away.
    #[must_use]
    pub fn reopener(&self) -> Reopener {
        Reopener(self.shared.clone())
    }

    /// Writes what is waiting, and ends the thread. Later lines are dropped and counted.
    pub fn close(self) {
        drop(self);
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        let (Some(shared), Some(thread)) = (&self.shared, self.thread.take()) else { return };
        shared.closes.store(true, Ordering::SeqCst);
        shared.wake();
        if thread.join().is_err() {
            tracing::error!("the access log's thread ended by a panic");
        }
    }
}

/// Has the thread open the file by its name once more.
#[derive(Debug, Clone)]
pub struct Reopener(Option<Arc<Shared>>);

impl Reopener {
    /// Lines are written to what the name leads to from about now on; those that are on their way go
    /// to one of the two files. Does nothing where lines go to no file.
    pub fn reopen(&self) {
        if let Some(shared) = &self.0 {
            shared.reopens.store(true, Ordering::SeqCst);
            shared.wake();
        }
    }
}

/// What cores and thread share.
#[derive(Debug)]
struct Shared {
    lanes: Box<[Lane]>,
    lane_lines_max: usize,
    /// The thread waits for the first line of a batch.
    sleeps: AtomicBool,
    closes: AtomicBool,
    /// The file's name may lead to another one by now.
    reopens: AtomicBool,
    thread: OnceLock<Thread>,
    dropped: Counter,
}

impl Shared {
    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    fn is_empty(&self) -> bool {
        self.lanes.iter().all(|Lane(batch)| lock(batch).lines == 0)
    }
}

/// One core's lines on their way. Two lanes never share a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Lane(Mutex<Batch>);

#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    lines: usize,
    is_closed: bool,
}

/// A panic elsewhere leaves at worst a line less.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread's side.
struct Writing {
    shared: Arc<Shared>,
    path: Option<PathBuf>,
    out: Box<dyn Write + Send>,
    /// Takes turns with the lanes' buffers.
    spare: Vec<u8>,
    fails: bool,
}

impl Writing {
    fn run(mut self) {
        loop {
            // Read first: what was written before the end was asked for is then in the lanes.
            let closes = self.shared.closes.load(Ordering::SeqCst);
            if self.shared.reopens.swap(false, Ordering::SeqCst) {
                self.open_again();
            }
            self.write_all_lanes(closes);
            if closes {
                return;
            }
            self.sleep_until_first_line();
            thread::park_timeout(BATCH_EVERY);
        }
    }

    /// Returns at once while there are lines, and now and then for no reason.
    fn sleep_until_first_line(&self) {
        // Announced before the look into the lanes: a line that this look misses sees it.
        self.shared.sleeps.store(true, Ordering::SeqCst);
        let is_wanted = |flag: &AtomicBool| flag.load(Ordering::SeqCst);
        let Shared { closes, reopens, .. } = &*self.shared;
        if self.shared.is_empty() && !is_wanted(closes) && !is_wanted(reopens) {
            thread::park();
        }
        self.shared.sleeps.store(false, Ordering::SeqCst);
    }

    /// A line is written whole before the next one, so none is torn between two files.
    fn open_again(&mut self) {
        let Some(path) = &self.path else { return };
        match append_to(path) {
            Ok(file) => self.out = Box::new(file),
            // The old one still takes them.
            Err(error) => tracing::error!(%error, "the access log cannot be opened again"),
        }
    }

    fn write_all_lanes(&mut self, closes: bool) {
        let shared = Arc::clone(&self.shared);
        for Lane(batch) in &shared.lanes {
            let lines = {
                let mut batch = lock(batch);
                batch.is_closed = closes;
                mem::swap(&mut batch.bytes, &mut self.spare);
                mem::take(&mut batch.lines)
            };
            if lines > 0 {
                self.write_batch(lines);
            }
            self.spare.clear();
            self.spare.shrink_to(BATCH_BYTES);
        }
    }

    fn write_batch(&mut self, lines: usize) {
        let written = self.out.write_all(&self.spare).and_then(|()| self.out.flush());
        let failed_before = mem::replace(&mut self.fails, written.is_err());
        if let Err(error) = written {
            self.shared.dropped.inc_by(u64::try_from(lines).unwrap_or(u64::MAX));
            if !failed_before {
                tracing::error!(%error, "the access log cannot be written; lines are dropped");
            }
        }
    }
}
