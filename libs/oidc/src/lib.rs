//! The OpenID provider that people sign in with (OpenID Connect Core 1.0 and Discovery 1.0).
//!
//! [`Provider`] knows the provider's endpoints and signing keys; [`Flow`] sends people there and gets an ID token;
//! [`IdTokens`] validates an ID token and returns its person.
//!
//! Rules:
//! - Everything the provider sends is hostile: https only (loopback aside), no redirects, bodies and waits bounded, JSON
//!   read leniently (absent, null and unknown members alike), and nothing unverified in an error.
//! - Signatures are asymmetric. The key decides which signatures are allowed, not the token: its type, its curve and
//!   its `alg` must match the token's `alg`.
//! - Nothing is fetched when a process starts, so people can sign in with a password while a provider is down.

mod flow;
mod http;
mod id_token;
mod json;
mod jws;
mod keys;
mod metadata;
mod provider;
#[cfg(test)]
mod testing;

pub use flow::{Flow, FlowError, FlowSettings, Pending};
pub use http::{Http, HttpError};
pub use id_token::{IdTokens, Refusal, RoleOf, Settings, VerifyError, Vouched};
pub use provider::{Provider, ProviderError};
