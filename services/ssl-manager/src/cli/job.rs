//! `job …`: what the commands about work over many names take.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use proto::v1;

use super::domain::{OwnerArgs, WhoWord, pasted_name};

#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// Start work over many names
    ///
    /// The API does it: the job goes on when this command ends, and colleagues see it. Lines that are no domain names are
    /// kept with their reason. A recheck is done with a name once its result is known, or after 10 minutes.
    Start(Box<StartArgs>),
    /// List jobs, newest first; they are kept for 30 days after their end
    ///
    /// With -o name the ids alone, as for the other commands about one job.
    List {
        /// At most so many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Show a job with its figures
    Show {
        /// The id of the job
        id: String,
    },
    /// List the lines of a job with what became of each
    ///
    /// With -o csv for spreadsheets, with a message for each customer.
    Lines {
        /// The id of the job
        id: String,
        /// Only this outcome, such as unchanged or failed; can be given several times
        #[arg(long, value_parser = outcome)]
        outcome: Vec<::domain::LineOutcome>,
    },
    /// End a job early, whoever started it; what is done stays done
    Cancel {
        /// The id of the job
        id: String,
    },
    /// Follow a job to its end; 1 if it was cancelled or stopped
    Watch {
        /// The id of the job
        id: String,
    },
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct StartArgs {
    /// What is done with each name
    #[arg(value_enum)]
    pub(crate) kind: KindWord,
    /// Names, or addresses whose host counts
    #[arg(value_parser = pasted_name)]
    pub(crate) names: Vec<String>,
    /// File with names, one a line, or - for stdin; blank lines and those that begin with # are ignored
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// All domains that this search finds: part of the name, its end (.example.com), several names
    #[arg(long, value_name = "TEXT")]
    pub(crate) search: Option<String>,
    /// All domains with this status; can be given several times
    #[arg(long)]
    pub(crate) status: Vec<String>,
    /// All domains with this reason, by its code (column WHY of the list)
    #[arg(long, value_name = "CODE")]
    pub(crate) reason: Option<String>,
    /// All domains that wait for this person
    #[arg(long, value_enum)]
    pub(crate) who: Option<WhoWord>,
    /// All domains that are live but cannot be renewed as things are
    #[arg(long)]
    pub(crate) renewal_blocked: bool,
    /// All domains of which visitors see a warning soon unless somebody acts
    #[arg(long)]
    pub(crate) at_risk: bool,
    /// Of `label` what is set; of the others which domains
    #[command(flatten)]
    pub(crate) owner: OwnerArgs,
    /// Of `label` the key of a label to remove; can be given several times
    #[arg(long, value_name = "KEY")]
    pub(crate) remove: Vec<String>,
    /// Of `delete`: also remove the certificates from C4, so that the edges stop serving them
    #[arg(long)]
    pub(crate) remove_from_c4: bool,
    /// Do not ask before a delete
    #[arg(long)]
    pub(crate) yes: bool,
    /// Start no second job for the same request id
    #[arg(long, value_name = "ID", default_value = "")]
    pub(crate) request_id: String,
    /// Follow the job to its end, as `job watch` does
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindWord {
    /// Put on the list
    Add,
    /// Bring the next step to now, and wait for the result
    Recheck,
    /// Take off the list
    Delete,
    /// Order what is due
    Generate,
    /// Order anew, due or not; a CA allows five of the same name a week
    Reissue,
    /// Change the customer's reference and labels
    Label,
}

impl From<KindWord> for v1::JobKind {
    fn from(word: KindWord) -> Self {
        match word {
            KindWord::Add => Self::Add,
            KindWord::Recheck => Self::Recheck,
            KindWord::Delete => Self::Delete,
            KindWord::Generate => Self::Generate,
            KindWord::Reissue => Self::Reissue,
            KindWord::Label => Self::Label,
        }
    }
}

fn outcome(word: &str) -> Result<::domain::LineOutcome, String> {
    word.parse().map_err(|()| {
        let known: Vec<&str> =
            ::domain::LineOutcome::ALL.into_iter().map(::domain::LineOutcome::as_str).collect();
        format!("use one of {}", known.join(", "))
    })
}
