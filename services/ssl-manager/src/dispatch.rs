//! From a parsed command to an exit code: 0 done; 1 failed; 64 bad usage or bad configuration. A failure is one line
//! on stderr: a code and a sentence.

use std::path::Path;
use std::process::ExitCode;

use bus::BusError;
use clap::CommandFactory;
use runtime::config::ConfigError;
use runtime::{Config, RoleError, RoleName, chain, start_telemetry};
use serde_json::json;
use store::{Rights, StoreError};

use crate::cli::{Cli, Command, DbCommand, EXIT_USAGE, Output};
use crate::output::{complain, print_done, write_out};
use crate::run::{RunError, roles};
use crate::{
    account, audit_command, backend, client, config_command, health, keys, restore_command, token, user,
};

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) struct CommandError {
    code: String,
    sentence: String,
    exit: u8,
}

impl CommandError {
    pub(crate) fn new(code: &str, sentence: impl Into<String>) -> Self {
        Self { code: code.to_owned(), sentence: sentence.into(), exit: 1 }
    }

    /// The same, with what else is to be said.
    pub(crate) fn with(mut self, more: &str) -> Self {
        self.sentence = format!("{}; {more}", self.sentence);
        self
    }

    /// Output that could not be written. A reader that is gone, as `head` is after its lines, is no failure.
    pub(crate) fn output(error: &std::io::Error) -> Self {
        let exit = u8::from(error.kind() != std::io::ErrorKind::BrokenPipe);
        Self { code: "OUTPUT".to_owned(), sentence: format!("cannot write the output: {error}"), exit }
    }

    pub(crate) fn usage(sentence: impl Into<String>) -> Self {
        Self { code: "USAGE".to_owned(), sentence: sentence.into(), exit: EXIT_USAGE }
    }
}

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> Self {
        Self { code: "CONFIGURATION".to_owned(), sentence: chain(&error), exit: EXIT_USAGE }
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        Self::new("STORE", chain(&error))
    }
}

impl From<RunError> for CommandError {
    fn from(error: RunError) -> Self {
        let exit = match &error {
            RunError::SealingKey(_)
            | RunError::StoreUrl(_)
            | RunError::Role(RoleError::Setting { .. })
            | RunError::Bus(BusError::Setting(_)) => EXIT_USAGE,
            _ => 1,
        };
        Self { code: "START".to_owned(), sentence: chain(&error), exit }
    }
}

impl From<anyhow::Error> for CommandError {
    fn from(error: anyhow::Error) -> Self {
        Self::new("FAILED", chain(error.as_ref()))
    }
}

/// Does what the command line says.
pub(crate) async fn dispatch(cli: Cli) -> ExitCode {
    match Box::pin(run(cli)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if failure.exit != 0 {
                complain(format_args!("{}: {}", failure.code, failure.sentence));
            }
            ExitCode::from(failure.exit)
        }
    }
}

async fn run(cli: Cli) -> Result<(), CommandError> {
    let file = cli.global.config.as_deref();
    match &cli.command {
        Command::All => start(&cli, &RoleName::ALL).await,
        Command::Api => start(&cli, &[RoleName::Api]).await,
        Command::Issuer => start(&cli, &[RoleName::Issuer]).await,
        Command::ChallengeResponder => start(&cli, &[RoleName::ChallengeResponder]).await,
        Command::Scheduler => start(&cli, &[RoleName::Scheduler]).await,
        Command::C4Uploader => start(&cli, &[RoleName::C4Uploader]).await,
        Command::Console => start(&cli, &[RoleName::Console]).await,
        Command::Notifier => start(&cli, &[RoleName::Notifier]).await,
        #[cfg(feature = "sandbox")]
        Command::Demo { exit_when_settled } => demo(*exit_when_settled).await,
        #[cfg(feature = "sandbox")]
        Command::Sandbox { part } => Ok(crate::sandbox_command::run(part.clone()).await?),
        Command::Health { wait } => health::run(&Config::read(file)?, *wait, cli.global.output).await,
        Command::Config { command } => config_command::run(command, file, cli.global.output).await,
        Command::Db { command: DbCommand::Migrate } => migrate(&cli).await,
        Command::Token { command } => token::run(command, &Config::read(file)?, cli.global.output).await,
        Command::User { command } => user::run(command, &Config::read(file)?, cli.global.output).await,
        Command::Keys { command } => keys::run(*command, &Config::read(file)?, cli.global.output).await,
        Command::Account { command } => account::run(command, &Config::read(file)?, cli.global.output).await,
        Command::Audit { command } => {
            audit_command::run(command, &Config::read(file)?, cli.global.output).await
        }
        Command::Restore { command } => {
            restore_command::run(command, &Config::read(file)?, cli.global.output).await
        }
        Command::Domain { command } => client::run(command, &cli.global).await,
        Command::Job { command } => client::jobs::run(command, &cli.global).await,
        Command::Man { folder } => man(folder, cli.global.output),
        Command::Midnight(args) => client::midnight(args, &cli.global).await,
        Command::Pause { brake, reason } => client::pause::pause(brake, reason.as_deref(), &cli.global).await,
        Command::Resume { brake } => client::pause::resume(brake, &cli.global).await,
        Command::Paused => client::pause::list(&cli.global).await,
        Command::Webhook { command } => client::webhook::run(command, &cli.global).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "ssl-manager", &mut script);
            write_out(&script)
        }
    }
}

fn man(folder: &Path, output: Output) -> Result<(), CommandError> {
    let written = clap_mangen::generate_to(Cli::command(), folder);
    written.map_err(|error| {
        CommandError::new("OUTPUT", format!("cannot write into {}: {error}", folder.display()))
    })?;
    let sentence = format!("The manual pages are in {}.", folder.display());
    print_done(output, sentence, &json!({ "folder": folder }))
}

async fn migrate(cli: &Cli) -> Result<(), CommandError> {
    let rights = backend::migrate(&Config::read(cli.global.config.as_deref())?).await?;
    let (word, sentence) = match &rights {
        Rights::NotNeeded => ("not_needed", "The schema is up to date."),
        Rights::Given => ("given", "The schema is up to date, and every database role has its rights."),
        Rights::Refused(why) => {
            complain(format_args!(
                "The database roles did not get their rights ({why}). If each service has a role of its own, run \
                 deploy/postgres/roles.sql as a superuser now."
            ));
            ("refused", "The schema is up to date.")
        }
    };
    print_done(cli.global.output, sentence, &json!({ "migrated": true, "rights": word }))
}

async fn start(cli: &Cli, names: &[RoleName]) -> Result<(), CommandError> {
    let config = Config::load(cli.global.config.as_deref(), names)?;
    let telemetry = start_telemetry(&config.telemetry, names).map_err(RunError::from)?;
    let ended = roles(config, cli.global.config.as_deref(), names, telemetry.metrics.clone()).await;
    // The exporter sends by the runtime's help, so it must not be waited for on its threads.
    let _ = tokio::task::spawn_blocking(|| telemetry.end()).await;
    Ok(ended?)
}

#[cfg(feature = "sandbox")]
async fn demo(exit_when_settled: bool) -> Result<(), CommandError> {
    let telemetry = runtime::start_telemetry_quietly().map_err(RunError::from)?;
    if crate::demo::run(exit_when_settled, telemetry.metrics).await? {
        return Ok(());
    }
    Err(CommandError::new("NOT_SETTLED", "a sample domain did not reach its status within a minute"))
}
