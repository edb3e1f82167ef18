use domain::{CertificateId, Source};

use super::*;

fn certificate(number: u128, ends: i64) -> Certificate {
    let summary = CertificateSummary {
        id: CertificateId::from(uuid::Uuid::from_u128(number)),
        sha256: format!("{number:064x}"),
        serial: "1".to_owned(),
        issuer: "CN=Test".to_owned(),
        not_before: at(0),
        not_after: at(ends),
        source: Source::C4,
        trust: None,
    };
    Certificate {
        summary,
        name: DomainName::parse("shop.example.com").unwrap(),
        revision: 1,
        chain_pem: String::new(),
        sealed_key: None,
        created_at: at(0),
        uploaded_at: None,
        account: None,
        renewal: None,
        revoked_at: None,
        withdrawn: false,
    }
}

fn at(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(second).unwrap()
}

fn held(row: &Certificate) -> C4Certificate {
    let CertificateSummary { sha256, source, not_after, .. } = row.summary.clone();
    C4Certificate { sha256, source, not_after }
}

/// Live certificate, certificate at C4, whether that is stored, whether its key opens, expected differences.
type Row<'a> = (Option<&'a Certificate>, Option<&'a Certificate>, bool, bool, &'a [Difference]);

#[test]
fn each_difference_has_its_lists() {
    use Difference::{KeyMissing, NewerHere, OlderHere, RevokedHere};
    let (live, other) = (certificate(1, 100), certificate(2, 200));
    let earlier = certificate(3, 50);
    let revoked = Certificate { withdrawn: true, ..live.clone() };
    let cases: [Row<'_>; 10] = [
        (None, None, false, false, &[]),
        (Some(&live), None, false, false, &[NewerHere]),
        (Some(&live), Some(&live), true, true, &[]),
        (Some(&live), Some(&live), true, false, &[KeyMissing]),
        (Some(&live), Some(&other), false, false, &[OlderHere, KeyMissing]),
        (Some(&live), Some(&other), true, true, &[OlderHere]),
        (Some(&live), Some(&earlier), true, true, &[NewerHere]),
        (Some(&live), Some(&earlier), false, false, &[NewerHere, KeyMissing]),
        (None, Some(&other), true, true, &[OlderHere]),
        (Some(&revoked), Some(&revoked), true, true, &[RevokedHere]),
    ];
    for (live, at_c4, is_stored, has_key, expected) in cases {
        let shown = at_c4.map(held);
        let row = at_c4.filter(|_| is_stored);
        let found = differences(live.map(|live| &live.summary), shown.as_ref(), row, has_key);
        assert_eq!(found, expected, "{live:?} {at_c4:?}");
    }
}

#[test]
fn a_later_certificate_of_the_same_source_that_is_not_stored_shows_an_older_store() {
    let compared = |other: &Certificate, is_stored, source| Compared {
        name: other.name.clone(),
        live: Some(certificate(1, 100).summary),
        held: Some(C4Certificate { source, ..held(other) }),
        is_stored,
        differences: Vec::new(),
        trouble: None,
    };
    assert!(compared(&certificate(2, 200), false, Source::C4).shows_older_store());
    assert!(!compared(&certificate(2, 200), true, Source::C4).shows_older_store());
    assert!(!compared(&certificate(2, 50), false, Source::C4).shows_older_store());
    assert!(!compared(&certificate(2, 200), false, Source::Text).shows_older_store());
}
