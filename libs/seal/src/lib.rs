//! Envelope encryption of private keys at rest.
