//! Notices, endpoints and deliveries of webhooks.

use std::collections::BTreeMap;

use domain::{
    DeliveryState, Domain, EndpointId, EndpointState, EventId, NoticeKind, Reason, Source, Status,
    WebhookFormat,
};
use jiff::SignedDuration;
use store::{AuditEntry, ClaimedDelivery, DeliveryEvent, Endpoint, FailedAttempt, FailureOf, Store};

use crate::kit::{
    Case, add, at, committing, fresh_uuid, is_conflict, live, name, row, update, with_facts, write,
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

async fn endpoint(store: &Store, name: &str) -> Endpoint {
    let endpoint = Endpoint {
        id: EndpointId::from(fresh_uuid()),
        name: name.to_owned(),
        url: "https://hooks.example.net/…".to_owned(),
        sealed_target: vec![0, 159, 1],
        kinds: vec![NoticeKind::Emergency, NoticeKind::Renewed],
        labels: BTreeMap::from([("team".to_owned(), "a'b".to_owned())]),
        format: WebhookFormat::Slack,
        digest: true,
        state: EndpointState::Enabled,
        state_reason: String::new(),
        created_at: at(0),
        created_by: "token:ops".to_owned(),
        failing_since: None,
        refusing_since: None,
        failures: 0,
        retry_at: None,
        last_error: String::new(),
        delivered_at: None,
    };
    write(store, async |tx| tx.add_endpoint(&endpoint).await).await;
    endpoint
}

fn event(endpoint: &Endpoint, label: &str) -> DeliveryEvent {
    DeliveryEvent {
        endpoint: endpoint.id,
        event: EventId::from(fresh_uuid()),
        delivery: EventId::from(fresh_uuid()),
        subject: name(label).to_string(),
        body: "{}".to_owned(),
    }
}

async fn alone(store: &Store, endpoint: &Endpoint, label: &str) -> DeliveryEvent {
    let event = event(endpoint, label);
    write(store, async |tx| tx.deliver_alone(NoticeKind::Renewed, event.clone()).await).await;
    event
}

async fn in_digest(store: &Store, endpoint: &Endpoint, labels: &[&str]) {
    let events: Vec<DeliveryEvent> = labels.iter().map(|label| event(endpoint, label)).collect();
    write(store, async |tx| tx.deliver_in_digest(NoticeKind::Emergency, "emergency", HOUR, events).await)
        .await;
}

async fn claim(store: &Store, second: i64) -> Vec<ClaimedDelivery> {
    let Some(endpoint) = store.endpoints().await.unwrap().pop() else { return Vec::new() };
    store.claim_deliveries(endpoint.id, 10, at(second)).await.unwrap()
}

fn line() -> AuditEntry {
    AuditEntry {
        at: at(0),
        actor: "role:notifier".to_owned(),
        peer: "local".to_owned(),
        call: "UpdateEndpoint".to_owned(),
        subject: "ops".to_owned(),
        outcome: "OK".to_owned(),
        detail: "switched off: the answer was 500".to_owned(),
        request_id: String::new(),
    }
}

fn failed(second: i64, off: i64) -> FailedAttempt {
    FailedAttempt {
        error: "the answer was 500".to_owned(),
        http_status: Some(500),
        due_at: at(second),
        of: FailureOf::Endpoint { retry_at: at(second), off_if_failing_since: at(off) },
        line: line(),
    }
}

fn refused(second: i64, is_last: bool) -> FailedAttempt {
    FailedAttempt {
        error: "the answer was 413".to_owned(),
        http_status: Some(413),
        due_at: at(second),
        of: FailureOf::Delivery { is_last, is_gone: false, off_if_refusing_since: at(second - 9000) },
        line: line(),
    }
}

/// What a step makes of a domain is noticed with it, and taken once.
pub async fn a_step_stores_its_notices(store: Case) {
    let before = add(&store, "shop").await;
    let failing = |domain: &Domain| {
        let reason = Reason::UploadFailed { detail: "503 'x'".to_owned() };
        with_facts(domain.clone(), |facts| facts.upload_failing = Some(reason))
    };
    let mut tx = store.begin("dropped").await.unwrap();
    tx.apply(Some(&before), &failing(&before), None).await.unwrap();
    drop(tx);
    assert!(store.due_notices(9).await.unwrap().is_empty(), "nothing happened");
    write(&store, async |tx| tx.apply(Some(&before), &failing(&before), None).await).await;
    let notices = store.due_notices(9).await.unwrap();
    assert_eq!(notices.len(), 1);
    assert_eq!((notices[0].kind, notices[0].subject.as_str()), (NoticeKind::Emergency, "shop.example.com"));
    assert_eq!(notices[0].status, Some(Status::Emergency));
    assert_eq!(notices[0].reason, row(&store, "shop").await.reason());
    let id = notices[0].id;
    let taken = write(&store, async |tx| tx.take_notices(&[id]).await).await;
    assert_eq!(taken, [id]);
    assert!(write(&store, async |tx| tx.take_notices(&[id]).await).await.is_empty(), "once");
    assert!(store.due_notices(9).await.unwrap().is_empty());
    assert_eq!(store.forget_notices(at(-1), at(-1), 9).await.unwrap(), 0);
    assert_eq!(store.forget_notices(at(0), at(-1), 9).await.unwrap(), 1);
}

/// A notice with a mark is stored once, waits for its time, and stays after it was taken.
pub async fn a_mark_is_noticed_once(store: Case) {
    let before = add(&store, "shop").await;
    let reason = Reason::PortMissing { missing: vec![443] };
    let blocked = with_facts(before.clone(), |facts| facts.block = Some(reason));
    write(&store, async |tx| tx.apply(Some(&before), &blocked, None).await).await;
    let stored = row(&store, "shop").await;
    let mended = stored.clone().with_stored_facts(before.stored_facts().clone());
    write(&store, async |tx| tx.apply(Some(&stored), &mended, None).await).await;
    let stored = row(&store, "shop").await;
    let again = stored.clone().with_stored_facts(blocked.stored_facts().clone());
    write(&store, async |tx| tx.apply(Some(&stored), &again, None).await).await;
    assert!(store.due_notices(9).await.unwrap().is_empty(), "not yet");
    let notices = store.at(3600).due_notices(9).await.unwrap();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert_eq!(notices[0].kind, NoticeKind::CustomerActionNeeded);
    write(&store, async |tx| tx.take_notices(&[notices[0].id]).await).await;
    assert_eq!(store.forget_notices(at(9999), at(-1), 9).await.unwrap(), 0, "its mark is needed");
    assert_eq!(store.forget_notices(at(9999), at(0), 9).await.unwrap(), 1);
}

/// A notice whose mark was cleared keeps away no other one, and is deleted early.
pub async fn a_mark_that_was_cleared_is_free(store: Case) {
    let before = add(&store, "shop").await;
    let reason = Reason::PortMissing { missing: vec![443] };
    let blocked = with_facts(before.clone(), |facts| facts.block = Some(reason));
    write(&store, async |tx| tx.apply(Some(&before), &blocked, None).await).await;
    let stored = row(&store, "shop").await;
    let mended = stored.clone().with_stored_facts(before.stored_facts().clone());
    write(&store, async |tx| tx.apply(Some(&stored), &mended, None).await).await;
    let first = store.at(3600).due_notices(9).await.unwrap().remove(0);
    store.clear_marks(&[first.id]).await.unwrap();
    write(&store, async |tx| tx.take_notices(&[first.id]).await).await;
    let stored = row(&store, "shop").await;
    let again = stored.clone().with_stored_facts(blocked.stored_facts().clone());
    write(&store, async |tx| tx.apply(Some(&stored), &again, None).await).await;
    let notices = store.at(7200).due_notices(9).await.unwrap();
    assert_eq!(notices.len(), 1);
    assert!(notices[0].id != first.id && !notices[0].mark.is_empty());
    assert_eq!(store.forget_notices(at(3600), at(-1), 9).await.unwrap(), 1);
}

/// A certificate that ends soon and is not renewed is found once per kind and number of days.
pub async fn what_ends_soon_is_found_once(store: Case) {
    let domain = add(&store, "shop").await;
    let live = live(&store, "shop", 86_400).await;
    let mut domain = with_facts(domain, |facts| facts.live = Some(live));
    domain.source = Source::Text;
    let stored = update(&store, &domain).await;
    let find = async |kind, days, after: i64, by: i64| {
        store.ending_unnoticed(kind, days, (at(after), at(by)), 9).await.unwrap()
    };
    assert!(find(NoticeKind::PastedEnding, 7, 0, 86_399).await.is_empty());
    assert!(find(NoticeKind::ExpiringBlocked, 7, 0, 86_400).await.is_empty());
    let found = find(NoticeKind::PastedEnding, 7, 0, 86_400).await;
    assert_eq!(found.len(), 1);
    let certificate = stored.live().unwrap().certificate;
    assert_eq!((found[0].certificate, found[0].ends_at), (certificate, at(86_400)));
    let notice = |number| store::Notice {
        id: EventId::from(fresh_uuid()),
        kind: NoticeKind::PastedEnding,
        subject: "shop.example.com".to_owned(),
        mark: format!("7/{certificate}"),
        customer_ref: String::new(),
        at: at(number),
        due_at: at(number),
        status: None,
        reason: None,
        days: Some(7),
        ends_at: Some(at(86_400)),
    };
    for number in 0..2 {
        committing(&store, async |tx| {
            tx.append_notice(notice(number));
            Ok(())
        })
        .await
        .unwrap();
    }
    assert_eq!(store.at(9).due_notices(9).await.unwrap().len(), 1, "of two copies one stores it");
    assert!(find(NoticeKind::PastedEnding, 7, 0, 86_400).await.is_empty());
    assert_eq!(find(NoticeKind::PastedEnding, 1, 0, 86_400).await.len(), 1, "another number of days");
    let labelled = store.labelled_domains(&[name("shop"), name("gone")]).await.unwrap();
    assert_eq!(labelled, [(stored, BTreeMap::new())]);
}

/// An endpoint comes back as it was, has a name of its own, and is changed and deleted.
pub async fn endpoints_come_back(store: Case) {
    let one = endpoint(&store, "ops").await;
    assert_eq!(store.endpoints().await.unwrap(), std::slice::from_ref(&one));
    let same = Endpoint { id: EndpointId::from(fresh_uuid()), ..one.clone() };
    assert!(is_conflict(committing(&store, async |tx| tx.add_endpoint(&same).await).await));
    let off = Endpoint {
        kinds: vec![NoticeKind::IssuerDown],
        labels: BTreeMap::new(),
        url: "https://other.example.net/…".to_owned(),
        sealed_target: vec![3],
        refusing_since: Some(at(2)),
        state: EndpointState::Disabled,
        state_reason: "moved".to_owned(),
        ..one.clone()
    };
    write(&store, async |tx| tx.update_endpoint(&off).await).await;
    assert_eq!(write(&store, async |tx| tx.endpoint("ops").await).await, Some(off.clone()));
    assert_eq!(store.count_endpoints(EndpointState::Disabled).await.unwrap(), 1);
    alone(&store, &one, "shop").await;
    write(&store, async |tx| tx.delete_endpoint(one.id).await).await;
    assert!(store.endpoints().await.unwrap().is_empty());
    assert!(store.deliveries(None, None, 9).await.unwrap().is_empty());
}

/// One delivery that is refused may be at fault itself; several are the endpoint, and so is one answer that says it is gone.
pub async fn an_endpoint_that_refuses_everything_is_switched_off(store: Case) {
    let endpoint = endpoint(&store, "ops").await;
    let refuse = async |second: i64, is_gone| {
        let claimed = claim(store.at(second), second + 30).await.pop().unwrap();
        let off_if_refusing_since = at(second - 1000);
        let of = FailureOf::Delivery { is_last: false, is_gone, off_if_refusing_since };
        store.not_delivered(&claimed, &FailedAttempt { of, ..refused(second + 600, false) }).await.unwrap()
    };
    alone(&store, &endpoint, "a").await;
    assert!(!refuse(0, false).await);
    assert!(!refuse(2000, false).await, "one alone");
    assert_eq!(store.endpoints().await.unwrap()[0].refusing_since, Some(at(0)));
    alone(&store, &endpoint, "b").await;
    assert!(refuse(2000, false).await);
    let off = store.endpoints().await.unwrap().remove(0);
    assert_eq!((off.state, off.state_reason.as_str()), (EndpointState::Failed, "the answer was 413"));
    let told = store.audit(Some("ops"), 9).await.unwrap();
    assert_eq!((told.len(), told[0].actor.as_str()), (1, "role:notifier"));

    let on = Endpoint { state: EndpointState::Enabled, refusing_since: None, ..off };
    write(&store, async |tx| tx.update_endpoint(&on).await).await;
    let both = claim(store.at(3000), 3030).await;
    let of = FailureOf::Delivery { is_last: false, is_gone: false, off_if_refusing_since: at(2000) };
    let attempt = FailedAttempt { of, ..refused(3600, false) };
    assert!(!store.not_delivered(&both[0], &attempt).await.unwrap(), "not for long");
    store.delivered(&both[1], 200).await.unwrap();
    assert_eq!(store.endpoints().await.unwrap()[0].refusing_since, None);
    assert!(!refuse(9000, false).await, "it took one meanwhile");
    assert!(refuse(9600, true).await, "410 is enough");
}

/// A digest collects for its time, is then closed, and another one is opened.
pub async fn a_digest_collects_for_a_while(store: Case) {
    let endpoint = endpoint(&store, "ops").await;
    in_digest(&store, &endpoint, &["a", "b"]).await;
    in_digest(&store, &endpoint, &["c"]).await;
    assert!(claim(&store, 30).await.is_empty(), "it is open");
    store.at(3600);
    in_digest(&store, &endpoint, &["d"]).await;
    let claimed = claim(&store, 3630).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!((claimed[0].delivery.events, claimed[0].delivery.state), (3, DeliveryState::Waiting));
    assert_eq!(store.delivery_events(claimed[0].delivery.id).await.unwrap().len(), 3);
    assert_eq!(store.deliveries(Some(endpoint.id), None, 9).await.unwrap().len(), 2);
    let many: Vec<String> = (0..1201).map(|number| format!("s{number}")).collect();
    in_digest(&store, &endpoint, &many.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut sizes: Vec<u32> = Vec::new();
    for digest in store.deliveries(Some(endpoint.id), None, 9).await.unwrap() {
        assert_eq!(store.delivery_events(digest.id).await.unwrap().len(), digest.events as usize);
        sizes.push(digest.events);
    }
    sizes.sort_unstable();
    assert_eq!(sizes, [3, 202, 500, 500], "the one with d is filled first");
}

/// A claim is ours for a while; who was overtaken changes nothing.
pub async fn a_delivery_is_claimed_by_one(store: Case) {
    let endpoint = endpoint(&store, "ops").await;
    assert!(store.due_endpoints().await.unwrap().is_empty());
    let event = alone(&store, &endpoint, "shop").await;
    assert_eq!(store.due_endpoints().await.unwrap(), [endpoint.id]);
    let first = claim(&store, 30).await.pop().unwrap();
    assert_eq!(first.delivery.id, event.delivery);
    assert!(claim(&store, 30).await.is_empty(), "it is taken");
    let second = claim(store.at(30), 60).await.pop().unwrap();
    assert!(!store.not_delivered(&first, &failed(90, -1)).await.unwrap());
    store.delivered(&first, 200).await.unwrap();
    assert_eq!(store.delivery(event.delivery).await.unwrap().unwrap().attempts, 0, "overtaken");
    store.delivered(&second, 204).await.unwrap();
    let done = store.delivery(event.delivery).await.unwrap().unwrap();
    assert_eq!((done.state, done.http_status, done.attempts), (DeliveryState::Delivered, Some(204), 1));
    assert_eq!(store.endpoints().await.unwrap()[0].delivered_at, Some(at(30)));
    assert!(claim(store.at(99), 120).await.is_empty());
    assert!(write(&store, async |tx| tx.redeliver(event.delivery).await).await);
    assert_eq!(claim(&store, 120).await.len(), 1);
}

/// A later delivery about a domain waits for an earlier one, and one about another domain does not.
pub async fn deliveries_of_a_domain_keep_their_order(store: Case) {
    let endpoint = endpoint(&store, "ops").await;
    let first = alone(&store, &endpoint, "shop").await;
    let second = alone(store.at(1), &endpoint, "shop").await;
    let other = alone(store.at(2), &endpoint, "other").await;
    let claimed = claim(&store, 30).await;
    let mut ids: Vec<EventId> = claimed.iter().map(|claimed| claimed.delivery.id).collect();
    ids.sort();
    let mut expected = [first.delivery, other.delivery];
    expected.sort();
    assert_eq!(ids, expected);
    for claimed in &claimed {
        store.delivered(claimed, 200).await.unwrap();
    }
    let next = claim(&store, 30).await;
    assert_eq!(next.len(), 1);
    assert_eq!(next[0].delivery.id, second.delivery);
}

/// An endpoint that fails is left alone until its time; what waited is due once it works, and after days it is off.
pub async fn an_endpoint_that_fails_is_waited_for(store: Case) {
    let endpoint = endpoint(&store, "ops").await;
    let one = alone(&store, &endpoint, "a").await;
    let claimed = claim(&store, 30).await.pop().unwrap();
    assert!(!store.not_delivered(&claimed, &failed(600, -1)).await.unwrap());
    alone(&store, &endpoint, "b").await;
    assert!(claim(store.at(599), 630).await.is_empty());
    assert!(store.due_endpoints().await.unwrap().is_empty());
    let shown = store.endpoints().await.unwrap().pop().unwrap();
    assert_eq!((shown.failures, shown.failing_since), (1, Some(at(0))));
    assert_eq!(shown.last_error, "the answer was 500");
    let claimed = claim(store.at(600), 630).await;
    assert_eq!(claimed.len(), 2);
    let (a, b): (Vec<_>, Vec<_>) =
        claimed.into_iter().partition(|claimed| claimed.delivery.id == one.delivery);
    store.not_delivered(&a[0], &failed(9000, -1)).await.unwrap();
    store.delivered(&b[0], 200).await.unwrap();
    let claimed = claim(&store, 630).await.pop().unwrap();
    assert_eq!(claimed.delivery.id, one.delivery, "it works again");
    assert!(store.not_delivered(&claimed, &failed(700, 600)).await.unwrap(), "failing for long enough");
    let off = store.endpoints().await.unwrap().pop().unwrap();
    assert_eq!((off.state, off.state_reason.as_str()), (EndpointState::Failed, "the answer was 500"));
    assert!(claim(store.at(9999), 10_030).await.is_empty());
    assert_eq!(store.waiting_deliveries().await.unwrap(), (0, None));
    assert_eq!(store.forget_deliveries(at(0), 9).await.unwrap(), 2);
}

/// What an endpoint refuses is of that delivery alone, is not due by another one's success, and holds up nothing once it
/// was given up.
pub async fn what_is_refused_waits_alone(store: Case) {
    let endpoint = endpoint(&store, "ops").await;
    let bad = alone(&store, &endpoint, "bad").await;
    let later = alone(store.at(1), &endpoint, "bad").await;
    let claimed = claim(&store, 30).await.pop().unwrap();
    assert!(!store.not_delivered(&claimed, &refused(600, false)).await.unwrap());
    let shown = store.endpoints().await.unwrap().pop().unwrap();
    assert_eq!((shown.failures, shown.retry_at, shown.failing_since), (0, None, None));
    assert_eq!(shown.last_error, "the answer was 413");
    let one = alone(&store, &endpoint, "one").await;
    let claimed = claim(&store, 30).await.pop().unwrap();
    assert_eq!(claimed.delivery.id, one.delivery);
    store.not_delivered(&claimed, &failed(60, -1)).await.unwrap();
    let two = alone(store.at(60), &endpoint, "two").await;
    let claimed = claim(&store, 90).await;
    let two = claimed.iter().find(|claimed| claimed.delivery.id == two.delivery).unwrap();
    store.delivered(two, 200).await.unwrap();
    assert_eq!(store.delivery(bad.delivery).await.unwrap().unwrap().due_at, at(600));
    let claimed = claim(store.at(600), 630).await;
    let claimed = claimed.into_iter().find(|claimed| claimed.delivery.id == bad.delivery).unwrap();
    assert_eq!(claimed.delivery.refusals, 1);
    assert!(!store.not_delivered(&claimed, &refused(900, true)).await.unwrap());
    let given_up = store.delivery(bad.delivery).await.unwrap().unwrap();
    assert_eq!((given_up.state, given_up.ended_at), (DeliveryState::Refused, Some(at(600))));
    let next = claim(&store, 630).await;
    assert!(next.iter().any(|claimed| claimed.delivery.id == later.delivery), "{next:?}");
    assert!(claim(store.at(9999), 10_030).await.iter().all(|claimed| claimed.delivery.id != bad.delivery));
    assert!(write(&store, async |tx| tx.redeliver(bad.delivery).await).await);
    let again = store.delivery(bad.delivery).await.unwrap().unwrap();
    assert_eq!((again.refusals, again.ended_at), (0, None));
}

/// Attempts that fail at once are one failure of their endpoint.
pub async fn failures_at_once_count_once(store: Case) {
    let endpoint = endpoint(&store, "ops").await;
    for label in ["a", "b", "c"] {
        alone(&store, &endpoint, label).await;
    }
    let claimed = claim(&store, 30).await;
    assert_eq!(claimed.len(), 3);
    for (claimed, second) in claimed.iter().zip([30, 60, 90]) {
        store.not_delivered(claimed, &failed(second, -1)).await.unwrap();
    }
    let shown = store.endpoints().await.unwrap().pop().unwrap();
    assert_eq!((shown.failures, shown.retry_at), (1, Some(at(30))));
}

/// An endpoint is deleted while an attempt is stored: the two wait for each other in one order only.
pub async fn an_endpoint_is_deleted_while_attempts_are_stored(store: Case) {
    let endpoint = endpoint(&store, "ops").await;
    for label in ["a", "b"] {
        alone(&store, &endpoint, label).await;
    }
    let mut claimed = claim(&store, 30).await;
    let (one, two) = (claimed.remove(0), claimed.remove(0));
    let mut tx = store.begin("delete").await.unwrap();
    tx.endpoint("ops").await.unwrap().unwrap();
    let delivered = tokio::spawn({
        let store = store.clone();
        async move { store.delivered(&one, 200).await }
    });
    let failing = tokio::spawn({
        let store = store.clone();
        async move { store.not_delivered(&two, &failed(60, -1)).await }
    });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    tx.delete_endpoint(endpoint.id).await.unwrap();
    tx.commit().await.unwrap();
    delivered.await.unwrap().unwrap();
    assert!(!failing.await.unwrap().unwrap());
    assert!(store.deliveries(None, None, 9).await.unwrap().is_empty());
}

/// Claims at once get distinct deliveries.
pub async fn claims_of_deliveries_are_distinct(store: Case) {
    let endpoint = endpoint(&store, "ops").await;
    for number in 0..20 {
        alone(&store, &endpoint, &format!("s{number}")).await;
    }
    let (one, two, three) = tokio::join!(
        store.claim_deliveries(endpoint.id, 10, at(30)),
        store.claim_deliveries(endpoint.id, 10, at(30)),
        store.claim_deliveries(endpoint.id, 10, at(30))
    );
    let all = [one.unwrap(), two.unwrap(), three.unwrap()].concat();
    let mut ids: Vec<EventId> = all.iter().map(|claimed| claimed.delivery.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all.len());
    let rest = store.claim_deliveries(endpoint.id, 20, at(30)).await.unwrap();
    assert_eq!(all.len() + rest.len(), 20);
}

/// The report of a day is found until a notice of it is stored.
pub async fn an_unreported_midnight_is_found_once(store: Case) {
    let day = jiff::civil::date(2027, 1, 15);
    let asked = add(&store, "shop").await;
    write(&store, async |tx| {
        tx.ask_at_midnight(day, std::slice::from_ref(&asked)).await?;
        tx.set_rechecked(day).await
    })
    .await;
    assert_eq!(store.unreported_midnights(at(-1)).await.unwrap(), [(day, at(0), true)]);
    assert!(store.unreported_midnights(at(0)).await.unwrap().is_empty());
    write(&store, async |tx| tx.decide_midnight(&asked).await).await;
    assert_eq!(store.unreported_midnights(at(-1)).await.unwrap(), [(day, at(0), false)]);
    let notice = store::Notice {
        id: EventId::from(fresh_uuid()),
        kind: NoticeKind::MidnightReport,
        subject: day.to_string(),
        mark: day.to_string(),
        customer_ref: String::new(),
        at: at(0),
        due_at: at(0),
        status: None,
        reason: None,
        days: None,
        ends_at: None,
    };
    committing(&store, async |tx| {
        tx.append_notice(notice);
        Ok(())
    })
    .await
    .unwrap();
    assert!(store.unreported_midnights(at(-1)).await.unwrap().is_empty());
    assert_eq!(store.domains_with_reason("ca_down").await.unwrap(), 0);
}
