//! The ledger of CAs' limits.

use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;

use crate::kit::{Case, at, write};

/// A bucket comes back as it was set; one without a row is at the beginning of time.
pub async fn buckets_come_back(store: Case) {
    let keys = ["a".to_owned(), "b".to_owned()];
    assert_eq!(store.bucket("b").await.unwrap(), None);
    let times = write(&store, async |tx| {
        let times = tx.buckets(&keys).await?;
        tx.set_bucket("b", at(5)).await?;
        Ok(times)
    })
    .await;
    assert_eq!(times, [Timestamp::UNIX_EPOCH; 2]);
    let times = write(&store, async |tx| tx.buckets(&keys).await).await;
    assert_eq!(times, [Timestamp::UNIX_EPOCH, at(5)]);
    assert_eq!(store.bucket("b").await.unwrap(), Some(at(5)));
}

/// A transaction that read a bucket holds it until the commit, so that no charge of another one is lost.
pub async fn a_bucket_that_was_read_waits_for_its_reader(store: Case) {
    let keys = vec!["a".to_owned(), "b".to_owned()];
    let mut issuers = JoinSet::new();
    for _ in 0..16 {
        let (store, keys) = (store.clone(), keys.clone());
        issuers.spawn(async move {
            let mut tx = store.begin("charge").await.unwrap();
            let times = tx.buckets(&keys).await.unwrap();
            for (key, time) in keys.iter().zip(times) {
                let later = time + SignedDuration::from_secs(1);
                tx.set_bucket(key, later).await.unwrap();
            }
            tx.commit().await.unwrap();
        });
    }
    issuers.join_all().await;
    for key in &keys {
        let sum = store.bucket(key).await.unwrap().unwrap();
        assert_eq!(sum.as_second(), 16, "{key}");
    }
}
