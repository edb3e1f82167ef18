//! The midnight report.

use domain::{Domain, MidnightOutcome, Reason, Status};
use jiff::civil::{Date, date};
use store::{MidnightQuery, MidnightRow, Past, Store};

use crate::kit::{Case, add, at, live, name};

const DAY: Date = date(2026, 11, 30);

fn blocked(domain: &Domain, port: u16) -> Domain {
    domain.clone().blocked(Reason::PortMissing { missing: vec![port] }).unwrap()
}

/// Through `apply`, as every role changes a domain; `ends` is the end of an attempt.
async fn change(store: &Store, label: &str, ends: bool, next: impl FnOnce(&Domain) -> Domain) {
    let mut tx = store.begin("change").await.unwrap();
    let before = tx.domain(&name(label)).await.unwrap().unwrap();
    let after = next(&before);
    tx.apply(Some(&before), &after, None).await.unwrap();
    if ends {
        tx.decide_midnight(&after).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn ask(store: &Store, day: Date, labels: &[&str]) {
    let mut tx = store.begin("ask").await.unwrap();
    let names: Vec<_> = labels.iter().map(|label| name(label)).collect();
    let domains = tx.domains(&names).await.unwrap();
    tx.ask_at_midnight(day, &domains).await.unwrap();
    tx.commit().await.unwrap();
}

async fn rows(store: &Store, query: MidnightQuery) -> Vec<MidnightRow> {
    store.midnight_page(&query).await.unwrap()
}

fn of(day: Date) -> MidnightQuery {
    MidnightQuery { day, outcome: None, only_new: false, after: String::new(), limit: 100 }
}

fn told(rows: &[MidnightRow]) -> Vec<(String, MidnightOutcome, Option<Status>)> {
    let label = |row: &MidnightRow| row.name.as_str().split('.').next().unwrap().to_owned();
    rows.iter().map(|row| (label(row), row.outcome, row.status_after)).collect()
}

/// Each way in which one ends, once; and what nothing came out of by the next midnight.
pub async fn what_was_asked_at_midnight_has_an_outcome(store: Case) {
    for label in ["changed", "gone", "never", "same", "works"] {
        add(&store, label).await;
        change(&store, label, false, |domain| blocked(domain, 80)).await;
    }
    assert_eq!(store.last_midnight().await.unwrap(), None);
    let labels = ["changed", "gone", "never", "same", "works"];
    ask(&store, DAY, &labels).await;
    ask(&store, DAY, &labels).await;
    let waiting = rows(&store, of(DAY)).await;
    assert!(waiting.iter().all(|row| row.outcome == MidnightOutcome::Waiting && row.decided_at.is_none()));
    assert_eq!((waiting.len(), waiting[0].reason_before.as_str()), (5, "port_missing"));

    change(&store, "changed", true, |domain| domain.clone().unknown_to_c4(at(1), false).unwrap()).await;
    change(&store, "same", true, |domain| blocked(domain, 443)).await;
    change(&store, "never", false, |domain| blocked(domain, 443)).await;
    change(&store, "gone", false, |domain| domain.clone().delete(at(2)).unwrap()).await;
    let served = live(&store, "works", 1000).await;
    change(&store, "works", false, |domain| domain.clone().uploaded(served).unwrap()).await;
    // What comes after that is not the midnight's.
    change(&store, "works", true, |domain| blocked(domain, 80)).await;
    change(&store, "same", true, |domain| domain.clone().unknown_to_c4(at(3), false).unwrap()).await;
    let decided = [
        ("changed", MidnightOutcome::Changed, Some(Status::Discard)),
        ("gone", MidnightOutcome::Deleted, Some(Status::Failure)),
        ("never", MidnightOutcome::Waiting, None),
        ("same", MidnightOutcome::Unchanged, Some(Status::Failure)),
        ("works", MidnightOutcome::Works, Some(Status::Success)),
    ];
    let decided = decided.map(|(label, outcome, status)| (label.to_owned(), outcome, status));
    assert_eq!(told(&rows(&store, of(DAY)).await), decided);

    let next = DAY.tomorrow().unwrap();
    add(&store, "new").await;
    ask(&store, next, &["never", "new"]).await;
    let never = rows(&store, MidnightQuery { after: name("gone").to_string(), limit: 1, ..of(DAY) }).await;
    assert_eq!(told(&never), [("never".to_owned(), MidnightOutcome::Unchanged, Some(Status::Failure))]);
    let only_new = rows(&store, MidnightQuery { only_new: true, ..of(next) }).await;
    assert_eq!(told(&only_new), [("new".to_owned(), MidnightOutcome::Waiting, None)]);
    let works = rows(&store, MidnightQuery { outcome: Some(MidnightOutcome::Works), ..of(DAY) }).await;
    assert_eq!(works.len(), 1);
    let figures = store.midnight_figures(next).await.unwrap();
    assert_eq!((figures.outcomes, figures.new, figures.gone), (vec![(MidnightOutcome::Waiting, 2)], 1, 4));
    assert_eq!(store.last_midnight().await.unwrap(), Some(next));
}

pub async fn reports_are_kept_for_a_while(store: Case) {
    add(&store, "shop").await;
    for day in [DAY.yesterday().unwrap(), DAY] {
        ask(&store, day, &["shop"]).await;
    }
    let past = Past { sessions: at(0), buckets: at(0), reservations: at(0), days: DAY, midnights: DAY };
    let mut tx = store.begin("forget").await.unwrap();
    assert_eq!(tx.forget(past, 100).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(rows(&store, of(DAY.yesterday().unwrap())).await, []);
    assert_eq!(rows(&store, of(DAY)).await.len(), 1);
}
