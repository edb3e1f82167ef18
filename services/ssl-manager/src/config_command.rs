//! `config check` and `config dump`.

use std::path::Path;

use runtime::config::ConfigError;
use runtime::{Config, RoleName};
use serde_json::json;

use crate::cli::{ConfigCommand, Output};
use crate::output::{print_many, print_one};

pub(crate) fn run(command: &ConfigCommand, file: Option<&Path>, output: Output) -> Result<(), ConfigError> {
    match command {
        ConfigCommand::Check => {
            Config::load(file, &RoleName::ALL)?;
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
