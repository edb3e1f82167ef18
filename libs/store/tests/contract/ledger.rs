//! The ledger of CAs' limits.

use domain::Order;
use domain::budget::{Charge, Exempt, Lane, Limit, LimitKind, Limits, line_key};
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
    let reserved = async |order| write(&store, async |tx| tx.reserved(order).await).await;
    assert_eq!(reserved(news).await, both);

    write(&store, async |tx| tx.give_back(blog).await).await;
    write(store.at(60), async |tx| tx.spend_later(news).await).await;
    write(store.at(90), async |tx| {
        // An end is an end.
        tx.spend_later(blog).await?;
        tx.spend_later(news).await?;
        tx.give_back(news).await
    })
    .await;
    assert!(reserved(blog).await.is_empty() && reserved(news).await.is_empty());
    let taken = async |bucket: &str| write(&store, async |tx| tx.take_spent(bucket).await).await;
    assert_eq!((taken("a").await, taken("a").await), (vec![at(60)], Vec::new()));
    assert_eq!(taken("b").await, [at(60)], "each bucket by itself");
    assert_eq!(reserved(shop).await, both, "the first goes on");
}

/// Of the places of a registered domain, those that live orders reserved and those of orders that ended are taken. A look
/// writes nothing, and a place in the line is all that an order without room leaves.
pub async fn an_order_is_charged_only_where_there_is_room(store: Case) {
    let account = add_account(&store).await;
    let orders = ["one", "two", "three"].map(|label| order(label, &account));
    let charge = |order: &Order| Charge {
        order: order.id,
        issuer: "ca".to_owned(),
        limits: Limits {
            new_orders: Some(limit(2)),
            certificates_per_registered_domain: Some(limit(2)),
            ..Limits::default()
        },
        name: order.name.clone(),
        lane: Lane::New,
        exempt: Exempt::Nothing,
        was_promised: false,
        is_asked_again: false,
    };
    let [one, two, three] = &orders;
    for (label, order) in ["one", "two", "three"].iter().zip(&orders) {
        add(&store, label).await;
        write(&store, async |tx| tx.insert_order(order).await).await;
    }
    for order in [one, two] {
        assert_eq!(store.look_for_room(&charge(order), at(0)).await.unwrap(), Ok(()));
        write(&store, async |tx| {
            let reserved = tx.charge(&charge(order), at(0)).await?.unwrap();
            tx.reserve(order.id, &reserved).await
        })
        .await;
    }
    let again = Charge { is_asked_again: true, ..charge(one) };
    assert_eq!(
        store.look_for_room(&again, at(0)).await.unwrap(),
        Ok(()),
        "its own place does not stand in its way"
    );
    let wait = store.look_for_room(&charge(three), at(0)).await.unwrap().unwrap_err();
    assert_eq!(wait.limit, LimitKind::RegisteredDomain, "two others hold the two places");
    write(&store, async |tx| tx.give_back(one.id).await).await;
    write(store.at(0), async |tx| tx.spend_later(two.id).await).await;
    let wait = store.stand_in_line(&charge(three), at(0)).await.unwrap().unwrap();
    assert_eq!(wait.limit, LimitKind::NewOrders, "one place of the domain is free, and no new order");
    assert_eq!(store.bucket(&line_key("ca", Lane::New)).await.unwrap(), Some(wait.until));
    assert_eq!(store.stand_in_line(&charge(three), wait.until).await.unwrap(), None, "its time has come");
    assert_eq!(write(&store, async |tx| tx.reserved(three.id).await).await, [""; 0]);
}

fn limit(count: u32) -> Limit {
    Limit { count, period: SignedDuration::from_hours(1) }
}
