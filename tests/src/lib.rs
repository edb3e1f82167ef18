//! The kit of the end-to-end tests: real servers as children on free ports, ended when the test ends.
//!
//! Beside them stands the simulation: the same roles in this process, on a clock that jumps.
//!
//! And a browser, for the console.
//!
//! Nothing here skips: a server that is missing fails the test with what to install. A test never sleeps; it waits
//! for a condition with [`wait_for`], and a child that dies fails it at once.

#![expect(clippy::expect_used, clippy::missing_panics_doc, reason = "a test fails by panicking")]

mod browser;
mod client;
mod collector;
mod command;
mod facts;
mod in_order;
mod manager;
mod mode;
mod page;
mod pebble;
mod pgbouncer;
mod postgres;
mod process;
mod proxy;
mod pty;
mod rabbitmq;
mod receiver;
mod server;
mod simulation;
mod surroundings;
mod wait;

pub use browser::{Browser, Element, Key, Size, Theme};
pub use client::Client;
pub use collector::Collector;
pub use command::{Answer, bare_command, run_bare};
pub use facts::{certificate_and_key_belong_together, sha256_of_leaf};
pub use in_order::Deserved;
pub use manager::SslManager;
pub use mode::{Backends, Mode};
pub use page::{Console, Reply, Visitor};
pub use pebble::Pebble;
pub use pgbouncer::PgBouncer;
pub use postgres::Postgres;
pub use process::{Processes, Subprocess, free_port};
pub use proxy::{Line, Proxy};
pub use pty::in_terminal;
pub use rabbitmq::{RabbitMq, Vhost};
pub use receiver::{Received, Receiver};
pub use simulation::{
    Backup, Command, DISTURBANCES, DOMAINS, Disturbance, Operation, STEPS, Simulation, Then, Trouble,
};
pub use surroundings::Surroundings;
pub use wait::{wait_for, within};
