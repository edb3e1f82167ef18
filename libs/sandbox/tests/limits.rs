//! The CA enforces a real CA's limits, and gives back what was used of them as its clock goes on.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod kit;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use instant_acme::{Account, AuthorizationStatus, Error, Identifier, NewOrder, Order, OrderStatus, Problem};
use jiff::Timestamp;
use sandbox::{CaControl, Limit, Limits, ValidationResult, WorldOptions};

use kit::{Scene, certificate_id, create_account, problem_type};

const START: i64 = 2_000_000_000;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const ALREADY_REPLACED: &str = "urn:ietf:params:acme:error:alreadyReplaced";

/// A scene whose clock is moved by hand, where every validation succeeds.
struct Limited {
    scene: Scene,
    now: Arc<AtomicI64>,
}

impl Limited {
    async fn by(limits: Limits) -> Self {
        let now = Arc::new(AtomicI64::new(START));
        let read = now.clone();
        let scene = Scene::with(WorldOptions {
            clock: Arc::new(move || Timestamp::from_second(read.load(Ordering::Relaxed)).unwrap()),
            ..WorldOptions::default()
        })
        .await;
        let this = Self { scene, now };
        this.control().validation_default(ValidationResult::Valid);
        this.control().enforce(limits);
        this
    }

    fn control(&self) -> CaControl {
        self.scene.world.ca.control()
    }

    fn pass(&self, seconds: u64) {
        self.now.fetch_add(seconds.cast_signed(), Ordering::Relaxed);
    }

    /// Validations of that name fail from now on.
    fn fail(&self, name: &str) {
        self.control().validation_result(
            name,
            ValidationResult::Invalid {
                problem: "connection".to_owned(),
                detail: "nobody is there".to_owned(),
            },
        );
    }

    /// The CA's refusal, and for how many seconds it holds.
    async fn refusal(&self, order: &NewOrder<'_>) -> (Problem, u64) {
        match self.scene.account.new_order(order).await {
            Err(Error::Api(problem)) => (problem, self.scene.acme.retry_after().unwrap()),
            Err(error) => panic!("no problem document: {error:?}"),
            Ok(_) => panic!("the order was placed"),
        }
    }
}

fn identifiers<const N: usize>(names: [&str; N]) -> [Identifier; N] {
    names.map(|name| Identifier::Dns(name.to_owned()))
}

fn limit(most: u32, per_seconds: u64) -> Limit {
    let per = Duration::from_secs(per_seconds);
    Limit { most, per }
}

