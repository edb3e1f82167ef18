//! What is kept as counts, keys that are destroyed, and what is forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::{Activity, Cause, Domain, DomainName, Live, OrderState, Reason, Role, Source, Work, WorkKind};
use jiff::Timestamp;
use jiff::civil::{Date, date};
use tokio::task::JoinSet;

use super::{account, add, at, certificate, name, order, schedule, update, work, write};
use crate::{Counted, Overview, Past, SessionRecord, Store, User};

async fn read(store: &dyn Store) -> Overview {
    store.overview(at(0), at(0)).await.expect("read")
}

/// Each reason with its count, the same before and after what changed is added up.
async fn reasons(store: &dyn Store) -> BTreeMap<String, u64> {
    let before = read(store).await;
    while store.fold_tallies(3).await.expect("folded") > 0 {}
    assert_eq!(read(store).await, before, "adding up changes nothing");
    before.reasons.into_iter().collect()
}

fn counts(expected: &[(&str, u64)]) -> BTreeMap<String, u64> {
    expected.iter().map(|(code, count)| ((*code).to_owned(), *count)).collect()
}

fn blocked(domain: Domain) -> Domain {
    domain.blocked(Reason::PortMissing { missing: vec![443] }).expect("listed")
}

/// What a domain shows as its reason is what is counted, through a life, a delete and another life.
pub async fn reasons_are_counted_as_they_are_shown(store: Arc<dyn Store>) {
    assert_eq!(read(&*store).await, Overview::default());
    let one = update(&*store, &blocked(add(&*store, "one").await), at(1)).await;
    let two = update(&*store, &blocked(add(&*store, "two").await), at(1)).await;
    add(&*store, "fine").await;
    assert_eq!(reasons(&*store).await, counts(&[("port_missing", 2)]));

    let limited = Reason::CaLimited { until: at(9) };
    let waiting = one.clear().expect("listed").doing(Activity::WaitingForBudget, Some(limited));
    let one = update(&*store, &waiting.expect("listed"), at(2)).await;
    assert_eq!(reasons(&*store).await, counts(&[("ca_limited", 1), ("port_missing", 1)]));

    let failing = Reason::UploadFailed { detail: "503".into() };
    let two = update(&*store, &two.upload_failed(failing).expect("listed"), at(3)).await;
    assert_eq!(reasons(&*store).await, counts(&[("ca_limited", 1), ("upload_failed", 1)]));
    let two = update(&*store, &two.unknown_to_c4(at(4), false).expect("listed"), at(4)).await;
    assert_eq!(reasons(&*store).await, counts(&[("ca_limited", 1), ("unknown_to_c4", 1)]));

    let deleted = update(&*store, &one.delete(at(5)).expect("listed"), at(5)).await;
    assert_eq!(reasons(&*store).await, counts(&[("unknown_to_c4", 1)]));
    let again = deleted.added_again(at(6)).expect("deleted");
    update(&*store, &blocked(again), at(6)).await;
    update(&*store, &two.clear().expect("listed"), at(6)).await;
    let shown = reasons(&*store).await;
    assert_eq!(shown, counts(&[("port_missing", 1), ("upload_failed", 1)]));

    let pasted = certificate("fine", at(8), Source::Text);
    write(&*store, async |tx| tx.insert_certificate(&pasted).await).await;
    let live = Live { certificate: pasted.id(), not_after: at(8) };
    let fine = write(&*store, async |tx| tx.domain(&name("fine")).await).await.expect("there");
    let fine = fine.import().expect("listed").uploaded(live).expect("listed");
    let fine = update(&*store, &fine, at(7)).await;
    assert_eq!(reasons(&*store).await, shown);
    let ended = update(&*store, &fine, at(8)).await;
    assert_eq!(ended.reason().map(|reason| reason.code()), Some("pasted_ended"));
    let shown = reasons(&*store).await;
    assert_eq!(shown, counts(&[("pasted_ended", 1), ("port_missing", 1), ("upload_failed", 1)]));
}

