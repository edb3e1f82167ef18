//! Checks of certificates (X.509, RFC 5280): delivered by a CA or pasted by a customer.
//!
//! A CA has to deliver exactly what was ordered: our key, one name, valid dates. A customer may paste anything that
//! browsers can use: their own key, any certificate that covers the name, including a private CA's or a self-signed
//! one. So there are two checks with their own rules on a common base: one PEM reader, one certificate parser, one
//! stored encoding. The input is text or a file in PEM, DER, PKCS #7 or PFX; for other kinds, the error names the kind
//! and the command that converts it.
//!
//! All input is hostile (DESIGN rule 11): bounded before it is read, encoded again before it is stored, and never
//! repeated in an error, except for the names in a certificate, which are cleaned and shortened.

mod blocks;
mod bundle;
mod chain;
mod crl;
mod delivered;
mod der;
mod files;
mod key;
mod kind;
mod leaf;
mod pasted;
mod pasted_error;
mod pbes2;
mod pfx;
mod pkcs7;
mod private_key;
mod trust;
mod warning;

pub use crl::{CrlError, RevocationList, crl_urls};
pub use delivered::{Delivered, DeliveredError, check_delivered};
pub use files::{ServerIdentity, only_certificates, server_identity};
pub use kind::FileKind;
pub use leaf::{
    NO_END, alternative_names, chain_sha256, csr_public_key, csr_public_key_sha256, leaf_public_key_sha256,
    not_after,
};
pub use pasted::{Pasted, PastedFiles, check_files, check_pasted};
pub use pasted_error::{Field, LockedKind, PastedError};
pub use private_key::private_key_pem;
pub use warning::Warning;
