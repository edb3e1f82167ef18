//! Additions to instant-acme: one transport, accounts whose key is sealed before it is sent to the CA, the order
//! journal's hook, the ledger of a CA's limits, renewal information, and, from crate `x509`, the check of delivered
//! certificates.
//!
//! Everything a CA sends is hostile: URLs stay on its directory's origin, bodies, waits and chains are bounded, and a
//! certificate is accepted only with the key and name of the order.

mod account;
pub mod budget;
mod ca;
mod error;
mod jws;
mod lenient;
mod nonces;
mod order;
mod orders_list;
mod problem;
mod renewal_info;
mod revoke;
mod rollover;
mod transport;

pub use account::{
    AccountKey, ensure_account, find_account, open_account, open_key, register_again, seal_account_key,
};
pub use ca::{Ca, CaOptions, ExternalAccountBinding};
pub use error::AcmeError;
pub use order::{AcmeOrder, ChallengeResponse, OrderProgress, Proof, WhyInvalid};
pub use problem::{Meaning, Problem, RequestKind};
pub use renewal_info::{RenewalId, Suggestion};
pub use rollover::{account_key_from_pem, roll_over, settle_rollover};
pub use transport::OrderJournal;
pub use x509::{Delivered, DeliveredError, check_delivered};