/// Live certificates by the hour of their end: a renewal moves one, an end and a delete take it away.
pub async fn ends_are_counted_by_the_hour(store: Arc<dyn Store>) {
    const HOUR: i64 = 3600;
    let ends = async || {
        while store.fold_tallies(100).await.expect("folded") > 0 {}
        read(&*store).await.end_hours
    };
    let upload = async |domain: Domain, end: i64, now: i64| {
        let new = certificate(domain.name.as_str().split('.').next().unwrap_or(""), at(end), Source::C4);
        write(&*store, async |tx| tx.insert_certificate(&new).await).await;
        let live = Live { certificate: new.id(), not_after: at(end) };
        update(&*store, &domain.uploaded(live).expect("listed"), at(now)).await
    };
    let hour = |second| at(second).as_second() / HOUR;
    let one = upload(add(&*store, "one").await, 10, 1).await;
    let two = upload(add(&*store, "two").await, 20, 1).await;
    assert_eq!(ends().await, [(hour(10), 2)]);
    upload(one, 50 * HOUR, 5).await;
    assert_eq!(ends().await, [(hour(10), 1), (hour(50 * HOUR), 1)]);
    let two = update(&*store, &two, at(20)).await;
    assert_eq!(ends().await, [(hour(50 * HOUR), 1)], "it ended");
    let two = upload(two, 51 * HOUR, 30).await;
    assert_eq!(ends().await, [(hour(50 * HOUR), 1), (hour(51 * HOUR), 1)]);
    update(&*store, &two.delete(at(40)).expect("listed"), at(40)).await;
    assert_eq!(ends().await, [(hour(50 * HOUR), 1)]);
}

/// Per day, which begins at midnight in UTC; what is dropped does not count.
pub async fn issuance_is_counted_by_the_day(store: Arc<dyn Store>) {
    let at = |text: &str| text.parse::<Timestamp>().expect("a time");
    for (counted, now) in [
        (Counted::Issued, at("2026-11-23T23:59:59.9Z")),
        (Counted::Issued, at("2026-11-24T00:00:00Z")),
        (Counted::Failed, at("2026-11-24T10:00:00Z")),
        (Counted::Issued, at("2026-11-24T12:00:00Z")),
    ] {
        write(&*store, async |tx| tx.count_day(counted, now).await).await;
        let mut tx = store.begin("dropped").await.expect("a transaction");
        tx.count_day(counted, now).await.expect("counted");
    }
    let counted = read(&*store).await;
    let days = [date(2026, 11, 23), date(2026, 11, 24)];
    assert_eq!(counted.issued, [(days[0], 1), (days[1], 2)]);
    assert_eq!(counted.failed, [(days[1], 1)]);
}

/// Writers at once, and somebody who adds up meanwhile: nothing is lost, and nobody reads a wrong sum.
pub async fn counts_of_writers_at_once_are_added_up(store: Arc<dyn Store>) {
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let store = store.clone();
        writers.spawn(async move {
            for index in 0..10 {
                let domain = add(&*store, &format!("d{writer}-{index}")).await;
                let domain = update(&*store, &blocked(domain), at(1)).await;
                if index % 2 == 0 {
                    update(&*store, &domain.clear().expect("listed"), at(2)).await;
                }
            }
        });
    }
    for _ in 0..2 {
        let store = store.clone();
        writers.spawn(async move {
            for _ in 0..20 {
                store.fold_tallies(7).await.expect("folded");
                let counted = read(&*store).await.reasons;
                assert!(counted.iter().all(|(_, domains)| *domains <= 40), "{counted:?}");
            }
        });
    }
    writers.join_all().await;
    assert_eq!(reasons(&*store).await, counts(&[("port_missing", 20)]));
}

/// Work that is due, free and was not taken for a while.
pub async fn overdue_work_is_counted(store: Arc<dyn Store>) {
    for (label, due_at) in [("early", Some(5)), ("late", Some(7)), ("soon", Some(11)), ("resting", None)] {
        add(&*store, label).await;
        schedule(&*store, &work(label, WorkKind::Issue, due_at.map(at))).await;
    }
    schedule(&*store, &work("late", WorkKind::Upload, Some(at(8)))).await;
    let overdue = async || {
        let overview = store.overview(at(10), at(20)).await.expect("read");
        (overview.overdue, overview.oldest_due_at)
    };
    assert_eq!(overdue().await, (2, Some(at(5))));
    let claimed = store.claim(WorkKind::Issue, &name("early"), at(20), at(21)).await;
    claimed.expect("asked").expect("claimed");
    assert_eq!(overdue().await, (1, Some(at(7))), "somebody is at it");
    let later = store.overview(at(10), at(21)).await.expect("read");
    assert_eq!(later.overdue, 2, "and gave up");
    assert_eq!(store.overview(at(4), at(20)).await.expect("read").oldest_due_at, None);
}

