use domain::{CertificateId, CertificateSummary, DomainName, EdgeBehind, Facts, Missing, Status};

use super::*;

const DAY: SignedDuration = SignedDuration::from_hours(24);

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

pub(super) fn certificate(number: u128) -> Certificate {
    Certificate {
        summary: CertificateSummary {
            id: CertificateId::from(uuid::Uuid::from_u128(number)),
            sha256: format!("{number:064x}"),
            serial: "01".to_owned(),
            issuer: "CN=Test".to_owned(),
            not_before: at(0),
            not_after: at(0) + DAY * 90,
            source: Source::C4,
            trust: None,
        },
        name: DomainName::parse("shop.example.com").unwrap(),
        revision: 1,
        chain_pem: String::new(),
        sealed_key: Some(vec![1]),
        created_at: at(0),
        uploaded_at: None,
        account: None,
        renewal: None,
        revoked_at: None,
        withdrawn: false,
    }
}

pub(super) fn domain() -> Domain {
    Domain::added(DomainName::parse("shop.example.com").unwrap(), at(0))
}

pub(super) fn lease(attempts: u32) -> Lease {
    let work = Work {
        name: domain().name,
        kind: WorkKind::Upload,
        revision: 1,
        cause: Cause::Requested,
        attempts,
        due_at: Some(at(0)),
        certificate: Some(certificate(1).id()),
    };
    Lease { work, token: 7, expires_at: at(30) }
}

/// An upload of a domain's new certificate, or a comparison if that is live.
pub(super) fn task(domain: &Domain, certificate: Certificate) -> Task {
    Task {
        domain: domain.clone(),
        is_live: domain.is_live(certificate.id()),
        is_failing: domain.upload_failing().is_some(),
        sealed_key: vec![1],
        is_https_on: None,
        certificate,
    }
}

pub(super) fn decider<'a>(lease: &'a Lease, renewal: &'a Renewal) -> Decider<'a> {
    Decider { lease, now: at(100), renewal, random: 60, edges: 6 }
}

pub(super) fn live(number: u128) -> Domain {
    let live = Live { certificate: certificate(number).id(), not_after: at(0) + DAY * 90 };
    domain().uploaded(live).unwrap()
}

pub(super) fn step(last: &LastStep) -> &Step {
    last.step.as_ref().unwrap()
}

pub(super) fn due_in(last: &LastStep) -> SignedDuration {
    last.next.as_ref().unwrap().due_at.unwrap().duration_since(at(100))
}

#[test]
fn an_upload_makes_the_domain_live_and_plans_its_renewal() {
    let (lease, renewal) = (lease(2), Renewal::default());
    let decider = decider(&lease, &renewal);
    let task = task(&domain(), certificate(1));
    let intent = decider.intent(&task.domain, &task, None, None).unwrap();
    assert_eq!(intent.after.upload_revision, 1);
    assert_eq!((intent.after.activity, &intent.entry), (Activity::Uploading, &None));

    let last = decider.live(&intent.after, &task, true).unwrap();
    assert_eq!(step(&last).after.status(at(100)), Status::Success);
    let next = last.next.as_ref().unwrap();
    assert_eq!((next.kind, next.cause, next.attempts), (WorkKind::Upload, Cause::Compare, 0));
    assert_eq!(due_in(&last), SignedDuration::from_mins(5), "what overwrites it does so soon");
    let id = task.certificate.id();
    let renewal_at = at(0) + DAY * 83;
    assert_eq!(
        step(&last).writes,
        [
            Write::Uploaded(id),
            Write::Schedule(issue(&step(&last).after, renewal_at)),
            Write::DueNow(WorkKind::Revoke),
            Write::Publish(EventKind::CertUploaded { certificate: id }),
            Write::ServedByEdges(id, 6),
        ]
    );
}

#[test]
fn the_ca_is_asked_when_to_renew_what_it_issued() {
    let (lease, renewal) = (lease(0), Renewal::default());
    let ordered = Certificate { account: Some(uuid::Uuid::from_u128(9).into()), ..certificate(1) };
    let task = task(&domain(), ordered);
    let last = decider(&lease, &renewal).live(&task.domain, &task, true).unwrap();
    let question = issue(&step(&last).after, at(100) + SignedDuration::from_secs(3660));
    assert!(
        step(&last).writes.contains(&Write::Schedule(Work { cause: Cause::RenewalInfo, ..question })),
        "after an hour and the spread: {:?}",
        step(&last).writes
    );
}

