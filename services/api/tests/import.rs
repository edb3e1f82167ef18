//! What becomes of the files that people have, sent as bytes and as text.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use domain::Role;
use proto::v1;
use tonic::Code;
use tonic_types::StatusExt;

use served::{Served, served, signed};

const NAME: &str = "shop.example.com";
const KEY: &[u8] = include_bytes!("../../../libs/x509/tests/data/people/key.pem");
const LEAF: &[u8] = include_bytes!("../../../libs/x509/tests/data/people/leaf.pem");
const CHAIN: &[u8] = include_bytes!("../../../libs/x509/tests/data/people/leaf-and-intermediate.pem");
const BOM: &[u8] = include_bytes!("../../../libs/x509/tests/data/people/bom.pem");
const DER: &[u8] = include_bytes!("../../../libs/x509/tests/data/people/leaf.der");
const P7B: &[u8] = include_bytes!("../../../libs/x509/tests/data/people/leaf.p7b");
const PFX: &[u8] = include_bytes!("../../../libs/x509/tests/data/people/leaf.pfx");

/// The warnings, or the reason.
async fn word(served: &mut Served, token: &str, request: v1::ImportCertificateRequest) -> String {
    let request = v1::ImportCertificateRequest { name: NAME.to_owned(), ..request };
    match served.client.import_certificate(signed(request, token)).await {
        Ok(answer) => answer.into_inner().warnings.join(" "),
        Err(status) => {
            assert_eq!(status.code(), Code::InvalidArgument, "{status}");
            assert!(!status.message().contains("-----"), "nothing pasted comes back");
            status.get_details_error_info().unwrap().reason
        }
    }
}

fn files(certificate: &[u8], private_key: &[u8], password: &str) -> v1::ImportCertificateRequest {
    v1::ImportCertificateRequest {
        certificate_file: certificate.to_vec(),
        private_key_file: private_key.to_vec(),
        password: password.to_owned(),
        ..v1::ImportCertificateRequest::default()
    }
}

#[tokio::test]
async fn every_file_is_read_or_told() {
    let mut served = served().await;
    let token = served.token(Role::Support, |_| {}).await;
    for (what, certificate, key, password, expected) in [
        ("PEM", LEAF, KEY, "", "not_publicly_trusted"),
        ("chain", CHAIN, KEY, "", "not_publicly_trusted"),
        ("byte-order mark", BOM, KEY, "", "not_publicly_trusted"),
        ("DER", DER, KEY, "", "not_publicly_trusted"),
        ("PKCS #7", P7B, KEY, "", "not_publicly_trusted"),
        ("PFX", PFX, b"", "x", "not_publicly_trusted"),
        ("PFX without password", PFX, b"", "", "PASSWORD_REQUIRED"),
        ("PFX with another password", PFX, b"", "y", "PASSWORD_WRONG"),
        ("twice", &[LEAF, LEAF].concat(), KEY, "", "not_publicly_trusted duplicate_left_out"),
        ("a Java key store", b"\xfe\xed\xfe\xed", KEY, "", "NO_CERTIFICATE"),
    ] {
        let told = word(&mut served, &token, files(certificate, key, password)).await;
        assert_eq!(told, expected, "{what}");
    }
}

#[tokio::test]
async fn text_and_file_are_not_both_sent() {
    let mut served = served().await;
    let token = served.token(Role::Support, |_| {}).await;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let as_text = v1::ImportCertificateRequest {
        certificate_pem: text(P7B),
        private_key_pem: text(KEY),
        ..v1::ImportCertificateRequest::default()
    };
    assert_eq!(word(&mut served, &token, as_text).await, "not_publicly_trusted");
    let both = v1::ImportCertificateRequest { certificate_pem: text(LEAF), ..files(LEAF, KEY, "") };
    assert_eq!(word(&mut served, &token, both).await, "TEXT_AND_FILE");
    let both = v1::ImportCertificateRequest { private_key_pem: text(KEY), ..files(LEAF, KEY, "") };
    assert_eq!(word(&mut served, &token, both).await, "TEXT_AND_FILE");
}