/// How many domains a day's recheck took, and how many of them still wait.
pub async fn a_days_recheck_is_counted(store: Arc<dyn Store>) {
    let (before, day) = (date(2026, 11, 23), date(2026, 11, 24));
    let take = async |day: Date, limit| {
        write(&*store, async |tx| tx.take_recheck(day, at(100), limit).await).await.len()
    };
    let of = async || {
        let Overview { rechecked, last_complete, rechecks_waiting, .. } = read(&*store).await;
        (rechecked, last_complete, rechecks_waiting)
    };
    write(&*store, async |tx| tx.set_rechecked(before, at(1)).await).await;
    assert_eq!(of().await, (vec![], Some(before), 0));
    for label in ["one", "two", "three"] {
        add(&*store, label).await;
    }
    assert_eq!((take(day, 2).await, take(day, 2).await, take(day, 2).await), (2, 1, 0));
    for (label, due_at) in [("one", Some(at(5))), ("two", Some(at(9))), ("three", None)] {
        let planned = Work { cause: Cause::Midnight, ..work(label, WorkKind::Issue, due_at) };
        schedule(&*store, &planned).await;
    }
    assert_eq!(of().await, (vec![(day, 3)], Some(before), 2));
    let retry = Work { cause: Cause::Retry, ..work("one", WorkKind::Issue, Some(at(90))) };
    schedule(&*store, &retry).await;
    write(&*store, async |tx| tx.set_rechecked(day, at(9)).await).await;
    assert_eq!(of().await, (vec![(day, 3)], Some(day), 1));
}

async fn destroy(store: &dyn Store, label: &str, deleted_by: i64, now: i64) -> Option<u64> {
    let name = name(label);
    write(store, async |tx| tx.destroy_keys(&name, at(deleted_by), at(now)).await).await
}

async fn to_destroy(store: &dyn Store, deleted_by: i64) -> Vec<DomainName> {
    store.keys_to_destroy(at(deleted_by), 9).await.expect("read")
}

/// Those of certificates of names that were deleted by then and were not put back; once per delete.
pub async fn keys_of_deleted_names_are_destroyed(store: Arc<dyn Store>) {
    let mut made = Vec::new();
    for label in ["gone", "back", "listed"] {
        add(&*store, label).await;
        for _ in 0..2 {
            let certificate = certificate(label, at(900), Source::C4);
            write(&*store, async |tx| tx.insert_certificate(&certificate).await).await;
            made.push(certificate);
        }
    }
    for (label, deleted_at) in [("gone", 10), ("back", 11)] {
        let listed = write(&*store, async |tx| tx.domain(&name(label)).await).await.expect("there");
        update(&*store, &listed.delete(at(deleted_at)).expect("listed"), at(deleted_at)).await;
    }
    assert_eq!(to_destroy(&*store, 9).await, []);
    assert_eq!(to_destroy(&*store, 10).await, [name("gone")]);
    assert_eq!(to_destroy(&*store, 11).await, [name("back"), name("gone")], "in order of name");
    assert_eq!(store.keys_to_destroy(at(11), 1).await.expect("read"), [name("gone")]);

    let back = write(&*store, async |tx| tx.domain(&name("back")).await).await.expect("there");
    let back = update(&*store, &back.added_again(at(12)).expect("deleted"), at(12)).await;
    assert_eq!(destroy(&*store, "back", 20, 20).await, None, "it is on the list again");
    assert_eq!(destroy(&*store, "listed", 20, 20).await, None);
    assert_eq!(destroy(&*store, "gone", 9, 20).await, None, "not yet");
    assert_eq!(destroy(&*store, "gone", 10, 20).await, Some(2));
    assert_eq!(destroy(&*store, "gone", 10, 21).await, None, "once");
    assert_eq!(to_destroy(&*store, 20).await, []);
    for certificate in &made {
        let kept = store.certificate(certificate.id()).await.expect("read").expect("there");
        assert_eq!(kept.sealed_key.is_none(), certificate.name == name("gone"));
        assert_eq!((&kept.summary, &kept.chain_pem), (&certificate.summary, &certificate.chain_pem));
    }
    update(&*store, &back.delete(at(30)).expect("listed"), at(30)).await;
    let gone = write(&*store, async |tx| tx.domain(&name("gone")).await).await.expect("there");
    let gone = update(&*store, &gone.added_again(at(31)).expect("deleted"), at(31)).await;
    update(&*store, &gone.delete(at(32)).expect("listed"), at(32)).await;
    assert_eq!(to_destroy(&*store, 32).await, [name("back"), name("gone")], "another life");
    assert_eq!(destroy(&*store, "back", 32, 33).await, Some(2));
    assert_eq!(destroy(&*store, "gone", 32, 33).await, Some(0));
}

