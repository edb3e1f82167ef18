//! The present activity or wait: one sentence per activity. "Under a minute" is promised only for short activities.

use jiff::Timestamp;

use super::letter::{RESTORE_GUARD, paused, short};
use super::{HTTPS_OFF, Reader, Situation, must_act, sentence};
use crate::{Activity, Reason};

impl Situation {
    /// The activity, or the cause and end of the wait.
    pub fn progress(&self, reader: &Reader) -> String {
        match &self.reason {
            Some(Reason::CaLimited { until, issuer, limit, .. }) => {
                self.queued(*until, issuer, limit, reader)
            }
            Some(Reason::HttpsOff) => HTTPS_OFF.to_owned(),
            Some(Reason::CouldNotAsk { .. }) => match self.upcoming(reader) {
                Some(at) => format!(
                    "We could not check this yet. Retrying automatically; next try {}.",
                    reader.time(at)
                ),
                None => "We could not check this yet. Trying again now.".to_owned(),
            },
            Some(Reason::PausedByOperator { pause }) => paused(pause, &reader.time(pause.since)),
            Some(Reason::RestoreGuard) => RESTORE_GUARD.to_owned(),
            Some(reason) => {
                let next = self.next_attempt("try", reader);
                format!("{} {}{next}", sentence(short(reason)), must_act(reason.who()))
            }
            None => self.doing(reader),
        }
    }

    /// Waiting for room in a CA's limits; C4, DNS and the challenge path have passed preflight by then.
    fn queued(&self, until: Timestamp, issuer: &str, limit: &str, reader: &Reader) -> String {
        let place = self.reason.as_ref().and_then(|reason| reason.place(reader.now));
        let at = reader.time(until);
        let waits = match place {
            _ if until <= reader.now => "Queued; it is next.".to_owned(),
            Some(place) => format!("Queued, place {place}, about {at}."),
            None => format!("The CA accepts no order before {at}."),
        };
        let which = match (issuer, limit) {
            (_, "") => String::new(),
            ("", limit) => format!(" Limit: {limit}."),
            (issuer, limit) => format!(" Limit: {limit}, at {issuer}."),
        };
        format!("DNS is right. {waits}{which}")
    }

    /// The sentence of the activity.
    fn doing(&self, reader: &Reader) -> String {
        let next = self.upcoming(reader).map(|at| reader.time(at));
        let (now, later) = match self.activity {
            Activity::Idle => {
                return match next {
                    Some(at) => format!("The next step is {at}."),
                    None => "Nothing is planned. Use Recheck to continue.".to_owned(),
                };
            }
            Activity::Preflight => {
                ("Checking DNS and the challenge path.", "DNS and the challenge path are checked next,")
            }
            Activity::WaitingForBudget => {
                ("Queued for room in the CA's limits.", "Queued for room in the CA's limits; next try")
            }
            Activity::WaitingForCa => {
                ("Ordering at the CA.", "The CA is still processing the order. Next check")
            }
            Activity::Validating => {
                return self.within_a_minute("The CA is validating.", next.as_deref(), reader);
            }
            Activity::Issued => {
                ("Issued. The upload to C4 is next.", "Issued. It becomes valid, and is uploaded,")
            }
            Activity::Uploading => return self.within_a_minute("Uploading.", next.as_deref(), reader),
            Activity::VerifyingEdges => (
                "Uploaded. Waiting for the edges to serve it.",
                "Uploaded. Waiting for the edges to serve it; next check",
            ),
            Activity::Retrying => ("Trying again now.", "The last order failed. The next one is placed"),
        };
        match next {
            Some(at) => format!("{later} {at}."),
            None if self.is_slow(reader) && self.activity != Activity::WaitingForBudget => {
                format!("{now} It takes longer than usual.")
            }
            None => now.to_owned(),
        }
    }

    /// For activities that usually take under a minute.
    fn within_a_minute(&self, doing: &str, next: Option<&str>, reader: &Reader) -> String {
        match next {
            Some(at) => format!("{doing} It takes longer than usual. Next check {at}."),
            None if self.is_slow(reader) => format!("{doing} It takes longer than usual."),
            None => format!("{doing} Usually under a minute."),
        }
    }

    /// " Next try 17:07.", after another sentence.
    pub(super) fn next_attempt(&self, what: &str, reader: &Reader) -> String {
        match self.next {
            Some(at) if at > reader.now => format!(" Next {what} {}.", reader.time(at)),
            Some(_) => format!(" The next {what} is under way."),
            None => " Recheck once that is done.".to_owned(),
        }
    }
}
