//! One sample service as a process: `node link-service --port 8080 [--faults]`.
//!
//! It takes the key it shares with the gateways from the variable that configuration names, and
//! ends on SIGTERM or when the process that started it has ended.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use gateway_core::assertion::AssertionKey;
use gateway_core::clock::Clock;
use tests::platform::{self, Service, Settings};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
struct Arguments {
    /// Which service.
    service: String,
    /// Where it listens on 127.0.0.1.
    #[arg(long)]
    port: u16,
    /// Whether `POST /faults` sets faults.
    #[arg(long)]
    faults: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("node: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(arguments: &Arguments) -> Result<()> {
    let service = Service::parse(&arguments.service)
        .with_context(|| format!("there is no service {}", arguments.service))?;
    let variable = service.key_variable();
    let key = std::env::var(&variable).with_context(|| format!("{variable} is not set"))?;
    let settings = Settings {
        keys: vec![AssertionKey::build(key.as_bytes()).with_context(|| variable)?],
        clock: Clock::system(),
        logs_to_stdout: true,
        takes_faults: arguments.faults,
    };
    let running = platform::start(service, arguments.port, settings).await?;
    eprintln!("{} at {}", service.name(), running.url());
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        () = parent_ended() => {}
    }
    Ok(())
}

/// An orphan is given to another parent.
async fn parent_ended() {
    let parent = std::os::unix::process::parent_id();
    while std::os::unix::process::parent_id() == parent {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
