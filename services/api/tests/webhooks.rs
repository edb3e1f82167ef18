//! Endpoints of webhooks through the API: what is made, what is refused, and what is kept of it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use domain::{EndpointState, Role};
use jiff::Timestamp;
use proto::v1;
use proto::v1::notifications_client::NotificationsClient;
use runtime::notifier_keys;
use seal::WebhookTarget;
use store::{AuditEntry, FailedAttempt, FailureOf};
use tonic::transport::Channel;
use tonic::{Code, Request};

use served::{Served, has_reason, served_with, signed};

async fn api() -> (Served, NotificationsClient<Channel>, String) {
    let folder = tempfile::tempdir().unwrap().keep();
    let served = served_with(|config| {
        config.notifier.sealing_key_file = folder.join("notifier.key");
        config.notifier.allow_addresses = vec!["10.1.0.0/16".parse().unwrap()];
        config.preflight.refuse_addresses =
            ["8.8.0.0/16", "10.1.0.0/16"].map(|net| net.parse().unwrap()).to_vec();
    })
    .await;
    let client = NotificationsClient::new(served.channel.clone());
    let token = served.token(Role::Admin, |_| {}).await;
    (served, client, token)
}

fn asked(name: &str, url: &str) -> v1::CreateEndpointRequest {
    v1::CreateEndpointRequest { name: name.into(), url: url.into(), ..v1::CreateEndpointRequest::default() }
}

fn with<T>(message: T, token: &str) -> Request<T> {
    signed(message, token)
}

/// No test here has an endpoint switched off by its receiver.
fn unused_line() -> AuditEntry {
    AuditEntry {
        at: Timestamp::UNIX_EPOCH,
        actor: String::new(),
        peer: String::new(),
        call: String::new(),
        subject: String::new(),
        outcome: String::new(),
        detail: String::new(),
        request_id: String::new(),
    }
}

#[tokio::test]
async fn an_endpoint_is_made_with_a_secret_that_is_shown_once() {
    let (served, mut client, token) = api().await;
    let made = client.create_endpoint(with(asked("ops", "https://hooks.example.net/a?b=c"), &token)).await;
    let made = made.unwrap().into_inner();
    assert!(made.secret.starts_with("whsec_") && made.secret.len() == 49, "{}", made.secret.len());
    let shown = made.endpoint.unwrap();
    assert_eq!((shown.state.as_str(), shown.format.as_str(), shown.kinds.len()), ("enabled", "json", 7));
    let stored = served.context.store.endpoints().await.unwrap().remove(0);
    let keys = notifier_keys(&served.context.config).unwrap();
    assert_eq!(
        (shown.url.as_str(), stored.url.as_str()),
        ("https://hooks.example.net/…", shown.url.as_str())
    );
    let row = (stored.id, stored.url.as_str());
    let target = WebhookTarget::unseal(&keys, row, &stored.sealed_target).await.unwrap();
    assert_eq!(target.secret.as_str(), made.secret);
    assert_eq!(target.url.as_str(), "https://hooks.example.net/a?b=c");
    let of_certificates = served.context.require_sealing_keys().unwrap();
    assert!(WebhookTarget::unseal(&of_certificates, row, &stored.sealed_target).await.is_err());
    let other = (stored.id, "https://evil.example.net/…");
    assert!(WebhookTarget::unseal(&keys, other, &stored.sealed_target).await.is_err());
    let listed = client.list_endpoints(with(v1::ListEndpointsRequest {}, &token)).await.unwrap().into_inner();
    assert_eq!(listed.endpoints, [shown]);
    let audit = served.context.store.audit(Some("ops"), 9).await.unwrap();
    assert_eq!((audit[0].call.as_str(), audit[0].detail.as_str()), ("CreateEndpoint", "hooks.example.net"));
}

