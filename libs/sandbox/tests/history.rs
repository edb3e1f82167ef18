//! What the CA remembers of the order before.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod kit;

use instant_acme::{Identifier, NewOrder};
use jiff::{SignedDuration, Timestamp};
use sandbox::{Endpoint, OrderBefore};

use kit::{Scene, certificate_id};

/// What is remembered of the order before the last one.
fn before(scene: &Scene) -> OrderBefore {
    scene.world.ca.control().placed_orders().last().unwrap().before
}

#[tokio::test]
async fn each_order_knows_what_had_become_of_the_one_before() {
    let scene = Scene::new().await;
    let ca = scene.world.ca.control();
    scene.world.point_at_cdn("shop.example");
    scene.order("shop.example").await;
    assert_eq!(before(&scene), OrderBefore::None);
    scene.order("shop.example").await;
    assert_eq!(before(&scene), OrderBefore::Open { is_known: true });
    ca.drop_answer(Endpoint::NewOrder);
    let lost = scene.account.new_order(&NewOrder::new(&[Identifier::Dns("shop.example".to_owned())])).await;
    assert!(lost.is_err());
    scene.order("shop.example").await;
    assert_eq!(before(&scene), OrderBefore::Open { is_known: false });
    ca.expire_orders();
    let issued = scene.issue("shop.example").await.unwrap();
    assert_eq!(before(&scene), OrderBefore::Ended);
    scene.order("other.example").await;
    assert_eq!(before(&scene), OrderBefore::None);

    let start = Timestamp::from_second(1_900_000_000).unwrap();
    ca.set_renewal_window(None, start, start + SignedDuration::from_hours(1), None);
    scene.account.renewal_info(&certificate_id(&issued)).await.unwrap();
    ca.clear_renewal_windows();
    scene.order("shop.example").await;
    let OrderBefore::Issued { window_start, .. } = before(&scene) else { panic!("it was issued") };
    assert_eq!(window_start, Some(start), "as it was told");
}
