//! The command line (DESIGN: fixed outside surfaces).

mod domain;
mod help;
mod job;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use ::domain::{Outbound, Role};
use clap::{Args, FromArgMatches, Parser, Subcommand, ValueEnum};
use store::AuditLink;

pub(crate) use domain::{
    DomainCommand, DownloadArgs, ImportArgs, LabelArgs, ListArgs, MidnightArgs, NoteArgs, OwnerArgs,
    RevokeArgs, When, pasted_name,
};
pub(crate) use job::{JobCommand, KindWord, StartArgs};

use crate::account::AccountCommand;
use crate::client::webhook::WebhookCommand;
use crate::restore_command::RestoreCommand;
use crate::user::UserCommand;

/// Exit code of bad usage and bad configuration (sysexits' `EX_USAGE`).
pub(crate) const EXIT_USAGE: u8 = 64;

#[derive(Debug, Parser)]
#[command(
    name = "ssl-manager",
    version,
    about = "Free TLS certificates for the domains of a CDN",
    long_about = "Gets TLS certificates from an ACME CA for domains that point at the CDN, hands them to C4, renews \
                  them, and says of every domain what is happening, why, and who has to act.\n\n\
                  Try it on loopback:      ssl-manager demo\n\
                  Run it:                  ssl-manager all --config ssl-manager.toml\n\
                  Then, as a client:       ssl-manager domain add shop.example.com"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: Global,
}

#[derive(Clone, Debug, Args)]
#[expect(clippy::doc_markdown, reason = "these comments are the help on a terminal, without markup")]
pub(crate) struct Global {
    /// Settings file; the environment (SSL_MANAGER__SECTION__KEY) overrides it
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How results are printed; wide, name and csv are for `domain list` and `job lines`
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    /// URL of the API
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "SSL_MANAGER_ENDPOINT",
        default_value = "http://127.0.0.1:50051"
    )]
    pub(crate) endpoint: String,
    /// File with the API token; SSL_MANAGER_TOKEN holds the token itself
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Additional root certificate for an https endpoint, PEM
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people, as wide as the terminal
    Table,
    /// For people, all columns, however wide
    Wide,
    /// Only names, one per line
    Name,
    /// For spreadsheets
    Csv,
    /// For programs
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Every role in one process
    All,
    /// The gRPC API
    Api,
    /// Preflight, ACME orders, private keys
    Issuer,
    /// Answers HTTP-01 challenges
    ChallengeResponder,
    /// Makes work due
    Scheduler,
    /// Hands certificates to C4
    C4Uploader,
    /// The support team's page, a client of the API
    Console,
    /// Sends webhooks
    Notifier,
    /// All roles and a sandbox of the outside world on loopback, with sample domains
    #[cfg(feature = "sandbox")]
    Demo {
        /// Exit once every sample domain has reached its status: 0, or 1 after a minute
        #[arg(long)]
        exit_when_settled: bool,
    },
    /// One part of the sandbox
    #[cfg(feature = "sandbox")]
    Sandbox {
        #[command(subcommand)]
        part: SandboxPart,
    },
    /// Ask the process with these settings whether it is ready: 0, or 1 with the reasons
    Health {
        /// Seconds to retry until it is ready
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        wait: u16,
    },
    /// Check or show the settings
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Maintain the database
    Db {
        #[command(subcommand)]
        command: DbCommand,
    },
    /// Manage API tokens, directly in the database
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Manage users of the console, directly in the database
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Manage sealing keys, directly in the database
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Manage our accounts at CAs, directly in the database
    Account {
        #[command(subcommand)]
        command: AccountCommand,
    },
    /// Verify or show the audit log, directly in the database
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// After a restore from a backup: compare C4 with the database, directly in the database
    Restore {
        #[command(subcommand)]
        command: RestoreCommand,
    },
    /// Manage domains, through the API
    Domain {
        #[command(subcommand)]
        command: DomainCommand,
    },
    /// Work over many names, through the API
    Job {
        #[command(subcommand)]
        command: JobCommand,
    },
    /// Write a manual page for each command into a folder: `man ssl-manager-domain-add`
    Man {
        /// The folder, such as /usr/local/share/man/man1
        folder: PathBuf,
    },
    /// Show the domains that the last midnight's recheck checked, and the outcomes
    ///
    /// Each domain in Failure, Pending or Expired is checked once a day.
    Midnight(MidnightArgs),
    /// Send nothing to the CAs, one of them, or C4, until you resume; through the API, for admins
    Pause {
        #[command(flatten)]
        brake: Brake,
        /// The reason, for colleagues on duty
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Lift a pause
    Resume {
        #[command(flatten)]
        brake: Brake,
    },
    /// Show what is paused
    Paused,
    /// Manage webhooks, through the API, for admins
    Webhook {
        #[command(subcommand)]
        command: WebhookCommand,
    },
    /// Print the completions of a shell: `source <(ssl-manager completions bash)`
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[cfg(feature = "sandbox")]
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum SandboxPart {
    /// An ACME CA that can misbehave
    Ca {
        /// Where it listens
        #[arg(long, default_value = "127.0.0.1:14000")]
        listen: std::net::SocketAddr,
        /// Nameserver for validation; default: the system's
        #[arg(long)]
        dns: Option<std::net::SocketAddr>,
        /// Port on which challenges are validated
        #[arg(long, default_value_t = 80)]
        http_port: u16,
        /// File to which its API's root certificate is written
        #[arg(long, value_name = "FILE")]
        root_file: Option<PathBuf>,
    },
    /// C4 with an edge
    C4 {
        /// Where C4 listens
        #[arg(long, default_value = "127.0.0.1:14001")]
        listen: std::net::SocketAddr,
        /// Where the edge listens for HTTP
        #[arg(long, default_value = "127.0.0.1:14080")]
        edge_http: std::net::SocketAddr,
        /// Where the edge listens for HTTPS
        #[arg(long, default_value = "127.0.0.1:14443")]
        edge_https: std::net::SocketAddr,
        /// Where the edge forwards the challenge path
        #[arg(long)]
        challenge_upstream: Option<String>,
        /// The bearer token it expects
        #[arg(
            long,
            env = "SANDBOX_C4_TOKEN",
            hide_env_values = true,
            required_unless_present = "token_of",
            conflicts_with = "token_of"
        )]
        token: Option<String>,
        /// A file with the bearer token
        #[arg(id = "token_of", long = "c4-token-file", value_name = "FILE")]
        token_of: Option<PathBuf>,
        /// Serve C4 over HTTPS with this certificate and its intermediates, PEM; default: HTTP
        #[arg(long, value_name = "FILE", requires = "key_file")]
        certificate_file: Option<PathBuf>,
        /// The certificate's private key, PEM
        #[arg(long, value_name = "FILE", requires = "certificate_file")]
        key_file: Option<PathBuf>,
        /// Domains it knows, with ports 80 and 443
        #[arg(long, value_delimiter = ',')]
        domains: Vec<String>,
        /// Zones below which it knows every name, with ports 80 and 443
        #[arg(long, value_name = "ZONE", value_delimiter = ',')]
        zones: Vec<String>,
    },
    /// A nameserver
    Dns {
        /// Where it listens
        #[arg(long, default_value = "127.0.0.1:14053")]
        listen: std::net::SocketAddr,
        /// The address for unknown names
        #[arg(long)]
        default_a: Option<std::net::Ipv4Addr>,
        /// Names that are CNAMEs of the CDN's target
        #[arg(long, value_delimiter = ',')]
        domains: Vec<String>,
        /// Zones below which every name is a CNAME of the CDN's target
        #[arg(long, value_name = "ZONE", value_delimiter = ',')]
        zones: Vec<String>,
        /// The edge, whose addresses become those of the CDN's target: a name, looked up every few seconds, or an address
        #[arg(long, value_name = "HOST")]
        edge: Option<String>,
    },
}

