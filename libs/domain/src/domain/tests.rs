use super::*;
use crate::CertificateId;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn domain() -> Domain {
    Domain::added(DomainName::parse("shop.example.com").unwrap(), at(0))
}

fn live() -> Live {
    Live { certificate: CertificateId::from(uuid::Uuid::nil()), not_after: at(1000) }
}

#[test]
fn a_failed_renewal_takes_nothing_away() {
    let domain = domain().uploaded(live()).unwrap();
    let reason = Reason::NotPointed {
        target: "cdn".into(),
        addresses: Vec::new(),
        found: crate::Found::NoName,
        proxy: None,
    };
    let domain = domain.blocked(reason.clone()).unwrap();
    assert_eq!(domain.status(at(999)), Status::Success);
    assert!(domain.facts.renewal_blocked(at(999)));
    assert_eq!(domain.reason(), Some(reason));
    assert_eq!(domain.status(at(1000)), Status::Expired);
    assert_eq!(domain.clear().unwrap().reason(), None);
}

#[test]
fn what_was_revoked_while_it_serves_counts_as_ended() {
    let domain = domain().uploaded(live()).unwrap();
    assert_eq!(domain.status(at(500)), Status::Success);
    let revoked = domain.revoked(at(500)).unwrap();
    assert_eq!(revoked.status(at(500)), Status::Expired);
    let later = revoked.revoked(at(2000)).unwrap();
    assert_eq!(later.facts.live.unwrap().not_after, at(500), "it ends once");
}

#[test]
fn a_404_discards_at_once_only_what_serves_nothing() {
    let day = 24 * 3600;
    assert_eq!(domain().unknown_to_c4(at(1), false).unwrap().status(at(1)), Status::Discard);
    let long = Live { not_after: at(90 * day), ..live() };
    let mut serving = domain().uploaded(long).unwrap();
    for seconds in [0, 60, 360, day - 1] {
        serving = serving.unknown_to_c4(at(seconds), false).unwrap();
        assert_eq!(serving.status(at(seconds)), Status::Success, "after {seconds} s");
        assert_eq!(serving.reason(), Some(Reason::UnknownToC4));
    }
    let doubted = serving.clone().unknown_to_c4(at(day), true).unwrap();
    assert_eq!(doubted.status(at(day)), Status::Success, "C4 is broken");
    let believed = serving.clone().unknown_to_c4(at(day), false).unwrap();
    assert_eq!(believed.status(at(day)), Status::Discard);
    assert_eq!(believed.clear().unwrap().status(at(day)), Status::Success);
    let ended = serving.unknown_to_c4(at(91 * day), false).unwrap();
    assert_eq!(ended.status(at(91 * day)), Status::Discard, "nothing serves any more");
}

#[test]
fn five_invalid_challenges_rest_until_dns_changes_or_somebody_asks() {
    let mut domain = domain();
    let reason = || Reason::ChallengeInvalid { problem: "unauthorized".into(), detail: "404".into() };
    for _ in 0..5 {
        assert!(!domain.invalid_challenges.rest("a"));
        domain = domain.challenge_invalid(reason(), Some("a".into())).unwrap();
    }
    assert!(domain.invalid_challenges.rest("a") && !domain.invalid_challenges.rest("b"));
    assert!(!domain.clone().generate().unwrap().invalid_challenges.rest("a"));
    assert!(!domain.uploaded(live()).unwrap().invalid_challenges.rest("a"));
}

#[test]
fn orders_that_fail_alike_are_counted_across_the_orders_between_them() {
    let rejected = || Reason::OrderRejected { problem: "rejectedIdentifier".into(), detail: "policy".into() };
    let down = || Reason::CaDown { detail: "no SCTs".into() };
    let invalid = || Reason::ChallengeInvalid { problem: "dns".into(), detail: "no".into() };
    let mut domain = domain();
    for count in 1..=7 {
        domain = domain.order_refused(rejected()).unwrap().clear().unwrap();
        assert_eq!(domain.invalid_challenges.count, count);
    }
    assert!(!domain.invalid_challenges.rest("a"), "a refusal of the CA's has nothing to do with DNS");
    domain = domain.order_lost(down()).unwrap();
    assert_eq!((domain.invalid_challenges.count, domain.status(at(1))), (1, Status::Pending));
    domain = domain.challenge_invalid(invalid(), None).unwrap();
    assert_eq!(domain.invalid_challenges, InvalidChallenges { count: 1, dns: String::new() });
}

#[test]
fn the_certificate_before_the_live_one_is_kept_in_mind() {
    let first = live();
    let second = Live { certificate: CertificateId::from(uuid::Uuid::from_u128(2)), ..first };
    let domain = domain().uploaded(first).unwrap().uploaded(second).unwrap();
    assert_eq!(domain.previous, Some(first.certificate));
    let again = domain.uploaded(second).unwrap();
    assert_eq!(again.previous, Some(first.certificate), "uploaded once more");
    let back = again.roll_back(Source::Text).unwrap();
    assert_eq!((back.revision, back.source, back.facts.live), (2, Source::Text, Some(second)));
    assert_eq!(back.uploaded(first).unwrap().previous, Some(second.certificate));
}

#[test]
fn a_deleted_name_starts_afresh_and_keeps_its_counters() {
    let mut domain = domain().uploaded(live()).unwrap();
    domain.upload_revision = 7;
    let deleted = domain.delete(at(5)).unwrap();
    assert!(deleted.clone().generate().is_err() && deleted.clone().unknown_to_c4(at(5), false).is_err());
    let again = deleted.added_again(at(6)).unwrap();
    assert_eq!((again.revision, again.upload_revision, again.status(at(7))), (3, 7, Status::Pending));
    assert!(again.added_again(at(8)).is_err());
}