#[tokio::test]
async fn what_cannot_be_an_endpoint_says_why() {
    let (_served, mut client, token) = api().await;
    let good = "https://hooks.example.net/";
    for (request, reason, told) in [
        (asked("", good), "ENDPOINT_NAME_INVALID", "letters"),
        (asked("a b", good), "ENDPOINT_NAME_INVALID", "letters"),
        (asked("a", "hooks"), "ENDPOINT_URL_INVALID", "not a URL"),
        (asked("a", "https://u:p@h.example/"), "ENDPOINT_URL_INVALID", "password"),
        (asked("a", "https://127.0.0.1/"), "ENDPOINT_URL_INVALID", "loopback address"),
        (asked("a", "https://169.254.169.254/"), "ENDPOINT_URL_INVALID", "link-local"),
        (asked("a", "https://8.8.8.8/"), "ENDPOINT_URL_INVALID", "refused address"),
        (asked("a", "http://192.0.2.1/"), "ENDPOINT_URL_INVALID", "https://"),
        (
            v1::CreateEndpointRequest { kinds: vec!["test".into()], ..asked("a", good) },
            "ENDPOINT_KINDS_INVALID",
            "emergency",
        ),
        (
            v1::CreateEndpointRequest { format: "xml".into(), ..asked("a", good) },
            "ENDPOINT_FORMAT_INVALID",
            "slack",
        ),
    ] {
        let refused = client.create_endpoint(with(request, &token)).await.err().unwrap();
        assert!(has_reason(&refused, reason), "{refused:?}");
        assert!(refused.message().contains(told), "{}", refused.message());
    }
    client.create_endpoint(with(asked("inside", "http://10.1.2.3:8080/"), &token)).await.unwrap();
    let again = client.create_endpoint(with(asked("inside", good), &token)).await.err().unwrap();
    assert!(has_reason(&again, "ENDPOINT_EXISTS"), "{again:?}");
}

/// The URL is checked as at creation and the secret stays, unless a new one is asked for; the audit log names each change.
#[tokio::test]
async fn an_endpoint_moves_and_each_change_is_audited_without_secrets() {
    let (served, mut client, token) = api().await;
    let made = client.create_endpoint(with(asked("ops", "https://a.example.net/T0/first"), &token)).await;
    let first = made.unwrap().into_inner().secret;
    let target = async || {
        let stored = served.context.store.endpoints().await.unwrap().remove(0);
        let keys = notifier_keys(&served.context.config).unwrap();
        let target =
            WebhookTarget::unseal(&keys, (stored.id, &stored.url), &stored.sealed_target).await.unwrap();
        (target.url.to_string(), target.secret.to_string())
    };
    let update =
        |change: v1::UpdateEndpointRequest| v1::UpdateEndpointRequest { name: "ops".into(), ..change };
    let url = |url: &str| v1::UpdateEndpointRequest { url: Some(url.into()), ..Default::default() };
    for bad in ["https://127.0.0.1/", "https://8.8.8.8/", "http://192.0.2.1/", "hooks"] {
        let refused = client.update_endpoint(with(update(url(bad)), &token)).await.err().unwrap();
        assert!(has_reason(&refused, "ENDPOINT_URL_INVALID"), "{bad}: {refused:?}");
    }
    let moved = client.update_endpoint(with(update(url("https://b.example.net/T0/second")), &token)).await;
    let moved = moved.unwrap().into_inner();
    assert_eq!(
        (moved.endpoint.unwrap().url.as_str(), moved.secret.as_str()),
        ("https://b.example.net/…", "")
    );
    assert_eq!(target().await, ("https://b.example.net/T0/second".to_owned(), first.clone()));
    let renew = v1::UpdateEndpointRequest {
        renew_secret: true,
        kinds: vec!["renewed".into(), "issuer_down".into()],
        format: Some("slack".into()),
        alone: Some(true),
        enabled: Some(false),
        ..Default::default()
    };
    let second = client.update_endpoint(with(update(renew), &token)).await.unwrap().into_inner().secret;
    assert!(second.starts_with("whsec_") && second != first);
    assert_eq!(target().await, ("https://b.example.net/T0/second".to_owned(), second.clone()));
    let same = v1::UpdateEndpointRequest { format: Some("slack".into()), ..Default::default() };
    client.update_endpoint(with(update(same), &token)).await.unwrap();
    let audit = served.context.store.audit(Some("ops"), 20).await.unwrap();
    let told: Vec<&str> = audit
        .iter()
        .filter(|line| line.call == "UpdateEndpoint" && line.outcome == "OK")
        .map(|line| line.detail.as_str())
        .collect();
    let all = "new secret, kinds renewed issuer_down, format slack, each notice alone, disabled";
    assert_eq!(told, ["", all, "URL at b.example.net"]);
    for line in &audit {
        let text = format!("{line:?}");
        assert!(![&first, &second, "T0/"].iter().any(|secret| text.contains(*secret)), "{text}");
    }
    let nobody =
        v1::UpdateEndpointRequest { name: "nobody".into(), renew_secret: true, ..Default::default() };
    let gone = client.update_endpoint(with(nobody, &token)).await.err().unwrap();
    assert!(has_reason(&gone, "ENDPOINT_NOT_FOUND"), "{gone:?}");
}

