//! What is kept as counts: tallies of the list and the overview.

use std::collections::BTreeMap;

use domain::{Activity, Cause, CertificateId, Domain, Live, Reason, Status, Work, WorkKind};
use jiff::Timestamp;
use jiff::civil::{Date, date};
use store::{AtRisk, Counted, ListFilter, ListQuery, Overview, Store, Summary};
use tokio::task::JoinSet;

use crate::kit::{Case, add, at, attempt, is_conflict, live, name, row, schedule, update, work, write};

async fn read(store: &Store) -> Overview {
    store.overview(at(0)).await.unwrap()
}

/// Each reason with its count, which is the same before and after the changes are folded.
async fn reasons(store: &Store) -> BTreeMap<String, u64> {
    let before = read(store).await;
    while store.fold_tallies(3).await.unwrap() > 0 {}
    assert_eq!(read(store).await, before, "folding changes no figure");
    before.reasons.into_iter().collect()
}

fn counts(expected: &[(&str, u64)]) -> BTreeMap<String, u64> {
    expected.iter().map(|(code, count)| ((*code).to_owned(), *count)).collect()
}

fn blocked(domain: Domain) -> Domain {
    domain.blocked(Reason::PortMissing { missing: vec![443] }).unwrap()
}

/// The reason that a domain shows is the one that is counted, also after a delete and when the name is added again.
pub async fn reasons_are_counted_as_they_are_shown(store: Case) {
    assert_eq!(read(&store).await, Overview::default());
    let one = update(store.at(1), &blocked(add(&store, "one").await)).await;
    let two = update(store.at(1), &blocked(add(&store, "two").await)).await;
    add(&store, "fine").await;
    assert_eq!(reasons(&store).await, counts(&[("port_missing", 2)]));

    let limited = Reason::CaLimited {
        until: at(9),
        issuer: "ca".into(),
        limit: "new orders per account".into(),
        seconds_per_place: 36,
    };
    let waiting = one.clear().unwrap().doing(Activity::WaitingForBudget, Some(limited));
    let one = update(store.at(2), &waiting.unwrap()).await;
    assert_eq!(reasons(&store).await, counts(&[("ca_limited", 1), ("port_missing", 1)]));

    let failing = Reason::UploadFailed { detail: "503".into() };
    let two = update(store.at(3), &two.upload_failed(failing).unwrap()).await;
    assert_eq!(reasons(&store).await, counts(&[("ca_limited", 1), ("upload_failed", 1)]));
    let two = update(store.at(4), &two.unknown_to_c4(at(4), false).unwrap()).await;
    assert_eq!(reasons(&store).await, counts(&[("ca_limited", 1), ("unknown_to_c4", 1)]));

    let deleted = update(store.at(5), &one.delete(at(5)).unwrap()).await;
    assert_eq!(reasons(&store).await, counts(&[("unknown_to_c4", 1)]));
    let again = deleted.added_again(at(6)).unwrap();
    update(store.at(6), &blocked(again)).await;
    update(store.at(6), &two.clear().unwrap()).await;
    let shown = reasons(&store).await;
    assert_eq!(shown, counts(&[("port_missing", 1), ("upload_failed", 1)]));

    let pasted = live(&store, "fine", 8).await;
    let fine = row(&store, "fine").await.import().unwrap().uploaded(pasted).unwrap();
    let fine = update(store.at(7), &fine).await;
    assert_eq!(reasons(&store).await, shown);
    let ended = update(store.at(8), &fine).await;
    assert_eq!(ended.reason().map(|reason| reason.code()), Some("pasted_ended"));
    let shown = reasons(&store).await;
    assert_eq!(shown, counts(&[("pasted_ended", 1), ("port_missing", 1), ("upload_failed", 1)]));
}

