//! What each command does to a domain, on a real store and a clock that the test moves.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod case;

use std::sync::LazyLock;

use api::commands::CommandError;
use audit::Caller;
use case::{Case, DAY, caller};
use domain::{
    Cause, CertificateId, Clock, HistoryKind, Lease, Live, Order, OrderId, OrderState, Reason, Source,
    Status, Work, WorkKind,
};
use jiff::{SignedDuration, Timestamp};
use runtime::testing::order_key;
use store::Certificate;

static BY: LazyLock<Caller> = LazyLock::new(|| caller("token:test", "Test"));

impl Case {
    async fn work(&self) -> Vec<(WorkKind, Cause, Option<Timestamp>)> {
        let work = self.store().work(&self.name).await.unwrap();
        work.iter().map(|work| (work.kind, work.cause, work.due_at)).collect()
    }

    async fn claim(&self, kind: WorkKind) -> Lease {
        let now = self.clock.now();
        self.store().claim(kind, &self.name, now + SignedDuration::from_secs(30)).await.unwrap().unwrap()
    }

    /// The issuer has stored a certificate of 90 days; if `live`, the uploader has made it live.
    async fn issued(&self, live: bool) -> CertificateId {
        self.stored(Source::C4, live).await.id()
    }

    /// A pasted certificate of a year, checked and sealed.
    fn pasted(&self) -> Certificate {
        self.certificate(Source::Text, DAY * 365)
    }

