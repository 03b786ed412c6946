//! Chaos: the sample platform falls apart and comes back, again and again, while clients call all
//! three gateways. After it nothing is left over, and each failed answer is explained by its record.
//!
//! Read in this order: the test says what must hold, `clients` who calls and what, `trouble` what
//! happens to the services, `explained` what each answer must have been, `left_over` what is counted.
//!
//! What is sent and what goes wrong comes from a seed, when it meets does not: nothing here asserts
//! on time but that there is an end to it. `CHAOS_SECONDS` (10) and `CHAOS_SEED` say otherwise.

mod clients;
mod explained;
mod left_over;
mod trouble;

use std::process::Command;
use std::time::{Duration, Instant};

use tests::harness::Harness;

use self::clients::{Clients, Requests};
use self::left_over::{LeftOver, resident};
use self::trouble::Trouble;
use crate::front::fuzz::variable;
use crate::split::WIDE;

const NAME: &str =
    "chaos::services_die_hang_and_lie_and_nothing_is_left_over_and_each_failure_has_its_record";

/// Set in the process that the test has to itself.
const ALONE: &str = "CHAOS_ALONE";

/// How long services may be gone and gateways find out, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// What memory may grow by in the second half, beyond what the test itself writes down of each
/// answer (its line, and what five services have seen). Loose: an allocator gives back when it
/// likes. One endless body that is kept for each tenth answer would still be too much.
const GROWTH_MAX: u64 = 64 << 20;
const NOTES_OF_AN_ANSWER: u64 = 16 << 10;

/// Time-outs and breakers that see many outages in ten seconds, and limits that only writes reach.
fn layer() -> String {
    format!(
        "{WIDE}[limits.anonymous]\nrate = \"10000000/min\"\n[limits.links-write]\nrate = \"60/min\"\n\
         [policy]\ndeadline = \"2s\"\n[aggregates.dashboard.parts.usage.cache]\nttl = \"100ms\"\n\
         [aggregation]\npart_size_max = \"256KiB\"\n\
         [upstream]\nconnect_timeout = \"300ms\"\nresponse_timeout = \"400ms\"\n\
         read_timeout = \"400ms\"\nidle_timeout = \"1s\"\nbody_size_max = \"256KiB\"\npending_timeout = \"100ms\"\n\
         [upstream.breaker]\nopen_time = \"100ms\"\nopen_time_max = \"400ms\"\n\
         [services.link-service]\nconnections_max = 3\n\
         [services.analytics-service.concurrency]\nlatency_max = \"300ms\"\nmin = 2\nmax = 16\n"
    )
}

#[test]
fn services_die_hang_and_lie_and_nothing_is_left_over_and_each_failure_has_its_record() {
    if std::env::var_os(ALONE).is_none() {
        return run_alone();
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(chaos());
}

/// Runs the test once more, in a process in which nothing else uses memory or descriptors.
fn run_alone() {
    let mut test = Command::new(std::env::current_exe().expect("this program"));
    let output = test.args(["--exact", NAME, "--nocapture"]).env(ALONE, "1").output();
    let output = output.expect("started");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (said(&output.stdout), said(&output.stderr));
    print!("{out}");
    assert!(output.status.success() && out.contains("1 passed"), "{out}\n{err}");
}

async fn chaos() {
    let (seed, seconds) = (variable("CHAOS_SEED", 20_261_124), variable("CHAOS_SECONDS", 10));
    println!("chaos for {seconds} s, CHAOS_SEED={seed}");
    let mut harness = Harness::builder()
        .layer("web-bff", &layer())
        .layer("mobile-bff", &layer())
        .layer("partner-gateway", &layer())
        .start()
        .await;
    let requests = Requests::of(&harness).await;
    is_well(&harness, &requests).await;
    let before = LeftOver::of(&mut harness).await;
    assert!(before.holds_nothing(), "{before:?}");

    let clients = Clients::start(&requests, seed);
    let mut trouble = Trouble::new(seed);
    let half = Duration::from_secs(seconds) / 2;
    let begun = Instant::now();
    trouble.make(&mut harness, begun + half).await;
    let (resident_at_half, answers_at_half) = (resident(), clients.answers());
    trouble.make(&mut harness, begun + half * 2).await;
    trouble.end(&mut harness).await;
    let answers = clients.stop().await;
    let growth = resident().saturating_sub(resident_at_half);

    is_well(&harness, &requests).await;
    let after = LeftOver::at_most(&mut harness, &before).await;
    explained::check(&harness, &answers).await;
    let noted = (answers.len() - answers_at_half) as u64 * NOTES_OF_AN_ANSWER;
    println!("{}\n{}\n{after:?}, {growth} bytes more", trouble.said(), clients::said(&answers));
    assert!(growth <= GROWTH_MAX + noted, "{growth} bytes more for {noted}");
    assert!(answers.iter().any(|answer| answer.status >= 500), "no trouble was met");
}

/// Waits until each request has had a whole answer again, and every breaker is closed.
async fn is_well(harness: &Harness, requests: &Requests) {
    let begun = Instant::now();
    let mut ill = requests.all();
    loop {
        let mut ills = clients::leave_ill(&mut ill).await;
        ills.extend(left_over::targets(harness).await.iter().filter_map(|target| {
            let is_good = target["breaker"] == "closed" && target["in_flight"] == 0;
            (!is_good).then(|| target.to_string())
        }));
        if ills.is_empty() {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{ills:#?}");
        if ill.is_empty() {
            // Breakers close by further answers.
            ill = requests.reads();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
