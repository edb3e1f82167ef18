//! The kind of a file, detected by its bytes: many kinds of files are called certificates.

use std::fmt;

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

use crate::der::{BIT_STRING, INTEGER, OCTET_STRING, SEQUENCE, only_sequence};
use crate::{pfx, pkcs7};

/// The kind of a file or of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A Java key store, `keytool`'s format of old.
    JavaKeyStore,
    /// An OpenSSH private key.
    SshPrivateKey,
    /// An SSH public key.
    SshPublicKey,
    /// A private key of `PuTTY`.
    PuttyKey,
    /// Something of `OpenPGP`.
    Pgp,
    /// A signing request (PKCS #10).
    SigningRequest,
    /// A public key without a certificate.
    PublicKey,
    /// A revocation list.
    RevocationList,
    /// PKCS #7 in BER, which is rare.
    BerPkcs7,
    /// A PFX in BER, which is rare.
    BerPfx,
    /// A ZIP archive.
    Zip,
    /// A file packed by gzip.
    Gzip,
    /// A PDF document.
    Pdf,
    /// A web page.
    WebPage,
}

impl fmt::Display for FileKind {
    /// The kind, and what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::JavaKeyStore => {
                "a Java key store (JKS): convert it with `keytool -importkeystore -srckeystore FILE -destkeystore \
                 FILE.pfx -deststoretype PKCS12`, then import FILE.pfx with its password"
            }
            Self::SshPrivateKey => {
                "an OpenSSH private key: convert a copy with `ssh-keygen -p -m PKCS8 -f FILE`, then import that"
            }
            Self::SshPublicKey => "an SSH public key: import the PEM file of the certificate or of its private key",
            Self::PuttyKey => {
                "a PuTTY key (PPK): convert it with `puttygen FILE -O private-openssh -o FILE.ssh`, then with \
                 `ssh-keygen -p -m PKCS8 -f FILE.ssh`, and import that"
            }
            Self::Pgp => "an OpenPGP file, which no web server uses: import the certificate that the CA issued",
            Self::SigningRequest => {
                "a signing request (CSR): import the certificate that the CA issued for it"
            }
            Self::PublicKey => "a public key: import the certificate, or the private key",
            Self::RevocationList => "a revocation list (CRL): import the certificate that the CA issued",
            Self::BerPkcs7 => {
                "a PKCS #7 file in BER: convert it with `openssl pkcs7 -inform DER -in FILE -print_certs -out FILE.pem`, \
                 then import FILE.pem"
            }
            Self::BerPfx => {
                "a PFX (PKCS #12) file in BER: convert it with `openssl pkcs12 -in FILE -out FILE.pem -noenc`, then \
                 import certificates and key from FILE.pem"
            }
            Self::Zip => "a ZIP archive: unpack it with `unzip FILE`, then import the files in it",
            Self::Gzip => "a gzip archive: unpack it with `gunzip FILE`, then import the file in it",
            Self::Pdf => "a PDF document: import the certificate's own file",
            Self::WebPage => "a web page: import the file that its download link gives",
        })
    }
}

impl FileKind {
    /// The kind of a file that is neither PEM nor DER of ours, by its first bytes.
    pub(crate) fn of_file(bytes: &[u8], text: &str) -> Option<Self> {
        let begins = |magic: &[u8]| bytes.starts_with(magic);
        let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        let is_text_of = |words: &[&str]| words.iter().any(|word| text.starts_with(word));
        let head: String = text.chars().take(15).collect::<String>().to_ascii_lowercase();
        if begins(&[0xfe, 0xed, 0xfe, 0xed]) || begins(&[0xce, 0xce, 0xce, 0xce]) {
            Some(Self::JavaKeyStore)
        } else if begins(&[0x30, 0x80, 0x06]) {
            Some(Self::BerPkcs7)
        } else if begins(&[0x30, 0x80, 0x02]) {
            Some(Self::BerPfx)
        } else if begins(b"PK\x03\x04") {
            Some(Self::Zip)
        } else if begins(&[0x1f, 0x8b]) {
            Some(Self::Gzip)
        } else if begins(b"%PDF") {
            Some(Self::Pdf)
        } else if is_text_of(&["PuTTY-User-Key-File"]) {
            Some(Self::PuttyKey)
        } else if is_text_of(&["ssh-", "ecdsa-sha2-", "sk-ssh-", "---- BEGIN SSH2"]) {
            Some(Self::SshPublicKey)
        } else if head.starts_with("<!doctype html") || head.starts_with("<html") {
            Some(Self::WebPage)
        } else {
            None
        }
    }

    /// The kind of a block that is no certificate and no key of ours, by its label.
    pub(crate) fn of_label(label: &str) -> Option<Self> {
        match label.trim() {
            "OPENSSH PRIVATE KEY" => Some(Self::SshPrivateKey),
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => Some(Self::SigningRequest),
            "PUBLIC KEY" | "RSA PUBLIC KEY" => Some(Self::PublicKey),
            "X509 CRL" => Some(Self::RevocationList),
            label if label.starts_with("PGP ") => Some(Self::Pgp),
            _ => None,
        }
    }
}

/// The kind of a DER file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DerKind {
    Certificate,
    Pkcs7,
    Pfx,
    PrivateKey,
    EncryptedKey,
    Foreign(FileKind),
}

impl DerKind {
    /// The kind of these bytes. None where they are no DER, or DER of nothing that is known.
    pub(crate) fn of(der: &[u8]) -> Option<Self> {
        let mut parts = only_sequence(der)?.children();
        if pkcs7::certificates(der).is_some() {
            return Some(Self::Pkcs7);
        }
        if pfx::is_pfx(der) {
            return Some(Self::Pfx);
        }
        let (first, second, third) = (parts.next()?, parts.next()?, parts.next());
        match (first.tag, second.tag, third.map(|third| third.tag)) {
            // PKCS #8, PKCS #1, SEC 1.
            (INTEGER, SEQUENCE | INTEGER | OCTET_STRING, _) => Some(Self::PrivateKey),
            (SEQUENCE, OCTET_STRING, None) => Some(Self::EncryptedKey),
            (SEQUENCE, BIT_STRING, None) => Some(Self::Foreign(FileKind::PublicKey)),
            (SEQUENCE, SEQUENCE, Some(BIT_STRING)) => Self::of_signed(der),
            _ => None,
        }
    }

    fn of_signed(der: &[u8]) -> Option<Self> {
        if X509Certificate::from_der(der).is_ok() {
            Some(Self::Certificate)
        } else if X509CertificationRequest::from_der(der).is_ok() {
            Some(Self::Foreign(FileKind::SigningRequest))
        } else if CertificateRevocationList::from_der(der).is_ok() {
            Some(Self::Foreign(FileKind::RevocationList))
        } else {
            None
        }
    }
}
