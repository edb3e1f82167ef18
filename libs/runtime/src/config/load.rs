//! Reads the settings and records where each came from.

use std::path::{Path, PathBuf};

use config::{Environment, File, FileFormat};
use serde_json::Value;

use super::Config;
use super::origins::Origins;
use crate::RoleName;

const PREFIX: &str = "SSL_MANAGER";
/// The origin of a setting that neither file nor environment gives.
const DEFAULT: &str = "default";
/// Far over what all settings take.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

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
        let mut environment = Vec::new();
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
            let value =
                value.into_string().map_err(|_| ConfigError::Parse(format!("{name} is not UTF-8")))?;
            environment.push((name.to_owned(), value));
        }
        Self::read_with(file, environment)
    }

    /// The same with the variables of an environment.
    pub fn read_with(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut builder = config::Config::builder();
        if let Some(path) = file {
            let text = read_text(path)?;
            let source = File::from_str(&text, FileFormat::Toml);
            // By itself first: what is no TOML is told with its file and line.
            let read = config::Config::builder().add_source(source.clone()).build();
            read.map_err(|error| no_toml(path, &error.to_string()))?;
            builder = builder.add_source(source);
        }
        // Env files from Windows leave a carriage return at each value's end.
        let variables =
            environment.into_iter().map(|(name, value)| (name, value.trim().to_owned())).collect();
        let environment =
            Environment::with_prefix(PREFIX).prefix_separator("__").separator("__").source(Some(variables));
        let read = builder.add_source(environment).build().map_err(parse_error)?;
        let mut read: Self = read.try_deserialize().map_err(parse_error)?;
        let settings = read.settings(file)?.into_iter().filter(|setting| setting.origin != DEFAULT);
        read.origins = Origins(settings.map(|setting| (setting.key, setting.origin)).collect());
        Ok(read)
    }

    /// Every setting with its value and the origin that it had when the settings were read, secrets masked.
    pub fn read_settings(&self) -> Result<Vec<Setting>, ConfigError> {
        self.settings_from(|key| self.origins.0.get(key).cloned())
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
        self.settings_from(|key| {
            let variable = format!("{PREFIX}__{}", key.replace('.', "__").to_uppercase());
            let in_file = from_file.pointer(&format!("/{}", key.replace('.', "/"))).is_some();
            match file {
                _ if std::env::var_os(&variable).is_some() => Some(variable),
                Some(path) if in_file => Some(path.display().to_string()),
                _ => None,
            }
        })
    }

    fn settings_from(&self, origin: impl Fn(&str) -> Option<String>) -> Result<Vec<Setting>, ConfigError> {
        let all = serde_json::to_value(self).map_err(|error| ConfigError::Parse(error.to_string()))?;
        let mut settings = Vec::new();
        flatten("", &all, &mut |key, value| {
            let origin = origin(key).unwrap_or_else(|| DEFAULT.to_owned());
            settings.push(Setting { key: key.to_owned(), value: value.clone(), origin });
        });
        Ok(settings)
    }
}

fn read_text(path: &Path) -> Result<String, ConfigError> {
    let text = text_file::read(path, MAX_FILE_BYTES);
    Ok(text.map_err(|source| ConfigError::File { path: path.to_owned(), source })?.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
fn parse_error(error: config::ConfigError) -> ConfigError {
    let told = error.to_string();
    let allowed = if told.contains("expected a boolean") { ": write true or false" } else { "" };
    ConfigError::Parse(format!("{told}{allowed}"))
}

/// Where the file is no TOML, and why, in a line. The parser shows the whole line, which may hold a secret; its key does not.
fn no_toml(path: &Path, told: &str) -> ConfigError {
    let place = told.lines().next().and_then(|first| first.strip_prefix("TOML parse error at "));
    let why = told.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    let Some(place) = place else {
        return ConfigError::Parse(format!("{}: {}", path.display(), told.replace('\n', " ")));
    };
    let shown = told.lines().filter_map(|line| line.split_once(" | ")).map(|(_, shown)| shown);
    let key = shown.filter_map(|shown| shown.split_once('=')).map(|(key, _)| key.trim()).next();
    let key = key.map(|key| format!(": {key}")).unwrap_or_default();
    ConfigError::Parse(format!("{}, {place}: {why}{key}", path.display()))
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
