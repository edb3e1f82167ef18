//! The notifier's own sealing key, which seals the secrets of webhooks and nothing else (ADR 0028).

use seal::SealingKeys;

use crate::config::StorePlace;
use crate::{Config, RoleError, chain};

const SETTING: &str = "notifier.sealing_key_file";

/// Reads the key file of the notifier; beside an SQLite store it is made if it is not there. Errors name the setting.
pub fn notifier_keys(config: &Config) -> Result<SealingKeys, RoleError> {
    let path = &config.notifier.sealing_key_file;
    let place = config.store.place().map_err(|problem| RoleError::setting("store.url", problem))?;
    let keys = match place {
        StorePlace::File(_) => SealingKeys::load_or_create(path),
        StorePlace::Server(_) => SealingKeys::load(path),
    };
    keys.map_err(|error| RoleError::setting(SETTING, chain(&error)))
}
