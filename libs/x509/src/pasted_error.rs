//! Why a pasted certificate is not accepted, and what to do about it.

use std::fmt;

use domain::DomainName;
use domain::sentence::NamedZone;
use jiff::Timestamp;

use crate::bundle::MAX_BYTES;
use crate::chain::MAX_CERTIFICATES;
use crate::key::{MAX_RSA_BITS, MIN_RSA_BITS};
use crate::kind::FileKind;

/// One of the two texts that a customer pastes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Leaf and intermediates.
    Certificate,
    /// The leaf's key.
    PrivateKey,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate",
            Self::PrivateKey => "private key",
        })
    }
}

/// A text that is encrypted with a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockedKind {
    /// A PKCS #12 file.
    Pfx,
    /// An encrypted private key.
    PrivateKey,
}

impl LockedKind {
    /// The command that decrypts it.
    fn command(self) -> &'static str {
        match self {
            Self::Pfx => "openssl pkcs12 -legacy -in FILE.pfx -out FILE.pem -noenc",
            Self::PrivateKey => "openssl pkey -in FILE.key -out FILE.pem",
        }
    }
}

impl fmt::Display for LockedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pfx => "PFX file",
            Self::PrivateKey => "private key",
        })
    }
}

/// Why a pasted certificate or key is not accepted. Each says what to do, in words that support can send on; certificates
/// are counted from one, in the order in which they were pasted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's sentence is its documentation")]
pub enum PastedError {
    #[error("the {0} has over {limit} KiB: paste only the PEM text of this one {0}", limit = MAX_BYTES / 1024)]
    TooLarge(Field),
    #[error(
        "the {0} is not complete PEM text: paste all of the file with its line breaks, every BEGIN and END line on a \
         line of its own; a DER, P7B or PFX file is taken as a file, or as its base64"
    )]
    NotPem(Field),
    #[error("the {field} is {kind}")]
    Foreign {
        /// Where it was.
        field: Field,
        /// The kind of the file.
        kind: FileKind,
    },
    #[error("the file is a PFX (PKCS #12) with a password: give the password with it")]
    PfxPasswordMissing,
    #[error(
        "the PFX (PKCS #12) file cannot be read, it is damaged or of a rare form: convert it with `openssl pkcs12 -in \
         FILE.pfx -out FILE.pem -noenc`, then import certificates and key from FILE.pem"
    )]
    PfxUnreadable,
    #[error("the password does not open the {0}: check the password, or the file is damaged")]
    PasswordWrong(LockedKind),
    #[error(
        "the {0} is encrypted in an old way (RC2 or triple DES): convert it with `{command}`, then import FILE.pem",
        command = .0.command()
    )]
    OldEncryption(LockedKind),
    #[error(
        "the {0} takes too many rounds to open: convert it with `{command}`, then import FILE.pem",
        command = .0.command()
    )]
    EncryptionTooCostly(LockedKind),
    #[error(
        "certificate and private key are in each other's place: paste the certificate as certificate and the private \
         key as private key"
    )]
    Swapped,
    #[error("the certificate text contains a private key: remove it there and paste it as private key")]
    KeyInCertificate,
    #[error("the private key's text contains a certificate: remove it there and paste it as certificate")]
    CertificateInKey,
    #[error(
        "there is no certificate in the certificate text: paste the file that begins with BEGIN CERTIFICATE; a signing \
         request (CSR) or a public key is not one"
    )]
    NoCertificate,
    #[error(
        "the certificate text has over {MAX_CERTIFICATES} certificates: paste this one certificate and its intermediates"
    )]
    TooManyCertificates,
    #[error("certificate {0} of the text cannot be read: get it again from the CA and paste it unchanged")]
    Unparsable(usize),
    #[error(
        "there is no private key in the private key's text: paste the file that begins with BEGIN PRIVATE KEY, BEGIN RSA \
         PRIVATE KEY or BEGIN EC PRIVATE KEY"
    )]
    NoKey,
    #[error("the private key's text has several keys: paste only the key that belongs to the certificate")]
    SeveralKeys,
    #[error(
        "the private key is encrypted with a password: give the password with it, or decrypt it first, for example with `openssl pkey -in \
         encrypted.key -out plain.key`, and paste the result"
    )]
    EncryptedKey,
    #[error(
        "the private key cannot be read as an RSA key of {MIN_RSA_BITS} to {MAX_RSA_BITS} bits or an EC key on P-256 or \
         P-384: paste the key that the certificate was requested with, unchanged"
    )]
    UnparsableKey,
    #[error(
        "the certificate's RSA key has {0} bits, which browsers refuse: make a key of at least {MIN_RSA_BITS} bits and \
         have the certificate issued anew for it"
    )]
    WeakKey(usize),
    #[error(
        "browsers or the CDN's servers do not take a key of this kind: make an RSA key of {MIN_RSA_BITS} to \
         {MAX_RSA_BITS} bits or an EC key on P-256 or P-384 and have the certificate issued anew for it"
    )]
    UnsupportedKey,
    #[error(
        "the private key does not belong to the certificate: paste the key that this certificate was requested with, and \
         the domain's own certificate first"
    )]
    KeyMismatch,
    #[error(
        "the private key belongs to certificate {0} of the text: put that one first, then each certificate before the one \
         that issued it"
    )]
    LeafNotFirst(usize),
    #[error(
        "certificate {0} of the text did not issue the one before it: put the domain's own certificate first, then each \
         intermediate in order, and take out what does not belong"
    )]
    ChainOrder(usize),
    #[error(
        "certificate {root} of the text is a root, and the intermediate between it and the domain's certificate is \
         missing: put the certificate of \"{issuer}\", which the CA hands out with the domain's, in its place"
    )]
    RootWithoutIntermediate {
        /// Which, counted from one.
        root: usize,
        /// Who issued the leaf, cleaned.
        issuer: String,
    },
    #[error(
        "the first certificate is that of a CA, not of a server: paste the certificate that the CA issued for the domain \
         first, with its own key"
    )]
    CaCertificate,
    #[error(
        "the certificate is not for servers (its extended key usage lacks server authentication): ask the CA for a TLS \
         server certificate"
    )]
    NotAServerCertificate,
    #[error(
        "the certificate is for {covered}, not for {name}: paste one with {name} among its subject alternative names (a \
         common name is not enough, and a wildcard stands for one label)"
    )]
    NameNotCovered {
        /// The domain.
        name: DomainName,
        /// Some of the names that the certificate has, cleaned.
        covered: String,
    },
    #[error("the certificate ended on {}: renew it at its CA and paste the new one", NamedZone::utc().time(*.0))]
    Expired(Timestamp),
    #[error(
        "the certificate begins only on {}: paste it after that, or one that is valid already",
        NamedZone::utc().time(*.0)
    )]
    NotYetValid(Timestamp),
    #[error(
        "the certificate's dates are invalid (it ends before it begins, or begins beyond year 9999): have it issued again"
    )]
    BadDates,
    #[error(
        "the certificate is signed with SHA-1 or MD5, which browsers refuse: have the CA issue it anew with SHA-256 or \
         better"
    )]
    WeakSignature,
}

