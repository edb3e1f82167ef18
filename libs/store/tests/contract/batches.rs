//! Writes that go to the database together.

use domain::{Activity, Cause, CertificateId, Domain, HistoryKind, WorkKind};
use store::{Entry, StoreError};

use crate::kit::{
    Case, add, add_account, at, committing, fresh_uuid, is_conflict, order, row, schedule, work, write,
};

/// More names than go together.
const MANY: usize = 40;

fn waiting(domain: &Domain) -> Domain {
    domain.clone().doing(Activity::WaitingForCa, None).unwrap()
}

/// A condition that is not met is told by the commit, by its own name, and what went with it is not written either.
pub async fn one_that_meets_no_row_fails_the_whole(store: Case) {
    let domain = add(&store, "shop").await;
    let never_stored = CertificateId::from(fresh_uuid());
    let failed = committing(&store, async |tx| {
        tx.apply(Some(&domain), &waiting(&domain), Some(Entry::new(HistoryKind::Blocked, "test", "")))
            .await?;
        tx.schedule(&work("shop", WorkKind::Upload, Some(at(0)))).await?;
        tx.mark_uploaded(never_stored).await?;
        tx.set_bucket("a", at(5)).await
    });
    let failed = failed.await.unwrap_err();
    assert!(matches!(failed, StoreError::Conflict { operation: "mark_uploaded" }), "{failed:?}");
    assert_eq!(row(&store, "shop").await, domain);
    assert_eq!(store.work(&domain.name).await.unwrap(), []);
    assert_eq!(store.history(&domain.name, 9).await.unwrap(), []);
    assert_eq!(store.bucket("a").await.unwrap(), None);
}

/// One that breaks a unique index is told by its own name.
pub async fn one_that_is_there_already_is_named(store: Case) {
    let domain = add(&store, "shop").await;
    let account = add_account(&store).await;
    write(&store, async |tx| tx.insert_order(&order("shop", &account)).await).await;
    let failed = committing(&store, async |tx| {
        tx.apply(Some(&domain), &waiting(&domain), None).await?;
        tx.insert_order(&order("shop", &account)).await?;
        tx.set_bucket("a", at(5)).await
    });
    let failed = failed.await.unwrap_err();
    assert!(matches!(failed, StoreError::Conflict { operation: "insert_order" }), "{failed:?}");
    assert_eq!(row(&store, "shop").await, domain);
}

/// A transaction sees what it has written, and of two writes to one row the second is made upon the first.
pub async fn a_transaction_sees_what_it_has_written(store: Case) {
    let domain = add(&store, "shop").await;
    schedule(&store, &work("shop", WorkKind::Upload, Some(at(9)))).await;
    let mut tx = store.begin("twice").await.unwrap();
    tx.apply(Some(&domain), &waiting(&domain), None).await.unwrap();
    let seen = tx.domain(&domain.name).await.unwrap().unwrap();
    assert_eq!((seen.activity, seen.version), (Activity::WaitingForCa, domain.version + 1));
    tx.apply(Some(&seen), &seen.clone().doing(Activity::Validating, None).unwrap(), None).await.unwrap();
    tx.cancel(&domain.name, WorkKind::Upload).await.unwrap();
    let again = domain::Work { cause: Cause::DailyRecheck, ..work("shop", WorkKind::Upload, Some(at(7))) };
    tx.schedule(&work("shop", WorkKind::Upload, Some(at(8)))).await.unwrap();
    tx.schedule(&again).await.unwrap();
    tx.schedule_if_none(&work("shop", WorkKind::Upload, Some(at(1)))).await.unwrap();
    tx.hint(&domain::Work { kind: WorkKind::Issue, ..again.clone() });
    tx.set_bucket("a", at(5)).await.unwrap();
    tx.set_bucket("a", at(6)).await.unwrap();
    assert_eq!(tx.buckets(&["a".to_owned(), "b".to_owned()]).await.unwrap()[0], at(6));
    tx.commit().await.unwrap();
    let stored = row(&store, "shop").await;
    assert_eq!((stored.activity, stored.version), (Activity::Validating, domain.version + 2));
    assert_eq!(store.work(&domain.name).await.unwrap(), [again]);
}

/// A version that another write of the same transaction has raised is an old one.
pub async fn an_old_version_of_ones_own_is_a_conflict(store: Case) {
    let domain = add(&store, "shop").await;
    let twice = committing(&store, async |tx| {
        tx.apply(Some(&domain), &waiting(&domain), None).await?;
        tx.apply(Some(&domain), &waiting(&domain), None).await
    });
    assert!(is_conflict(twice.await));
    assert_eq!(row(&store, "shop").await, domain);
}

/// However many there are.
pub async fn more_than_go_together_are_all_written(store: Case) {
    let mut domains = Vec::new();
    for number in 0..MANY {
        domains.push(add(&store, &format!("d{number}")).await);
    }
    write(&store, async |tx| {
        for domain in &domains {
            let entry = Entry::new(HistoryKind::Blocked, "test", domain.name.as_str());
            tx.apply(Some(domain), &waiting(domain), Some(entry)).await?;
            tx.schedule(&domain::Work { name: domain.name.clone(), ..work("shop", WorkKind::Issue, None) })
                .await?;
            tx.set_bucket(domain.name.as_str(), at(5)).await?;
        }
        Ok(())
    })
    .await;
    for domain in &domains {
        let stored = write(&store, async |tx| tx.domain(&domain.name).await).await.unwrap();
        assert_eq!(stored.activity, Activity::WaitingForCa);
        assert_eq!(store.work(&domain.name).await.unwrap().len(), 1);
        assert_eq!(store.history(&domain.name, 9).await.unwrap()[0].message, domain.name.as_str());
        assert_eq!(store.bucket(domain.name.as_str()).await.unwrap(), Some(at(5)));
    }
}
