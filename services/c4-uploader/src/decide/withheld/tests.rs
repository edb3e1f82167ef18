use domain::{Activity, Status};
use jiff::{SignedDuration, Timestamp};
use runtime::config::Renewal;

use super::*;
use crate::decide::tests::{at, certificate, decider, domain, due_in, lease, live, step, task};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// C4 holds a certificate that is not stored here.
fn unknown(source: Source, not_after: Timestamp) -> Shown {
    Shown { certificate: Some(C4Certificate { sha256: "ff".repeat(32), source, not_after }), row: None }
}

/// C4 holds a certificate that is stored here.
fn known(row: Certificate) -> Shown {
    let summary = &row.summary;
    let certificate = C4Certificate {
        sha256: summary.sha256.clone(),
        source: summary.source,
        not_after: summary.not_after,
    };
    Shown { certificate: Some(certificate), row: Some(row) }
}

fn pasted(number: u128) -> Certificate {
    let mut pasted = certificate(number);
    pasted.summary.source = Source::Text;
    pasted
}

fn newer() -> Timestamp {
    certificate(1).summary.not_after + DAY
}

fn older() -> Timestamp {
    certificate(1).summary.not_after - DAY
}

/// The domain after C4 was found to be ahead by `shown`, a second before now.
fn knowing(domain: &Domain, shown: &Shown) -> Domain {
    let ahead = domain.note_ahead(shown.sha256(), at(99));
    let mut domain = domain.clone();
    domain.ahead_at_c4 = Some(ahead);
    domain
}

#[test]
fn the_live_certificate_gives_way_to_an_unknown_one_of_its_source_that_ends_later() {
    let (lease, renewal) = (lease(0), Renewal::default());
    let decider = decider(&lease, &renewal);
    let compared = task(&live(1), certificate(1));
    for (shown, expected) in [
        (unknown(Source::C4, newer()), Some(Withheld::Ahead)),
        (unknown(Source::C4, older()), None),
        (unknown(Source::C4, certificate(1).summary.not_after), None),
        // Only the revision shows whether it was pasted after the certificate that is stored here.
        (unknown(Source::Text, newer()), None),
        (Shown::default(), None),
        // Our certificate was live after it, for example after a roll back from it.
        (known(certificate(2)), None),
    ] {
        assert_eq!(decider.withholds(&compared, &shown), expected, "{shown:?}");
    }
    let customers = task(&live(1), pasted(1));
    assert_eq!(decider.withholds(&customers, &unknown(Source::Text, newer())), Some(Withheld::Ahead));
}

#[test]
fn a_put_back_gives_way_as_well_and_a_fresh_paste_does_not() {
    let (lease, renewal) = (lease(0), Renewal::default());
    let decider = decider(&lease, &renewal);
    let put_back = task(&domain(), certificate(1));
    assert_eq!(decider.withholds(&put_back, &unknown(Source::C4, newer())), Some(Withheld::Ahead));
    let fresh = task(&domain(), pasted(1));
    assert_eq!(decider.withholds(&fresh, &unknown(Source::Text, newer())), None, "it is what was asked for");
}

#[test]
fn what_is_revoked_is_not_sent_whatever_c4_shows() {
    let (lease, renewal) = (lease(0), Renewal::default());
    let decider = decider(&lease, &renewal);
    let revoked = Certificate { withdrawn: true, ..certificate(1) };
    for shown in [Shown::default(), unknown(Source::C4, older()), known(certificate(2))] {
        let compared = task(&live(1), revoked.clone());
        assert_eq!(decider.withholds(&compared, &shown), Some(Withheld::Revoked));
        let last = decider.withheld(&compared.domain, &compared, Withheld::Revoked, &shown).unwrap();
        assert_eq!(step(&last).after.live(), compared.domain.live());
        assert_eq!(step(&last).writes, [Write::ScheduleIfFree(issue(&compared.domain, at(100)))]);
        let entry = step(&last).entry.as_ref().unwrap();
        assert_eq!(entry.kind, HistoryKind::NotUploadedAgain);
        assert!(entry.message.contains("revoked"), "{}", entry.message);
        assert_eq!(step(&last).after.ahead_at_c4, None, "C4 is not ahead of what replaces it");
        assert_eq!(due_in(&last), DAY);
    }
    let compared = task(&live(1), revoked.clone());
    assert_eq!(decider.withholds(&compared, &unknown(Source::C4, newer())), Some(Withheld::Ahead));
    let mut pasted_since = live(1);
    pasted_since.source = Source::Text;
    let compared = task(&pasted_since, revoked);
    let last = decider.withheld(&pasted_since, &compared, Withheld::Revoked, &Shown::default()).unwrap();
    assert_eq!((step(&last).after.source, step(&last).writes.len()), (Source::Text, 0));
}

#[test]
fn what_is_made_or_asked_for_in_the_knowledge_of_it_is_sent() {
    let renewal = Renewal::default();
    let shown = unknown(Source::C4, newer());
    let before = lease(0);
    let known = knowing(&live(1), &shown);
    let compared = task(&known, certificate(1));
    assert_eq!(decider(&before, &renewal).withholds(&compared, &shown), Some(Withheld::Ahead));

    let ordered = Certificate { created_at: at(99), ..certificate(2) };
    let ordered = task(&known, ordered);
    assert_eq!(decider(&before, &renewal).withholds(&ordered, &shown), None);
    let other = unknown(Source::C4, newer() + DAY);
    let other = Shown {
        certificate: other.certificate.map(|other| C4Certificate { sha256: "ee".repeat(32), ..other }),
        ..other
    };
    assert_eq!(decider(&before, &renewal).withholds(&ordered, &other), Some(Withheld::Ahead));

    let rolled_back = task(&known.roll_back(Source::C4).unwrap(), certificate(2));
    let mut after = before.clone();
    after.work.revision = rolled_back.domain.revision;
    assert_eq!(decider(&after, &renewal).withholds(&rolled_back, &shown), None);
    assert_eq!(decider(&before, &renewal).withholds(&rolled_back, &shown), Some(Withheld::Ahead));
}

