//! `config check` and `config dump`.

use std::path::Path;

use runtime::{Config, RoleName};
use serde_json::json;

use crate::cli::{ConfigCommand, Output};
use crate::dispatch::Failure;
use crate::output::{print_done, print_many};

pub(crate) fn run(command: &ConfigCommand, file: Option<&Path>, output: Output) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check => {
            Config::load(file, &RoleName::ALL)?;
            print_done(output, "The configuration is fine.", &json!({ "fine": true }))
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
