//! Tests of every decision of an issuance, without a database: the step's writes, the next work row, and when it is
//! due.

use domain::budget::{Exempt, Lane, Limits};
use domain::{AccountId, CertificateId, DomainName, Live, OrderId, OrderKey, Status};
use jiff::SignedDuration;

use super::*;

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn domain() -> Domain {
    Domain::added(DomainName::parse("shop.example.com").unwrap(), at(0))
}

fn live() -> Domain {
    let live =
        Live { certificate: CertificateId::from(uuid::Uuid::from_u128(1)), not_after: at(0) + DAY * 90 };
    domain().uploaded(live).unwrap()
}

fn lease(cause: Cause, attempts: u32) -> Lease {
    let work = Work {
        name: domain().name,
        kind: WorkKind::Issue,
        revision: 1,
        cause,
        attempts,
        due_at: Some(at(0)),
        certificate: None,
    };
    Lease { work, token: 7, expires_at: at(30) }
}

fn decider(lease: &Lease) -> Decider<'_> {
    Decider { lease, now: at(100), configured: PreExpiry::DEFAULT, random: 500 }
}

fn created() -> Order {
    let certificate = CertificateId::from(uuid::Uuid::from_u128(2));
    Order {
        id: OrderId::from(uuid::Uuid::from_u128(3)),
        name: domain().name,
        revision: 1,
        account: AccountId::from(uuid::Uuid::from_u128(4)),
        created_at: at(0),
        state: OrderState::Created { key: OrderKey { certificate, sealed: vec![1], csr: vec![48] } },
    }
}

fn placed() -> Order {
    let order = created();
    Order { state: order.state.clone().placed("https://ca/1".to_owned()).unwrap(), ..order }
}

fn ledger() -> LedgerOf {
    LedgerOf { issuer: "ca".to_owned(), limits: Limits::LETS_ENCRYPT }
}

fn end(ending: Ending) -> AttemptEnd {
    AttemptEnd {
        ending,
        order: None,
        failure: None,
        is_withdrawn: false,
        paused_for: None,
        c4s_fault: false,
        passed_preflight: false,
    }
}

fn challenge_invalid() -> Ending {
    let (problem, detail) = ("unauthorized".to_owned(), "404".to_owned());
    Ending::ChallengeInvalid { reason: Reason::ChallengeFailedAtEdge { problem, detail }, dns: None }
}

fn writes(last: &LastStep) -> &[Write] {
    &last.step.as_ref().unwrap().writes
}

fn next(last: &LastStep) -> &Work {
    last.next.as_ref().unwrap()
}

#[test]
fn an_order_is_charged_and_written_with_its_key_before_the_ca_hears_of_it() {
    let (lease, order) = (lease(Cause::Requested, 0), created());
    let charge = Charge {
        order: order.id,
        issuer: "ca".to_owned(),
        limits: Limits::LETS_ENCRYPT,
        name: order.name.clone(),
        lane: Lane::New,
        exempt: Exempt::Nothing,
        was_promised: false,
        is_asked_again: false,
    };
    let step = decider(&lease).started(&domain(), &order, &charge).unwrap();
    assert_eq!(step.charge, Some(charge));
    assert_eq!(step.after.activity, Activity::WaitingForCa);
    assert!(
        matches!(&step.writes[..], [Write::Order(OrderWrite::Insert(inserted)), Write::Order(OrderWrite::DropProbe)]
        if inserted.state.key() == order.state.key())
    );
}

#[test]
fn the_url_of_an_order_is_recorded_whatever_the_domain_is_by_then() {
    let (lease, order) = (lease(Cause::Requested, 0), placed());
    for domain in [domain(), live()] {
        let step = decider(&lease).placed(&domain, &order);
        assert_eq!(step.after, domain, "nothing of the domain changes");
        assert_eq!(step.writes, [update(order.clone(), "created")]);
        assert_eq!(step.entry.unwrap().kind, HistoryKind::OrderPlaced);
    }
}

#[test]
fn a_challenge_is_stored_and_the_responders_are_told_with_it() {
    let lease = lease(Cause::Requested, 0);
    let response = ChallengeResponse {
        token: "token".to_owned(),
        key_authorization: "token.thumbprint".to_owned(),
        answered: false,
    };
    let step = decider(&lease).challenge(&domain(), &placed(), &response).unwrap();
    assert_eq!(step.after.activity, Activity::Validating);
    assert!(
        matches!(&step.writes[..], [Write::Order(OrderWrite::PutChallenge(stored)), Write::Publish(EventKind::ChallengeReady)]
        if stored.token == "token" && stored.order == placed().id)
    );
}

