//! Tests of the keys of future certificates.

use std::collections::HashSet;

use acme::Delivered;
use domain::{AccountId, CertificateId, Order, OrderId, OrderKey, OrderState, WorkKind};
use jiff::SignedDuration;
use rcgen::{KeyPair, PublicKeyData as _};
use runtime::config::KeyAlgorithm;
use seal::Binding;
use store::{Account, Certificate, SealedPlace};
use x509_parser::pem::parse_x509_pem;
use x509_parser::public_key::PublicKey;

use super::kit::{DAY, Kit, name};
use crate::journal::Journal;

/// The public key of a certificate's leaf, and its kind: the curve or the modulus length.
fn leaf_key(certificate: &Certificate) -> (Vec<u8>, KeyAlgorithm) {
    let (_, pem) = parse_x509_pem(certificate.chain_pem.as_bytes()).unwrap();
    let leaf = pem.parse_x509().unwrap();
    let key = leaf.public_key();
    let algorithm = match key.parsed().unwrap() {
        PublicKey::EC(point) if point.key_size() == 256 => KeyAlgorithm::P256,
        PublicKey::EC(point) if point.key_size() == 384 => KeyAlgorithm::P384,
        PublicKey::RSA(rsa) if rsa.key_size() == 2048 => KeyAlgorithm::Rsa2048,
        PublicKey::RSA(rsa) if rsa.key_size() == 4096 => KeyAlgorithm::Rsa4096,
        other => panic!("{other:?}"),
    };
    (key.raw.to_vec(), algorithm)
}

async fn each_certificate_gets_a_new_key_of(algorithm: KeyAlgorithm) {
    let kit = Kit::configured(|config| config.issuer.key_algorithm = algorithm).await;
    let mut publics = HashSet::new();
    for label in ["shop", "blog"] {
        let certificate = kit.certified(&name(label)).await;
        let (public, made) = leaf_key(&certificate);
        assert_eq!(made, algorithm);
        let sealed = certificate.sealed_key.unwrap();
        let binding = Binding::certificate(certificate.summary.id, &name(label));
        let public_key = seal::public_key_of(&sealed).unwrap();
        let opened = kit.role.keys.unseal(&binding, &public_key, &sealed).await.unwrap();
        assert_eq!(KeyPair::try_from(&opened[..]).unwrap().subject_public_key_info(), public);
        assert!(publics.insert(public), "a new key");
    }
}

#[tokio::test]
async fn keys_are_on_p256() {
    each_certificate_gets_a_new_key_of(KeyAlgorithm::P256).await;
}

#[tokio::test]
async fn keys_are_on_p384_by_configuration() {
    each_certificate_gets_a_new_key_of(KeyAlgorithm::P384).await;
}

#[tokio::test]
async fn keys_are_rsa_2048_by_configuration() {
    each_certificate_gets_a_new_key_of(KeyAlgorithm::Rsa2048).await;
}

#[tokio::test]
async fn keys_are_rsa_4096_by_configuration() {
    each_certificate_gets_a_new_key_of(KeyAlgorithm::Rsa4096).await;
}

/// Otherwise a sealing key that was removed from the file after a rotation would still be needed.
#[tokio::test]
async fn a_key_that_was_wrapped_anew_while_the_ca_was_asked_goes_into_the_certificate() {
    let kit = Kit::new().await;
    let name = name("shop");
    kit.add(&name).await;
    let context = &kit.role.context;
    let account = Account {
        id: AccountId::new(&*kit.clock, &*context.entropy),
        issuer: "sandbox".to_owned(),
        directory_url: kit.world.ca.directory_url(),
        sealed_key: vec![1],
        url: None,
        created_at: kit.now(),
        pending_key: None,
    };
    let order = Order {
        id: OrderId::new(&*kit.clock, &*context.entropy),
        name: name.clone(),
        revision: kit.domain(&name).await.revision,
        account: account.id,
        created_at: kit.now(),
        state: OrderState::Placed {
            url: "https://ca/order/1".to_owned(),
            key: OrderKey {
                certificate: CertificateId::new(&*kit.clock, &*context.entropy),
                sealed: b"under the older key".to_vec(),
                csr: vec![48],
            },
        },
    };
    let mut tx = kit.store.begin("placed").await.unwrap();
    tx.insert_account(&account).await.unwrap();
    tx.insert_order(&order).await.unwrap();
    tx.commit().await.unwrap();
    let until = kit.now() + SignedDuration::from_secs(30);
    let lease = kit.store.claim(WorkKind::Issue, &name, until).await;
    let journal = Journal::new(context, &lease.unwrap().unwrap(), kit.domain(&name).await);

    let sealed = kit.store.sealed_keys(SealedPlace::Orders, None, 1).await.unwrap();
    let mut tx = kit.store.begin("rotation").await.unwrap();
    assert!(tx.replace_sealed(&sealed[0], b"under the new key").await.unwrap());
    tx.commit().await.unwrap();
    let delivered = Delivered {
        chain_pem: String::new(),
        sha256: "ab".repeat(32),
        serial: "01".to_owned(),
        issuer: "CN=Test".to_owned(),
        not_before: kit.now(),
        not_after: kit.now() + DAY * 90,
    };
    journal.issued(&kit.role.issuers[0], &order, &delivered).await.unwrap();
    let sealed = kit.issued(&name).await.sealed_key;
    assert_eq!(sealed.as_deref(), Some(b"under the new key".as_slice()));
}
