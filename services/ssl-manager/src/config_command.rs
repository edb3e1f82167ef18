//! `config check` and `config dump`.

use std::path::Path;
use std::sync::Arc;

use domain::Clock;
use runtime::config::ConfigError;
use runtime::{Config, RoleName, SystemClock};
use serde_json::json;

use crate::cli::{ConfigCommand, Output};
use crate::output::{print_many, print_one};

pub(crate) fn run(command: &ConfigCommand, file: Option<&Path>, output: Output) -> Result<(), ConfigError> {
    match command {
        ConfigCommand::Check => {
            check_issuers(&Config::load(file, &RoleName::ALL)?)?;
            match output {
                Output::Json => print_one(output, &json!({ "fine": true })),
                Output::Table => println!("The configuration is fine."),
            }
        }
        ConfigCommand::Dump => {
            let settings = Config::read(file)?.settings(file)?;
            let rows: Vec<_> = settings
                .iter()
                .map(
                    |setting| json!({ "key": setting.key, "value": setting.value, "origin": setting.origin }),
                )
                .collect();
            print_many(output, &rows, &["key", "value", "origin"]);
        }
    }
    Ok(())
}

/// What `issuer` reads when it starts: roots, and keys of external account bindings.
fn check_issuers(config: &Config) -> Result<(), ConfigError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let checked = config.acme.issuers.iter().map(|settings| issuer::ca(settings, &clock).err());
    let problems: Vec<String> = checked.flatten().map(|error| error.to_string()).collect();
    if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid(problems)) }
}
