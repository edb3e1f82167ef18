//! The state of a domain, in a sentence or two for the support team.

use super::letter::short;
use super::{HTTPS_OFF, Reader, ServedCertificate, Situation, must_act};
use crate::{Activity, Reason, Source, Status, Trust};

impl Situation {
    /// The status in words: the state, who must act, the next step and its time.
    pub fn verdict(&self, reader: &Reader) -> String {
        match self.status {
            Status::Success => self.success(reader),
            Status::Pending => self.progress(reader),
            Status::Failure => self.failure(reader),
            Status::Discard => {
                let next = self.next.map(|_| self.next_attempt("check", reader)).unwrap_or_default();
                format!("C4 does not know this domain. Create it in the CDN dashboard, then Recheck.{next}")
            }
            Status::Expired => self.expired(reader),
            Status::Emergency => self.emergency(reader),
        }
    }

    fn success(&self, reader: &Reader) -> String {
        let Some(served) = &self.served else {
            return "HTTPS works.".to_owned();
        };
        let works = self.works(served, reader);
        if self.renewal_blocked
            && let Some(reason) = &self.reason
        {
            let (why, act) = (short(reason), must_act(reason.who()));
            let next = self.next_attempt("check", reader);
            return format!("{works}, but the renewal cannot go on: {why}. {act}{next}");
        }
        match &self.reason {
            Some(Reason::PastedEnds { .. }) => {
                format!("{works}. A pasted certificate is not renewed: the customer must send a new one.")
            }
            Some(Reason::HttpsOff) => HTTPS_OFF.to_owned(),
            Some(Reason::PastedLost { at }) => pasted_lost(at.map(|at| reader.date(at))),
            Some(Reason::UnknownToC4) => {
                let next = self.next_attempt("check", reader);
                format!(
                    "{works}. C4 says that it does not know this domain; we ask again before we act on it.{next}"
                )
            }
            Some(_) => format!("{works}. The renewal waits. {}", self.progress(reader)),
            None if self.activity != Activity::Idle => format!("{works}. {}", self.progress(reader)),
            None => match (self.distrust(), self.upcoming(reader)) {
                (Some((Trust::IntermediateMissing, _)), _) => {
                    format!("{works}. The customer must send it again with that certificate.")
                }
                _ if served.source == Source::Text => {
                    format!("{works}. A pasted certificate is not renewed.")
                }
                (None, Some(at)) => format!("HTTPS works. Renews by itself about {}.", reader.day(at)),
                _ => format!("{works}."),
            },
        }
    }

    /// What the certificate means for visitors; without a full stop.
    fn works(&self, served: &ServedCertificate, reader: &Reader) -> String {
        let ends = reader.date(served.not_after);
        match self.distrust() {
            None => format!("HTTPS works until {ends}"),
            Some((Trust::IntermediateMissing, issuer)) => format!(
                "Served until {ends}, but many browsers show a warning: the intermediate certificate \"{issuer}\" is missing"
            ),
            Some((_, issuer)) => {
                format!("Served until {ends}, but browsers show a warning: they do not trust \"{issuer}\"")
            }
        }
    }

    fn failure(&self, reader: &Reader) -> String {
        let Some(reason) = &self.reason else {
            return format!("No certificate yet. {}", self.progress(reader));
        };
        let (why, act) = (short(reason), must_act(reason.who()));
        format!("No certificate yet: {why}. {act}{}", self.next_attempt("check", reader))
    }

    fn expired(&self, reader: &Reader) -> String {
        let ended = match &self.served {
            Some(served) => format!("The certificate ended on {}.", reader.date(served.not_after)),
            None => "The certificate ended.".to_owned(),
        };
        let then = match &self.reason {
            Some(Reason::PastedEnded { .. }) => "The customer must send a new one.".to_owned(),
            _ => self.progress(reader),
        };
        format!("{ended} Browsers show a warning now. {then}")
    }

    fn emergency(&self, reader: &Reader) -> String {
        let what = match (&self.reason, self.source) {
            (Some(Reason::NotServed { behind }), _) => {
                format!("C4 took the certificate, but {}.", behind.clause())
            }
            (_, Source::C4) => "Issued, but C4 did not take it.".to_owned(),
            (_, Source::Text) => "Stored, but C4 did not take it.".to_owned(),
        };
        let when = match (self.upcoming(reader), self.failed_attempts) {
            (None, _) => String::new(),
            (Some(at), 0) => format!(" Next try {}.", reader.time(at)),
            (Some(at), failed) => format!(" Try {failed}, next {}.", reader.time(at)),
        };
        let serves = match &self.served {
            Some(served) if served.not_after > reader.now => {
                format!(" The last certificate that C4 took works until {}.", reader.date(served.not_after))
            }
            Some(served) => format!(
                " The last certificate that C4 took ended on {}: browsers show a warning now.",
                reader.date(served.not_after)
            ),
            None => " HTTPS does not work yet.".to_owned(),
        };
        format!("{what}{when}{serves}")
    }

    /// The state in a few words, for a row of a list that names the party that must act beside it.
    pub fn in_short(&self, reader: &Reader) -> String {
        match (&self.reason, self.activity) {
            (Some(Reason::CaLimited { until, .. }), _) if *until > reader.now => {
                let place = self.reason.as_ref().and_then(|reason| reason.place(reader.now));
                let at = reader.time(*until);
                place.map_or_else(
                    || format!("queued, about {at}"),
                    |place| format!("queued, place {place}, about {at}"),
                )
            }
            (Some(reason), _) => short(reason).to_owned(),
            (None, Activity::Idle) if self.status == Status::Success => self.at_rest(reader),
            (None, _) => self.progress(reader).trim_end_matches('.').to_owned(),
        }
    }

    fn at_rest(&self, reader: &Reader) -> String {
        let is_pasted = self.served.as_ref().is_some_and(|served| served.source == Source::Text);
        match (self.distrust(), self.upcoming(reader)) {
            (Some((Trust::IntermediateMissing, _)), _) => "Pasted, its intermediate is missing".to_owned(),
            (Some(_), _) => "Pasted, browsers do not trust it".to_owned(),
            _ if is_pasted => "Pasted, not renewed".to_owned(),
            (None, Some(at)) => format!("Renews about {}", reader.day(at)),
            (None, None) => "Nothing to do".to_owned(),
        }
    }
}

/// C4 is ahead by a pasted certificate with that end, or by a removal.
fn pasted_lost(ends: Option<String>) -> String {
    let act = "The customer must send it again.";
    match ends {
        Some(ends) => {
            format!("HTTPS works until {ends}, with a pasted certificate of which we have no copy. {act}")
        }
        None => {
            format!("C4 holds no certificate, and we do not have the latest copy of the pasted one. {act}")
        }
    }
}
