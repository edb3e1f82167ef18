//! Why an issuance stops before there is a certificate.

use acme::AcmeError;
use runtime::JobError;

use crate::answers::Request;
use crate::ending::{Ending, OrderFate};
use crate::turn::Turn;

/// Why an issuance stops here.
pub(crate) enum Stop {
    /// The journal could not commit a step.
    Job(JobError),
    /// The CA may have refused our account's key. No other order is sent until that is checked.
    Account { error: AcmeError, request: Request, turn: Option<Turn> },
    /// The attempt is over.
    Ended { ending: Box<Ending>, order: OrderFate },
}

impl Stop {
    /// Keeps the turn until the account has been checked, so no other order is sent before.
    pub(crate) fn within(self, turn: Turn) -> Self {
        match self {
            Self::Account { error, request, .. } => Self::Account { error, request, turn: Some(turn) },
            other => other,
        }
    }
}

impl From<JobError> for Stop {
    fn from(error: JobError) -> Self {
        Self::Job(error)
    }
}

pub(crate) fn ended(ending: Ending) -> Stop {
    Stop::Ended { ending: Box::new(ending), order: OrderFate::GoesOn }
}

pub(crate) fn another_order() -> Stop {
    order_given_up(Ending::another_order())
}

pub(crate) fn order_given_up(ending: Ending) -> Stop {
    Stop::Ended { ending: Box::new(ending), order: OrderFate::GivenUp }
}

pub(crate) fn order_refused(ending: Ending) -> Stop {
    Stop::Ended { ending: Box::new(ending), order: OrderFate::Refused }
}

/// A fault of our own: it is logged, and the domain is retried soon.
pub(crate) fn local(error: &(dyn std::error::Error + 'static)) -> Stop {
    tracing::error!(error, "issuance cannot go on");
    ended(Ending::could_not_ask("trouble on our side, see the log".to_owned()))
}
