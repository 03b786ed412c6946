//! What the gateway is configured with beside the sample's: the services, and the views.

use std::fmt::Write as _;

use super::by_parts;
use super::services::Services;

const VIEWS: &str = include_str!("../../../bench/aggregate.toml");

/// The layer's text.
pub(super) fn layer(services: &Services) -> String {
    let mut layer = services.fill(VIEWS);
    for count in by_parts::COUNTS {
        layer += &view_of(count, services);
    }
    layer
}

/// A view of so many parts, all alike, from one service after the other.
fn view_of(count: usize, services: &Services) -> String {
    let path = by_parts::path(count);
    let mut view = format!(
        "\n[views.parts-{count}]\nroute = \"GET {path}\"\nfields = \"*\"\n\
         limits = [\"links-read\"]\n\n[aggregates.parts-{count}]\ndeadline = \"5s\"\n\
         need = \"required\"\n\n[aggregates.parts-{count}.parts]\n"
    );
    for (number, service) in (1..=count).zip(services.names().cycle()) {
        let _ = writeln!(view, "part-{number} = {{ call = \"GET {service}:/hooks\" }}");
    }
    view
}