/// The target of a pause.
#[derive(Debug, Args)]
pub(crate) struct Brake {
    /// ca or c4
    #[arg(value_name = "ca|c4", value_parser = parse_target)]
    pub(crate) target: Outbound,
    /// Only this CA
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
}

impl Brake {
    /// Empty for all.
    pub(crate) fn issuer(&self) -> String {
        self.issuer.clone().unwrap_or_default()
    }
}

fn parse_target(text: &str) -> Result<Outbound, String> {
    text.parse().map_err(|()| "say ca or c4".to_owned())
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check the settings
    Check {
        /// Also connect to the database and the broker, and check that the sealing key is the one in use
        #[arg(long)]
        live: bool,
    },
    /// Show every setting and where it came from, secrets masked
    Dump,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Bring the schema up to date
    Migrate,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Create a token and print it, once
    Create {
        /// Name of the program or person that uses it
        #[arg(long)]
        name: String,
        /// viewer, support, key-reader or admin; repeat it for several
        #[arg(long = "role", value_name = "ROLE", required = true)]
        roles: Vec<Role>,
        /// Days until it expires; default: it does not expire
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
        expires_in_days: Option<u16>,
    },
    /// List the tokens (never their text)
    List,
    /// Revoke a token at once
    Revoke {
        /// Its name
        name: String,
    },
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Wrap all data keys under the first line of the sealing-key file, while everything runs; every process must have
    /// been started with that line in its file. May be interrupted and repeated
    Rotate,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Look for lines that were changed, removed or cut off: 0 if there are none, or 1 with the findings
    Verify {
        /// A logged head ("audit log sealed"), to detect a rewritten chain: its sequence and hash
        #[arg(long, value_name = "SEQUENCE:HASH", value_parser = crate::audit_command::parse_head)]
        head: Vec<AuditLink>,
        /// A file with heads, such as the scheduler's log; other text is ignored
        #[arg(long, value_name = "FILE")]
        heads: Option<PathBuf>,
    },
    /// Show who did what, newest first
    List {
        /// Only lines about this name
        #[arg(long, value_name = "NAME")]
        subject: Option<String>,
        /// Maximum number of lines
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
    },
}