#[test]
fn a_comparison_without_a_difference_says_nothing() {
    let (lease, renewal) = (lease(4), Renewal::default());
    let task = task(&live(1), certificate(1));
    let last = decider(&lease, &renewal).live(&task.domain, &task, false).unwrap();
    let Step { before, after, entry, writes, .. } = step(&last);
    assert_eq!((before, entry, writes.len()), (after, &None, 0));
    assert_eq!((due_in(&last), last.next.unwrap().attempts), (DAY, 0));
}

#[test]
fn a_difference_is_told_and_the_block_of_a_renewal_stays() {
    let (lease, renewal) = (lease(0), Renewal::default());
    let reason = Reason::DnssecBroken { zone: "example.com".to_owned() };
    let blocked = live(1).blocked(reason.clone()).unwrap();
    let task = task(&blocked, certificate(1));
    let decider = decider(&lease, &renewal);
    let intent = decider.intent(&blocked, &task, Some("00ff"), None).unwrap();
    let entry = intent.entry.unwrap();
    assert_eq!(entry.kind, HistoryKind::DifferenceFound);
    assert!(entry.message.contains("00ff"), "{}", entry.message);
    let last = decider.live(&intent.after, &task, true).unwrap();
    assert_eq!(step(&last).after.block(), Some(&reason));
    let schedules = step(&last).writes.iter().filter(|write| matches!(write, Write::Schedule(_)));
    assert_eq!(schedules.count(), 0, "its renewal is planned already");
}

#[test]
fn a_failure_is_an_emergency_that_is_told_once() {
    let (lease, renewal) = (lease(3), Renewal::default());
    let decider = decider(&lease, &renewal);
    let error = UploadError { detail: "503".to_owned(), retry_after: None };
    let new = task(&domain(), certificate(1));
    let first = decider.failed(&new.domain, &new, &error).unwrap();
    assert_eq!(step(&first).after.status(at(100)), Status::Emergency);
    assert!(step(&first).entry.is_some());
    assert_eq!(first.next.as_ref().unwrap().attempts, 1, "a schedule of its own");

    let failing = task(&step(&first).after, certificate(1));
    let again = decider.failed(&failing.domain, &failing, &error).unwrap();
    assert_eq!(step(&again).entry, None, "the same is not news");
    assert_eq!(again.next.as_ref().unwrap().attempts, 4);
    let patient = UploadError { retry_after: Some(Duration::from_hours(48)), ..error };
    let later = decider.failed(&failing.domain, &failing, &patient).unwrap();
    assert_eq!(due_in(&later), DAY * 2, "C4 asked for that");
}

#[test]
fn edges_that_are_behind_are_an_emergency_in_the_end() {
    let renewal = Renewal::default();
    let new = task(&domain(), certificate(1));
    let edge = EdgeBehind { edge: "edge-1:443".to_owned(), shows: "no answer".to_owned() };
    let behind = EdgesBehind::new(vec![edge], 6);
    for attempts in 0..Retry::LAST_OF_EDGES {
        let lease = lease(attempts);
        let last = decider(&lease, &renewal).not_served(&new.domain, &new, &behind).unwrap();
        let is_last = attempts + 1 == Retry::LAST_OF_EDGES;
        let expected = if is_last { Status::Emergency } else { Status::Pending };
        assert_eq!(step(&last).after.status(at(100)), expected, "{attempts}");
        assert_eq!(step(&last).entry.is_some(), attempts == 0 || is_last, "{attempts}");
    }
}

#[test]
fn a_domain_that_c4_does_not_know_is_believed_unless_c4_is_broken() {
    let (lease, renewal) = (lease(0), Renewal::default());
    let decider = decider(&lease, &renewal);
    let new = decider.unknown(&domain(), false).unwrap();
    assert!(step(&new).after.is_unknown_to_c4(), "nothing is live");
    assert!(step(&new).entry.is_some());
    let missing = Missing { first_at: at(0) - DAY * 30, last_at: at(0) - DAY, answers: 40 };
    let serving = live(1);
    let facts = Facts { missing: Some(missing), ..serving.stored_facts().clone() };
    let serving = serving.with_stored_facts(facts);
    let believed = decider.unknown(&serving, false).unwrap();
    assert!(step(&believed).after.is_unknown_to_c4());
    let doubted = decider.unknown(&serving, true).unwrap();
    assert!(!step(&doubted).after.is_unknown_to_c4(), "so many are missing that C4 is what is broken");
    assert!(doubted.next.unwrap().due_at.is_some(), "and C4 is asked again");
}

