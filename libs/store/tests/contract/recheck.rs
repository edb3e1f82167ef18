//! The daily recheck, and doubts about C4.

use std::collections::BTreeSet;

use domain::{Domain, InvalidChallenges, Missing, Reason};
use jiff::civil::{Date, date};
use store::Store;
use tokio::task::JoinSet;

use crate::kit::{Case, add, at, live, name, update, with_facts, write};

const DAY: Date = date(2026, 11, 23);
const NEXT_DAY: Date = date(2026, 11, 24);

async fn take(store: &Store, day: Date, limit: u32) -> BTreeSet<String> {
    let taken = write(store, async |tx| tx.take_recheck(day, at(100), limit).await).await;
    taken.iter().map(ToString::to_string).collect()
}

fn names(labels: &[&str]) -> BTreeSet<String> {
    labels.iter().map(|label| name(label).to_string()).collect()
}

/// Columns that the status does not follow from come back as they were.
pub async fn a_domains_memory_comes_back(store: Case) {
    let first = add(&store, "shop").await;
    let (old, new) = (live(&store, "shop", 500).await, live(&store, "shop", 900).await);
    let mut after = first.uploaded(old).unwrap().uploaded(new).unwrap();
    after = with_facts(after, |facts| {
        facts.missing = Some(Missing { first_at: at(7), last_at: at(8), answers: 2 });
    });
    after.invalid_challenges = InvalidChallenges { count: 3, dns: "203.0.113.9".to_owned() };
    let stored = update(store.at(10), &after).await;
    (after.version, after.recorded) = (stored.version, stored.recorded);
    assert_eq!(stored, after);
    assert_eq!(stored.previous, Some(old.certificate));
}

/// The daily recheck takes each domain once a day if it is in Failure, Pending or Expired, is to be generated, and was
/// on the list before.
pub async fn a_recheck_takes_each_domain_once_a_day(store: Case) {
    let blocked = |domain: Domain| domain.blocked(Reason::UnknownToC4).unwrap();
    for (label, change) in [
        ("failing", Some(blocked as fn(Domain) -> Domain)),
        ("pending", None),
        ("pasted", Some(|domain| domain.import().unwrap())),
        ("deleted", Some(|domain| domain.delete(at(5)).unwrap())),
        ("discarded", Some(|domain| domain.unknown_to_c4(at(5), false).unwrap())),
    ] {
        let domain = add(&store, label).await;
        if let Some(change) = change {
            update(store.at(10), &change(domain)).await;
        }
    }
    let healthy = add(&store, "healthy").await;
    let healthy = healthy.uploaded(live(&store, "healthy", 900).await).unwrap();
    update(store.at(10), &healthy).await;
    let ended = add(&store, "ended").await;
    let ended = ended.uploaded(live(&store, "ended", 9).await).unwrap();
    update(store.at(10), &ended).await;
    let late = Domain::added(name("late"), at(100));
    write(store.at(100), async |tx| tx.insert_domain(&late).await).await;

    assert!(!store.is_rechecked(DAY).await.unwrap());
    let mut taken = take(&store, DAY, 2).await;
    assert_eq!(taken.len(), 2, "no more than asked for");
    taken.extend(take(&store, DAY, 9).await);
    assert_eq!(taken, names(&["failing", "pending", "ended"]));
    assert_eq!(take(&store, DAY, 9).await, names(&[]), "once a day");
    assert_eq!(take(&store, NEXT_DAY, 9).await.len(), 3);
    assert_eq!(take(&store, DAY, 9).await, names(&[]), "an earlier day takes none");

    for _ in 0..2 {
        write(&store, async |tx| tx.set_rechecked(DAY).await).await;
    }
    assert!(store.is_rechecked(DAY).await.unwrap());
    assert!(!store.is_rechecked(NEXT_DAY).await.unwrap());
}

/// Schedulers that take at the same time take no domain twice, and together all of them.
pub async fn rechecks_at_once_take_distinct_domains(store: Case) {
    for index in 0..24 {
        add(&store, &format!("d{index}")).await;
    }
    let mut schedulers = JoinSet::new();
    for _ in 0..4 {
        let store = store.clone();
        schedulers.spawn(async move {
            let mut taken = Vec::new();
            loop {
                let mut tx = store.begin("take_recheck").await.unwrap();
                let batch = tx.take_recheck(DAY, at(100), 5).await.unwrap();
                tx.commit().await.unwrap();
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

/// Live domains that C4 does not know are counted, by the time of its latest answer.
pub async fn missing_domains_are_counted_among_the_live(store: Case) {
    let counts = async |since| write(&store, async |tx| tx.missing_and_live(at(since)).await).await;
    assert_eq!(counts(0).await, (0, 0));
    for (label, asked_at) in [("fine", None), ("early", Some(10)), ("now", Some(20))] {
        let domain = add(&store, label).await;
        let live = live(&store, label, 900).await;
        let mut domain = domain.uploaded(live).unwrap();
        if let Some(asked_at) = asked_at {
            domain = domain.unknown_to_c4(at(asked_at), false).unwrap();
        }
        update(store.at(30), &domain).await;
    }
    let never_live = add(&store, "new").await;
    update(store.at(30), &never_live.unknown_to_c4(at(20), false).unwrap()).await;
    assert_eq!(counts(0).await, (2, 3));
    assert_eq!(counts(20).await, (1, 3));
    assert_eq!(counts(21).await, (0, 3));

    write(&store, async |tx| tx.discount_missing(at(20)).await).await;
    for (label, answers) in [("early", 1), ("now", 0), ("new", 1)] {
        let domain = store.domain(&name(label)).await.unwrap().unwrap().domain;
        assert_eq!(domain.missing().map(|missing| missing.answers), Some(answers), "{label}");
    }
    assert_eq!(counts(20).await, (1, 3), "the time of the answer stays");
}