impl PastedError {
    /// Which of the two it is about.
    pub fn field(&self) -> Field {
        match self {
            Self::TooLarge(field) | Self::NotPem(field) | Self::Foreign { field, .. } => *field,
            Self::CertificateInKey
            | Self::NoKey
            | Self::SeveralKeys
            | Self::EncryptedKey
            | Self::UnparsableKey
            | Self::KeyMismatch
            | Self::PasswordWrong(LockedKind::PrivateKey)
            | Self::OldEncryption(LockedKind::PrivateKey)
            | Self::EncryptionTooCostly(LockedKind::PrivateKey) => Field::PrivateKey,
            _ => Field::Certificate,
        }
    }

    /// Stable reason for programs, in capitals (`google.rpc.ErrorInfo`).
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "TOO_LARGE",
            Self::NotPem(_) => "NOT_PEM",
            Self::PfxPasswordMissing => "PASSWORD_REQUIRED",
            Self::PfxUnreadable => "PFX_UNREADABLE",
            Self::PasswordWrong(_) => "PASSWORD_WRONG",
            Self::OldEncryption(_) => "OLD_ENCRYPTION",
            Self::EncryptionTooCostly(_) => "ENCRYPTION_TOO_COSTLY",
            Self::RootWithoutIntermediate { .. } => "INTERMEDIATE_MISSING",
            Self::Swapped => "SWAPPED",
            Self::KeyInCertificate => "KEY_IN_CERTIFICATE",
            Self::CertificateInKey => "CERTIFICATE_IN_KEY",
            Self::NoCertificate | Self::Foreign { field: Field::Certificate, .. } => "NO_CERTIFICATE",
            Self::TooManyCertificates => "TOO_MANY_CERTIFICATES",
            Self::Unparsable(_) => "UNPARSABLE",
            Self::NoKey | Self::Foreign { field: Field::PrivateKey, .. } => "NO_KEY",
            Self::SeveralKeys => "SEVERAL_KEYS",
            Self::EncryptedKey => "ENCRYPTED_KEY",
            Self::UnparsableKey => "UNPARSABLE_KEY",
            Self::WeakKey(_) => "WEAK_KEY",
            Self::UnsupportedKey => "UNSUPPORTED_KEY",
            Self::KeyMismatch => "KEY_MISMATCH",
            Self::LeafNotFirst(_) => "LEAF_NOT_FIRST",
            Self::ChainOrder(_) => "CHAIN_ORDER",
            Self::CaCertificate => "CA_CERTIFICATE",
            Self::NotAServerCertificate => "NOT_A_SERVER_CERTIFICATE",
            Self::NameNotCovered { .. } => "NAME_NOT_COVERED",
            Self::Expired(_) => "EXPIRED",
            Self::NotYetValid(_) => "NOT_YET_VALID",
            Self::BadDates => "BAD_DATES",
            Self::WeakSignature => "WEAK_SIGNATURE",
        }
    }
}
