//! Idle connections: each has had one answer, and waits.

use anyhow::Result;
use serde_json::json;

use super::memory::{self, mib};
use crate::bench::gateway::Gateway;
use crate::bench::load::Connection;
use crate::bench::proxies::request;
use crate::bench::report::Section;

pub(super) const COUNT: usize = 10_000;

const GOAL_MIB: u32 = 150;

pub(super) async fn section(gateway: &Gateway, process: u32, token: &str) -> Result<Section> {
    let request = request("/links/x7Kp2", token);
    let before = memory::of_process(process)?;
    let mut open = Vec::with_capacity(COUNT);
    for _ in 0..COUNT {
        let mut connection = Connection::open(gateway.address).await?;
        connection.ask(&request).await?;
        open.push(connection);
    }
    let after = memory::of_process(process)?;
    drop(open);
    let each = mib(after.now_kib.saturating_sub(before.now_kib)) * 1_024.0 / 10_000.0;
    let (without, with) = (mib(before.now_kib), mib(after.now_kib));
    let text = format!(
        "{COUNT} idle connections, each of which has had an answer:\n\n\
         | | resident MiB | goal |\n|---|---|---|\n| none | {without:.1} | |\n\
         | {COUNT} | {with:.1} | ≤ {GOAL_MIB} |\n\nEach holds {each:.1} KiB.\n"
    );
    let figures = json!({ "without_mib": without, "with_mib": with, "each_kib": each });
    Ok(Section { key: "idle_connections".to_owned(), text, figures })
}
