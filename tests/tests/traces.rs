//! One trace leads from the call to the upload, through the outbox and the broker.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use sandbox::{World, WorldOptions};
use tests::{Collector, Mode, SslManager, Surroundings, wait_for};

const LIMIT: Duration = Duration::from_mins(1);
const NAME: &str = "shop.example.com";

tests::in_both_modes!(one_trace_leads_from_the_call_to_the_upload);

async fn one_trace_leads_from_the_call_to_the_upload(mode: Mode) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let collector = Collector::start().await;
    let mut manager = SslManager::new(mode, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    world.point_at_cdn(NAME);
    manager.spawn(&[("SSL_MANAGER__TELEMETRY__OTLP_ENDPOINT", collector.endpoint())]);
    manager.ready().await;
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    manager.status(NAME, "Success", LIMIT).await;
    // What is still unsent goes out at the end.
    manager.process().terminate();
    assert!(manager.process().exit(LIMIT).await.success());

    let spans = collector.spans();
    let (_, call) = spans.iter().find(|(_, span)| span.name == "AddDomain").unwrap();
    let expected: Vec<&str> = match mode {
        Mode::Embedded => vec!["ssl-manager"],
        Mode::Scaled => vec!["ssl-manager-api", "ssl-manager-c4-uploader", "ssl-manager-issuer"],
    };
    wait_for("every part of the trace", LIMIT, || {
        let services = collector.services_of(&call.trace_id);
        std::future::ready(if services.iter().eq(&expected) { Ok(()) } else { Err(format!("{services:?}")) })
    })
    .await;
    for (name, what) in [("certificate-requested", "issuer"), ("cert-issued", "uploader")] {
        let (_, handled) = spans.iter().find(|(_, span)| span.name == name).unwrap();
        assert_eq!(handled.trace_id, call.trace_id, "{what}");
        assert!(!handled.parent_span_id.is_empty() && !handled.links.is_empty(), "{what}");
    }
}
