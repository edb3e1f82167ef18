//! The daily recheck, doubts about C4, renewal points, and the ledger of a CA's limits.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::{Domain, InvalidChallenges, Live, Missing, Reason, Source, Status, SuggestedWindow};
use jiff::civil::{Date, date};
use tokio::task::JoinSet;

use super::{add, at, certificate, fresh_uuid, name, update, write};
use crate::{ProbeOf, Renewal, Store};

const DAY: Date = date(2026, 11, 23);
const NEXT_DAY: Date = date(2026, 11, 24);

async fn take(store: &dyn Store, day: Date, limit: u32) -> BTreeSet<String> {
    let taken = write(store, async |tx| tx.take_recheck(day, at(100), limit).await).await;
    taken.iter().map(ToString::to_string).collect()
}

fn names(labels: &[&str]) -> BTreeSet<String> {
    labels.iter().map(|label| name(label).to_string()).collect()
}

/// A certificate of that name, live until `at(not_after)`.
async fn live(store: &dyn Store, label: &str, not_after: i64) -> Live {
    let live = certificate(label, at(not_after), Source::C4);
    write(store, async |tx| tx.insert_certificate(&live).await).await;
    Live { certificate: live.id(), not_after: at(not_after) }
}

/// What a domain remembers beside its status comes back as it was.
pub async fn a_domains_memory_comes_back(store: Arc<dyn Store>) {
    let first = add(&*store, "shop").await;
    let (old, new) = (live(&*store, "shop", 500).await, live(&*store, "shop", 900).await);
    let mut after = first.uploaded(old).expect("listed").uploaded(new).expect("listed");
    after.facts.missing = Some(Missing { first_at: at(7), last_at: at(8), answers: 2 });
    after.invalid_challenges = InvalidChallenges { count: 3, dns: "203.0.113.9".to_owned() };
    let stored = update(&*store, &after, at(10)).await;
    let expected = Domain { version: stored.version, recorded: stored.recorded, ..after };
    assert_eq!(stored, expected);
    assert_eq!(stored.previous, Some(old.certificate));
}

/// Each domain of the daily recheck is taken once a day: what fails, waits or has ended, is to be generated, and was on
/// the list before.
pub async fn a_recheck_takes_each_domain_once_a_day(store: Arc<dyn Store>) {
    let blocked = |domain: Domain| domain.blocked(Reason::UnknownToC4).expect("listed");
    for (label, change) in [
        ("failing", Some(blocked as fn(Domain) -> Domain)),
        ("pending", None),
        ("pasted", Some(|domain| domain.import().expect("listed"))),
        ("deleted", Some(|domain| domain.delete(at(5)).expect("listed"))),
        ("discarded", Some(|domain| domain.unknown_to_c4(at(5), false).expect("listed"))),
    ] {
        let domain = add(&*store, label).await;
        if let Some(change) = change {
            update(&*store, &change(domain), at(10)).await;
        }
    }
    let healthy = add(&*store, "healthy").await;
    let healthy = healthy.uploaded(live(&*store, "healthy", 900).await).expect("listed");
    update(&*store, &healthy, at(10)).await;
    let ended = add(&*store, "ended").await;
    let ended = ended.uploaded(live(&*store, "ended", 9).await).expect("listed");
    update(&*store, &ended, at(10)).await;
    let late = Domain::added(name("late"), at(100));
    write(&*store, async |tx| tx.insert_domain(&late, at(100)).await).await;

    assert!(!store.is_rechecked(DAY).await.expect("read"));
    let mut taken = take(&*store, DAY, 2).await;
    assert_eq!(taken.len(), 2, "no more than asked for");
    taken.extend(take(&*store, DAY, 9).await);
    assert_eq!(taken, names(&["failing", "pending", "ended"]));
    assert_eq!(take(&*store, DAY, 9).await, names(&[]), "once a day");
    assert_eq!(take(&*store, NEXT_DAY, 9).await.len(), 3);
    assert_eq!(take(&*store, DAY, 9).await, names(&[]), "a day that is over does not come back");

    for _ in 0..2 {
        write(&*store, async |tx| tx.set_rechecked(DAY, at(11)).await).await;
    }
    assert!(store.is_rechecked(DAY).await.expect("read"));
    assert!(!store.is_rechecked(NEXT_DAY).await.expect("read"));
}