/// An order of a name that was deleted has no key to destroy: it was ended, and gave its key up.
pub async fn an_abandoned_order_has_no_key_to_destroy(store: Arc<dyn Store>) {
    let account = account();
    add(&*store, "shop").await;
    let mut keyed = order("shop", &account);
    keyed.state = OrderState::Keyed {
        url: "https://ca/1".into(),
        certificate: certificate("shop", at(9), Source::C4).id(),
        sealed_key: vec![7],
        csr: vec![48],
    };
    write(&*store, async |tx| {
        tx.insert_account(&account).await?;
        tx.insert_order(&keyed).await?;
        keyed.state = OrderState::Abandoned;
        tx.update_order(&keyed, "keyed").await
    })
    .await;
    let kept = store.sealed_keys(crate::SealedPlace::Orders, None, 9).await;
    assert!(kept.expect("read").is_empty());
}

/// Sessions that ended, buckets that are full, and days long past; nothing else.
pub async fn what_says_nothing_any_more_is_forgotten(store: Arc<dyn Store>) {
    let user = User { name: "ann".to_owned(), role: Role::Support, password_hash: None, created_at: at(0) };
    let session = |number: u8, expires_at| SessionRecord {
        hash: [number; 32],
        user: "ann".to_owned(),
        role: Role::Support,
        created_at: at(0),
        used_at: at(0),
        expires_at: at(expires_at),
    };
    let (old, new) = (date(2025, 1, 1), date(2027, 1, 15));
    write(&*store, async |tx| {
        tx.insert_user(&user).await?;
        for (number, expires_at) in [(1, 10), (2, 11), (3, 12)] {
            tx.insert_session(&session(number, expires_at)).await?;
        }
        for (key, time) in [("a", 5), ("b", 6), ("c", 7)] {
            tx.set_bucket(key, at(time)).await?;
        }
        for day in [old, new] {
            tx.set_rechecked(day, at(0)).await?;
        }
        tx.count_day(Counted::Issued, "2025-01-01T00:00:00Z".parse().expect("a time")).await?;
        tx.count_day(Counted::Issued, at(0)).await
    })
    .await;
    let cleared = update(&*store, &blocked(add(&*store, "shop").await), at(1)).await;
    update(&*store, &cleared.clear().expect("listed"), at(1)).await;
    while store.fold_tallies(100).await.expect("folded") > 0 {}

    let past = Past { sessions: at(11), buckets: at(6), days: date(2026, 1, 1) };
    let mut forgotten = Vec::new();
    while !matches!(forgotten.last(), Some(0)) {
        forgotten.push(write(&*store, async |tx| tx.forget(past, 1).await).await);
    }
    // Two sessions, two buckets, a day and what was counted on it, the figures of a status and a reason that nobody has now.
    assert_eq!(forgotten.iter().sum::<u64>(), 8, "{forgotten:?}");
    assert!(forgotten.len() > 2, "in batches: {forgotten:?}");
    for (number, is_kept) in [(1, false), (2, false), (3, true)] {
        let kept = store.session(&[number; 32]).await.expect("read");
        assert_eq!(kept.is_some(), is_kept, "session {number}");
    }
    for (key, is_kept) in [("a", false), ("b", false), ("c", true)] {
        assert_eq!(store.bucket(key).await.expect("read").is_some(), is_kept, "bucket {key}");
    }
    assert!(!store.is_rechecked(old).await.expect("read"));
    assert!(store.is_rechecked(new).await.expect("read"));
    assert_eq!(read(&*store).await.issued, [(new, 1)]);
}