#[tokio::test]
async fn an_endpoint_is_switched_tested_and_deleted() {
    let (served, mut client, token) = api().await;
    client.create_endpoint(with(asked("ops", "https://hooks.example.net/"), &token)).await.unwrap();
    let test = || v1::TestEndpointRequest { name: "ops".into() };
    let sent = client.test_endpoint(with(test(), &token)).await.unwrap().into_inner().delivery.unwrap();
    assert_eq!((sent.endpoint.as_str(), sent.kind.as_str(), sent.state.as_str()), ("ops", "test", "waiting"));
    let switch = |enabled| v1::UpdateEndpointRequest {
        name: "ops".into(),
        enabled: Some(enabled),
        ..v1::UpdateEndpointRequest::default()
    };
    let off =
        client.update_endpoint(with(switch(false), &token)).await.unwrap().into_inner().endpoint.unwrap();
    assert_eq!(off.state, "disabled");
    assert!(off.state_reason.starts_with("switched off by token:"), "{}", off.state_reason);
    let refused = client.test_endpoint(with(test(), &token)).await.unwrap_err();
    assert!(has_reason(&refused, "ENDPOINT_OFF"), "{refused:?}");
    client.update_endpoint(with(switch(true), &token)).await.unwrap();
    assert_eq!(served.context.store.count_endpoints(EndpointState::Enabled).await.unwrap(), 1);
    let claimed = served.context.store.claim_deliveries(
        served.context.store.endpoints().await.unwrap()[0].id,
        9,
        served.context.clock.now(),
    );
    let given_up = FailedAttempt {
        error: "the answer was 413".to_owned(),
        http_status: Some(413),
        due_at: served.context.clock.now(),
        of: FailureOf::Delivery { is_last: true, is_gone: false, off_if_refusing_since: Timestamp::MIN },
        line: unused_line(),
    };
    served.context.store.not_delivered(&claimed.await.unwrap()[0], &given_up).await.unwrap();
    let all = v1::ListDeliveriesRequest::default();
    let shown = client.list_deliveries(with(all, &token)).await.unwrap().into_inner().deliveries.remove(0);
    assert_eq!((shown.state.as_str(), shown.http_status), ("refused", 413));
    assert_eq!((shown.next_attempt_at, shown.delivered_at), (None, None));
    let list = |page_token: &str| v1::ListDeliveriesRequest {
        endpoint: "ops".into(),
        page_size: 1,
        page_token: page_token.into(),
    };
    client.test_endpoint(with(test(), &token)).await.unwrap();
    let first = client.list_deliveries(with(list(""), &token)).await.unwrap().into_inner();
    let second =
        client.list_deliveries(with(list(&first.next_page_token), &token)).await.unwrap().into_inner();
    assert_eq!((first.deliveries.len(), second.deliveries[0].id.as_str()), (1, sent.id.as_str()));
    assert_eq!(second.next_page_token, "");
    let again = v1::RedeliverDeliveryRequest { id: sent.id.clone() };
    let again = client.redeliver_delivery(with(again, &token)).await.unwrap().into_inner().delivery.unwrap();
    assert_eq!(again.id, sent.id);
    let delete = || v1::DeleteEndpointRequest { name: "ops".into() };
    client.delete_endpoint(with(delete(), &token)).await.unwrap();
    let gone = client.delete_endpoint(with(delete(), &token)).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    let gone = v1::RedeliverDeliveryRequest { id: sent.id };
    assert_eq!(client.redeliver_delivery(with(gone, &token)).await.unwrap_err().code(), Code::NotFound);
}
