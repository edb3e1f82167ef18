//! The OpenID provider that people sign in with (OpenID Connect Core 1.0).
//!
//! [`Provider`] knows where things are and with which keys it signs; [`Flow`] leads people there and back and gets an ID
//! token; [`IdTokens`] says whom one is about, if it is to be believed. The protocol is that of the crate `openidconnect`; what is here decides what that crate leaves open:
//! which algorithms, how old, for whom, under which name and role, and when the provider is asked again.
//!
//! Nothing of this is asked at the start of a process: a provider that is away keeps nobody from signing in with a
//! password.

mod flow;
mod http;
mod id_token;
mod provider;

pub use flow::{Flow, FlowError, FlowSettings, Pending};
pub use http::{Http, HttpError};
pub use id_token::{IdTokens, Refusal, RoleOf, Settings, VerifyError, Vouched};
pub use provider::{Provider, ProviderError};
