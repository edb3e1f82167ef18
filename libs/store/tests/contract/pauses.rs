//! What is paused, and the work that waits for it.

use domain::{Outbound, Pause, Work, WorkKind};
use store::LastStep;

use crate::kit::{Case, add_due, at, committing, name};

fn pause(target: Outbound, issuer: &str, second: i64) -> Pause {
    Pause {
        target,
        issuer: issuer.to_owned(),
        by: "token:ops".to_owned(),
        since: at(second),
        reason: "edge maintenance".to_owned(),
    }
}

async fn put(store: &Case, pause: &Pause) -> (Pause, bool) {
    let mut tx = store.begin("pause").await.unwrap();
    let stored = tx.pause(pause).await.unwrap();
    tx.commit().await.unwrap();
    stored
}

async fn lift(store: &Case, target: Outbound, issuer: &str) -> Option<Pause> {
    let mut tx = store.begin("resume").await.unwrap();
    let lifted = tx.lift_pause(target, issuer).await.unwrap();
    tx.commit().await.unwrap();
    lifted
}

/// Claims the upload of shop.example.com and has it wait for a pause of C4, until an hour later.
async fn meets_a_pause(store: &Case) -> Work {
    let lease = store.claim(WorkKind::Upload, &name("shop"), at(30)).await.unwrap().unwrap();
    let next = Work { due_at: Some(at(3600)), ..lease.work.clone() };
    store.end(&LastStep::postponed(&lease, next.clone()).paused_for(Outbound::C4)).await.unwrap();
    next
}

async fn due_at(store: &Case) -> Option<jiff::Timestamp> {
    store.work(&name("shop")).await.unwrap()[0].due_at
}

/// A second pause of the same changes nothing, one of another issuer stands beside it, and each is lifted by itself.
pub async fn a_pause_stays_as_it_is_until_it_is_lifted(store: Case) {
    let (all, one) = (pause(Outbound::Ca, "", 0), pause(Outbound::Ca, "letsencrypt", 1));
    assert_eq!(put(&store, &all).await, (all.clone(), true));
    assert_eq!(put(&store, &pause(Outbound::Ca, "", 9)).await, (all.clone(), false));
    assert_eq!(put(&store, &one).await, (one.clone(), true));
    assert_eq!(store.pauses().await.unwrap(), [all.clone(), one.clone()]);
    assert_eq!(lift(&store, Outbound::C4, "").await, None);
    assert_eq!(lift(&store, Outbound::Ca, "other").await, None);
    assert_eq!(lift(&store, Outbound::Ca, "").await, Some(all));
    assert_eq!(lift(&store, Outbound::Ca, "").await, None);
    assert_eq!(store.pauses().await.unwrap(), [one]);
}

/// A pause whose transaction did not commit is none.
pub async fn a_pause_that_was_not_committed_is_none(store: Case) {
    let mut tx = store.begin("pause").await.unwrap();
    tx.pause(&pause(Outbound::C4, "", 0)).await.unwrap();
    drop(tx);
    assert!(store.pauses().await.unwrap().is_empty());
}

/// Lifting a pause makes the work due in two seconds that waits for it, as it was otherwise, and nothing else.
pub async fn lifting_a_pause_makes_due_what_waits_for_it(store: Case) {
    add_due(&store, "shop", WorkKind::Upload).await;
    put(&store, &pause(Outbound::C4, "", 0)).await;
    put(&store, &pause(Outbound::Ca, "", 0)).await;
    let waits = meets_a_pause(&store).await;
    assert_eq!(store.work(&name("shop")).await.unwrap(), std::slice::from_ref(&waits));
    lift(&store, Outbound::Ca, "").await.unwrap();
    assert_eq!(due_at(&store).await, waits.due_at, "it waits for another one");
    store.at(60);
    lift(&store, Outbound::C4, "").await.unwrap();
    let due = Work { due_at: Some(at(62)), ..waits };
    assert_eq!(store.work(&name("shop")).await.unwrap(), [due]);
}

/// Work that is stored as waiting after the pause was lifted is found, but not while something of that kind is paused.
pub async fn work_that_missed_the_lifting_is_found(store: Case) {
    add_due(&store, "shop", WorkKind::Upload).await;
    put(&store, &pause(Outbound::C4, "", 0)).await;
    let waits = meets_a_pause(&store).await;
    store.release_paused_work().await.unwrap();
    assert_eq!(due_at(&store).await, waits.due_at, "still paused");
    lift(&store, Outbound::C4, "").await.unwrap();
    store.at(2);
    let waits = meets_a_pause(&store).await;
    assert_eq!(due_at(&store).await, waits.due_at);
    store.at(5).release_paused_work().await.unwrap();
    assert_eq!(due_at(&store).await, Some(at(5)));
}

/// What waited for a pause and is planned for another time by now is left alone.
pub async fn a_claim_ends_the_wait_for_a_pause(store: Case) {
    add_due(&store, "shop", WorkKind::Upload).await;
    put(&store, &pause(Outbound::C4, "", 0)).await;
    meets_a_pause(&store).await;
    let lease = store.at(3600).claim(WorkKind::Upload, &name("shop"), at(3630)).await.unwrap().unwrap();
    let tomorrow = Work { due_at: Some(at(90_000)), ..lease.work.clone() };
    committing(&store, async |tx| tx.finish(&lease, Some(&tomorrow)).await).await.unwrap();
    lift(&store, Outbound::C4, "").await.unwrap();
    store.release_paused_work().await.unwrap();
    assert_eq!(due_at(&store).await, Some(at(90_000)));
}
