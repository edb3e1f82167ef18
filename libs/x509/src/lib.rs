//! Everything that is checked of certificates (X.509, RFC 5280): those a CA delivers and those a customer pastes.
//!
//! A CA was asked for something and has to deliver exactly that: our key, one name, dates that hold now. A customer may
//! paste what browsers can use: their own key, any certificate that covers the name, a private CA's and a self-signed
//! one included. So these are two checks with rules of their own on the same ground: one reader of PEM, one parser of
//! certificates, one spelling of what is kept of them.
//!
//! All of it is hostile (DESIGN rule 11): bounded before it is read, encoded anew before it is kept, and never repeated
//! in an error, the names of a certificate aside, which are cleaned and shortened.

mod blocks;
mod chain;
mod delivered;
mod key;
mod leaf;
mod pasted;
mod pasted_error;
mod private_key;
mod trust;

pub use delivered::{Delivered, DeliveredError, check_delivered};
pub use leaf::alternative_names;
pub use pasted::{Pasted, check_pasted};
pub use pasted_error::{Field, PastedError};
pub use private_key::private_key_pem;
