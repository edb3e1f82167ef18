//! Why something pasted is not accepted.

use domain::DomainName;
use jiff::Timestamp;

/// One variant per rule. Its sentence says what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's sentence is its documentation")]
pub enum PastedError {
    #[error("the {what} is over {most} bytes: paste the certificate, its intermediates and the key alone")]
    TooLarge { what: &'static str, most: usize },
    #[error("the {0} is no PEM: it must have lines that begin with -----BEGIN and -----END")]
    NotPem(&'static str),
    #[error("there is no certificate: paste the block that begins with -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    #[error("there is no private key: paste the block that begins with -----BEGIN PRIVATE KEY-----")]
    NoKey,
    #[error("certificate and private key are swapped: paste each into its own field")]
    Swapped,
    #[error("there are several private keys: paste the one of the first certificate alone")]
    SeveralKeys,
    #[error("there are over {0} certificates: paste the leaf and its intermediates alone")]
    TooManyCertificates(usize),
    #[error("the private key is encrypted: take the password off first (openssl pkey -in FILE -out NEW)")]
    EncryptedKey,
    #[error("certificate {0} cannot be parsed: export it again")]
    Unparsable(usize),
    #[error("the private key cannot be parsed: export it again as PKCS #8")]
    UnparsableKey,
    #[error("the private key belongs to another certificate: paste the one that the request was made with")]
    KeyMismatch,
    #[error("the key is too weak ({0}): make a new one, ECDSA P-256 or RSA of 2048 bits or more")]
    WeakKey(String),
    #[error(
        "browsers or the CDN do not take that kind of key ({0}): use ECDSA P-256 or P-384, or RSA up to 4096 bits"
    )]
    UnsupportedKey(String),
    #[error("it is signed with {0}, which browsers refuse: have it issued again")]
    WeakSignature(&'static str),
    #[error(
        "certificate {0} did not sign the one before it: paste the leaf first, then its intermediates in order"
    )]
    ChainOrder(usize),
    #[error("it is for {covered} and not for {name}: have it issued for {name}")]
    NameNotCovered { name: DomainName, covered: String },
    #[error("it ended on {0}: paste a valid one")]
    Expired(Timestamp),
    #[error("it is valid only from {0}: paste it then")]
    NotYetValid(Timestamp),
    #[error("its dates make no sense: have it issued again")]
    BadDates,
    #[error("it is a CA's certificate: paste the server's certificate first")]
    CaCertificate,
    #[error("it is not for servers: have it issued with the usage serverAuth")]
    NotForServers,
}

impl PastedError {
    /// The stable word for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "TOO_LARGE",
            Self::NotPem(_) => "NOT_PEM",
            Self::NoCertificate => "NO_CERTIFICATE",
            Self::NoKey => "NO_KEY",
            Self::Swapped => "SWAPPED",
            Self::SeveralKeys => "SEVERAL_KEYS",
            Self::TooManyCertificates(_) => "TOO_MANY_CERTIFICATES",
            Self::EncryptedKey => "ENCRYPTED_KEY",
            Self::Unparsable(_) | Self::UnparsableKey => "UNPARSABLE",
            Self::KeyMismatch => "KEY_MISMATCH",
            Self::WeakKey(_) => "WEAK_KEY",
            Self::UnsupportedKey(_) => "UNSUPPORTED_KEY",
            Self::WeakSignature(_) => "WEAK_SIGNATURE",
            Self::ChainOrder(_) => "CHAIN_ORDER",
            Self::NameNotCovered { .. } => "NAME_NOT_COVERED",
            Self::Expired(_) => "EXPIRED",
            Self::NotYetValid(_) => "NOT_YET_VALID",
            Self::BadDates => "BAD_DATES",
            Self::CaCertificate => "CA_CERTIFICATE",
            Self::NotForServers => "NOT_FOR_SERVERS",
        }
    }
}
