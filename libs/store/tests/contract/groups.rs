//! Transactions that are open at the same time, and on SQLite are committed together: each has its own answer.

use std::sync::Arc;
use std::time::Duration;

use domain::{Activity, Domain, Lease, WorkKind};
use store::{Result, Store};
use tokio::sync::Barrier;

use crate::kit::{
    Case, add, add_account, add_due, at, is_conflict, is_lost, name, order, row, schedule, update, work,
};

const MANY: usize = 12;

/// What one of many does at once.
enum Does {
    Change(Domain),
    Finish(Lease),
    Order(Box<domain::Order>),
    Forget(Domain),
}

async fn doing(store: &Store, does: Does) -> Result<()> {
    let mut tx = store.begin("one_of_many").await?;
    match does {
        Does::Change(domain) => {
            let after = domain.clone().doing(Activity::WaitingForCa, None).unwrap();
            tx.apply(Some(&domain), &after, None).await?;
        }
        Does::Finish(lease) => tx.finish(&lease, None).await?,
        Does::Order(order) => tx.insert_order(&order).await?,
        Does::Forget(domain) => {
            let after = domain.clone().doing(Activity::WaitingForCa, None).unwrap();
            return tx.apply(Some(&domain), &after, None).await;
        }
    }
    tx.commit().await
}

/// Does all of it at the same time; the answers in order.
async fn at_once(store: &Case, all: Vec<Does>) -> Vec<Result<()>> {
    let start = Arc::new(Barrier::new(all.len()));
    let tasks = all.into_iter().map(|does| {
        let (store, start) = (store.clone(), start.clone());
        tokio::spawn(async move {
            start.wait().await;
            doing(&store, does).await
        })
    });
    let mut answers = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        answers.push(task.await.unwrap());
    }
    answers
}

/// Among many, one has an old version, one a lost lease, one breaks a unique index and one is dropped: all others are
/// committed.
pub async fn each_of_many_at_once_has_its_own_answer(store: Case) {
    let account = add_account(&store).await;
    let mut all = Vec::new();
    for number in 0..MANY {
        all.push(Does::Change(add(&store, &format!("d{number}")).await));
    }
    let stale = add(&store, "stale").await;
    update(&store, &stale).await;
    all.insert(3, Does::Change(stale));
    let due = add_due(&store, "lost", WorkKind::Issue).await;
    let lease = store.claim(WorkKind::Issue, &due.name, at(30)).await.unwrap().unwrap();
    schedule(&store, &work("lost", WorkKind::Issue, Some(at(0)))).await;
    all.insert(6, Does::Finish(lease));
    add(&store, "twice").await;
    let placed = order("twice", &account);
    doing(&store, Does::Order(Box::new(placed.clone()))).await.unwrap();
    all.insert(9, Does::Order(Box::new(order("twice", &account))));
    all.insert(12, Does::Forget(add(&store, "dropped").await));

    let answers = at_once(&store, all).await;

    for (index, answer) in answers.into_iter().enumerate() {
        match index {
            3 | 9 => assert!(is_conflict(answer), "{index}"),
            6 => assert!(is_lost(answer), "{index}"),
            _ => answer.unwrap(),
        }
    }
    for number in 0..MANY {
        assert_eq!(row(&store, &format!("d{number}")).await.activity, Activity::WaitingForCa);
    }
    assert_eq!(row(&store, "dropped").await.activity, Activity::Preflight, "what was not committed");
    assert_eq!(row(&store, "stale").await.activity, Activity::Preflight);
    assert_eq!(store.work(&due.name).await.unwrap().len(), 1);
    assert_eq!(store.live_order(&name("twice")).await.unwrap(), Some(placed));
}

/// Two of one name that were read alike: one is committed.
pub async fn of_two_of_one_name_one_is_committed(store: Case) {
    let domain = add(&store, "shop").await;
    let both = vec![Does::Change(domain.clone()), Does::Change(domain.clone())];
    let answers = at_once(&store, both).await;
    let conflicts = answers.into_iter().filter(Result::is_err).map(|answer| assert!(is_conflict(answer)));
    assert_eq!(conflicts.count(), 1);
    assert_eq!(row(&store, "shop").await.version, domain.version + 1);
}

/// Whoever is dropped while it waits, in the middle of its transaction, or while it waits for its answer, leaves nothing
/// undone for others.
pub async fn those_that_are_dropped_hold_nobody_up(store: Case) {
    let mut all = Vec::new();
    for number in 0..MANY {
        all.push(add(&store, &format!("d{number}")).await);
    }
    let tasks = all.iter().enumerate().map(|(number, domain)| {
        let (store, domain) = (store.clone(), domain.clone());
        tokio::spawn(async move {
            // From at once to longer than it takes.
            let patience = Duration::from_micros(100 * (number * number) as u64);
            let _ = tokio::time::timeout(patience, doing(&store, Does::Change(domain))).await;
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let last = add(&store, "last").await;
    doing(&store, Does::Change(last)).await.unwrap();
    assert_eq!(row(&store, "last").await.activity, Activity::WaitingForCa);
    for domain in all {
        let now = row(&store, domain.name.as_str().split('.').next().unwrap()).await;
        let changes = now.version - domain.version;
        let is_changed = now.activity == Activity::WaitingForCa;
        assert_eq!(changes, i64::from(is_changed), "all of it or nothing: {now:?}");
    }
}