#[test]
fn what_ended_is_replaced_by_who_can_replace_it() {
    let (lease, renewal) = (lease(0), Renewal::default());
    let decider = decider(&lease, &renewal);
    let generated = certificate(1);
    let last = decider.of_no_use(&domain(), &generated).unwrap();
    assert_eq!(step(&last).writes, [Write::ScheduleIfNone(issue(&domain(), at(100)))]);
    assert_eq!(last.next, None);
    let mut pasted = certificate(1);
    pasted.summary.source = Source::Text;
    let last = decider.of_no_use(&live(2), &pasted).unwrap();
    let at = pasted.summary.not_after;
    assert_eq!(step(&last).after.waiting, Some(Reason::PastedEnded { at }));
    let compared = last.next.unwrap();
    assert_eq!((compared.certificate, compared.cause), (Some(certificate(2).id()), Cause::Compare));
    let last = decider.of_no_use(&live(1), &generated).unwrap();
    assert_eq!((step(&last).writes.len(), last.next), (0, None), "the renewal has its own timer");
}

#[test]
fn a_certificate_of_tomorrow_waits_for_tomorrow() {
    let (lease, renewal) = (lease(0), Renewal::default());
    let mut early = certificate(1);
    early.summary.not_before = at(100) + DAY;
    let later = decider(&lease, &renewal).usable_later(&early).unwrap();
    assert!(due_in(&later) >= DAY);
    assert!(later.step.is_none());
    assert!(decider(&lease, &renewal).usable_later(&certificate(1)).is_none());
}

#[test]
fn a_question_without_an_answer_changes_nothing() {
    let (lease, renewal) = (lease(1), Renewal::default());
    let last = decider(&lease, &renewal).not_compared(&live(1), Some(Duration::from_hours(3)));
    assert_eq!(step(&last).before, step(&last).after);
    assert_eq!(due_in(&last), SignedDuration::from_hours(3));
    assert_eq!(last.next.unwrap().attempts, 2);
}

/// A comparison sees the customer's switch: off after it was on, and on again.
#[test]
fn a_comparison_sees_that_https_is_switched_off_and_on_again() {
    let live = Live { certificate: certificate(1).id(), not_after: certificate(1).summary.not_after };
    let on = domain().clear().unwrap().uploaded(live).unwrap();
    let off = on.clone().https_off().unwrap();
    let facts = Facts { https: HttpsSwitch::Unknown, ..on.stored_facts().clone() };
    let unknown = on.clone().with_stored_facts(facts);
    for (before, shown, after, goes_on) in [
        (&on, Some(false), &off, false),
        (&on, Some(true), &on, false),
        (&on, None, &on, false),
        (&off, Some(false), &off, false),
        (&off, Some(true), &on, true),
        (&unknown, Some(false), &unknown, false),
    ] {
        let task = Task { is_https_on: shown, ..task(before, certificate(1)) };
        let (lease, renewal) = (lease(0), Renewal::default());
        let last = decider(&lease, &renewal).live(before, &task, false).unwrap();
        let step = last.step.unwrap();
        assert_eq!(step.after.stored_facts(), after.stored_facts(), "{shown:?}");
        assert_eq!(step.entry.is_some(), before.stored_facts() != after.stored_facts());
        assert_eq!(step.writes.contains(&Write::DueNow(WorkKind::Issue)), goes_on, "{shown:?}");
    }
}

#[test]
fn a_list_that_cannot_be_had_holds_up_what_replaces_something() {
    let renewal = Renewal::default();
    let held = |ends| {
        let certificate = c4::C4Certificate { sha256: "00".to_owned(), source: Source::C4, not_after: ends };
        Shown { certificate: Some(certificate), row: None }
    };
    for (attempts, shown, goes) in [
        (2, Shown::default(), false),
        (3, Shown::default(), true),
        (3, held(at(99)), true),
        (99, held(at(101)), false),
    ] {
        let lease = lease(attempts);
        let decider = decider(&lease, &renewal);
        assert_eq!(decider.goes_unvouched(&shown), goes, "{attempts} {shown:?}");
        let again = decider.unvouched().next.unwrap();
        assert_eq!((again.attempts, again.cause), (attempts + 1, lease.work.cause));
        assert!(again.due_at.unwrap() > at(100));
    }
    let lease = lease(0);
    let fresh = Certificate { created_at: at(100) - SignedDuration::from_mins(59), ..certificate(1) };
    let older = Certificate { created_at: at(100) - SignedDuration::from_mins(60), ..certificate(1) };
    let decider = decider(&lease, &renewal);
    assert!(!decider.is_in_doubt(&fresh) && decider.is_in_doubt(&older));
}
