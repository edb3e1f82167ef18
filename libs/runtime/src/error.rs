//! Why a role ended before it was told to.

use std::error::Error;
use std::net::SocketAddr;

/// Why a role cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// An address is taken or not ours.
    #[error("cannot listen on {address} ({setting}): {source}")]
    Listen {
        /// The setting it comes from.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] store::StoreError),
    /// The bus failed.
    #[error("the bus failed")]
    Bus(#[from] bus::BusError),
    /// A setting has an unusable value.
    #[error("{setting}: {problem}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A server ended.
    #[error("{role}: the server ended")]
    Server {
        /// Which role's.
        role: &'static str,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// An error with all its causes in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let text = source.to_string();
        // Some libraries repeat their cause in their own words.
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = source.source();
    }
    line.replace('\n', " ")
}

impl RoleError {
    /// A setting that cannot be used.
    pub fn setting(setting: &'static str, problem: impl Into<String>) -> Self {
        Self::Setting { setting, problem: problem.into() }
    }
}
