//! The outside world in one process: an ACME CA that can misbehave, C4, an edge that terminates TLS, DNS,
//! and an OpenID provider.
//!
//! **Test equipment** for the demo, for end-to-end, fault and load tests and for benchmarks. It is not for production:
//! it issues to any client, and its keys live as long as the process.
//!
//! | part | is | is told what to do by |
//! |---|---|---|
//! | [`Ca`] | a CA as in RFC 8555 with HTTP-01, RFC 9773 and profiles | [`CaControl`] |
//! | [`C4`] | the CDN's configuration system, by the contract in `libs/c4/openapi.yaml` | [`C4Control`] |
//! | [`Edge`] | one of the CDN's edges: forwards challenges, serves what was uploaded to C4 | [`EdgeControl`] |
//! | [`Dns`] | the customers' DNS, seen through a recursive resolver | [`DnsControl`] |
//! | [`Oidc`] | the OpenID provider that people sign in with, which can be wrong in every way | [`OidcControl`] |
//! | [`World`] | the first four, wired to each other | [`World::point_at_cdn`] |
//!
//! Rules: a part behaves as the real one would until its control says otherwise; a fault is requested, never random, so
//! that a failing test fails again; no lock is held over an await and no request looks at all orders, because load
//! tests measure the system under test and not this crate.

mod c4;
mod ca;
mod clock;
mod dns;
mod edge;
mod error;
mod oidc;
mod random;
mod serve;
mod sync;
mod tls;
mod world;

pub use c4::{C4, C4Control, C4Domain, C4Identity, C4Options, Refusal, StoredCertificate};
pub use ca::{
    Ca, CaControl, CaOptions, CaRefusal, Endpoint, Limit, Limits, Nonsense, OrderBefore, PlacedOrder,
    RevokedCertificate, UsRefusal, ValidationResult,
};
pub use clock::{Clock, system_clock};
pub use dns::{Dns, DnsControl, DnsOptions};
pub use edge::{Edge, EdgeControl, EdgeOptions, handshake, served_leaf, served_sha256};
pub use error::SandboxError;
pub use oidc::{Oidc, OidcAlgorithm, OidcControl, OidcOptions, OidcPerson, ProviderTrouble, TokenFlaw};
pub use world::{CDN_TARGET, World, WorldOptions};
