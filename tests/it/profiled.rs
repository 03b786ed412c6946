//! The work by which `cargo build-gateways` optimises: every request of it is answered as it should
//! be, by gateways that were built without counting.

use std::time::Duration;

use tests::profiled::training::Training;

#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_serve_all_that_their_profile_is_taken_of() {
    let demo = tests::harness::program("demo");
    let gateways = demo.parent().expect("a folder").to_path_buf();
    let port_offset = 18_000;
    let training = Training { demo, gateways, port_offset, length: Duration::ZERO, counts: None };
    for is_tls in [false, true] {
        training.serve(is_tls).await.expect("served");
    }
}