/// What the problem says, and the names that it is about.
fn read(problem: &Problem) -> (&str, Vec<String>) {
    assert_eq!(problem.r#type.as_deref(), Some("urn:ietf:params:acme:error:rateLimited"));
    assert_eq!(problem.status, Some(429));
    let names = problem.subproblems.iter().map(|subproblem| match &subproblem.identifier {
        Some(Identifier::Dns(name)) => name.clone(),
        other => panic!("no name: {other:?}"),
    });
    (problem.detail.as_deref().unwrap(), names.collect())
}

async fn cancel(order: &mut Order) {
    let mut authorizations = order.authorizations();
    let mut authorization = authorizations.next().await.unwrap().unwrap();
    let ended = authorization.deactivate().await.unwrap();
    assert_eq!(ended.status, AuthorizationStatus::Deactivated);
}

#[tokio::test]
async fn an_account_places_so_many_orders() {
    let limited = Limited::by(Limits { new_orders: Some(limit(3, 3 * HOUR)), ..Limits::default() }).await;
    let scene = &limited.scene;
    for name in ["one.example", "two.example", "three.example"] {
        scene.order(name).await;
    }
    limited.pass(HOUR / 2);
    let four = identifiers(["four.example"]);
    let (problem, wait) = limited.refusal(&NewOrder::new(&four)).await;
    let detail =
        "too many new orders (3) from this account in the last 3h0m0s, retry after 2033-05-18 04:33:20 UTC";
    assert_eq!(read(&problem), (detail, vec![]));
    assert_eq!(wait, HOUR / 2);

    // Refused again and again, it waits no longer for that; another account does not wait at all.
    limited.pass(HOUR / 2 - 1);
    assert_eq!(limited.refusal(&NewOrder::new(&four)).await.1, 1);
    let (other, _) = create_account(&scene.world.ca, &scene.acme, None).await.unwrap();
    other.new_order(&NewOrder::new(&four)).await.unwrap();
    limited.pass(1);
    scene.order("four.example").await;
    assert_eq!(limited.refusal(&NewOrder::new(&four)).await.1, HOUR);

    let control = limited.control();
    assert_eq!(control.refused_by_limits(), 3);
    let placed: Vec<_> = control.orders_placed_at().iter().map(|at| at.as_second() - START).collect();
    assert_eq!(placed, [0, 0, 0, 3599, 3600]);
    assert_eq!(control.orders_placed(), 5);

    // Anew, and with a second of which a part is left: the wait is rounded up.
    control.enforce(Limits { new_orders: Some(limit(3, 10)), ..Limits::default() });
    for name in ["five.example", "six.example", "seven.example"] {
        scene.order(name).await;
    }
    assert_eq!(limited.refusal(&NewOrder::new(&four)).await.1, 4);
    control.enforce(Limits::default());
    scene.order("free.example").await;
}

#[tokio::test]
async fn a_registered_domain_has_so_many_certificates() {
    let limited = Limited::by(Limits {
        certificates_per_registered_domain: Some(limit(2, 7 * DAY)),
        ..Limits::default()
    })
    .await;
    let scene = &limited.scene;
    // An order alone takes nothing.
    for name in ["a.shop.example", "b.shop.example", "c.shop.example"] {
        scene.order(name).await;
    }
    scene.issue("a.shop.example").await.unwrap();
    scene.issue("b.shop.example").await.unwrap();
    let names = identifiers(["c.shop.example", "other.example"]);
    let (problem, wait) = limited.refusal(&NewOrder::new(&names)).await;
    let (detail, about) = read(&problem);
    let expected =
        "too many certificates (2) already issued for \"shop.example\" in the last 168h0m0s, retry";
    assert!(detail.starts_with(expected), "{detail}");
    assert_eq!((about, wait), (vec!["c.shop.example".to_owned()], 84 * HOUR));
    scene.issue("other.example").await.unwrap();

    // A renewal is neither refused nor counted; for another account the same names are none.
    limited.pass(84 * HOUR);
    scene.issue("a.shop.example").await.unwrap();
    scene.issue("c.shop.example").await.unwrap();
    let (other, _) = create_account(&scene.world.ca, &scene.acme, None).await.unwrap();
    let names = identifiers(["a.shop.example"]);
    let error = other.new_order(&NewOrder::new(&names)).await.err().unwrap();
    assert_eq!(problem_type(&error), "urn:ietf:params:acme:error:rateLimited");
    assert_eq!(limited.control().refused_by_limits(), 2);
}

#[tokio::test]
async fn an_exact_set_of_names_has_so_many_certificates_unless_each_replaces_the_last() {
    let limited = Limited::by(Limits {
        new_orders: Some(limit(2, 3650 * DAY)),
        certificates_per_exact_set: Some(limit(2, 7 * DAY)),
        ..Limits::default()
    })
    .await;
    let scene = &limited.scene;
    // The second order is a renewal and leaves the account's second one for another name.
    scene.issue("set.example").await.unwrap();
    let issued = scene.issue("set.example").await.unwrap();
    scene.order("other.example").await;
    let names = identifiers(["set.example"]);
    let (problem, wait) = limited.refusal(&NewOrder::new(&names)).await;
    let (detail, about) = read(&problem);
    assert!(detail.contains("(2) already issued for this exact set of"), "{detail}");
    assert_eq!((about, wait), (vec!["set.example".to_owned()], 84 * HOUR));

    // Before its window opens a replacement is like any renewal.
    let replacement = |issued| NewOrder::new(&names).replaces(certificate_id(issued));
    assert_eq!(limited.refusal(&replacement(&issued)).await.1, 84 * HOUR);
    let start = Timestamp::from_second(START).unwrap();
    let end = Timestamp::from_second(START + 60).unwrap();
    limited.control().set_renewal_window(Some("set.example"), start, end, None);
    let issued = scene.issue_as(&replacement(&issued)).await.unwrap();
    let issued = scene.issue_as(&replacement(&issued)).await.unwrap();
    assert_eq!(limited.refusal(&NewOrder::new(&names)).await.1, 84 * HOUR);
    limited.pass(60);
    assert_eq!(limited.refusal(&replacement(&issued)).await.1, 84 * HOUR - 60);
    assert_eq!(limited.control().refused_by_limits(), 4);
}

#[tokio::test]
async fn a_name_fails_so_often_for_an_account() {
    let limited =
        Limited::by(Limits { failed_authorizations: Some(limit(2, HOUR)), ..Limits::default() }).await;
    let scene = &limited.scene;
    for name in ["broken.example", "worse.example"] {
        limited.fail(name);
    }
    scene.failure("broken.example").await;
    scene.failure("broken.example").await;
    let names = identifiers(["broken.example", "whole.example"]);
    let (problem, wait) = limited.refusal(&NewOrder::new(&names)).await;
    let detail = "too many failed authorizations (2) for \"broken.example\" in the last 1h0m0s, retry after 2033-05-18 04:03:20 UTC";
    assert_eq!(read(&problem), (detail, vec!["broken.example".to_owned()]));
    assert_eq!(wait, HOUR / 2);
    scene.issue("whole.example").await.unwrap();
    let (other, _) = create_account(&scene.world.ca, &scene.acme, None).await.unwrap();
    other.new_order(&NewOrder::new(&names)).await.unwrap();
    limited.pass(HOUR / 2);
    scene.failure("broken.example").await;
    assert_eq!(limited.refusal(&NewOrder::new(&names)).await.1, HOUR / 2);

    // Of two limits the one that holds for longer is what is said.
    limited.pass(60);
    scene.failure("worse.example").await;
    scene.failure("worse.example").await;
    let names = identifiers(["broken.example", "worse.example"]);
    let (problem, wait) = limited.refusal(&NewOrder::new(&names)).await;
    assert_eq!((read(&problem).1, wait), (vec!["worse.example".to_owned()], HOUR / 2));
}

#[tokio::test]
async fn a_name_that_fails_too_often_in_a_row_is_paused_until_it_is_resumed() {
    let limited =
        Limited::by(Limits { failures_in_a_row: Some(limit(3, 3 * DAY)), ..Limits::default() }).await;
    let scene = &limited.scene;
    let name = "broken.example";
    let control = limited.control();
    let names = identifiers([name]);
    for _ in 0..2 {
        limited.fail(name);
        scene.failure(name).await;
        scene.failure(name).await;
        control.validation_result(name, ValidationResult::Valid);
        scene.issue(name).await.unwrap();
    }
    limited.fail(name);
    for _ in 0..3 {
        scene.failure(name).await;
    }
    let Err(Error::Api(problem)) = scene.account.new_order(&NewOrder::new(&names)).await.map(drop) else {
        panic!("not paused")
    };
    assert!(problem.detail.unwrap().contains("https://sandbox.invalid/unpause"), "where to have it resumed");
    limited.pass(30 * DAY);
    assert!(scene.account.new_order(&NewOrder::new(&names)).await.is_err(), "time does not lift it");
    scene.order("whole.example").await;
    control.pause(name, None);
    scene.failure(name).await;
    scene.order(name).await;
}

#[tokio::test]
async fn a_replacement_that_came_to_nothing_frees_its_certificate() {
    let limited = Limited::by(Limits::letsencrypt()).await;
    let scene = &limited.scene;
    let names = identifiers(["replaced.example"]);
    let issued = scene.issue("replaced.example").await.unwrap();
    limited.pass(61 * DAY);
    let replacement = || NewOrder::new(&names).replaces(certificate_id(&issued));

    let mut first = scene.account.new_order(&replacement()).await.unwrap();
    let error = scene.account.new_order(&replacement()).await.err().unwrap();
    assert_eq!(problem_type(&error), ALREADY_REPLACED);
    cancel(&mut first).await;
    assert_eq!(first.refresh().await.unwrap().status, OrderStatus::Invalid);

    limited.fail("replaced.example");
    let mut second = scene.account.new_order(&replacement()).await.unwrap();
    scene.authorize(&mut second).await.unwrap();
    assert_eq!(second.refresh().await.unwrap().status, OrderStatus::Invalid);

    limited.control().validation_result("replaced.example", ValidationResult::Valid);
    scene.issue_as(&replacement()).await.unwrap();
    let error = scene.account.new_order(&replacement()).await.err().unwrap();
    assert_eq!(problem_type(&error), ALREADY_REPLACED);
    assert_eq!(limited.control().refused_by_limits(), 0);
}

#[tokio::test]
async fn nobody_replaces_what_is_not_theirs() {
    let limited = Limited::by(Limits::letsencrypt()).await;
    let scene = &limited.scene;
    let issued = scene.issue("mine.example").await.unwrap();
    let before = limited.control().orders_placed();
    let refused = async |account: &Account, name| {
        let names = identifiers([name]);
        let order = NewOrder::new(&names).replaces(certificate_id(&issued));
        problem_type(&account.new_order(&order).await.err().unwrap()).to_owned()
    };
    let (other, _) = create_account(&scene.world.ca, &scene.acme, None).await.unwrap();
    assert_eq!(refused(&other, "mine.example").await, "urn:ietf:params:acme:error:unauthorized");
    assert_eq!(refused(&scene.account, "yours.example").await, "urn:ietf:params:acme:error:malformed");
    assert_eq!(limited.control().orders_placed(), before);
    assert!(limited.control().token_for("yours.example").is_none());
}
