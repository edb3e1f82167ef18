//! The ledger of CAs' limits.

use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;

use crate::kit::{Case, add, add_account, at, order, write};

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

/// What an order has reserved is counted until it is given back or taken as spent, each once.
pub async fn what_is_reserved_is_given_back_or_spent_once(store: Case) {
    let account = add_account(&store).await;
    let orders = ["shop", "blog", "news"].map(|label| order(label, &account));
    let both = ["a".to_owned(), "b".to_owned()];
    for (label, order) in ["shop", "blog", "news"].iter().zip(&orders) {
        add(&store, label).await;
        write(&store, async |tx| {
            tx.insert_order(order).await?;
            tx.reserve(order.id, &both).await?;
            tx.reserve(order.id, &both[..1]).await
        })
        .await;
    }
    let [shop, blog, news] = orders.map(|order| order.id);
    let others =
        async |bucket: &str| write(&store, async |tx| tx.reserved_by_others(bucket, shop).await).await;
    assert_eq!((others("a").await, others("b").await, others("c").await), (2, 2, 0));
    assert_eq!(write(&store, async |tx| tx.reserved(news).await).await, both);

    write(&store, async |tx| tx.give_back(blog).await).await;
    write(store.at(60), async |tx| tx.spend_later(news).await).await;
    write(store.at(90), async |tx| {
        // An end is an end.
        tx.spend_later(blog).await?;
        tx.spend_later(news).await?;
        tx.give_back(news).await
    })
    .await;
    assert_eq!((others("a").await, others("b").await), (0, 0));
    let taken = async |bucket: &str| write(&store, async |tx| tx.take_spent(bucket).await).await;
    assert_eq!((taken("a").await, taken("a").await), (vec![at(60)], Vec::new()));
    assert_eq!(taken("b").await, [at(60)], "each bucket by itself");
    assert_eq!(write(&store, async |tx| tx.reserved(shop).await).await, both, "the first goes on");
}
