//! Everything that is checked of certificates (X.509, RFC 5280): those a CA delivers and those a customer pastes.
//!
//! A CA was asked for something and has to deliver exactly that: our key, one name, dates that hold now. A customer may
//! paste what browsers can use: their own key, any certificate that covers the name, a private CA's and a self-signed
//! one included. So these are two checks with rules of their own on the same ground: one reader of PEM, one parser of
//! certificates, one spelling of what is kept of them. What people bring is text or a file, and the file may be PEM,
//! DER, PKCS #7 or a PFX; anything else is told by its kind, with the command that converts it.
//!
//! All of it is hostile (DESIGN rule 11): bounded before it is read, encoded anew before it is kept, and never repeated
//! in an error, the names of a certificate aside, which are cleaned and shortened.

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
