//! `config check --live`: runs the checks of `/readyz` of `all` against the configured database and broker, without a
//! process, and asks C4. It changes nothing.

use std::sync::Arc;

use bus_rabbitmq::RabbitMqBus;
use domain::{Clock, DomainName};
use runtime::{Backends, Config, RoleName, SystemClock, chain, check_sealing_keys, lack_in_words};
use seal::SealingKeys;
use store::{SealedPlace, Store};

use crate::backend::{self, OpenedBus};
use crate::dispatch::CommandError;
use crate::run::RunError;

/// C4 need not know it.
const ASKED_NAME: &str = "config-check.example.com";

/// The parts that are fine. An error names every part that is not.
pub(crate) async fn run(config: &Config) -> Result<Vec<&'static str>, CommandError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut parts: Vec<(&'static str, Result<(), String>)> = Vec::new();
    // A file that is not there yet is made by the first start, and the sealing key with it.
    if let Some(store) = backend::open_for_check(config).await? {
        let OpenedBus { bus, broker } = backend::open_bus(config, &RoleName::ALL, &store, &clock)?;
        let backends =
            Backends { store: store.clone(), bus, sealing_keys: None, roles: RoleName::ALL.to_vec() };
        parts.push(("schema", store.check_schema().await.map_err(|error| chain(&error))));
        let found = backends.look(clock.now()).await;
        // The bus does not run here, so it has no trouble of its own.
        parts.extend(found.counted.into_iter().filter(|(part, _)| *part != "bus"));
        parts.push(("roles-rights", roles_rights(&store).await));
        parts.push(("sealing-key", sealing_key(config, &store).await));
        if let Some(broker) = broker {
            parts.push(("bus", reach(&broker).await));
        }
    }
    parts.push(("c4", ask_c4(config).await));
    let troubles =
        parts.iter().filter_map(|(part, state)| state.as_ref().err().map(|why| format!("{part}: {why}")));
    let troubles: Vec<String> = troubles.collect();
    if !troubles.is_empty() {
        return Err(CommandError::new("LIVE", troubles.join("; ")));
    }
    Ok(parts.into_iter().map(|(part, _)| part).collect())
}

/// Whether each database role of `deploy/postgres/roles.sql` has its rights, whichever of them this connection is.
async fn roles_rights(store: &Store) -> Result<(), String> {
    let mut lacking = Vec::new();
    for role in RoleName::ALL.iter().filter_map(|role| role.database_role()) {
        let missing = store.missing_rights_of(role).await.map_err(|error| chain(&error))?;
        if !missing.is_empty() {
            lacking.push(format!("{role} {}", lack_in_words(&missing)));
        }
    }
    if lacking.is_empty() { Ok(()) } else { Err(lacking.join("; ")) }
}

/// Whether everything that is sealed is so under a line of the file.
async fn sealing_key(config: &Config, store: &Store) -> Result<(), String> {
    let keys = SealingKeys::load(&config.keys.sealing_key_file).map_err(RunError::from);
    let keys = keys.map_err(|error| chain(&error))?;
    check_sealing_keys(store, &keys, &SealedPlace::ALL).await.map_err(|error| chain(&error))?
}

/// Whether C4 answers and accepts the token.
async fn ask_c4(config: &Config) -> Result<(), String> {
    let c4 = c4_uploader::client(config).map_err(|error| chain(&error))?;
    let name = DomainName::parse(ASKED_NAME).map_err(|error| error.to_string())?;
    c4.domain(&name).await.map(drop).map_err(|error| chain(&error))
}

async fn reach(broker: &RabbitMqBus) -> Result<(), String> {
    broker.check().await.map_err(|error| chain(&error))
}