fn delivered() -> Delivered {
    Delivered {
        chain_pem: String::new(),
        sha256: "ab".repeat(32),
        serial: "01".to_owned(),
        issuer: "CN=Test".to_owned(),
        not_before: at(0),
        not_after: at(0) + DAY * 90,
    }
}

#[test]
fn a_certificate_gets_its_key_in_the_store_and_its_upload_is_due() {
    let lease = lease(Cause::Requested, 3);
    let last = decider(&lease).issued(&domain(), &placed(), &delivered(), &ledger()).unwrap();
    let Some(Write::Order(OrderWrite::InsertIssued(certificate, order))) = writes(&last).first() else {
        panic!("the certificate comes first: {:?}", writes(&last));
    };
    assert_eq!(
        (certificate.sealed_key.as_ref(), *order),
        (None, placed().id),
        "no key goes back from memory"
    );
    assert_eq!(Some(certificate.id()), placed().state.key().map(|key| key.certificate));
    let upload = writes(&last).iter().find_map(|write| match write {
        Write::Schedule(work) => Some(work),
        _ => None,
    });
    let upload = upload.unwrap();
    assert_eq!((upload.kind, upload.due_at), (WorkKind::Upload, Some(at(100))));
    assert_eq!(upload.certificate, Some(certificate.id()));
    assert!(last.next.is_none(), "the issue is done");
    let spent = Write::Order(OrderWrite::Spend(placed().id, ledger()));
    assert!(writes(&last).contains(&spent) && writes(&last).contains(&Write::CountDay(Counted::Issued)));
}

#[test]
fn a_certificate_that_begins_later_is_uploaded_then() {
    let lease = lease(Cause::Requested, 0);
    let late = Delivered { not_before: at(7200), ..delivered() };
    let last = decider(&lease).issued(&domain(), &placed(), &late, &ledger()).unwrap();
    let is_later = |write: &Write| matches!(write, Write::Schedule(work) if work.due_at == Some(at(7200)));
    assert!(writes(&last).iter().any(is_later), "{:?}", writes(&last));
}

#[test]
fn a_certificate_for_an_order_that_was_never_placed_is_refused() {
    let lease = lease(Cause::Requested, 0);
    assert!(decider(&lease).issued(&domain(), &created(), &delivered(), &ledger()).is_err());
}

#[test]
fn what_is_blocked_is_a_failure_and_asked_again_as_a_retry() {
    let lease = lease(Cause::Requested, 0);
    let blocked = Ending::Blocked(Reason::DnssecBroken { zone: "example.com".to_owned() });
    let last = decider(&lease).ended(&domain(), &end(blocked)).unwrap();
    assert_eq!(last.step.as_ref().unwrap().after.status(at(100)), Status::Failure);
    assert_eq!((next(&last).cause, next(&last).attempts), (Cause::Retry, 1));
    assert_eq!(next(&last).due_at, Some(at(160)), "after a minute");
    assert_eq!(writes(&last), [Write::DecideMidnight, Write::Publish(EventKind::IssueFailed)]);
}

#[test]
fn what_could_not_be_asked_goes_on_as_what_it_was() {
    let lease = lease(Cause::DailyRecheck, 0);
    let last = decider(&lease).ended(&domain(), &end(Ending::could_not_ask("c4".to_owned()))).unwrap();
    assert_eq!(last.step.as_ref().unwrap().after.status(at(100)), Status::Pending);
    assert_eq!((next(&last).cause, next(&last).due_at), (Cause::DailyRecheck, Some(at(105))));
    assert!(!writes(&last).contains(&Write::DecideMidnight), "the day's question is not answered");
}

#[test]
fn what_preflight_found_is_kept_where_the_ca_is_waited_for() {
    let lease = lease(Cause::Requested, 0);
    let down = end(Ending::ca_down("503".to_owned(), None));
    for (passed_preflight, https) in [(true, HttpsSwitch::On), (false, HttpsSwitch::Unknown)] {
        let down = AttemptEnd { passed_preflight, ending: down.ending.clone(), ..end(Ending::HttpsOff) };
        let last = decider(&lease).ended(&domain(), &down).unwrap();
        assert_eq!(last.step.unwrap().after.https(), https);
    }
}

