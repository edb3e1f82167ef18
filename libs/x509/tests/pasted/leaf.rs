//! The leaf: names, dates, use, signature.

use domain::DomainName;
use jiff::SignedDuration;
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use x509::{PastedError, check_pasted};

use crate::kit::{NAME, check, check_leaf, date, leaf, now, refused};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const SECOND: SignedDuration = SignedDuration::from_secs(1);

#[test]
fn the_name_is_covered_exactly_or_by_a_wildcard_of_one_label() {
    for covering in [
        &[NAME][..],
        &["SHOP.Example.com"],
        &["www.example.net", NAME],
        &["*.example.com"],
        &["*.Example.COM"],
    ] {
        check_leaf(&leaf(covering)).unwrap();
    }
    for other in [
        &["example.com"][..],
        &["www.shop.example.com"],
        &["*.shop.example.com"],
        &["*.com"],
        &["s*.example.com"],
        &["*.*.com"],
        &["*"],
        &["*."],
        &["shop.*.com"],
        &["192.0.2.1"],
        &[],
    ] {
        assert_eq!(refused(check_leaf(&leaf(other))), "NAME_NOT_COVERED", "{other:?}");
    }
}

#[test]
fn a_wildcard_does_not_stand_for_two_labels() {
    let params = leaf(&["*.com", "*.example.net", "*.example.com"]);
    check_leaf(&params).unwrap();
    let error = check_leaf(&leaf(&["*.net"])).unwrap_err();
    assert!(error.to_string().contains("is for *.net, not for shop.example.com"));
}

#[test]
fn a_wildcard_above_a_single_label_counts_for_nothing() {
    let key = KeyPair::generate().unwrap();
    let certificate = leaf(&["*.com"]).self_signed(&key).unwrap().pem();
    let name = DomainName::parse("example.com").unwrap();
    let result = check_pasted(&certificate, &key.serialize_pem(), &name, now());
    assert_eq!(refused(result), "NAME_NOT_COVERED");
}

#[test]
fn the_names_in_an_error_are_few_and_clean() {
    let names = ["a\u{1}b.example.net", "c.example.net", "d.example.net", "e.example.net"];
    let text = check_leaf(&leaf(&names)).unwrap_err().to_string();
    assert!(text.contains("a b.example.net, c.example.net, d.example.net and 1 more"), "{text}");
    let long = "x".repeat(5000);
    assert_eq!(refused(check_leaf(&leaf(&[&long]))), "NAME_NOT_COVERED");
    let text = check_leaf(&leaf(&[])).unwrap_err().to_string();
    assert!(text.contains("no DNS name"), "{text}");
}

#[test]
fn a_common_name_does_not_count() {
    let mut params = leaf(&["www.example.net"]);
    params.distinguished_name.push(rcgen::DnType::CommonName, NAME);
    assert_eq!(refused(check_leaf(&params)), "NAME_NOT_COVERED");
}

#[test]
fn dates_hold_now() {
    let dated = |from: SignedDuration, to: SignedDuration| {
        let mut params = leaf(&[NAME]);
        params.not_before = date(from).into();
        params.not_after = date(to).into();
        check_leaf(&params)
    };
    let pasted = dated(HOUR, HOUR * 2).unwrap();
    assert_eq!(pasted.not_before, now() + HOUR);
    assert_eq!(pasted.not_after, now() + HOUR * 2);
    dated(-HOUR, SECOND).unwrap();
    assert_eq!(dated(-HOUR, SignedDuration::ZERO).unwrap_err(), PastedError::Expired(now()));
    assert_eq!(refused(dated(HOUR + SECOND, HOUR * 2)), "NOT_YET_VALID");
    assert_eq!(refused(dated(HOUR, HOUR)), "BAD_DATES");
    assert_eq!(refused(dated(HOUR * 9, HOUR * 8)), "BAD_DATES");
}

/// 99991231235959Z (RFC 5280 section 4.1.2.5), and what lies beyond the timestamps' range on the way there.
#[test]
fn no_well_defined_end_is_taken() {
    for second_of_last_day in [0, 86_399] {
        let mut params = leaf(&[NAME]);
        params.not_after =
            rcgen::date_time_ymd(9999, 12, 31) + std::time::Duration::from_secs(second_of_last_day);
        assert_eq!(check_leaf(&params).unwrap().not_after, x509::NO_END);
    }
    let mut params = leaf(&[NAME]);
    params.not_after = rcgen::date_time_ymd(9999, 11, 30);
    assert_eq!(check_leaf(&params).unwrap().not_after.to_string(), "9999-11-30T00:00:00Z");
}

#[test]
fn it_is_for_servers() {
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, CodeSigning, ServerAuth};
    let used = |purposes: &[ExtendedKeyUsagePurpose]| {
        let mut params = leaf(&[NAME]);
        params.extended_key_usages = purposes.to_vec();
        check_leaf(&params)
    };
    for purposes in [&[][..], &[ServerAuth], &[ClientAuth, ServerAuth], &[Any]] {
        used(purposes).unwrap();
    }
    assert_eq!(refused(used(&[ClientAuth, CodeSigning])), "NOT_A_SERVER_CERTIFICATE");
}

#[test]
fn it_is_no_ca() {
    let mut params = leaf(&[NAME]);
    params.is_ca = IsCa::ExplicitNoCa;
    check_leaf(&params).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert_eq!(refused(check_leaf(&params)), "CA_CERTIFICATE");
}

#[test]
fn it_is_not_signed_with_sha_1() {
    let result = check(include_str!("../data/test-sha1.crt.pem"), include_str!("../data/test-sha1.key.pem"));
    assert_eq!(refused(result), "WEAK_SIGNATURE");
}
