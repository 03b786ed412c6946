//! The access log, from the cores' end to the destination.

use std::sync::mpsc;

use super::*;
use crate::clock::Timestamp;
use crate::exchange::RequestId;

fn record(path: &str) -> Record {
    let now = Timestamp::from_unix_seconds(1_700_000_000);
    let record = Record::open(RequestId::generate(now), now, "mobile-bff".into());
    Record { path: path.into(), ..record }
}

/// The paths of the lines, in their order.
fn paths(text: &str) -> Vec<String> {
    assert!(text.is_empty() || text.ends_with('\n'), "half a line: {text}");
    let path = |line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        line["path"].as_str().expect("a path").to_owned()
    };
    text.lines().map(path).collect()
}

fn open(
    writer: impl Write + Send + 'static,
    lines_max: usize,
    cores: usize,
) -> (AccessLog, Counter) {
    let dropped = Counter::default();
    let destination = Destination::Writer(Box::new(writer));
    let log = AccessLog::open(destination, lines_max, cores, dropped.clone()).expect("a thread");
    (log, dropped)
}

/// A destination that reports each write, and lets none pass while the test holds the turns.
struct Slow {
    lines: MemoryLines,
    writes: mpsc::Sender<()>,
    turns: mpsc::Receiver<()>,
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.writes.send(());
        // An error says that the test has let go of the turns.
        let _ = self.turns.recv();
        self.lines.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A destination, its lines, its writes as they begin, and what holds them up.
fn slow() -> (Slow, MemoryLines, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let lines = MemoryLines::default();
    let (writes, written) = mpsc::channel();
    let (turn, turns) = mpsc::channel();
    (Slow { lines: lines.clone(), writes, turns }, lines, written, turn)
}

#[test]
fn closing_loses_no_line_of_any_core() {
    let lines = MemoryLines::default();
    let (log, dropped) = open(lines.clone(), 100_000, 4);
    thread::scope(|scope| {
        for core in 0..4 {
            let writer = log.writer(core);
            scope.spawn(move || {
                for n in 0..2_000 {
                    writer.write(&record(&format!("/{core}/{n:04}")));
                }
            });
        }
    });
    log.close();
    let paths = paths(&lines.text());
    assert_eq!((paths.len(), dropped.get()), (8_000, 0));
    for core in 0..4 {
        let prefix = format!("/{core}/");
        let of_core: Vec<_> = paths.iter().filter(|path| path.starts_with(&prefix)).collect();
        assert_eq!(of_core.len(), 2_000);
        assert!(of_core.is_sorted(), "a core's lines keep their order");
    }
}

#[test]
fn a_line_is_written_without_another_one_pushing_it() {
    let (slow, lines, written, turn) = slow();
    let (log, _) = open(slow, 10, 1);
    drop(turn);
    // Each line finds the thread asleep, or on its way there.
    for n in 0..5 {
        log.writer(0).write(&record(&format!("/{n}")));
        written.recv_timeout(Duration::from_secs(60)).expect("a write");
    }
    log.close();
    assert_eq!(paths(&lines.text()), ["/0", "/1", "/2", "/3", "/4"]);
}

#[test]
fn a_full_lane_drops_and_counts_and_never_waits() {
    let (slow, lines, written, turn) = slow();
    let (log, dropped) = open(slow, 6, 2);
    let (first, second) = (log.writer(0), log.writer(1));
    first.write(&record("/stuck"));
    written.recv().expect("a write");
    // From here on the thread hangs in its write.
    for n in 0..5 {
        first.write(&record(&format!("/{n}")));
    }
    assert_eq!(dropped.get(), 2, "three of six lines are this core's share");
    second.write(&record("/other"));
    assert_eq!(dropped.get(), 2, "the other core has its own");
    drop(turn);
    log.close();
    let mut paths = paths(&lines.text());
    paths.sort();
    assert_eq!(paths, ["/0", "/1", "/2", "/other", "/stuck"]);
    second.write(&record("/late"));
    assert_eq!(dropped.get(), 3, "after the end nothing is written");
}

/// A full disk, until the test makes room.
struct Disk(Arc<AtomicBool>, MemoryLines);

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.1.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_that_cannot_be_written_are_counted_and_the_next_ones_are_tried() {
    let is_full = Arc::new(AtomicBool::new(true));
    let lines = MemoryLines::default();
    let (log, dropped) = open(Disk(Arc::clone(&is_full), lines.clone()), 10, 1);
    log.writer(0).write(&record("/lost"));
    while dropped.get() == 0 {
        thread::yield_now();
    }
    is_full.store(false, Ordering::SeqCst);
    log.writer(0).write(&record("/kept"));
    log.close();
    assert_eq!((paths(&lines.text()), dropped.get()), (vec!["/kept".to_owned()], 1));
}

#[test]
fn a_file_is_appended_to_and_off_is_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    for n in 0..2 {
        let destination = Destination::parse(path.to_str().expect("UTF-8"));
        let log = AccessLog::open(destination, 10, 1, Counter::default()).expect("a file");
        log.writer(0).write(&record(&format!("/{n}")));
        log.close();
    }
    let text = std::fs::read_to_string(&path).expect("a file");
    assert_eq!(paths(&text), ["/0", "/1"]);

    let missing = Destination::File(folder.path().join("missing/access.log"));
    assert!(AccessLog::open(missing, 10, 1, Counter::default()).is_err());
    let dropped = Counter::default();
    let off = AccessLog::open(Destination::parse("off"), 10, 1, dropped.clone()).expect("nothing");
    off.writer(0).write(&record("/"));
    off.close();
    assert_eq!(dropped.get(), 0);
    assert!(matches!(Destination::parse("stdout"), Destination::Stdout));
}

#[test]
fn a_file_that_was_moved_away_is_opened_again_and_no_line_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let [path, moved] = ["access.log", "access.log.1"].map(|name| folder.path().join(name));
    let (destination, dropped) = (Destination::File(path.clone()), Counter::default());
    let log = AccessLog::open(destination, 10, 1, dropped.clone()).expect("a file");
    log.writer(0).write(&record("/0"));
    std::fs::rename(&path, &moved).expect("moved");
    log.writer(0).write(&record("/1"));
    log.reopener().reopen();
    while !path.exists() {
        thread::yield_now();
    }
    log.writer(0).write(&record("/2"));
    log.close();
    let text = |path| std::fs::read_to_string(path).expect("a file");
    let (old, new) = (text(&moved), text(&path));
    assert_eq!(paths(&(old + &new)), ["/0", "/1", "/2"]);
    assert!(new.contains("/2"), "{new}");
    assert_eq!(dropped.get(), 0);
}

#[test]
fn where_the_file_cannot_be_opened_again_the_old_one_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let [path, moved] = ["logs", "moved"].map(|name| folder.path().join(name));
    std::fs::create_dir(&path).expect("made");
    let destination = Destination::File(path.join("access.log"));
    let log = AccessLog::open(destination, 10, 1, Counter::default()).expect("a file");
    std::fs::rename(&path, &moved).expect("moved");
    log.reopener().reopen();
    log.writer(0).write(&record("/0"));
    log.close();
    let text = std::fs::read_to_string(moved.join("access.log")).expect("a file");
    assert_eq!(paths(&text), ["/0"]);
}
