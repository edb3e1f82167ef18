//! `config check` and `config dump`.

use std::path::Path;
use std::sync::Arc;

use domain::Clock;
use runtime::config::ConfigError;
use runtime::{Config, RoleName, SystemClock};
use serde_json::json;

use crate::cli::{ConfigCommand, Output};
use crate::dispatch::Failure;
use crate::live_check;
use crate::output::{print_done, print_many};

pub(crate) async fn run(command: &ConfigCommand, file: Option<&Path>, output: Output) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check { live } => {
            let config = Config::load(file, &RoleName::ALL)?;
            check_issuers(&config)?;
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

/// What `issuer` reads when it starts: roots, and keys of external account bindings.
fn check_issuers(config: &Config) -> Result<(), ConfigError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let checked = config.acme.issuers.iter().map(|settings| issuer::ca(settings, &clock).err());
    let problems: Vec<String> = checked.flatten().map(|error| error.to_string()).collect();
    if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid(problems)) }
}
