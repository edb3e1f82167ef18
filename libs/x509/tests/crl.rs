//! Revocation lists, real ones and those that say nothing.

#![expect(clippy::unwrap_used, reason = "a test may")]

use domain::RevocationReason;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope, DnType, IsCa, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevocationReason as Code, RevokedCertParams, SerialNumber, date_time_ymd,
};
use x509::{CrlError, RevocationList, crl_urls};

const URL: &str = "http://crl.example.net/1.crl";

struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    fn make(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A chain whose leaf has that serial number and points there.
    fn chain(&self, serial: &[u8], uris: &[&str]) -> String {
        let mut params = CertificateParams::new(["shop.example.com".to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from_slice(serial));
        if !uris.is_empty() {
            let uris = uris.iter().map(ToString::to_string).collect();
            params.crl_distribution_points = vec![CrlDistributionPoint { uris }];
        }
        let leaf = params.signed_by(&KeyPair::generate().unwrap(), &self.0).unwrap();
        format!("{}{}", leaf.pem(), self.0.pem())
    }

    fn list(&self, change: impl FnOnce(&mut CertificateRevocationListParams)) -> Vec<u8> {
        let mut list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 6, 1),
            next_update: date_time_ymd(2026, 6, 8),
            crl_number: SerialNumber::from(7),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from_slice(&[0x81, 2]),
                revocation_time: date_time_ymd(2026, 5, 31),
                reason_code: Some(Code::KeyCompromise),
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        change(&mut list);
        list.signed_by(&self.0).unwrap().der().to_vec()
    }
}

fn now() -> Timestamp {
    "2026-06-03T00:00:00Z".parse().unwrap()
}

#[test]
fn a_list_tells_which_certificates_are_revoked() {
    let ca = Ca::make("A CA");
    let (revoked, good) = (ca.chain(&[0x81, 2], &[URL]), ca.chain(&[3], &[URL]));
    assert_eq!(crl_urls(&revoked), [URL]);
    let list = RevocationList::read(&ca.list(|_| {}), &good, now()).unwrap();
    assert_eq!(list.revocation(&revoked), Some(RevocationReason::KeyCompromise));
    assert_eq!(list.revocation(&good), None);
    assert_eq!(list.next_update, "2026-06-08T00:00:00Z".parse().unwrap());
    let unused = |list: &mut CertificateRevocationListParams| list.revoked_certs.clear();
    let empty = RevocationList::read(&ca.list(unused), &good, now()).unwrap();
    assert_eq!(empty.revocation(&revoked), None);
}

#[test]
fn only_http_urls_are_fetched() {
    let ca = Ca::make("A CA");
    let uris = ["ldap://ldap.example.net/cn=crl", "https://crl.example.net/", URL];
    assert_eq!(crl_urls(&ca.chain(&[1], &uris)), [URL]);
    assert!(crl_urls(&ca.chain(&[1], &[])).is_empty());
    assert!(crl_urls("no certificate").is_empty());
}

#[test]
fn a_list_that_is_not_the_issuers_or_not_current_says_nothing() {
    let (ca, namesake) = (Ca::make("A CA"), Ca::make("A CA"));
    let chain = ca.chain(&[1], &[URL]);
    let read = |der: &[u8], chain: &str| RevocationList::read(der, chain, now()).unwrap_err();
    assert!(matches!(read(&namesake.list(|_| {}), &chain), CrlError::BadSignature));
    assert!(matches!(read(&Ca::make("Other").list(|_| {}), &chain), CrlError::BadSignature));
    let good = ca.list(|_| {});
    let leaf = chain.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
    assert!(matches!(read(&good, leaf), CrlError::NoIssuer));
    let mut changed = good.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert!(matches!(read(&changed, &chain), CrlError::BadSignature | CrlError::NoList));
    for bad in [&b""[..], b"<html>", &good[..good.len() - 1], &[&good[..], b"x"].concat()] {
        assert!(matches!(read(bad, &chain), CrlError::NoList), "{}", bad.len());
    }
    let ended = ca.list(|list| list.next_update = date_time_ymd(2026, 6, 2));
    let early = ca.list(|list| list.this_update = date_time_ymd(2026, 6, 4));
    for der in [ended, early] {
        assert!(matches!(read(&der, &chain), CrlError::NotCurrent));
    }
}

#[test]
fn a_list_for_others_says_nothing() {
    let ca = Ca::make("A CA");
    let chain = ca.chain(&[1], &[URL]);
    for (url, scope, is_fine) in [
        (URL, Some(CrlScope::UserCertsOnly), true),
        (URL, None, true),
        (URL, Some(CrlScope::CaCertsOnly), false),
        ("http://crl.example.net/2.crl", None, false),
    ] {
        let der = ca.list(|list| {
            let distribution_point = CrlDistributionPoint { uris: vec![url.to_owned()] };
            list.issuing_distribution_point = Some(CrlIssuingDistributionPoint { distribution_point, scope });
        });
        let read = RevocationList::read(&der, &chain, now());
        assert_eq!(read.is_ok(), is_fine, "{url}");
        assert!(read.err().is_none_or(|error| matches!(error, CrlError::OfOthers)));
    }
}
