use domain::{CertificateId, CertificateSummary, DomainName, Live, RevocationReason};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn certificate() -> Certificate {
    Certificate {
        summary: CertificateSummary {
            id: CertificateId::from(uuid::Uuid::from_u128(1)),
            sha256: "aa".to_owned(),
            serial: "01".to_owned(),
            issuer: "CN=Test".to_owned(),
            not_before: at(0),
            not_after: at(90 * 86_400),
            source: Source::C4,
            trust: None,
        },
        name: DomainName::parse("shop.example.com").unwrap(),
        revision: 1,
        chain_pem: String::new(),
        sealed_key: None,
        created_at: at(0),
        uploaded_at: None,
        account: None,
        renewal: None,
        revoked_at: None,
        withdrawn: true,
    }
}

fn revocation(waiting_for: &str) -> Revocation {
    Revocation {
        certificate: certificate().id(),
        name: certificate().name,
        reason: RevocationReason::KeyCompromise,
        state: RevocationState::Asked,
        requested_by: "ops".to_owned(),
        requested_at: at(0),
        waits_until: at(3600),
        waiting_for: waiting_for.to_owned(),
    }
}

fn domain() -> Domain {
    Domain::added(certificate().name, at(0))
}

fn serving() -> Domain {
    let live = Live { certificate: certificate().id(), not_after: certificate().summary.not_after };
    domain().uploaded(live).unwrap()
}

/// Decides at `second`.
fn decide<T>(second: i64, waiting_for: &str, decision: impl Fn(&RevocationDecider<'_>) -> T) -> T {
    let (revocation, certificate) = (revocation(waiting_for), certificate());
    decision(&RevocationDecider { revocation: &revocation, certificate: &certificate, now: at(second) })
}

#[test]
fn what_is_served_waits_for_its_replacement_and_not_for_ever() {
    let until = |second, domain: &Domain| decide(second, "", |decider| decider.waits_until(domain));
    assert_eq!(until(0, &serving()), Some(at(300)), "it is looked at again soon");
    assert_eq!(until(3500, &serving()), Some(at(3600)));
    assert_eq!(until(3600, &serving()), None);
    assert_eq!(until(0, &domain()), None, "nobody is served by it");
    assert_eq!(until(0, &serving().delete(at(0)).unwrap()), None);
}

#[test]
fn a_wait_is_told_once_per_reason() {
    let blocked = serving().blocked(Reason::PortMissing { missing: vec![80] }).unwrap();
    let told = |waiting_for| decide(0, waiting_for, |decider| decider.waiting(&blocked));
    let step = told("").unwrap();
    assert_eq!((step.change, step.kind), (Change::WaitsFor("port_missing"), HistoryKind::RevocationWaiting));
    assert!(step.message.contains("cannot be had: ") && step.message.ends_with(" all the same."), "{step:?}");
    assert_eq!(told("port_missing"), None);
    assert_eq!(decide(0, "", |decider| decider.waiting(&serving())), None, "it is under way");
    let pause = || Pause {
        target: Outbound::Ca,
        issuer: String::new(),
        by: "ops".to_owned(),
        since: at(0),
        reason: "maintenance".to_owned(),
    };
    assert!(decide(0, "port_missing", |decider| decider.paused(&blocked, pause())).is_some());
    assert_eq!(decide(0, "paused_by_operator", |decider| decider.paused(&blocked, pause())), None);
}

#[test]
fn what_is_revoked_while_it_serves_counts_as_ended_and_is_replaced_at_once() {
    let revoked = |domain: &Domain| decide(4000, "", |decider| decider.revoked(domain)).unwrap();
    let step = revoked(&serving());
    assert_eq!(step.after.live().unwrap().not_after, at(4000));
    assert_eq!(step.renewal.unwrap().due_at, Some(at(4000)));
    assert!(step.message.ends_with("browsers may refuse what is served."), "{}", step.message);
    let mut pasted = serving();
    pasted.source = Source::Text;
    assert_eq!(revoked(&pasted).renewal, None, "the customer has to send another one");
    for other in [domain(), serving().delete(at(1)).unwrap()] {
        let step = revoked(&other);
        assert_eq!((&step.after, step.renewal), (&other, None), "nothing that is served changes");
        assert_eq!(step.change, Change::Ends(RevocationState::Revoked));
    }
}

#[test]
fn a_refusal_and_an_end_change_no_domain() {
    let refused = RevocationDecider::refused(&serving(), "the account is gone");
    assert_eq!((refused.change, &refused.after), (Change::Ends(RevocationState::Refused), &serving()));
    assert!(refused.message.starts_with("Not revoked: the account is gone. "), "{}", refused.message);
    let ended = RevocationDecider::ended(&serving());
    assert_eq!((ended.change, ended.after), (Change::Ends(RevocationState::Ended), serving()));
}

#[test]
fn the_work_is_due_when_the_first_of_them_is() {
    let work = Work {
        name: certificate().name,
        kind: WorkKind::Revoke,
        revision: 1,
        cause: Cause::Requested,
        attempts: 2,
        due_at: Some(at(0)),
        certificate: None,
    };
    let next = |outcomes: &[Outcome]| super::next(&work, outcomes, at(0));
    assert_eq!(next(&[]), (None, None));
    assert_eq!(next(&[Outcome::Over, Outcome::Over]), (None, None));
    let (waits, paused) = next(&[Outcome::Waits(at(300)), Outcome::Over, Outcome::Waits(at(200))]);
    let waits = waits.unwrap();
    assert_eq!((waits.due_at, waits.attempts, paused), (Some(at(200)), 0, None));
    let again = next(&[Outcome::Again(None)]).0.unwrap();
    assert_eq!(again.attempts, 3);
    let asked = next(&[Outcome::Again(Some(at(9000)))]).0.unwrap();
    assert_eq!(asked.due_at, Some(at(9000)), "the CA said when");
    let (paused, pause_of) = next(&[Outcome::Paused]);
    let paused = paused.unwrap();
    assert_eq!((paused.attempts, pause_of), (2, Some(Outbound::Ca)), "not an attempt");
    assert_eq!(paused.due_at, Some(at(0) + Pause::LOOK_AGAIN));
}
