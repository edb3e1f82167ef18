//! The outside world that a system under test is pointed at.

use std::net::SocketAddr;

use sandbox::World;

use crate::Pebble;

/// What the process is pointed at.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The CA's directory.
    pub directory_url: String,
    /// Trust for the CA's API.
    pub ca_root_pem: String,
    /// Nameserver.
    pub dns: SocketAddr,
    /// C4.
    pub c4_url: String,
    /// C4's token.
    pub c4_token: String,
    /// CNAME target.
    pub cname_target: String,
    /// Where the CA, and so the rehearsal, looks for challenges.
    pub http_port: u16,
    /// Issuances in flight.
    pub max_in_flight: u16,
    /// Edges to verify after an upload.
    pub edge_addresses: Vec<SocketAddr>,
    /// More sections of the settings file.
    pub more_settings: String,
}

impl Surroundings {
    /// The sandbox alone.
    pub fn sandbox(world: &World) -> Self {
        Self {
            directory_url: world.ca.directory_url(),
            ca_root_pem: world.ca.api_root_pem(),
            dns: world.dns.addr(),
            c4_url: world.c4.base_url(),
            c4_token: world.c4.token().to_owned(),
            cname_target: world.cdn_target().to_owned(),
            http_port: world.edge.http_addr().port(),
            max_in_flight: 32,
            edge_addresses: Vec::new(),
            more_settings: String::new(),
        }
    }

    /// Pebble as the CA, the sandbox's C4 and edge.
    pub fn pebble(pebble: &Pebble, world: &World) -> Self {
        Self {
            directory_url: pebble.directory_url(),
            ca_root_pem: pebble.api_root_pem().to_owned(),
            dns: pebble.dns(),
            // Pebble hangs with eight or more orders in flight.
            max_in_flight: 4,
            ..Self::sandbox(world)
        }
    }
}
