//! Envelope encryption of private keys at rest.
//!
//! Each private key is encrypted under a data key of its own, and the data key under the first key of the sealing-key
//! file. Both layers are AES-256-GCM and bound to purpose, id, name and public key ([`Binding`]), so that a sealed key
//! copied into another row does not open there, nor beside another name or certificate. Keys further down the file
//! still open data that was sealed under them. So a sealing key is changed by putting the new one on top and rewrapping
//! the data keys ([`SealingKeys::rewrap`]). The holder of the sealing keys is behind one trait, [`KeyWrapping`].
//!
//! Why not encrypt under the sealing key directly: with data keys, changing the sealing key only rewraps 32 bytes per
//! row, and the number of messages under one key stays far below the limit of random nonces.
//!
//! Nothing here prints key bytes: the secret types have no `Debug`, and errors name lines and key ids.

mod aead;
mod binding;
mod envelope;
mod file_keys;
mod key_file;
mod mac;
mod target;
mod wrapping;

pub use binding::{Binding, NO_PUBLIC_KEY, PublicKeyHash, Purpose};
pub use envelope::{Opened, SealingKeys, public_key_of};
pub use key_file::KeyFileError;
pub use mac::Statement;
pub use target::WebhookTarget;
pub use wrapping::{DataKey, KeyId, KeyWrapping, SealError, Wrapped};