/// Live certificates are counted by the hour of their end: a renewal moves one, an end and a delete remove it.
pub async fn ends_are_counted_by_the_hour(store: Case) {
    const HOUR: i64 = 3600;
    let ends = async || {
        while store.fold_tallies(100).await.unwrap() > 0 {}
        read(&store).await.end_hours
    };
    let upload = async |domain: Domain, end: i64, now: i64| {
        let label = domain.name.as_str().trim_end_matches(".example.com");
        let live = live(&store, label, end).await;
        update(store.at(now), &domain.uploaded(live).unwrap()).await
    };
    let hour = |second| at(second).as_second() / HOUR;
    let one = upload(add(&store, "one").await, 10, 1).await;
    let two = upload(add(&store, "two").await, 20, 1).await;
    assert_eq!(ends().await, [(hour(10), 2)]);
    upload(one, 50 * HOUR, 5).await;
    assert_eq!(ends().await, [(hour(10), 1), (hour(50 * HOUR), 1)]);
    let two = update(store.at(20), &two).await;
    assert_eq!(ends().await, [(hour(50 * HOUR), 1)], "it ended");
    let two = upload(two, 51 * HOUR, 30).await;
    assert_eq!(ends().await, [(hour(50 * HOUR), 1), (hour(51 * HOUR), 1)]);
    update(store.at(40), &two.delete(at(40)).unwrap()).await;
    assert_eq!(ends().await, [(hour(50 * HOUR), 1)]);
}

/// A day begins at midnight in UTC; a dropped transaction counts nothing.
pub async fn issuance_is_counted_by_the_day(store: Case) {
    for (counted, at) in [
        (Counted::Issued, "2026-11-23T23:59:59.9Z"),
        (Counted::Issued, "2026-11-24T00:00:00Z"),
        (Counted::Failed, "2026-11-24T10:00:00Z"),
        (Counted::Issued, "2026-11-24T12:00:00Z"),
    ] {
        let at: Timestamp = at.parse().unwrap();
        write(&store, async |tx| {
            tx.count_day(counted, at);
            Ok(())
        })
        .await;
        attempt(&store, async |tx| tx.count_day(counted, at)).await;
    }
    let counted = read(&store).await;
    let days = [date(2026, 11, 23), date(2026, 11, 24)];
    assert_eq!(counted.issued, [(days[0], 1), (days[1], 2)]);
    assert_eq!(counted.failed, [(days[1], 1)]);
}

/// With writers and folds at once, no change is lost, and no reader sees a wrong sum.
pub async fn counts_of_writers_at_once_are_added_up(store: Case) {
    store.at(1);
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let store = store.clone();
        writers.spawn(async move {
            for index in 0..10 {
                let domain = add(&store, &format!("d{writer}-{index}")).await;
                let domain = update(&store, &blocked(domain)).await;
                if index % 2 == 0 {
                    update(&store, &domain.clear().unwrap()).await;
                }
            }
        });
    }
    for _ in 0..2 {
        let store = store.clone();
        writers.spawn(async move {
            for _ in 0..20 {
                store.fold_tallies(7).await.unwrap();
                let counted = read(&store).await.reasons;
                assert!(counted.iter().all(|(_, domains)| *domains <= 40), "{counted:?}");
            }
        });
    }
    writers.join_all().await;
    assert_eq!(reasons(&store).await, counts(&[("port_missing", 20)]));
}

/// Work is overdue if it has been due for a while and is not leased.
pub async fn overdue_work_is_counted(store: Case) {
    for (label, due_at) in [("early", Some(5)), ("late", Some(7)), ("soon", Some(11)), ("resting", None)] {
        add(&store, label).await;
        schedule(&store, &work(label, WorkKind::Issue, due_at.map(at))).await;
    }
    schedule(&store, &work("late", WorkKind::Upload, Some(at(8)))).await;
    store.at(20);
    let overdue = async || {
        let overview = store.overview(at(10)).await.unwrap();
        (overview.overdue, overview.oldest_due_at)
    };
    assert_eq!(overdue().await, (2, Some(at(5))));
    store.claim(WorkKind::Issue, &name("early"), at(21)).await.unwrap().unwrap();
    assert_eq!(overdue().await, (1, Some(at(7))), "one is leased");
    assert_eq!(store.overview(at(4)).await.unwrap().oldest_due_at, None);
    assert_eq!(store.at(21).overview(at(10)).await.unwrap().overdue, 2, "its lease ended");
}

