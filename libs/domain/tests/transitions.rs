//! Every status and every event: what follows, as one table.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use domain::{
    Activity, CertificateId, Domain, DomainName, Facts, InvalidTransition, Live, Reason, Source, Status,
};
use jiff::Timestamp;
use uuid::Uuid;

const NOW: i64 = 50;
const LATER: i64 = 150;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn live(number: u128, not_after: i64) -> Live {
    Live { certificate: CertificateId::from(Uuid::from_u128(number)), not_after: at(not_after) }
}

fn reason() -> Reason {
    Reason::NotPointed {
        target: "cdn".to_owned(),
        addresses: Vec::new(),
        found: domain::Found::NoName,
        proxy: None,
    }
}

/// Every status, where it matters with and without a live certificate.
fn states() -> Vec<(&'static str, Domain)> {
    let pending = Domain::added(DomainName::parse("shop.example.com").unwrap(), at(0));
    let success = pending.clone().uploaded(live(1, 100)).unwrap();
    let facts = Facts { unknown_to_c4: true, ..success.stored_facts().clone() };
    let discarded = success.clone().with_stored_facts(facts);
    vec![
        ("Pending", pending.clone()),
        ("Failure", pending.clone().blocked(reason()).unwrap()),
        ("Discard", pending.clone().unknown_to_c4(at(NOW), false).unwrap()),
        ("Discard, live", discarded),
        ("Success", success.clone()),
        ("Success, renewal blocked", success.clone().blocked(reason()).unwrap()),
        ("Expired", pending.clone().uploaded(live(1, 40)).unwrap()),
        ("Emergency", pending.upload_failed(reason()).unwrap()),
        ("Emergency, live", success.upload_failed(reason()).unwrap()),
    ]
}

struct Event {
    what: &'static str,
    apply: fn(Domain) -> Result<Domain, InvalidTransition>,
    /// When the status is looked at.
    seen_at: i64,
    /// The statuses that follow, in the order of [`states`]: P F D S X E, for Pending to Emergency.
    follows: &'static str,
}

fn event(
    what: &'static str,
    follows: &'static str,
    apply: fn(Domain) -> Result<Domain, InvalidTransition>,
) -> Event {
    Event { what, apply, seen_at: NOW, follows }
}

const UPLOADED: &str = "upload ok, edge ok";
const REQUESTS: [&str; 3] = ["generate", "import", "roll back"];
const NO_TRANSITION: [&str; 2] = ["recheck, midnight", "the end date passes"];

fn events() -> Vec<Event> {
    vec![
        // A request alone changes no fact, but that the upload which fails is wanted no more where nothing is live, and
        // that nothing has to be verified for a certificate that is there.
        event("generate", "PFDDSSXPE", Domain::generate),
        event("import", "PPDDSSXEE", Domain::import),
        event("roll back", "PPDDSSXEE", |domain| domain.roll_back(Source::C4)),
        event("preflight fine", "PPPSSSXEE", Domain::clear),
        event("preflight blocked", "FFFSSSXEE", |domain| domain.blocked(reason())),
        event("order invalid", "FFFSSSXEE", |domain| domain.challenge_invalid(reason(), None)),
        event("order rejected", "FFFSSSXEE", |domain| domain.blocked(reason())),
        // "Could not ask" is not "failed"; nor is a CA that is down, limits us, or is at work, or an edge that is behind.
        event("could not ask, limited, issued, edge behind", "PFDDSSXEE", |domain| {
            domain.doing(Activity::Retrying, Some(reason()))
        }),
        event("DNS fails", "PFDDSSXEE", |domain| domain.dns_fails(reason(), at(NOW))),
        // One 404 takes nothing from what serves; all from what does not.
        event("404", "DDDDSSDDE", |domain| domain.unknown_to_c4(at(NOW), false)),
        event("404 of a broken C4", "DDDDSSDDE", |domain| domain.unknown_to_c4(at(NOW), true)),
        event(UPLOADED, "SSSSSSSSS", |domain| domain.uploaded(live(2, 100))),
        event("upload failed, 409", "EEDDEEEEE", |domain| domain.upload_failed(reason())),
        event("the certificate ended before the upload", "PFPSSSXPS", |domain| {
            domain.upload_given_up(reason())
        }),
        event(NO_TRANSITION[0], "PFDDSSXEE", Ok),
        Event { seen_at: LATER, ..event(NO_TRANSITION[1], "PFDDXXXEE", Ok) },
    ]
}

/// Each event in each state.
fn pairs() -> Vec<(String, Event, Domain, Status)> {
    let mut pairs = Vec::new();
    for (index, (state, before)) in states().into_iter().enumerate() {
        for event in events() {
            let expected = match event.follows.as_bytes()[index] {
                b'P' => Status::Pending,
                b'F' => Status::Failure,
                b'D' => Status::Discard,
                b'S' => Status::Success,
                b'X' => Status::Expired,
                _ => Status::Emergency,
            };
            pairs.push((format!("{} in {state}", event.what), event, before.clone(), expected));
        }
    }
    pairs
}

#[test]
fn every_status_and_event_has_one_outcome() {
    for (pair, event, before, expected) in pairs() {
        let after = (event.apply)(before).unwrap();
        assert_eq!(after.status(at(event.seen_at)), expected, "{pair}");
    }
}

#[test]
fn no_event_but_an_upload_touches_what_is_live() {
    for (pair, event, before, _) in pairs() {
        let after = (event.apply)(before.clone()).unwrap();
        if event.what == UPLOADED {
            assert_eq!(after.live(), Some(live(2, 100)), "{pair}");
            let previous = before.live().map(|live| live.certificate);
            assert_eq!(after.previous, previous, "{pair}");
        } else {
            assert_eq!(after.live(), before.live(), "{pair}");
        }
    }
}

#[test]
fn requests_raise_the_revision_and_nothing_else_does() {
    for (pair, event, before, _) in pairs() {
        let raised = i64::from(REQUESTS.contains(&event.what));
        let expected = before.revision + raised;
        assert_eq!((event.apply)(before).unwrap().revision, expected, "{pair}");
    }
}

#[test]
fn what_is_not_in_order_says_why() {
    for (pair, event, before, status) in pairs() {
        if matches!(status, Status::Failure | Status::Discard | Status::Emergency) {
            assert!((event.apply)(before).unwrap().reason().is_some(), "{pair}");
        }
    }
}

/// A late event of a past life changes nothing, and every deleted name can come back.
#[test]
fn nothing_happens_to_a_deleted_name_until_it_is_added_again() {
    for (pair, event, before, _) in pairs() {
        let revision = before.revision;
        let deleted = before.delete(at(NOW)).unwrap();
        assert!(deleted.clone().delete(at(NOW)).is_err(), "{pair}");
        let refused = (event.apply)(deleted.clone()).is_err();
        assert_eq!(refused, !NO_TRANSITION.contains(&event.what), "{pair}");
        let again = deleted.added_again(at(NOW)).unwrap();
        assert_eq!((again.status(at(NOW)), again.revision), (Status::Pending, revision + 2));
    }
}
