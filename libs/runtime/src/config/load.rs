//! Reading the settings, and telling where each came from.

use std::path::{Path, PathBuf};

use config::{Environment, File, FileFormat};
use serde_json::Value;

use super::Config;
use crate::RoleName;

const PREFIX: &str = "SSL_MANAGER";
/// Settings that are lists of texts; the environment gives them separated by commas.
const LISTS: [&str; 7] = [
    "console.oidc.scopes",
    "challenge_responder.trusted_proxies",
    "cdn.cname_targets",
    "cdn.addresses",
    "cdn.apex_addresses",
    "cdn.edge_addresses",
    "dns.nameservers",
];

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there, or not readable.
    #[error("cannot read the configuration {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key that does not exist, a value of another type, bad TOML.
    #[error("configuration: {0}")]
    Parse(String),
    /// Values that make no sense.
    #[error("configuration: {}", .0.join("; "))]
    Invalid(Vec<String>),
}

/// One setting, for `config dump`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Setting {
    /// Dotted key.
    pub key: String,
    /// Value as JSON, secrets masked.
    pub value: Value,
    /// `default`, the file's path, or the environment variable.
    pub origin: String,
}

impl Config {
    /// Reads file and environment and checks what these roles need.
    pub fn load(file: Option<&Path>, roles: &[RoleName]) -> Result<Self, ConfigError> {
        let settings = Self::read(file)?;
        settings.validate(roles)?;
        Ok(settings)
    }

    /// Reads file and environment; for commands that need a part of the settings only.
    pub fn read(file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut builder = config::Config::builder();
        if let Some(path) = file {
            let text = read_text(path)?;
            builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
        }
        let mut environment = Environment::with_prefix(PREFIX)
            .prefix_separator("__")
            .separator("__")
            .list_separator(",")
            .try_parsing(true);
        for list in LISTS {
            environment = environment.with_list_parse_key(list);
        }
        let read = builder.add_source(environment).build().map_err(parse_error)?;
        read.try_deserialize().map_err(parse_error)
    }

    /// Every setting with its value and origin, secrets masked.
    pub fn settings(&self, file: Option<&Path>) -> Result<Vec<Setting>, ConfigError> {
        let from_file = match file {
            None => Value::Null,
            Some(path) => config::Config::builder()
                .add_source(File::from_str(&read_text(path)?, FileFormat::Toml))
                .build()
                .and_then(config::Config::try_deserialize)
                .map_err(parse_error)?,
        };
        let all = serde_json::to_value(self).map_err(|error| ConfigError::Parse(error.to_string()))?;
        let mut settings = Vec::new();
        flatten("", &all, &mut |key, value| {
            let variable = format!("{PREFIX}__{}", key.replace('.', "__").to_uppercase());
            let in_file = from_file.pointer(&format!("/{}", key.replace('.', "/"))).is_some();
            let origin = match file {
                _ if std::env::var_os(&variable).is_some() => variable,
                Some(path) if in_file => path.display().to_string(),
                _ => "default".to_owned(),
            };
            settings.push(Setting { key: key.to_owned(), value: value.clone(), origin });
        });
        Ok(settings)
    }
}

fn read_text(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::File { path: path.to_owned(), source })
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
fn parse_error(error: config::ConfigError) -> ConfigError {
    ConfigError::Parse(error.to_string())
}

fn flatten(prefix: &str, value: &Value, visit: &mut dyn FnMut(&str, &Value)) {
    let join = |key: &str| {
        if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, field)| flatten(&join(key), field, visit)),
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (index, item) in items.iter().enumerate() {
                flatten(&join(&index.to_string()), item, visit);
            }
        }
        leaf => visit(prefix, leaf),
    }
}