/// Parses the arguments. Help and version go to stdout with 0, bad usage to stderr with 64.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    parse_from(std::env::args_os()).map_err(|error| {
        // Nothing can be done where the terminal is gone.
        let _ = error.print();
        if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS }
    })
}

fn parse_from(words: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Cli, clap::Error> {
    let mut command = help::command();
    let cli = Cli::from_arg_matches(&command.try_get_matches_from_mut(words)?)?;
    let is_list = matches!(
        cli.command,
        Command::Domain { command: DomainCommand::List(_) }
            | Command::Job { command: JobCommand::Lines { .. } }
    );
    // A job has an id where a domain has its name, for the next command.
    let is_job = matches!(cli.command, Command::Job { .. }) && cli.global.output == Output::Name;
    if !is_list && !is_job && !matches!(cli.global.output, Output::Table | Output::Json) {
        let sentence =
            "wide, name and csv are for `domain list` and `job lines`: use --output table or json here";
        return Err(command.error(clap::error::ErrorKind::InvalidValue, sentence));
    }
    Ok(cli)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_stand_before_or_after() {
        for line in [
            "ssl-manager --output json domain list --endpoint http://h:1",
            "ssl-manager domain list --output json --endpoint http://h:1",
            "ssl-manager --endpoint http://h:1 domain --output json list",
        ] {
            let cli = parse_from(line.split(' ')).expect(line);
            assert_eq!((cli.global.output, cli.global.endpoint.as_str()), (Output::Json, "http://h:1"));
        }
    }

    #[test]
    fn names_and_csv_are_for_the_list() {
        for (line, is_fine) in [
            ("ssl-manager domain list -o csv", true),
            ("ssl-manager job lines 1 -o csv", true),
            ("ssl-manager job list -o name", true),
            ("ssl-manager job show 1 -o csv", false),
            ("ssl-manager domain list -o name", true),
            ("ssl-manager -o wide domain list", true),
            ("ssl-manager token list -o csv", false),
            ("ssl-manager domain show a.example.com -o name", false),
        ] {
            assert_eq!(parse_from(line.split(' ')).is_ok(), is_fine, "{line}");
        }
    }

    #[cfg(feature = "sandbox")]
    #[test]
    fn a_part_of_the_sandbox_takes_files_of_others() {
        let fine = [
            "ssl-manager sandbox c4 --token t",
            "ssl-manager sandbox c4 --c4-token-file t --certificate-file c --key-file k --zones example.com,example.org",
            "ssl-manager sandbox dns --edge edge --zones example.com",
        ];
        for line in fine {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        let not = [
            "ssl-manager sandbox c4",
            "ssl-manager sandbox c4 --token t --c4-token-file t",
            "ssl-manager sandbox c4 --token t --certificate-file c",
            "ssl-manager sandbox c4 --token t --key-file k",
        ];
        for line in not {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn a_key_needs_a_reason_and_a_pfx_a_password_too() {
        let download = |options: &str| {
            let line = format!("ssl-manager domain download a.example.com {options}");
            Cli::try_parse_from(line.split(' ')).is_ok()
        };
        assert!(download("--key k --reason r"));
        assert!(!download("--key k"));
        assert!(download("--pfx p --pfx-password-file f --reason r"));
        assert!(!download("--pfx p --pfx-password-file f"));
        assert!(!download("--pfx p --reason r"));
        assert!(!download("--key k --pfx-password-file f --reason r"));
        assert!(Cli::try_parse_from("ssl-manager token create --name n --role boss".split(' ')).is_err());
    }

    #[test]
    fn a_revocation_needs_a_reason_that_there_is() {
        let revoke = |options: &str| {
            let line = format!("ssl-manager domain revoke a.example.com {options}");
            Cli::try_parse_from(line.split(' ')).is_ok()
        };
        assert!(revoke("--reason key-compromise --yes"));
        assert!(revoke("--reason superseded --sha256 00"));
        assert!(!revoke("--yes") && !revoke("--reason unspecified"));
    }
}