#[test]
fn a_new_certificate_is_ordered_once_and_told_once() {
    let (lease, renewal) = (lease(3), Renewal::default());
    let decider = decider(&lease, &renewal);
    let shown = unknown(Source::C4, newer());
    let compared = task(&live(1), certificate(1));
    let last = decider.withheld(&compared.domain, &compared, Withheld::Ahead, &shown).unwrap();
    let after = &step(&last).after;
    assert_eq!((after.status(at(100)), after.activity), (Status::Success, Activity::Preflight));
    assert_eq!(after.upload_revision, compared.domain.upload_revision, "C4's revision stays above ours");
    assert_eq!(step(&last).writes, [Write::ScheduleIfFree(issue(after, at(100)))]);
    assert_eq!(step(&last).entry.as_ref().unwrap().kind, HistoryKind::AheadAtC4);
    let next = last.next.as_ref().unwrap();
    assert_eq!((next.cause, next.attempts, next.certificate), (Cause::Compare, 0, Some(certificate(1).id())));
    assert_eq!(due_in(&last), DAY);

    let again = task(after, certificate(1));
    let later = decider.withheld(&again.domain, &again, Withheld::Ahead, &shown).unwrap();
    assert_eq!(step(&later).entry, None, "it is no news");
    assert_eq!(step(&later).writes.len(), 1, "an order that got lost is placed again");
    let nothing_live = task(&domain(), certificate(1));
    let last = decider.withheld(&nothing_live.domain, &nothing_live, Withheld::Ahead, &shown).unwrap();
    assert_eq!(last.next, None, "there is nothing to compare");
}

#[test]
fn a_certificate_of_ours_is_taken_over() {
    let (lease, renewal) = (lease(0), Renewal::default());
    let decider = decider(&lease, &renewal);
    let compared = task(&live(1), certificate(1));
    let last =
        decider.withheld(&compared.domain, &compared, Withheld::Ahead, &known(certificate(2))).unwrap();
    let after = &step(&last).after;
    assert_eq!(after.live().unwrap().certificate, certificate(2).id());
    assert_eq!(after.previous, Some(certificate(1).id()));
    assert!(after.upload_revision > at(0).as_second(), "above all that C4 has seen");
    assert!(step(&last).writes.contains(&Write::Uploaded(certificate(2).id())));
    let is_renewal = |write: &&Write| matches!(write, Write::Schedule(work) if work.cause == Cause::Renewal);
    assert_eq!(step(&last).writes.iter().filter(is_renewal).count(), 1);
    let entry = step(&last).entry.as_ref().unwrap();
    assert_eq!(entry.kind, HistoryKind::TakenOver);
    assert_eq!(entry.certificate_sha256, Some(certificate(2).summary.sha256));
    assert_eq!(last.next.unwrap().certificate, Some(certificate(2).id()));

    let last = decider.withheld(&compared.domain, &compared, Withheld::Ahead, &known(pasted(2))).unwrap();
    assert_eq!(step(&last).after.source, Source::Text);
    assert!(step(&last).writes.contains(&Write::Cancel(WorkKind::Issue)), "it is not renewed");
}

#[test]
fn what_cannot_serve_is_not_taken_over() {
    let (lease, renewal) = (lease(0), Renewal::default());
    let decider = decider(&lease, &renewal);
    let compared = task(&live(1), certificate(1));
    let mut ended = certificate(2);
    ended.summary.not_after = at(100);
    let mut early = certificate(2);
    early.summary.not_before = at(100) + DAY;
    for row in [
        Certificate { withdrawn: true, ..certificate(2) },
        Certificate { sealed_key: None, ..certificate(2) },
        Certificate { revoked_at: Some(at(5)), ..certificate(2) },
        ended,
        early,
    ] {
        let shown = known(row);
        let last = decider.withheld(&compared.domain, &compared, Withheld::Ahead, &shown).unwrap();
        assert_eq!(step(&last).after.live(), compared.domain.live(), "{shown:?}");
        assert_eq!(step(&last).entry.as_ref().unwrap().kind, HistoryKind::AheadAtC4);
    }
}

#[test]
fn what_was_pasted_has_to_be_pasted_again() {
    let (lease, renewal) = (lease(0), Renewal::default());
    let decider = decider(&lease, &renewal);
    let mut customers = live(1);
    customers.source = Source::Text;
    for (before, shown, at_end) in [
        (live(1), unknown(Source::Text, newer()), Some(newer())),
        (customers.clone(), unknown(Source::Text, older()), Some(older())),
        (customers.clone(), Shown::default(), None),
    ] {
        let compared = task(&before, certificate(1));
        let last = decider.withheld(&before, &compared, Withheld::Ahead, &shown).unwrap();
        assert_eq!(step(&last).after.waiting, Some(Reason::PastedLost { at: at_end }));
        assert!(step(&last).writes.is_empty(), "nothing is ordered over it");
        assert_eq!(due_in(&last), DAY);
    }
    let compared = task(&customers, pasted(1));
    let generated = unknown(Source::C4, newer());
    let last = decider.withheld(&customers, &compared, Withheld::Ahead, &generated).unwrap();
    let after = &step(&last).after;
    assert_eq!((after.source, after.revision), (Source::C4, customers.revision + 1));
    assert_eq!(step(&last).writes, [Write::ScheduleIfFree(issue(after, at(100)))]);
    assert_eq!(last.next.as_ref().unwrap().revision, after.revision);
}