#[test]
fn a_failed_challenge_ends_its_order_and_is_spent() {
    let lease = lease(Cause::Requested, 0);
    let failed = AttemptEnd {
        order: Some((placed(), OrderFate::Refused)),
        failure: Some(ledger()),
        ..end(challenge_invalid())
    };
    let last = decider(&lease).ended(&domain(), &failed).unwrap();
    let order = |write| Write::Order(write);
    assert!(writes(&last).contains(&order(OrderWrite::SpendFailure(ledger()))));
    assert!(writes(&last).contains(&order(OrderWrite::GiveBack(placed().id))), "the CA issued nothing");
    let ended = writes(&last).iter().find_map(|write| match write {
        Write::Order(OrderWrite::Update(order, from)) => Some((order.state.clone(), *from)),
        _ => None,
    });
    assert_eq!(ended, Some((OrderState::Failed, "placed")));
}

#[test]
fn an_order_that_is_given_up_is_spent_unless_the_ca_never_took_it() {
    let lease = lease(Cause::Requested, 0);
    for (order, spent) in
        [(placed(), OrderWrite::SpendLater(placed().id)), (created(), OrderWrite::GiveBack(created().id))]
    {
        let given_up =
            AttemptEnd { order: Some((order, OrderFate::GivenUp)), ..end(Ending::another_order()) };
        let last = decider(&lease).ended(&domain(), &given_up).unwrap();
        assert!(writes(&last).contains(&Write::Order(spent.clone())), "{spent:?}");
    }
}

#[test]
fn an_order_that_goes_on_keeps_everything() {
    let lease = lease(Cause::Requested, 0);
    let down = AttemptEnd {
        order: Some((placed(), OrderFate::GoesOn)),
        ..end(Ending::ca_down("503".to_owned(), Some(at(500))))
    };
    let last = decider(&lease).ended(&domain(), &down).unwrap();
    assert_eq!(writes(&last), [Write::Publish(EventKind::IssueFailed)]);
    assert_eq!(next(&last).due_at, Some(at(500)), "not before the CA allows it");
}

#[test]
fn a_renewal_that_fails_keeps_the_status_and_waits_longer() {
    let (lease, reason) = (lease(Cause::Renewal, 1), Reason::DnssecBroken { zone: "example.com".to_owned() });
    let again = live().blocked(reason.clone()).unwrap();
    let blocked = end(Ending::Blocked(reason));
    let last = decider(&lease).ended(&again, &blocked).unwrap();
    assert_eq!(last.step.as_ref().unwrap().after.status(at(100)), Status::Success);
    assert_eq!(next(&last).due_at, Some(at(700)), "10 minutes after the second attempt");
    let withdrawn = AttemptEnd { is_withdrawn: true, ..blocked };
    let last = decider(&lease).ended(&again, &withdrawn).unwrap();
    assert_eq!(next(&last).due_at, Some(at(220)), "sooner where the live one is to be revoked");
}

#[test]
fn the_question_about_a_renewal_comes_first_unless_the_renewal_does() {
    let lease = lease(Cause::RenewalInfo, 2);
    let certificate = decider(&lease).certificate(&domain(), &placed(), &delivered()).unwrap();
    let renewal = Renewal { at: at(9000), window: None };
    for (ask_again_at, expected) in [
        (Some(at(500)), (Cause::RenewalInfo, Some(at(500)))),
        (Some(at(9500)), (Cause::Renewal, Some(at(9000)))),
        (None, (Cause::Renewal, Some(at(9000)))),
    ] {
        let last = decider(&lease).renewal_planned(&live(), &certificate, renewal, ask_again_at);
        assert_eq!((next(&last).cause, next(&last).due_at), expected);
        assert_eq!(next(&last).attempts, 0);
        assert_eq!(writes(&last), [Write::SetRenewal(certificate.id(), renewal)]);
    }
}

#[test]
fn work_that_yields_or_is_paused_stays_what_it_was() {
    let lease = lease(Cause::DailyRecheck, 4);
    let yielded = decider(&lease).yielded(at(105));
    assert!(yielded.step.is_none());
    assert_eq!(next(&yielded), &Work { due_at: Some(at(105)), ..lease.work.clone() });
    let paused = decider(&lease).paused_by_operator(at(110));
    assert_eq!((paused.paused_for, next(&paused).due_at), (Some(Outbound::Ca), Some(at(110))));
}
