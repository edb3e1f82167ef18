use domain::AheadAtC4;
use runtime::config::Renewal;

use super::super::tests::{at, decider, domain, lease};
use super::*;

fn deleted() -> Domain {
    domain().delete(at(50)).unwrap()
}

#[test]
fn a_removal_is_numbered_like_an_upload() {
    let (lease, renewal) = (lease(0), Renewal::default());
    let decider = decider(&lease, &renewal);
    let step = decider.removing(&deleted());
    assert_eq!((step.before.upload_revision, step.after.upload_revision), (0, 1));
    let over = decider.removing_over(&step.after).after.upload_revision;
    assert!(over > at(0).as_second(), "above any number that C4 can have seen: {over}");
}

/// Another certificate than ours stays, unless the removal was requested when it was known to be there.
#[test]
fn what_c4_holds_decides_whether_it_goes() {
    let mut domain = deleted();
    let shown = || Some("aa".to_owned());
    assert_eq!(Holding::of(&domain, None, false), Holding::Nothing);
    assert_eq!(Holding::of(&domain, shown(), true), Holding::Known);
    assert_eq!(Holding::of(&domain, shown(), false), Holding::Unknown("aa".to_owned()));
    let found_at_revision = |revision| AheadAtC4 { sha256: shown(), found_at: at(1), revision };
    domain.ahead_at_c4 = Some(found_at_revision(domain.revision));
    assert_eq!(
        Holding::of(&domain, shown(), false),
        Holding::Unknown("aa".to_owned()),
        "found by this removal"
    );
    domain.ahead_at_c4 = Some(found_at_revision(domain.revision - 1));
    assert_eq!(Holding::of(&domain, shown(), false), Holding::Known, "deleted again since");
    assert_eq!(Holding::of(&domain, Some("bb".to_owned()), false), Holding::Unknown("bb".to_owned()));
}

#[test]
fn what_is_left_at_c4_is_kept_in_mind_and_told() {
    let (lease, renewal) = (lease(0), Renewal::default());
    let last = decider(&lease, &renewal).left(&deleted(), "aa");
    let step = last.step.unwrap();
    assert_eq!(step.entry.unwrap().kind, HistoryKind::AheadAtC4);
    let ahead = step.after.ahead_at_c4.unwrap();
    assert_eq!((ahead.sha256.as_deref(), ahead.found_at), (Some("aa"), at(100)));
    assert_eq!(last.next, None, "until it is deleted again");
}

#[test]
fn a_removal_that_fails_is_tried_again_and_one_that_waits_counts_no_attempt() {
    let (lease, renewal) = (lease(3), Renewal::default());
    let decider = decider(&lease, &renewal);
    let failed = decider.not_removed(&deleted(), None).next.unwrap();
    assert_eq!((failed.attempts, failed.cause), (4, Cause::Retry));
    assert!(failed.due_at.unwrap() > at(100));
    let asked = decider.not_removed(&deleted(), Some(Duration::from_hours(9))).next.unwrap();
    assert_eq!(asked.due_at, Some(at(100 + 9 * 3600)), "C4 said when");
    let paused = decider.removal_paused(&deleted());
    assert_eq!((paused.next.unwrap().attempts, paused.paused_for), (3, Some(Outbound::C4)));
    let guarded = decider.removal_guarded(&deleted());
    assert_eq!((guarded.next.unwrap().attempts, guarded.paused_for), (3, None));
    let removed = decider.removed(&deleted(), "Removed.");
    let step = removed.step.unwrap();
    assert_eq!((removed.next, step.entry.unwrap().kind), (None, HistoryKind::CertificateRemoved));
}