/// The oldest due work is known by kind; leased work and work of the future do not count.
pub async fn the_oldest_due_work_of_each_kind_is_known(store: Case) {
    assert_eq!(store.oldest_due().await.unwrap(), []);
    for (label, kind, due_at) in [
        ("early", WorkKind::Issue, 5),
        ("late", WorkKind::Issue, 7),
        ("late", WorkKind::Upload, 8),
        ("future", WorkKind::Revoke, 30),
    ] {
        if store.domain(&name(label)).await.unwrap().is_none() {
            add(&store, label).await;
        }
        schedule(&store, &work(label, kind, Some(at(due_at)))).await;
    }
    store.at(20);
    let both = |issue| [(WorkKind::Issue, at(issue)), (WorkKind::Upload, at(8))];
    assert_eq!(store.oldest_due().await.unwrap(), both(5));
    store.claim(WorkKind::Issue, &name("early"), at(21)).await.unwrap().unwrap();
    assert_eq!(store.oldest_due().await.unwrap(), both(7), "one is leased");
    assert_eq!(store.at(21).oldest_due().await.unwrap(), both(5), "its lease ended");
}

/// A certificate that ends soon is a late renewal, unless it was pasted or its customer must act.
pub async fn late_renewals_are_those_that_wait_for_no_customer(store: Case) {
    let late = async |ends_before| store.late_renewals(at(ends_before)).await.unwrap();
    let mut domains = Vec::new();
    for (label, ends_at) in [("plain", 100), ("moved", 200), ("edges", 300), ("far", 9_000)] {
        add(&store, label).await;
        let live = live(&store, label, ends_at).await;
        domains.push(update(&store, &row(&store, label).await.uploaded(live).unwrap()).await);
    }
    assert_eq!((late(100).await, late(101).await, late(301).await), (0, 1, 3));
    let edges = Reason::ChallengeUnreachableElsewhere { detail: "timeout".into() };
    update(&store, &blocked(domains[1].clone())).await;
    update(&store, &domains[2].clone().blocked(edges).unwrap()).await;
    assert_eq!(late(301).await, 2, "a customer must act for one");
    update(&store, &domains[0].clone().delete(at(0)).unwrap()).await;
    assert_eq!(late(301).await, 1);
}

/// The number of domains that a day's recheck took, and of those that still wait.
pub async fn a_days_recheck_is_counted(store: Case) {
    let (before, day) = (date(2026, 11, 23), date(2026, 11, 24));
    let take = async |day: Date, limit| {
        write(&store, async |tx| tx.take_recheck(day, at(100), limit).await).await.len()
    };
    let of = async || {
        let Overview { rechecked, last_complete, rechecks_waiting, .. } = read(&store).await;
        (rechecked, last_complete, rechecks_waiting)
    };
    write(&store, async |tx| tx.set_rechecked(before).await).await;
    assert_eq!(of().await, (vec![], Some(before), 0));
    for label in ["one", "two", "three"] {
        add(&store, label).await;
    }
    assert_eq!((take(day, 2).await, take(day, 2).await, take(day, 2).await), (2, 1, 0));
    for (label, due_at) in [("one", Some(at(5))), ("two", Some(at(9))), ("three", None)] {
        let planned = Work { cause: Cause::DailyRecheck, ..work(label, WorkKind::Issue, due_at) };
        schedule(&store, &planned).await;
    }
    assert_eq!(of().await, (vec![(day, 3)], Some(before), 2));
    let retry = Work { cause: Cause::Retry, ..work("one", WorkKind::Issue, Some(at(90))) };
    schedule(&store, &retry).await;
    write(&store, async |tx| tx.set_rechecked(day).await).await;
    assert_eq!(of().await, (vec![(day, 3)], Some(day), 1));
}

/// The list in figures: a deleted domain does not count.
pub async fn the_list_is_counted(store: Case) {
    assert_eq!(store.summary(at(0), risk(0)).await.unwrap(), Summary::default());
    let blocked = |domain: Domain| domain.blocked(Reason::UnknownToC4).unwrap();
    add(&store, "pending").await;
    let failing = add(&store, "failing").await;
    update(store.at(1), &blocked(failing)).await;
    let deleted = add(&store, "deleted").await;
    update(store.at(1), &deleted.delete(at(1)).unwrap()).await;
    let waiting = add(&store, "waiting").await;
    let waiting = waiting.doing(Activity::WaitingForBudget, None).unwrap();
    update(store.at(1), &waiting).await;
    for (label, ends) in [("soon", 500), ("late", 900), ("stuck", 901)] {
        let domain = add(&store, label).await;
        let mut domain = domain.uploaded(live(&store, label, ends).await).unwrap();
        if label == "stuck" {
            domain = blocked(domain);
        }
        update(store.at(1), &domain).await;
    }
    let mut summary = store.summary(at(900), risk(902)).await.unwrap();
    summary.statuses.sort();
    assert_eq!(
        summary,
        Summary {
            statuses: vec![(Status::Success, 3), (Status::Pending, 2), (Status::Failure, 1)],
            renewal_blocked: 1,
            expiring: 1,
            waiting_for_budget: 1,
            at_risk: 2,
        }
    );
}

