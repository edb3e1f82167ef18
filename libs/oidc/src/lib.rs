//! The OpenID provider that people sign in with (OpenID Connect Core 1.0 and Discovery 1.0).
//!
//! [`Provider`] knows the provider's endpoints and the keys it signs with; [`Flow`] leads people there and back and gets an
//! ID token; [`IdTokens`] says whom an ID token is about, if it is to be believed.
//!
//! Rules:
//! - Everything the provider sends is hostile: https only (loopback aside), no redirects, bodies and waits bounded, JSON
//!   read leniently (absent, null and unknown members alike), and nothing unverified in an error.
//! - Signatures are asymmetric. The key decides what a signature may be, not the token: its type, its curve and its `alg`
//!   must fit the token's `alg`.
//! - Nothing is asked when a process starts, so a provider that is down does not stop people from signing in with a
//!   password.

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
