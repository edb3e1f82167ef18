//! `config check` and `config dump`.

use std::path::Path;
use std::sync::Arc;

use domain::Clock;
use runtime::config::{ConfigError, StorePlace};
use runtime::{Config, RoleName, SystemClock};
use seal::SealingKeys;
use serde_json::json;

use crate::cli::{ConfigCommand, Output};
use crate::dispatch::CommandError;
use crate::live_check;
use crate::output::{print_done, print_many};

pub(crate) async fn run(
    command: &ConfigCommand,
    file: Option<&Path>,
    output: Output,
) -> Result<(), CommandError> {
    match command {
        ConfigCommand::Check { live } => {
            let config = Config::load(file, &RoleName::ALL)?;
            check_as_a_whole(&config)?;
            if !live {
                return print_done(output, "The configuration is fine.", &json!({ "fine": true }));
            }
            let parts = live_check::run(&config).await?;
            let states = parts.iter().map(|part| format!("{part}: ok")).collect::<Vec<_>>().join("; ");
            let sentence = format!("The configuration is fine. {states}.");
            print_done(output, sentence, &json!({ "fine": true, "live": parts }))
        }
        ConfigCommand::Dump => {
            let settings = Config::read(file)?.settings(file)?;
            let rows: Vec<_> = settings
                .iter()
                .map(
                    |setting| json!({ "key": setting.key, "value": setting.value, "origin": setting.origin }),
                )
                .collect();
            print_many(output, &rows, &["key", "value", "origin"])
        }
    }
}

/// What is read when roles start: every file, the sealing key, roots and external account bindings of CAs; and what fits
/// together only in part.
fn check_as_a_whole(config: &Config) -> Result<(), ConfigError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut problems = Vec::new();
    if let Err(error) = config.check_files(clock.now()) {
        problems.push(error.to_string());
    }
    let checked = config.acme.issuers.iter().map(|settings| issuer::ca(settings, &clock).err());
    problems.extend(checked.flatten().map(|error| error.to_string()));
    let is_server = matches!(config.store.place(), Ok(StorePlace::Server(_)));
    let sealing_key = &config.keys.sealing_key_file;
    // Beside a file the first start makes one.
    if (is_server || sealing_key.exists())
        && let Err(error) = SealingKeys::load(sealing_key)
    {
        problems.push(format!("keys.sealing_key_file: {error}"));
    }
    if is_server && config.bus.is_embedded() {
        problems.push(
            "bus.url: \"embedded:\" tells nobody in other processes, which PostgreSQL is for: name a RabbitMQ".to_owned(),
        );
    }
    if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid(problems)) }
}
