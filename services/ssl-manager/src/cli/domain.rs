//! `domain …`: what the client commands take.

use std::path::PathBuf;

use ::domain::RevocationReason;
use clap::{Args, Subcommand, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use proto::v1;

use crate::client::AddArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum DomainCommand {
    /// Add domains and order their certificates
    ///
    /// Each is checked (C4, DNS, CAA, challenge path) before anything is ordered. Adding a domain again is safe.
    Add(AddArgs),
    /// Make sure that a domain has a generated certificate
    ///
    /// Adds the domain if necessary, and replaces a pasted certificate. A live generated one that is not due stays.
    Generate {
        #[arg(value_parser = pasted_name)]
        name: String,
        /// Order a new certificate even if the present one is not due; a CA allows five a week for one name
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        owner: OwnerArgs,
    },
    /// Change the customer's reference and the labels of a domain
    ///
    /// Labels that are not named stay.
    Label(LabelArgs),
    /// Check whether a certificate can be issued; changes nothing
    ///
    /// Checks C4, DNS, CAA and the challenge path, as before every order. The domain need not be on the list.
    Check {
        #[arg(value_parser = pasted_name)]
        name: String,
    },
    /// Add a note on a domain, list its notes, or delete one
    ///
    /// Notes are for staff and are not edited. Their author or an admin may delete them.
    Note(NoteArgs),
    /// Show a domain
    ///
    /// Begins with the meaning of its status and the next step, and ends with the message for the party that must act.
    Show {
        #[arg(value_parser = pasted_name)]
        name: String,
    },
    /// Show the history of a domain, newest first
    History {
        #[arg(value_parser = pasted_name)]
        name: String,
    },
    /// List every certificate of a domain, newest first
    Certificates {
        #[arg(value_parser = pasted_name)]
        name: String,
    },
    /// Start the next step of a domain now
    ///
    /// That is a failed upload, a check before an order, or a comparison with C4.
    Recheck {
        #[arg(value_parser = pasted_name)]
        name: String,
    },
    /// Store and upload a customer's own certificate, which is never renewed
    Import(ImportArgs),
    /// Roll back to the previous certificate
    Rollback {
        #[arg(value_parser = pasted_name)]
        name: String,
    },
    /// Show the list in numbers
    ///
    /// Domains per status, certificates that end within 7 days, and the length of the queue.
    Summary,
    /// Show who must act, when certificates end, how many were issued, and which work is overdue
    Overview,
    /// List domains
    ///
    /// A line per domain: name, status, end of the certificate, time of the next attempt, and reason.
    List(ListArgs),
    /// Follow changes, beginning with the present state of every domain
    ///
    /// A line per change. Ctrl-C ends it; if the server stops, it exits with 1.
    Watch {
        /// Resume after this position
        #[arg(long)]
        after: Option<i64>,
        /// Only this domain
        #[arg(value_parser = pasted_name)]
        name: Option<String>,
        #[command(flatten)]
        owner: OwnerArgs,
        /// Only domains whose visitors will see a warning soon unless a person acts
        #[arg(long)]
        at_risk: bool,
    },
    /// Remove a domain from the list; its history stays
    Delete {
        #[arg(value_parser = pasted_name)]
        name: String,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
        /// Also remove the certificate from C4, so that the edges stop serving it
        #[arg(long)]
        remove_from_c4: bool,
    },
    /// Write the active certificate to files
    ///
    /// A private key needs the role key-reader and a reason, which is kept in the history.
    Download(DownloadArgs),
    /// Revoke a certificate at its CA; a live one is replaced first
    Revoke(RevokeArgs),
}

/// The owner of a domain.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct OwnerArgs {
    /// The customer's reference
    #[arg(long, value_name = "REF")]
    pub(crate) customer: Option<String>,
    /// A label; can be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = ::domain::parse_label)]
    pub(crate) label: Vec<(String, String)>,
}

impl OwnerArgs {
    /// The labels as the API has them.
    pub(crate) fn labels(&self) -> Vec<v1::Label> {
        let label = |(key, value): &(String, String)| v1::Label { key: key.clone(), value: value.clone() };
        self.label.iter().map(label).collect()
    }