/// What is not renewed is at risk if it ends before that, what lags if it ends before 600.
fn risk(ends: i64) -> AtRisk {
    AtRisk { unrenewed_before: at(ends), lagging_before: at(600) }
}

/// The figures that a walk through all domains gives.
async fn recount(store: &Store) -> Summary {
    let all = ListQuery { limit: 10_000, ..ListQuery::default() };
    let views = store.domains(&all).await.unwrap();
    let mut summary = Summary::default();
    for status in Status::ALL {
        let domains = views.iter().filter(|view| view.domain.recorded == status).count();
        if domains > 0 {
            summary.statuses.push((status, domains as u64));
        }
    }
    for view in &views {
        let domain = &view.domain;
        summary.at_risk += u64::from(risk(1000).includes(view));
        let is_live = domain.recorded == Status::Success;
        summary.renewal_blocked += u64::from(is_live && domain.block().is_some());
        summary.waiting_for_budget += u64::from(domain.activity == Activity::WaitingForBudget);
        let ends = domain.live().is_some_and(|live| live.not_after < at(1000));
        summary.expiring += u64::from(is_live && ends);
    }
    summary
}

/// One change of one of a few names, chosen by a number.
async fn change(store: &Store, now: Timestamp, certificate: CertificateId, choice: u64) {
    let label = format!("n{}", choice % 7);
    let mut tx = store.begin("change").await.unwrap();
    let row = tx.domain(&name(&label)).await.unwrap();
    match row {
        None => {
            tx.insert_domain(&Domain::added(name(&label), now)).await.unwrap();
            // Another task may have been first.
            let committed = tx.commit().await;
            assert!(committed.is_ok() || is_conflict(committed));
            return;
        }
        Some(row) => {
            let next = match (choice / 7) % 9 {
                _ if row.deleted_at.is_some() => row.added_again(now),
                0 => row.delete(now),
                1 | 2 => row.uploaded(Live { certificate, not_after: at(500 + choice.cast_signed() % 900) }),
                3 | 4 => row.blocked(Reason::UnknownToC4),
                5 => row.doing(Activity::WaitingForBudget, None),
                6 => row.upload_failed(Reason::UploadFailed { detail: String::new() }),
                7 if choice.is_multiple_of(2) => row.https_off(),
                7 => row.unknown_to_c4(now, false),
                _ => row.clear(),
            };
            tx.update_domain(&next.unwrap()).await.unwrap();
        }
    }
    // Some transactions are dropped.
    if !choice.is_multiple_of(5) {
        tx.commit().await.unwrap();
    }
}

/// After all kinds of changes, some at once and some in dropped transactions.
pub async fn the_figures_are_those_of_a_recount(store: Case) {
    add(&store, "n0").await;
    let certificate = live(&store, "n0", 1000).await.certificate;
    // Knuth's generator: a mix that is the same every time.
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    for round in 0..12 {
        let second = (next() % 1000).cast_signed();
        store.at(second);
        let at_once = (0..4).map(|_| {
            let (store, choices) = (store.clone(), [next(), next(), next(), next()]);
            tokio::spawn(async move {
                for choice in choices {
                    change(&store, at(second), certificate, choice).await;
                }
            })
        });
        for changing in at_once.collect::<Vec<_>>() {
            changing.await.unwrap();
        }
        if round % 3 == 2 {
            store.fold_tallies(1000).await.unwrap();
        }
        let mut summary = store.summary(at(1000), risk(1000)).await.unwrap();
        summary.statuses.sort();
        let mut recounted = recount(&store).await;
        recounted.statuses.sort();
        assert_eq!(summary, recounted, "round {round}");
        for status in Status::ALL {
            let filter = ListFilter { statuses: vec![status], ..ListFilter::default() };
            let counted = recounted.statuses.iter().find(|(counted, _)| *counted == status);
            let expected = counted.map_or(0, |(_, domains)| *domains);
            assert_eq!(store.count(&filter, 1000).await.unwrap(), expected);
        }
    }
}
