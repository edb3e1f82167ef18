//! Passwords of database and broker that change in the settings file. They are part of URLs; all other changes in the
//! file take effect with the next start.

use std::path::PathBuf;
use std::sync::Arc;

use bus_rabbitmq::RabbitMqBus;
use runtime::config::StorePlace;
use runtime::{Config, RoleError, RoleName, SecretUrl, chain};
use store::Store;

/// What the log and metrics call the file.
pub(crate) const SETTING: &str = "--config";

/// Where new passwords are read, and what they are for.
pub(crate) struct Passwords {
    pub(crate) file: PathBuf,
    pub(crate) roles: Vec<RoleName>,
    /// As the process started with them.
    pub(crate) config: Arc<Config>,
    pub(crate) store: Arc<Store>,
    pub(crate) broker: Option<Arc<RabbitMqBus>>,
}

impl Passwords {
    /// Reads the file and uses its passwords.
    pub(crate) fn read_again(&self) -> Result<(), RoleError> {
        let wrong = |error: &dyn std::error::Error| RoleError::setting(SETTING, chain(error));
        let mut fresh = Config::load(Some(&self.file), &self.roles).map_err(|error| wrong(&error))?;
        let config = &*self.config;
        if is_same_but_password(&fresh.store.url, &config.store.url)
            && let Ok(StorePlace::Server(url)) = fresh.store.place()
        {
            self.store.use_url(&url).map_err(|error| wrong(&error))?;
            fresh.store.url = config.store.url.clone();
        }
        if is_same_but_password(&fresh.bus.url, &config.bus.url)
            && let Some(broker) = &self.broker
        {
            broker.use_url(fresh.bus.url.as_str()).map_err(|error| wrong(&error))?;
            fresh.bus.url = config.bus.url.clone();
        }
        if fresh != *config {
            tracing::warn!(
                file = %self.file.display(),
                "of changed settings only the passwords in store.url and bus.url count at once, the others from the next start"
            );
        }
        Ok(())
    }
}

/// As they are printed, with the password masked.
fn is_same_but_password(one: &SecretUrl, other: &SecretUrl) -> bool {
    format!("{one:?}") == format!("{other:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_password_is_told_from_another_place() {
        let same = |one: &str, other: &str| is_same_but_password(&one.into(), &other.into());
        assert!(same("postgres://u:a@h/db", "postgres://u:b@h/db"));
        assert!(same("amqps://u:a@h/v", "amqps://u:a@h/v"));
        for other in ["postgres://u:a@h2/db", "postgres://v:a@h/db", "postgres://u:a@h/db2", "sqlite://db"] {
            assert!(!same("postgres://u:a@h/db", other), "{other}");
        }
    }
}
