//! The peers' processes: found, held on a processor, waited for, and ended with their value.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

pub(super) const READY_WITHIN: Duration = Duration::from_secs(20);
const END_WITHIN: Duration = Duration::from_secs(10);

/// A process that ends with this value.
///
/// It is asked before it is killed: nginx, killed, would leave its worker behind, listening.
#[derive(Debug)]
pub(super) struct Process(Child);

impl Process {
    /// Starts a program. `name` is the one in messages.
    pub(super) fn start(command: &mut Command, name: &str) -> Result<Self> {
        Ok(Self(command.spawn().with_context(|| format!("cannot start {name}"))?))
    }

    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits until it listens.
    pub(super) fn wait_for(&mut self, address: SocketAddr, name: &str) -> Result<()> {
        let give_up_at = Instant::now() + READY_WITHIN;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.0.try_wait()? {
                bail!("{name} has ended before it listened: {status}");
            }
            ensure!(Instant::now() < give_up_at, "{name} does not listen on {address}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Ends it; what it has written to its standard output, where that is a pipe.
    pub(super) fn end(mut self) -> Result<String> {
        let output = self.0.stdout.take();
        drop(self);
        output.map(std::io::read_to_string).transpose()?.context("its output is no pipe")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The number of a process that has ended may be another's by now.
        if !matches!(self.0.try_wait(), Ok(None)) {
            return;
        }
        let id = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let give_up_at = Instant::now() + END_WITHIN;
        while matches!(self.0.try_wait(), Ok(None)) {
            if Instant::now() > give_up_at {
                let _ = self.0.kill();
                let _ = self.0.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Where a program is; fails with the remedy when it is missing.
pub(super) fn find(program: &str, remedy: &str) -> Result<PathBuf> {
    // Debian keeps servers where only root's PATH leads.
    let places = [PathBuf::from(program), Path::new("/usr/sbin").join(program)];
    let is_there = |place: &PathBuf| {
        let mut command = Command::new(place);
        command.arg("-V").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok()
    };
    let found = places.into_iter().find(is_there);
    found.with_context(|| format!("{program} is missing; try `{remedy}`"))
}

/// A program on processor 0.
pub(super) fn pinned(program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(program).stdin(Stdio::null());
    command
}

/// An address that was free a moment ago.
pub(super) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};

    use super::*;

    /// A shell that says `ready`, and when it is asked to end, what `script` does.
    fn shell(script: &str, directory: &Path) -> Process {
        let script =
            format!("trap '{script}; exit' TERM; echo ready; while :; do sleep 0.01; done");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).current_dir(directory).stdout(Stdio::piped());
        let mut process = Process::start(&mut shell, "sh").expect("a shell");
        let mut said = BufReader::new(process.0.stdout.take().expect("piped"));
        let mut line = String::new();
        said.read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        process.0.stdout = Some(said.into_inner());
        process
    }

    #[test]
    fn a_process_is_asked_to_end_and_has_ended_when_its_value_is_gone() {
        let directory = tempfile::tempdir().expect("a folder");
        let process = shell("echo asked > asked", directory.path());
        let id = process.id();
        drop(process);
        assert!(directory.path().join("asked").exists(), "killed, not asked");
        assert!(!Path::new(&format!("/proc/{id}")).exists());
    }

    #[test]
    fn what_a_process_says_at_its_end_is_read() {
        let directory = tempfile::tempdir().expect("a folder");
        let said = shell("echo last words", directory.path()).end().expect("its words");
        assert_eq!(said, "last words\n");
    }

    #[test]
    fn a_process_that_ends_before_it_listens_is_not_waited_for() {
        let mut process = Process::start(&mut Command::new("false"), "it").expect("a process");
        let address = free_address().expect("a port");
        let error = process.wait_for(address, "it").expect_err("it has ended").to_string();
        assert!(error.contains("it has ended before it listened"), "{error}");
    }

    #[test]
    fn a_program_that_is_missing_is_named_with_its_remedy() {
        let error = find("no-such-program", "apt-get install it").expect_err("missing").to_string();
        assert_eq!(error, "no-such-program is missing; try `apt-get install it`");
    }
}
