//! The settings of the notifier.

use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::list::list;

/// `[notifier]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Notifier {
    /// One 32-byte key in base64 per line, the first is current: seals the secrets of webhooks, and nothing else. Made when the
    /// first endpoint is, with an SQLite store. The api needs it, too, to make endpoints.
    pub sealing_key_file: PathBuf,
    /// Addresses that webhooks may go to although they are not of the internet; to these over http as well.
    #[serde(deserialize_with = "list")]
    pub allow_addresses: Vec<IpNet>,
    /// One more root to trust for receivers, PEM.
    pub root_certificate_file: PathBuf,
}

impl Default for Notifier {
    fn default() -> Self {
        Self {
            sealing_key_file: PathBuf::from("data/notifier.key"),
            allow_addresses: Vec::new(),
            root_certificate_file: PathBuf::new(),
        }
    }
}