    /// The uploader has made what waits to be uploaded live.
    async fn uploaded(&self) -> CertificateId {
        let lease = self.claim(WorkKind::Upload).await;
        let id = lease.work.certificate.unwrap();
        let not_after =
            self.store().certificate(&lease.work.name, id).await.unwrap().unwrap().summary.not_after;
        let mut tx = self.store().begin("uploaded").await.unwrap();
        let row = tx.fence(&lease).await.unwrap();
        let live = Live { certificate: id, not_after };
        tx.update_domain(&row.uploaded(live).unwrap()).await.unwrap();
        tx.finish(&lease, None).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    async fn live_order(&self) -> Order {
        let now = self.clock.now();
        let order = Order {
            id: OrderId::new(&*self.clock, &*self.commands.entropy),
            name: self.name.clone(),
            revision: self.row().await.revision,
            account: self.account,
            created_at: now,
            state: OrderState::Created { key: order_key() },
        };
        let mut tx = self.store().begin("order").await.unwrap();
        tx.insert_order(&order).await.unwrap();
        tx.commit().await.unwrap();
        order
    }
}

#[tokio::test]
async fn adding_twice_answers_with_the_one_that_is_there() {
    let case = Case::begin().await;
    let (first, created) = case.commands.add(&case.name, &BY).await.unwrap();
    assert!(created);
    assert_eq!(first.domain.recorded, Status::Pending);
    assert_eq!(case.work().await, [(WorkKind::Issue, Cause::Requested, Some(case.clock.now()))]);
    let (second, created) = case.commands.add(&case.name, &BY).await.unwrap();
    assert!(!created);
    assert_eq!(second, first);
    let history = case.store().history(&case.name, 9).await.unwrap();
    assert_eq!(
        (history.len(), history[0].kind, history[0].actor.as_str()),
        (1, HistoryKind::Added, BY.actor.as_str())
    );
    assert_eq!(history[0].status_from, None);
}

#[tokio::test]
async fn a_deleted_name_gets_its_certificate_back_without_an_order() {
    let case = Case::begin().await;
    for round in 0..3 {
        case.commands.add(&case.name, &BY).await.unwrap();
        if round == 0 {
            case.issued(true).await;
        } else {
            assert_eq!(case.work().await[0].0, WorkKind::Upload, "uploaded again");
        }
        case.commands.delete(&case.name, false, &BY).await.unwrap();
        assert_eq!(case.work().await, []);
        assert!(case.store().domain(&case.name).await.unwrap().is_none());
    }
    // At its renewal point it is not worth putting back.
    case.clock.advance(DAY * 83);
    case.commands.generate(&case.name, false, &BY).await.unwrap();
    assert_eq!(case.work().await[0].0, WorkKind::Issue);
    assert_eq!(case.row().await.revision, 7);
}

/// What a delete says is what becomes of visitors.
#[tokio::test]
async fn a_delete_says_what_goes_on_being_served() {
    for (is_live, days, remove, told) in [
        (false, 0, false, "Deleted. C4 had no certificate for it."),
        (true, 0, false, "Deleted. C4 keeps serving its certificate until that ends."),
        (true, 90, false, "Deleted. Its certificate had already ended; C4 keeps it."),
        (true, 0, true, "Deleted. Its certificate is being removed from C4."),
        (
            false,
            0,
            true,
            "Deleted. It had no live certificate; C4 is asked to remove any that it still holds.",
        ),
    ] {
        let case = Case::begin().await;
        case.commands.add(&case.name, &BY).await.unwrap();
        case.stored(Source::C4, is_live).await;
        case.clock.advance(DAY * days);
        let done = case.commands.delete(&case.name, remove, &BY).await.unwrap();
        assert_eq!(done.sentence(), told);
        let history = case.store().history(&case.name, 1).await.unwrap();
        assert_eq!(history[0].message, told, "in the history too");
    }
}

/// C4 held something newer than what is stored, as after a restore.
#[tokio::test]
async fn a_deleted_name_does_not_get_back_what_c4_has_overtaken() {
    let case = Case::begin().await;
    case.commands.add(&case.name, &BY).await.unwrap();
    case.issued(true).await;
    case.clock.advance(DAY);
    let row = case.row().await;
    let ahead = row.note_ahead(Some("aa"), case.clock.now());
    let mut tx = case.store().begin("overtaken").await.unwrap();
    tx.update_domain(&row.overtaken(ahead).unwrap()).await.unwrap();
    tx.commit().await.unwrap();
    case.commands.delete(&case.name, false, &BY).await.unwrap();
    case.commands.add(&case.name, &BY).await.unwrap();
    assert_eq!(case.work().await[0].0, WorkKind::Issue, "it is ordered");
}

#[tokio::test]
async fn after_its_keys_were_destroyed_a_deleted_name_gets_a_new_certificate() {
    let case = Case::begin().await;
    case.commands.add(&case.name, &BY).await.unwrap();
    case.issued(true).await;
    case.commands.delete(&case.name, false, &BY).await.unwrap();
    let now = case.clock.now();
    let mut tx = case.store().begin("destroy_keys").await.unwrap();
    assert_eq!(tx.destroy_keys(&case.name, now).await.unwrap(), Some(1));
    tx.commit().await.unwrap();
    case.commands.generate(&case.name, false, &BY).await.unwrap();
    assert_eq!(
        case.work().await,
        [(WorkKind::Issue, Cause::Requested, Some(now))],
        "it is ordered, not uploaded again"
    );
    let refused = case.commands.roll_back(&case.name, &BY).await;
    assert!(matches!(refused, Err(CommandError::NothingToRollBackTo { .. })));
}

#[tokio::test]
async fn a_delete_abandons_the_order_and_revokes_every_lease() {
    let case = Case::begin().await;
    case.commands.add(&case.name, &BY).await.unwrap();
    let lease = case.claim(WorkKind::Issue).await;
    case.live_order().await;
    case.commands.delete(&case.name, true, &BY).await.unwrap();
    assert!(case.store().live_order(&case.name).await.unwrap().is_none());
    let mut tx = case.store().begin("late").await.unwrap();
    assert!(tx.fence(&lease).await.unwrap_err().is_lease_lost());
    drop(tx);
    assert_eq!(case.work().await, [(WorkKind::Remove, Cause::Requested, Some(case.clock.now()))]);
    let again = case.commands.delete(&case.name, true, &BY).await;
    assert!(matches!(again, Err(CommandError::NotFound(_))));
    case.commands.add(&case.name, &BY).await.unwrap();
    assert_eq!(case.work().await.len(), 1, "the removal of the past life is off");
}

/// An abandoned order gives back what it had reserved of the CA's limits; one that the CA took may have been
/// finalized, and issued.
#[tokio::test]
async fn an_abandoned_order_gives_back_what_it_reserved_unless_it_may_have_been_finalized() {
    for is_placed in [false, true] {
        let case = Case::begin().await;
        case.commands.add(&case.name, &BY).await.unwrap();
        let lease = case.claim(WorkKind::Issue).await;
        case.live_order().await;
        let bucket = "ca/names/shop.example.com".to_owned();
        let mut tx = case.store().begin("reserve").await.unwrap();
        tx.fence(&lease).await.unwrap();
        let mut order = tx.live_order(&case.name).await.unwrap().unwrap();
        tx.reserve(order.id, std::slice::from_ref(&bucket)).await.unwrap();
        if is_placed {
            order.state = order.state.placed("https://ca.example/order/1".to_owned()).unwrap();
            tx.update_order(&order, "created").await.unwrap();
        }
        tx.commit().await.unwrap();
        case.commands.delete(&case.name, false, &BY).await.unwrap();
        let mut tx = case.store().begin("look").await.unwrap();
        assert_eq!(tx.reserved(order.id).await.unwrap(), [""; 0]);
        let spent = if is_placed { vec![case.clock.now()] } else { Vec::new() };
        assert_eq!(tx.take_spent(&bucket).await.unwrap(), spent);
    }
}

#[tokio::test]
async fn generate_joins_what_is_under_way() {
    let case = Case::begin().await;
    case.commands.generate(&case.name, false, &BY).await.unwrap();
    let lease = case.claim(WorkKind::Issue).await;
    case.commands.generate(&case.name, true, &BY).await.unwrap();
    let mut tx = case.store().begin("fence").await.unwrap();
    tx.fence(&lease).await.expect("the issuer goes on undisturbed");
    let later =
        Work { due_at: Some(case.clock.now() + DAY), cause: Cause::Retry, attempts: 4, ..lease.work.clone() };
    tx.finish(&lease, Some(&later)).await.unwrap();
    tx.commit().await.unwrap();

    let order = case.live_order().await;
    case.commands.generate(&case.name, true, &BY).await.unwrap();
    assert_eq!(case.work().await, [(WorkKind::Issue, Cause::Requested, Some(case.clock.now()))]);
    assert_eq!(case.store().live_order(&case.name).await.unwrap(), Some(order), "the order lives on");
    assert_eq!(case.row().await.revision, 1);
}

#[tokio::test]
async fn generate_orders_only_what_is_due_unless_forced() {
    let case = Case::begin().await;
    case.commands.add(&case.name, &BY).await.unwrap();
    let live = case.issued(true).await;
    case.commands.generate(&case.name, false, &BY).await.unwrap();
    assert_eq!(case.work().await, [(WorkKind::Upload, Cause::Compare, Some(case.clock.now()))]);
    assert_eq!(case.row().await.revision, 1);

    case.commands.generate(&case.name, true, &BY).await.unwrap();
    let row = case.row().await;
    assert_eq!((row.revision, row.recorded), (2, Status::Success), "what is live goes on serving");
    assert_eq!(row.live().map(|live| live.certificate), Some(live));
    let work = case.work().await;
    assert_eq!(work[0], (WorkKind::Issue, Cause::Requested, Some(case.clock.now())));
    assert_eq!((work[1].0, work[1].1), (WorkKind::Upload, Cause::Compare), "and being compared");
}

#[tokio::test]
async fn generate_delivers_what_was_issued_before_it_orders_anew() {
    let case = Case::begin().await;
    case.commands.add(&case.name, &BY).await.unwrap();
    let undelivered = case.issued(false).await;
    case.commands.generate(&case.name, false, &BY).await.unwrap();
    let work = case.store().work(&case.name).await.unwrap();
    assert_eq!((work[0].kind, work[0].certificate), (WorkKind::Upload, Some(undelivered)));
    assert_eq!(work.len(), 1);
}

#[tokio::test]
async fn recheck_brings_what_is_next_to_now() {
    let case = Case::begin().await;
    case.commands.add(&case.name, &BY).await.unwrap();
    let lease = case.claim(WorkKind::Issue).await;
    case.commands.recheck(&case.name, &BY).await.unwrap();
    let now = case.clock.now();
    let mut tx = case.store().begin("blocked").await.unwrap();
    tx.fence(&lease).await.expect("work under way goes on");
    let row = tx.domain(&case.name).await.unwrap().unwrap();
    let reason = Reason::NotPointed {
        target: "cdn".into(),
        addresses: Vec::new(),
        found: domain::Found::NoName,
        proxy: None,
    };
    tx.update_domain(&row.blocked(reason).unwrap()).await.unwrap();
    let later = Work { due_at: Some(now + DAY), cause: Cause::Retry, attempts: 9, ..lease.work.clone() };
    tx.finish(&lease, Some(&later)).await.unwrap();
    tx.commit().await.unwrap();

    let view = case.commands.recheck(&case.name, &BY).await.unwrap();
    assert_eq!(view.domain.recorded, Status::Failure, "a recheck alone changes no status");
    assert_eq!(case.work().await, [(WorkKind::Issue, Cause::OperatorRecheck, Some(now))]);

    case.issued(true).await;
    case.commands.recheck(&case.name, &BY).await.unwrap();
    assert_eq!(case.work().await, [(WorkKind::Upload, Cause::Compare, Some(now))]);

    let failing = Work {
        cause: Cause::Retry,
        due_at: Some(now + DAY),
        ..case.store().work(&case.name).await.unwrap()[0].clone()
    };
    let mut tx = case.store().begin("emergency").await.unwrap();
    tx.schedule(&failing).await.unwrap();
    tx.commit().await.unwrap();
    case.commands.recheck(&case.name, &BY).await.unwrap();
    assert_eq!(case.work().await, [(WorkKind::Upload, Cause::OperatorRecheck, Some(now))]);
}

#[tokio::test]
async fn a_pasted_certificate_adds_the_domain_and_is_uploaded_without_an_order() {
    let case = Case::begin().await;
    let view = case.commands.import(case.pasted(), &BY).await.unwrap();
    assert_eq!((view.domain.source, view.domain.recorded), (Source::Text, Status::Pending));
    assert_eq!(case.work().await, [(WorkKind::Upload, Cause::Requested, Some(case.clock.now()))]);
    let history = case.store().history(&case.name, 9).await.unwrap();
    assert_eq!((history.len(), history[0].kind), (1, HistoryKind::Imported));
    case.uploaded().await;
    assert_eq!(case.row().await.recorded, Status::Success);
}

#[tokio::test]
async fn importing_over_a_generated_certificate_switches_in_one_step() {
    let case = Case::begin().await;
    case.commands.add(&case.name, &BY).await.unwrap();
    let generated = case.issued(true).await;
    case.commands.generate(&case.name, true, &BY).await.unwrap();
    let lease = case.claim(WorkKind::Issue).await;
    case.live_order().await;

    let pasted = case.pasted();
    case.commands.import(pasted.clone(), &BY).await.unwrap();
    assert!(case.store().live_order(&case.name).await.unwrap().is_none(), "the order is abandoned");
    let mut tx = case.store().begin("late").await.unwrap();
    assert!(tx.fence(&lease).await.unwrap_err().is_lease_lost());
    drop(tx);
    let row = case.row().await;
    assert_eq!(row.live().map(|live| live.certificate), Some(generated), "it serves until then");
    assert_eq!((row.recorded, row.source), (Status::Success, Source::Text));
    assert_eq!(case.work().await.len(), 1, "nothing is renewed");
    assert_eq!(case.uploaded().await, pasted.id());
    assert_eq!(case.row().await.previous, Some(generated));

    let revision = case.row().await.revision;
    case.commands.import(pasted, &BY).await.unwrap();
    assert_eq!(case.row().await.revision, revision, "the same once more is only compared");
    assert_eq!(case.work().await[0].1, Cause::Compare);
}

/// The same leaf with another chain is a change: servers hand the chain out, not the leaf alone.
#[tokio::test]
async fn importing_the_same_leaf_with_another_chain_is_uploaded() {
    let case = Case::begin().await;
    let alone = Certificate { chain_pem: "leaf".to_owned(), ..case.pasted() };
    case.commands.import(alone.clone(), &BY).await.unwrap();
    case.uploaded().await;
    let id = CertificateId::new(&*case.clock, &*case.commands.entropy);
    let mut whole = Certificate { chain_pem: "leaf and intermediate".to_owned(), ..alone };
    whole.summary.id = id;
    case.commands.import(whole.clone(), &BY).await.unwrap();
    assert_eq!(case.work().await[0].1, Cause::Requested);
    assert_eq!(case.uploaded().await, id);
    case.commands.import(whole, &BY).await.unwrap();
    assert_eq!(case.work().await[0].1, Cause::Compare, "the same once more is only compared");
}

/// Elsewhere generating for a domain that had a pasted certificate fails until somebody deletes it.
#[tokio::test]
async fn generating_over_a_pasted_certificate_works_directly_and_after_a_delete() {
    for delete_first in [false, true] {
        let case = Case::begin().await;
        case.commands.import(case.pasted(), &BY).await.unwrap();
        let pasted = case.uploaded().await;
        if delete_first {
            case.commands.delete(&case.name, false, &BY).await.unwrap();
        }
        let view = case.commands.generate(&case.name, false, &BY).await.unwrap();
        assert_eq!(view.domain.source, Source::C4);
        let work = case.work().await;
        assert_eq!(work[0], (WorkKind::Issue, Cause::Requested, Some(case.clock.now())));
        if !delete_first {
            let live = view.domain.live().map(|live| live.certificate);
            assert_eq!((live, view.domain.recorded), (Some(pasted), Status::Success), "it serves until then");
        }
    }
}

#[tokio::test]
async fn rolling_back_uploads_the_certificate_before_and_can_be_rolled_back_itself() {
    let case = Case::begin().await;
    let nothing = case.commands.roll_back(&case.name, &BY).await;
    assert!(matches!(nothing, Err(CommandError::NotFound(_))));
    case.commands.add(&case.name, &BY).await.unwrap();
    let generated = case.issued(true).await;
    let nothing = case.commands.roll_back(&case.name, &BY).await;
    assert!(matches!(nothing, Err(CommandError::NothingToRollBackTo { .. })), "{nothing:?}");
    case.commands.import(case.pasted(), &BY).await.unwrap();
    let pasted = case.uploaded().await;

    for (back, source) in [(generated, Source::C4), (pasted, Source::Text)] {
        let view = case.commands.roll_back(&case.name, &BY).await.unwrap();
        assert_eq!((view.domain.source, view.domain.recorded), (source, Status::Success));
        assert_eq!(case.uploaded().await, back);
    }
    let history = case.store().history(&case.name, 1).await.unwrap();
    assert_eq!(history[0].kind, HistoryKind::RolledBack);

    case.clock.advance(DAY * 91);
    let ended = case.commands.roll_back(&case.name, &BY).await.unwrap_err();
    assert!(ended.to_string().contains("has ended"), "{ended}");
}
