//! The outside world in one process: an ACME CA that can misbehave on request, C4 with an edge that really terminates
//! TLS, and a nameserver.
//!
//! **Test equipment.** It is the demo's world, and what fault and load tests are run against. Its keys live in memory,
//! its CA certifies whoever answers a challenge on loopback, and its controls let a test decide what happens next.
//! Nothing in it is meant for a network. It shares no code with the product, so that a mistake in the one does not
//! hide in the other.

mod c4;
mod ca;
mod dns;
mod edge;
mod error;
mod net;
mod world;

pub use c4::{C4, C4Control, C4Domain, C4Options, Refusal, StoredCertificate};
pub use ca::{Ca, CaClock, CaControl, CaOptions, Endpoint, Nonsense, ValidationResult};
pub use dns::{Dns, DnsControl, DnsOptions};
pub use edge::{Edge, EdgeControl, EdgeOptions, handshake, served_leaf, served_sha256};
pub use error::SandboxError;
pub use world::{World, WorldOptions};