/// Schedulers that take at the same time take no domain twice, and together all of them.
pub async fn rechecks_at_once_take_distinct_domains(store: Arc<dyn Store>) {
    for index in 0..24 {
        add(&*store, &format!("d{index}")).await;
    }
    let mut schedulers = JoinSet::new();
    for _ in 0..4 {
        let store = store.clone();
        schedulers.spawn(async move {
            let mut taken = Vec::new();
            loop {
                let mut tx = store.begin("take_recheck").await.expect("a transaction");
                let batch = tx.take_recheck(DAY, at(100), 5).await.expect("taken");
                tx.commit().await.expect("committed");
                if batch.is_empty() {
                    return taken;
                }
                taken.extend(batch);
            }
        });
    }
    let taken: Vec<_> = schedulers.join_all().await.into_iter().flatten().collect();
    let distinct: BTreeSet<_> = taken.iter().collect();
    assert_eq!((taken.len(), distinct.len()), (24, 24));
}

/// What C4 does not know is counted among what is live, by when it said so last.
pub async fn missing_domains_are_counted_among_the_live(store: Arc<dyn Store>) {
    let counts = async |since| write(&*store, async |tx| tx.missing_and_live(at(since)).await).await;
    assert_eq!(counts(0).await, (0, 0));
    for (label, asked_at) in [("fine", None), ("early", Some(10)), ("now", Some(20))] {
        let domain = add(&*store, label).await;
        let live = live(&*store, label, 900).await;
        let mut domain = domain.uploaded(live).expect("listed");
        if let Some(asked_at) = asked_at {
            domain = domain.unknown_to_c4(at(asked_at), false).expect("listed");
        }
        update(&*store, &domain, at(30)).await;
    }
    let never_live = add(&*store, "new").await;
    update(&*store, &never_live.unknown_to_c4(at(20), false).expect("listed"), at(30)).await;
    assert_eq!(counts(0).await, (2, 3));
    assert_eq!(counts(20).await, (1, 3));
    assert_eq!(counts(21).await, (0, 3));

    write(&*store, async |tx| tx.discount_missing(at(20)).await).await;
    for (label, answers) in [("early", 1), ("now", 0), ("new", 1)] {
        let domain = store.domain(&name(label)).await.expect("read").expect("there").domain;
        assert_eq!(domain.facts.missing.map(|missing| missing.answers), Some(answers), "{label}");
    }
    assert_eq!(counts(20).await, (1, 3), "that it was asked stays");
}

/// When a certificate is renewed can be changed and comes back; one that is not there is a conflict.
pub async fn a_renewal_point_comes_back(store: Arc<dyn Store>) {
    add(&*store, "shop").await;
    let certificate = certificate("shop", at(900), Source::C4);
    write(&*store, async |tx| tx.insert_certificate(&certificate).await).await;
    let window = SuggestedWindow { start: at(300), end: at(400) };
    for window in [Some(window), None] {
        let renewal = Renewal { at: at(350), window };
        write(&*store, async |tx| tx.set_renewal(certificate.id(), renewal).await).await;
        let stored = store.certificate(certificate.id()).await.expect("read").expect("there");
        assert_eq!(stored.renewal, Some(renewal));
    }
    let mut tx = store.begin("set_renewal").await.expect("a transaction");
    let renewal = Renewal { at: at(350), window: None };
    let nobodys = domain::CertificateId::from(fresh_uuid());
    assert!(super::is_conflict(tx.set_renewal(nobodys, renewal).await));
}