    /// The reference; empty for none.
    pub(crate) fn customer_ref(&self) -> String {
        self.customer.clone().unwrap_or_default()
    }
}

#[derive(Debug, Args)]
pub(crate) struct LabelArgs {
    #[arg(value_parser = pasted_name)]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) owner: OwnerArgs,
    /// The key of a label to remove; can be given several times
    #[arg(long, value_name = "KEY")]
    pub(crate) remove: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct MidnightArgs {
    /// The day in the scheduler's time zone, such as 2026-11-30; default: the last one
    #[arg(long, value_name = "DAY", default_value = "")]
    pub(crate) day: String,
    /// Print CSV, for programs
    #[arg(long)]
    pub(crate) csv: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NoteArgs {
    #[arg(value_parser = pasted_name)]
    pub(crate) name: String,
    /// The new note; default: list the notes
    #[arg(conflicts_with = "delete")]
    pub(crate) text: Option<String>,
    /// Delete the note with this id
    #[arg(long, value_name = "ID")]
    pub(crate) delete: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    #[arg(value_parser = pasted_name)]
    pub(crate) name: String,
    /// The certificate and its intermediates: PEM, DER, P7B, or a PFX with the key in it
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: PathBuf,
    /// Its private key, PEM or DER; not needed with a PFX
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// File with the password of the PFX or of an encrypted private key; a trailing newline is ignored
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    #[arg(value_parser = pasted_name)]
    pub(crate) name: String,
    /// key-compromise, affiliation-changed, superseded or cessation-of-operation
    #[arg(long)]
    pub(crate) reason: RevocationReason,
    /// SHA-256 of the certificate's DER in hexadecimal; default: the live one
    #[arg(long, value_name = "HEX")]
    pub(crate) sha256: Option<String>,
    /// Do not ask for confirmation
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DownloadArgs {
    #[arg(value_parser = pasted_name)]
    pub(crate) name: String,
    /// File for the leaf, PEM; - is stdout, here and for the others
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: Option<PathBuf>,
    /// File for leaf and intermediates, PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) chain: Option<PathBuf>,
    /// File for the private key (mode 0600), PKCS #8 PEM
    #[arg(long, value_name = "FILE", requires = "reason")]
    pub(crate) key: Option<PathBuf>,
    /// File for key and chain as one PFX, PKCS #12 (mode 0600)
    #[arg(long, value_name = "FILE", requires = "reason", requires = "pfx_password_file")]
    pub(crate) pfx: Option<PathBuf>,
    /// File with the password for the PFX; a trailing newline is ignored
    #[arg(long, value_name = "FILE", requires = "pfx")]
    pub(crate) pfx_password_file: Option<PathBuf>,
    /// The reason for the download; kept in the history
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Part of the name, its end (.example.com), several names, a SHA-256 or a serial number of a certificate
    #[arg(long, default_value = "")]
    pub(crate) search: String,
    /// Only this status; can be given several times
    #[arg(long)]
    pub(crate) status: Vec<String>,
    /// The order of the list
    #[arg(long, value_enum, default_value_t = Order::Name)]
    pub(crate) order: Order,
    /// Reverse the order
    #[arg(long)]
    pub(crate) descending: bool,
    /// Only domains whose next certificate has this source
    #[arg(long, value_enum)]
    pub(crate) source: Option<SourceWord>,
    /// Only domains that wait for this party
    #[arg(long, value_enum)]
    pub(crate) who: Option<WhoWord>,
    /// Only domains with this reason, by its code (column WHY of the list)
    #[arg(long, value_name = "CODE", default_value = "")]
    pub(crate) reason: String,
    /// Only certificates that end at this time or later: RFC 3339, or days from now such as 7d
    #[arg(long, value_name = "WHEN")]
    pub(crate) expires_from: Option<When>,
    /// Only certificates that end before this time: RFC 3339, or days from now such as 7d
    #[arg(long, value_name = "WHEN")]
    pub(crate) expires_before: Option<When>,
    /// Only live domains whose renewal is blocked
    #[arg(long)]
    pub(crate) renewal_blocked: bool,
    /// Only domains that need a person, in their present status, since this time: RFC 3339, or days from now such as -1d
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub(crate) attention_from: Option<When>,
    #[command(flatten)]
    pub(crate) owner: OwnerArgs,
    /// Only domains whose visitors will see a warning soon unless a person acts
    #[arg(long)]
    pub(crate) at_risk: bool,
    /// Maximum number of domains
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// The name
    Name,
    /// When it was added
    Creation,
    /// When its certificate ends; those without one last
    Expiry,
    /// By the time until visitors see a warning
    Attention,
}

impl From<Order> for v1::ListOrder {
    fn from(order: Order) -> Self {
        match order {
            Order::Name => Self::ByName,
            Order::Creation => Self::ByCreation,
            Order::Expiry => Self::ByExpiry,
            Order::Attention => Self::ByAttention,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SourceWord {
    /// Generated
    C4,
    /// Pasted
    Text,
}

impl From<SourceWord> for v1::Source {
    fn from(word: SourceWord) -> Self {
        match word {
            SourceWord::C4 => Self::C4,
            SourceWord::Text => Self::Text,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WhoWord {
    /// The owner of the domain
    Customer,
    /// The operator of the CDN and C4
    #[value(alias = "cdn_operator")]
    CdnOperator,
    /// The certificate authority
    Ca,
    /// SSL Manager itself
    Us,
}

impl WhoWord {
    /// The API's word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::CdnOperator => "cdn_operator",
            Self::Ca => "ca",
            Self::Us => "us",
        }
    }
}

/// The host of an address that was pasted as a name.
#[expect(clippy::unnecessary_wraps, reason = "the shape that clap takes")]
pub(crate) fn pasted_name(text: &str) -> Result<String, std::convert::Infallible> {
    Ok(::domain::host_of(text).to_owned())
}

/// A time, or one so many days from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    At(Timestamp),
    InDays(i32),
}

impl When {
    /// The time, if it is in a valid range.
    pub(crate) fn at(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::At(at) => Some(at),
            Self::InDays(days) => now.checked_add(SignedDuration::from_hours(24 * i64::from(days))).ok(),
        }
    }
}

impl std::str::FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
        days.map(Self::InDays)
            .or_else(|| text.parse().map(Self::At).ok())
            .ok_or_else(|| "use a time such as 2027-01-31T00:00:00Z, or days from now such as 7d".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn list(options: &str) -> Option<ListArgs> {
        let line = format!("ssl-manager domain list {options}");
        match Cli::try_parse_from(line.split_whitespace()).ok()?.command {
            Command::Domain { command: DomainCommand::List(args) } => Some(args),
            _ => None,
        }
    }

    #[test]
    fn the_list_takes_words_and_times() {
        let args = list(
            "--order attention --descending --source text --who cdn-operator --expires-before 7d --limit 5 \
             --customer 4711 --label tier=gold --label team=a=b --at-risk \
             --attention-from -1d",
        )
        .expect("good options");
        let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(args.owner.label, [label("tier", "gold"), label("team", "a=b")]);
        assert_eq!((args.owner.customer.as_deref(), args.at_risk), (Some("4711"), true));
        assert_eq!((args.order, args.descending), (Order::Attention, true));
        assert_eq!((args.source, args.who), (Some(SourceWord::Text), Some(WhoWord::CdnOperator)));
        assert_eq!(args.attention_from, Some(When::InDays(-1)));
        assert_eq!((args.expires_before, args.limit), (Some(When::InDays(7)), Some(5)));
        assert_eq!(list("--who cdn_operator").and_then(|args| args.who), Some(WhoWord::CdnOperator));
        let now: Timestamp = "2026-11-24T00:00:00Z".parse().expect("a time");
        for (text, at) in [
            ("7d", Some("2026-12-01T00:00:00Z")),
            ("-1d", Some("2026-11-23T00:00:00Z")),
            ("2027-01-31T08:00:00+08:00", Some("2027-01-31T00:00:00Z")),
            ("2147483647d", None),
        ] {
            let when: When = text.parse().expect(text);
            assert_eq!(when.at(now), at.map(|at| at.parse().expect("a time")), "{text}");
        }
        for bad in [
            "--order age",
            "--who me",
            "--expires-from soon",
            "--expires-before 7",
            "--limit 0",
            "--source c5",
            "--label tier",
        ] {
            assert!(list(bad).is_none(), "{bad}");
        }
    }
}
