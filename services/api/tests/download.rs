//! Private keys that leave: who gets them, what for, and in which form.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use std::process::Command;

use domain::{CertificateId, DomainName, Facts, HistoryKind, Live, Role};
use p12_keystore::KeyStore;
use proto::v1;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    PublicKeyData,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use seal::{Binding, Purpose};
use store::SealedPlace;
use tonic::Code;

use served::{Served, has_reason, served, signed};

const NAME: &str = "shop.example.com";
const PASSWORD: &str = "greetings from 1 key";

fn named(names: Vec<String>, common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

/// A leaf with its intermediate, and the leaf's key. Their names differ: `p12-keystore` reads a circle of names for ever.
fn pasted_for(name: &str) -> (String, String) {
    let ca = |common_name: &str| {
        let mut params = named(Vec::new(), common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let root = CertifiedIssuer::self_signed(ca("Root"), KeyPair::generate().unwrap()).unwrap();
    let intermediate =
        CertifiedIssuer::signed_by(ca("Intermediate"), KeyPair::generate().unwrap(), &root).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = named(vec![name.to_owned()], name).signed_by(&key, &intermediate);
    (leaf.unwrap().pem() + &intermediate.pem(), key.serialize_pem())
}

/// A domain with a live certificate that a customer pasted.
async fn with_live(served: &mut Served) {
    with_live_named(served, NAME).await;
}

async fn with_live_named(served: &mut Served, name: &str) {
    let token = served.token(Role::Support, |_| {}).await;
    let (certificate_pem, private_key_pem) = pasted_for(name);
    let request = v1::ImportCertificateRequest {
        name: name.to_owned(),
        certificate_pem,
        private_key_pem,
        ..v1::ImportCertificateRequest::default()
    };
    served.client.import_certificate(signed(request, &token)).await.unwrap();
    let name = DomainName::parse(name).unwrap();
    let store = &served.context.store;
    let work = store.work(&name).await.unwrap();
    let imported = work.iter().find_map(|work| work.certificate).unwrap();
    let certificate = store.certificate(&name, imported).await.unwrap().unwrap();
    let live = Live { certificate: imported, not_after: certificate.summary.not_after };
    let mut tx = store.begin("live").await.unwrap();
    let domain = tx.domain(&name).await.unwrap().unwrap();
    tx.update_domain(&domain.uploaded(live).unwrap()).await.unwrap();
    tx.commit().await.unwrap();
}

fn pfx(password: &str, reason: &str) -> v1::DownloadCertificateRequest {
    v1::DownloadCertificateRequest {
        name: NAME.to_owned(),
        include_pfx: true,
        pfx_password: password.to_owned(),
        reason: reason.to_owned(),
        ..v1::DownloadCertificateRequest::default()
    }
}

/// What the history says of downloads, newest first.
async fn downloads(served: &Served) -> Vec<String> {
    let name = DomainName::parse(NAME).unwrap();
    let history = served.context.store.history(&name, 100).await.unwrap();
    let of_keys = history.into_iter().filter(|entry| entry.kind == HistoryKind::KeyDownloaded);
    of_keys.map(|entry| format!("{} {}", entry.actor, entry.message)).collect()
}

#[tokio::test]
async fn a_pfx_holds_the_key_and_the_chain_under_the_callers_password() {
    let mut served = served().await;
    with_live(&mut served).await;
    let token = served.token(Role::KeyReader, |_| {}).await;
    let answer = served.client.download_certificate(signed(pfx(PASSWORD, " the appliance "), &token)).await;
    let answer = answer.map_err(|status| status.to_string()).unwrap().into_inner();
    assert!(answer.private_key_pem.is_empty(), "it was not asked for");

    let told = &served.context.store.audit(Some(NAME), 1).await.unwrap()[0];
    assert_eq!((told.call.as_str(), told.outcome.as_str()), ("DownloadCertificate", "OK"));
    assert!(told.detail.ends_with(": the appliance"), "{}", told.detail);
    assert!(!format!("{told:?}").contains(PASSWORD));
    let store = KeyStore::from_pkcs12(&answer.pfx, PASSWORD).unwrap();
    let (alias, entry) = store.private_key_chain().unwrap();
    assert_eq!(alias, NAME);
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(answer.chain_pem.as_bytes()).map(Result::unwrap).collect();
    assert_eq!(chain.len(), 2);
    let packed: Vec<_> = entry.chain().iter().map(p12_keystore::Certificate::as_der).collect();
    assert_eq!(packed, chain.iter().map(AsRef::as_ref).collect::<Vec<_>>());
    let public = KeyPair::try_from(entry.key()).unwrap().subject_public_key_info();
    let leaf = packed[0];
    assert!(leaf.windows(public.len()).any(|window| window == public), "they belong together");
    assert!(KeyStore::from_pkcs12(&answer.pfx, "another").is_err());
    assert!(KeyStore::from_pkcs12(&answer.pfx, "").is_err());

    let said = downloads(&served).await;
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("token:key-reader"), "{said:?}");
    assert!(said[0].ends_with("The private key was downloaded as a PFX: the appliance"), "{said:?}");
    assert!(!said[0].contains(PASSWORD));
}

/// What OpenSSL says of the file, and what it takes out of it.
#[tokio::test]
async fn openssl_reads_a_pfx_and_finds_no_old_cipher_in_it() {
    let mut served = served().await;
    with_live(&mut served).await;
    let token = served.token(Role::Admin, |_| {}).await;
    let mut both = pfx("secret", "test");
    both.include_private_key = true;
    let answer = served.client.download_certificate(signed(both, &token)).await;
    let answer = answer.map_err(|status| status.to_string()).unwrap().into_inner();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.pfx");
    std::fs::write(&file, &answer.pfx).unwrap();
    let openssl = |options: &[&str]| {
        let output =
            Command::new("openssl").args(["pkcs12", "-in"]).arg(&file).args(options).output().unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (opened, text, told) = openssl(&["-passin", "pass:secret", "-nodes", "-info"]);
    assert!(opened, "{told}");
    let key = rustls_pki_types::PrivateKeyDer::from_pem_slice(text.as_bytes()).unwrap();
    let downloaded =
        rustls_pki_types::PrivateKeyDer::from_pem_slice(answer.private_key_pem.as_bytes()).unwrap();
    let public = |der: &[u8]| KeyPair::try_from(der).unwrap().subject_public_key_info();
    assert_eq!(public(key.secret_der()), public(downloaded.secret_der()));
    assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 2);
    let modern = "PBES2, PBKDF2, AES-256-CBC, Iteration 100000, PRF hmacWithSHA256";
    assert_eq!(told.matches(modern).count(), 2, "{told}");
    assert!(told.contains("MAC: sha256, Iteration 100000"), "{told}");
    assert!(!openssl(&["-passin", "pass:other", "-nodes"]).0);

    let said = downloads(&served).await;
    assert_eq!(said.len(), 1, "one download, in two forms");
    assert!(said[0].ends_with("as PEM and as a PFX: test"), "{said:?}");
}

#[tokio::test]
async fn a_pfx_needs_role_reason_and_password_like_a_key() {
    let mut served = served().await;
    with_live(&mut served).await;
    for role in [Role::Viewer, Role::Support] {
        let token = served.token(role, |_| {}).await;
        let answer = served.client.download_certificate(signed(pfx("secret", "r"), &token)).await;
        let refused = answer.err().unwrap();
        assert_eq!(refused.code(), Code::PermissionDenied, "{role}");
    }
    let token = served.token(Role::Admin, |_| {}).await;
    let long = "a".repeat(501);
    for (password, why, reason) in [
        ("secret", "", "REASON_REQUIRED"),
        ("secret", "  ", "REASON_REQUIRED"),
        ("secret", &long, "REASON_REQUIRED"),
        ("", "test", "PFX_PASSWORD_REQUIRED"),
        ("se\ncret", "test", "PFX_PASSWORD_INVALID"),
        ("Grüße", "test", "PFX_PASSWORD_INVALID"),
        (&long, "test", "PFX_PASSWORD_INVALID"),
    ] {
        let request = signed(pfx(password, why), &token);
        let refused = served.client.download_certificate(request).await.err().unwrap();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(has_reason(&refused, reason), "{reason}: {refused:?}");
        assert!(password.is_empty() || !refused.message().contains(password));
    }
    assert!(downloads(&served).await.is_empty(), "nothing left");
}

fn pem(name: &str) -> v1::DownloadCertificateRequest {
    v1::DownloadCertificateRequest {
        name: name.to_owned(),
        include_private_key: true,
        reason: "test".to_owned(),
        ..v1::DownloadCertificateRequest::default()
    }
}

/// Whoever writes to the database puts the sealed key of our account at a CA, of another certificate, or of an order in
/// the place of a certificate's, or another chain before it.
#[tokio::test]
async fn no_other_sealed_key_comes_out_of_a_certificates_row() {
    let mut served = served().await;
    with_live(&mut served).await;
    with_live_named(&mut served, "other.example.com").await;
    let store = served.context.store.clone();
    let keys = served.context.sealing_keys.clone().unwrap();
    let live = DomainName::parse(NAME).unwrap();
    let sealed_keys = store.sealed_keys(SealedPlace::Certificates, None, 10).await.unwrap();
    let (own, other): (Vec<_>, Vec<_>) = sealed_keys.into_iter().partition(|key| key.name == NAME);
    let (own, other) = (&own[0], &other[0]);
    let id: CertificateId = own.id.parse().unwrap();
    let public_key = seal::public_key_of(&own.sealed).unwrap();
    let account = Binding::new(Purpose::Account, &own.id, NAME);
    let of_account = keys.seal(&account, &public_key, b"the account's key").await.unwrap();
    let elsewhere = Binding::certificate(id, &DomainName::parse("other.example.com").unwrap());
    let of_other_name = keys.seal(&elsewhere, &public_key, b"another name's key").await.unwrap();
    let of_other_key = keys.seal(&Binding::certificate(id, &live), &[1; 32], b"another key").await.unwrap();
    let token = served.token(Role::Admin, |_| {}).await;
    let mut stored = own.clone();
    for swapped in [of_account, of_other_name, of_other_key, other.sealed.clone()] {
        let mut tx = store.begin("attack").await.unwrap();
        assert!(tx.replace_sealed(&stored, &swapped).await.unwrap(), "the attack happens");
        tx.commit().await.unwrap();
        stored.sealed = swapped;
        let refused = served.client.download_certificate(signed(pem(NAME), &token)).await.err().unwrap();
        assert_eq!(refused.code(), Code::Internal, "{refused}");
    }
    let mut tx = store.begin("back").await.unwrap();
    assert!(tx.replace_sealed(&stored, &own.sealed).await.unwrap());
    tx.commit().await.unwrap();
    served.client.download_certificate(signed(pem(NAME), &token)).await.unwrap();
}

#[tokio::test]
async fn a_live_pointer_to_another_names_certificate_gives_nothing() {
    let mut served = served().await;
    with_live(&mut served).await;
    with_live_named(&mut served, "other.example.com").await;
    let store = served.context.store.clone();
    let mut tx = store.begin("attack").await.unwrap();
    let victim = tx.domain(&DomainName::parse("other.example.com").unwrap()).await.unwrap().unwrap();
    let domain = tx.domain(&DomainName::parse(NAME).unwrap()).await.unwrap().unwrap();
    let facts = Facts { live: victim.live(), ..domain.stored_facts().clone() };
    let domain = domain.with_stored_facts(facts);
    tx.update_domain(&domain).await.unwrap();
    tx.commit().await.unwrap();
    let token = served.token(Role::Admin, |_| {}).await;
    for include_private_key in [false, true] {
        let request = v1::DownloadCertificateRequest { include_private_key, ..pem(NAME) };
        let refused = served.client.download_certificate(signed(request, &token)).await.err().unwrap();
        assert!(has_reason(&refused, "NO_CERTIFICATE"), "{refused:?}");
    }
    served.client.download_certificate(signed(pem("other.example.com"), &token)).await.unwrap();
}

#[tokio::test]
async fn a_reason_comes_out_as_one_plain_line() {
    let mut served = served().await;
    with_live(&mut served).await;
    let token = served.token(Role::KeyReader, |_| {}).await;
    let request = v1::DownloadCertificateRequest {
        reason: "a\u{1b}[31m\u{202e}b\u{200b}\nc\u{9b}d".to_owned(),
        ..pem(NAME)
    };
    served.client.download_certificate(signed(request, &token)).await.unwrap();
    let said = downloads(&served).await;
    assert!(said[0].ends_with(": a [31m b c d"), "{said:?}");
    let told = &served.context.store.audit(Some(NAME), 1).await.unwrap()[0];
    assert!(told.detail.ends_with(": a [31m b c d"), "{}", told.detail);
    let request = v1::DownloadCertificateRequest { reason: "\u{200b}\u{202e}".to_owned(), ..pem(NAME) };
    let refused = served.client.download_certificate(signed(request, &token)).await.err().unwrap();
    assert!(has_reason(&refused, "REASON_REQUIRED"), "nothing is no reason");
}