/// A bucket comes back as it was set; one that was never there stands at the beginning of time.
pub async fn buckets_come_back(store: Arc<dyn Store>) {
    let keys = ["a".to_owned(), "b".to_owned()];
    assert_eq!(store.bucket("b").await.expect("read"), None);
    let times = write(&*store, async |tx| {
        let times = tx.buckets(&keys).await?;
        tx.set_bucket("b", at(5)).await?;
        Ok(times)
    })
    .await;
    assert_eq!(times, [jiff::Timestamp::UNIX_EPOCH; 2]);
    let times = write(&*store, async |tx| tx.buckets(&keys).await).await;
    assert_eq!(times, [jiff::Timestamp::UNIX_EPOCH, at(5)]);
    assert_eq!(store.bucket("b").await.expect("read"), Some(at(5)));
}

/// Who reads a bucket to set it has it alone until then: nothing that is charged at the same time gets lost.
pub async fn a_bucket_that_was_read_waits_for_its_reader(store: Arc<dyn Store>) {
    let keys = vec!["a".to_owned(), "b".to_owned()];
    let mut issuers = JoinSet::new();
    for _ in 0..16 {
        let (store, keys) = (store.clone(), keys.clone());
        issuers.spawn(async move {
            let mut tx = store.begin("charge").await.expect("a transaction");
            let times = tx.buckets(&keys).await.expect("read");
            for (key, time) in keys.iter().zip(times) {
                let later = time + jiff::SignedDuration::from_secs(1);
                tx.set_bucket(key, later).await.expect("set");
            }
            tx.commit().await.expect("committed");
        });
    }
    issuers.join_all().await;
    for key in &keys {
        let sum = store.bucket(key).await.expect("read").expect("there");
        assert_eq!(sum.as_second(), 16, "{key}");
    }
}

/// A probe is answered like a challenge, for its host and token alone, until its asker replaces or drops it.
pub async fn a_probe_is_answered_until_it_is_replaced(store: Arc<dyn Store>) {
    let (host, other) = (name("shop"), name("other"));
    let answer = async |host, token| store.key_authorization(host, token).await.expect("read");
    let put =
        async |of, token| write(&*store, async |tx| tx.put_probe(&host, of, token, "probe").await).await;
    for token in ["one", "two"] {
        put(ProbeOf::Order, token).await;
        assert_eq!(answer(&host, token).await.as_deref(), Some("probe"));
        assert_eq!(answer(&other, token).await, None);
    }
    assert_eq!(answer(&host, "one").await, None, "one at a time");
    put(ProbeOf::Check, "three").await;
    assert!(answer(&host, "two").await.is_some() && answer(&host, "three").await.is_some());
    write(&*store, async |tx| tx.drop_probe(&host, ProbeOf::Order).await).await;
    assert_eq!(answer(&host, "two").await, None);
    assert!(answer(&host, "three").await.is_some(), "the other's stays");
}

/// The list in figures: what is deleted does not count.
pub async fn the_list_is_counted(store: Arc<dyn Store>) {
    assert_eq!(store.summary(at(0)).await.expect("read"), crate::Summary::default());
    let blocked = |domain: Domain| domain.blocked(Reason::UnknownToC4).expect("listed");
    add(&*store, "pending").await;
    let failing = add(&*store, "failing").await;
    update(&*store, &blocked(failing), at(1)).await;
    let deleted = add(&*store, "deleted").await;
    update(&*store, &deleted.delete(at(1)).expect("listed"), at(1)).await;
    let waiting = add(&*store, "waiting").await;
    let waiting = waiting.doing(domain::Activity::WaitingForBudget, None).expect("listed");
    update(&*store, &waiting, at(1)).await;
    for (label, ends) in [("soon", 500), ("late", 900), ("stuck", 901)] {
        let domain = add(&*store, label).await;
        let mut domain = domain.uploaded(live(&*store, label, ends).await).expect("listed");
        if label == "stuck" {
            domain = blocked(domain);
        }
        update(&*store, &domain, at(1)).await;
    }
    let mut summary = store.summary(at(900)).await.expect("read");
    summary.statuses.sort();
    assert_eq!(
        summary,
        crate::Summary {
            statuses: vec![(Status::Success, 3), (Status::Pending, 2), (Status::Failure, 1)],
            renewal_blocked: 1,
            expiring: 1,
            waiting_for_budget: 1,
        }
    );
}
