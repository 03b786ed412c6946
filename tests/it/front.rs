//! The front end, byte by byte: what a gateway makes of what no client library would send.
//!
//! Each test stands between a raw client and an origin that keeps every byte it gets. What counts is
//! what arrives there: never two requests for one, and none that has two readings.

mod client;
mod frames;
pub(crate) mod fuzz;
mod http1;
mod http2;
mod origin;
mod windows;

use gateway_core::command::Gateway;
use tests::harness::GatewayUnderTest;

use self::client::Client;
use self::origin::Origin;

/// A gateway that passes everything on to one service.
struct Front;

impl Gateway for Front {
    fn name(&self) -> &'static str {
        "front"
    }
}

/// Limits that a test can reach with few bytes.
const CONFIGURATION: &str = r#"
[gateway]
name = "front"
expose = ["*"]
[server]
body_size_max = "1KiB"
target_size_max = "512B"
head_size_max = "2KiB"
header_count_max = 20
[server.http2]
streams_max = 10
control_frames_max = 100
[limits.all]
key = "address"
rate = "1000000/s"
[policy]
limits = ["all"]
deadline = "5s"
[services.origin]
url = "http://{origin}"
[routes.get]
match = "GET /{*rest}"
service = "origin"
public = "a test"
[routes.post]
match = "POST /{*rest}"
service = "origin"
public = "a test"
"#;

/// A gateway, and the only service behind it.
struct Setup {
    gateway: GatewayUnderTest,
    origin: Origin,
}

impl Setup {
    fn start() -> Self {
        let origin = Origin::start();
        let text = CONFIGURATION.replace("{origin}", &origin.address().to_string());
        Self { gateway: GatewayUnderTest::of_text(&Front, &text), origin }
    }

    fn connect(&self) -> Client {
        Client::connect(self.gateway.url.strip_prefix("http://").expect("http"))
    }
}
