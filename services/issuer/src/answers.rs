//! Maps an answer of the CA to its effect on the attempt, the order and the domain.
//!
//! A problem is classified by its type and its subject (`acme::Problem`). There are four outcomes: the CA has
//! trouble, it refuses our account, it refuses this name, or the result is not available yet. An unusable answer to a
//! read request does not end the order: the resource exists at the CA, and the request is repeated for some minutes.

use acme::{AcmeError, DeliveredError, Meaning, Problem, RequestKind, WhyInvalid};
use domain::budget::LimitKind;
use domain::{Activity, CaaFound, DomainName, Reason, Retry};
use jiff::{SignedDuration, Timestamp};

use crate::at_ca::{AtCa, later, still_at_it};
use crate::blame;
use crate::ending::Ending;
use crate::issuance::RELEASE_SPREAD;
use crate::stop::{Stop, another_order, ended, local, order_given_up, order_refused};

/// Attempts (about nine minutes) without finding a resource that the CA has announced; then the order is given up.
const MAX_LOOKS_IN_VAIN: u32 = 6;
/// Problem type for an authorization that offers no HTTP-01 challenge; ours, not one of RFC 8555.
const NOT_OFFERED: &str = "noHttp01Challenge";

/// The kind of request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// new-order.
    NewOrder,
    /// Reading an order, its authorization or its certificate.
    Look,
    /// Answering a challenge or finalizing an order.
    Change,
}

impl AtCa<'_> {
    /// Unwraps the result of a read request.
    pub(crate) fn look<T>(&self, looked: Result<T, AcmeError>) -> Result<T, Stop> {
        looked.map_err(|error| self.trouble(error, Request::Look))
    }

    /// Returns how an error of the CA ends this attempt.
    pub(crate) fn trouble(&self, error: AcmeError, request: Request) -> Stop {
        if !self.is_reloaded && error.may_be_the_accounts_key() {
            return Stop::Account { error, request, turn: None };
        }
        if let AcmeError::Paused(pause) = error {
            return ended(Ending::Paused(pause));
        }
        if request == Request::Look && is_odd(&error) {
            return self.not_there(&error);
        }
        self.issuer.note(Some(&error), self.now());
        let not_before = error.retry_after().map(|wait| later(self.now(), wait));
        if error.is_order_not_ready() {
            return still_at_it(Activity::WaitingForCa, not_before);
        }
        let problem = match error {
            AcmeError::Problem(problem) => problem,
            AcmeError::Store(error) => return Stop::Job(error.into()),
            error @ AcmeError::Local(_) => return local(&error),
            error => return ended(Ending::ca_down(error.to_string(), not_before)),
        };
        let asked = if request == Request::NewOrder { RequestKind::NewOrder } else { RequestKind::Order };
        let about = problem.about(self.name);
        match about.meaning(asked) {
            Meaning::CasTrouble => {
                ended(Ending::ca_down(AcmeError::Problem(problem).to_string(), not_before))
            }
            Meaning::Limited => {
                let limit = LimitKind::named_in(&about.detail);
                let until = self.room_at(&AcmeError::Problem(problem));
                ended(Ending::limited(until, self.issuer.name(), limit))
            }
            Meaning::Paused => ended(paused(&about)),
            Meaning::RefusesUs => self.refused_us(&about, request),
            _ => self.meant(&about, asked),
        }
    }

    /// The resource is missing or unreadable although the CA announced it: the request is repeated for the same
    /// order; after some minutes the order is given up for another one.
    fn not_there(&self, error: &AcmeError) -> Stop {
        self.look_again(error).unwrap_or_else(|| {
            tracing::warn!(error = error as &dyn std::error::Error, "the order is given up for another one");
            another_order()
        })
    }

    /// The downloaded certificate cannot be parsed: the download is repeated for some minutes, then it counts as
    /// delivered.
    pub(crate) fn unreadable(&self, error: &DeliveredError) -> Stop {
        let nonsense = AcmeError::Nonsense(error.to_string());
        self.look_again(&nonsense).unwrap_or_else(|| self.rejected(error))
    }

    /// Retries the same order a little later; none once the retries are used up.
    fn look_again(&self, error: &AcmeError) -> Option<Stop> {
        let ending = Ending::NotThere { detail: error.to_string() };
        let is_in_vain = self.before == ending.reason() && self.attempts >= MAX_LOOKS_IN_VAIN;
        (!is_in_vain).then(|| ended(ending))
    }

    /// The CA refuses our account: the next CA is used at once if there is one. Without another CA, an order that the
    /// CA has not accepted yet is kept.
    pub(crate) fn refused_us(&self, problem: &Problem, request: Request) -> Stop {
        let now = self.now();
        let until = self.issuer.refused(problem, now);
        let reason = self.issuer.refuses_us(problem);
        if self.role.issuers.len() > 1 {
            return order_given_up(Ending::Waiting { reason, not_before: None });
        }
        let spread = self.role.context.entropy.below(RELEASE_SPREAD);
        let not_before = Some(until + SignedDuration::from_secs(i64::try_from(spread).unwrap_or(0)));
        let ending = Ending::Waiting { reason, not_before };
        if request == Request::NewOrder { ended(ending) } else { order_given_up(ending) }
    }

    /// The validation of the challenge failed.
    pub(crate) fn challenge_failed(&self, problem: &Problem) -> Stop {
        self.meant(&problem.about(self.name), RequestKind::Challenge)
    }

    /// The CA offers no challenge that we can answer.
    pub(crate) fn no_challenge() -> Stop {
        let detail = "it offers no HTTP-01 challenge for this name".to_owned();
        let reason = Reason::OrderRejected { problem: NOT_OFFERED.to_owned(), detail };
        order_refused(Ending::Refused { reason, authorization_failed: false })
    }

    pub(crate) fn order_invalid(&self, why: WhyInvalid) -> Stop {
        match why {
            WhyInvalid::Challenge(problem) => self.challenge_failed(&problem),
            WhyInvalid::Order(problem) => {
                let about = problem.about(self.name);
                // If an order expired, a new one is tried before a person is asked to act.
                if about.detail.contains("expired") && self.attempts == 0 {
                    return order_refused(Ending::another_order());
                }
                self.meant(&about, RequestKind::Order)
            }
            // An expired order may end like this as well.
            WhyInvalid::Unexplained if self.attempts == 0 => order_refused(Ending::another_order()),
            WhyInvalid::Unexplained => {
                let detail = "the order became invalid without a reason".to_owned();
                let reason = Reason::OrderRejected { problem: "invalid".to_owned(), detail };
                order_refused(Ending::Refused { reason, authorization_failed: false })
            }
        }
    }

    /// Returns how a problem with this name or this order ends the attempt.
    fn meant(&self, problem: &Problem, asked: RequestKind) -> Stop {
        let authorization_failed = asked == RequestKind::Challenge;
        let (kind, detail) = (problem.kind.clone(), problem.detail.clone());
        let not_found = |reason| Ending::ChallengeInvalid { reason, dns: self.dns.clone() };
        let refused = |reason| Ending::Refused { reason, authorization_failed };
        order_refused(match problem.meaning(asked) {
            Meaning::CasTrouble | Meaning::Limited => {
                let reason = Reason::CaDown { detail: format!("{kind}: {detail}") };
                Ending::Lost { reason, authorization_failed }
            }
            Meaning::Paused => paused(problem),
            Meaning::RefusesUs => return self.refused_us(problem, Request::Look),
            Meaning::Caa => refused(self.caa_forbids(detail)),
            Meaning::NotFound => {
                let ours = &self.role.context.config.cdn.addresses;
                not_found(blame::not_found(self.name, kind, detail, ours))
            }
            Meaning::NotFoundEverywhere => not_found(Reason::ChallengeUnreachableElsewhere { detail }),
            Meaning::Refused => refused(Reason::OrderRejected { problem: kind, detail }),
        })
    }

    /// CAA forbids it by the CA's words: our own query found no such record, or was too long ago.
    fn caa_forbids(&self, detail: String) -> Reason {
        let wanted = self.identities.first().cloned().unwrap_or_default();
        let targets = self.role.context.config.cdn.cname_targets.iter();
        let mut targets = targets.filter_map(|target| DomainName::parse(target).ok());
        let of_customer = caa_owner(self.name, &detail);
        let of_target = targets.find_map(|target| caa_owner(&target, &detail));
        let found = CaaFound::Told(detail);
        match (of_customer, of_target) {
            (Some(at), _) => Reason::CaaForbids { at, found, wanted },
            (None, Some(at)) => Reason::CdnCaaForbids { at, found, wanted },
            (None, None) => Reason::CaaForbids { at: self.name.to_string(), found, wanted },
        }
    }

    /// The certificate that the CA delivered cannot be used; another order would bring the same again.
    pub(crate) fn rejected(&self, error: &DeliveredError) -> Stop {
        tracing::error!(
            error = error as &dyn std::error::Error,
            issuer = self.issuer.name(),
            domain = %self.name,
            "the CA delivered something else than what was ordered"
        );
        let issuer = self.issuer.name().to_owned();
        metrics::counter!("ssl_manager_certificates_rejected_total", "issuer" => issuer).increment(1);
        let reason = Reason::CertificateRejected { detail: error.to_string() };
        order_given_up(Ending::Refused { reason, authorization_failed: false })
    }

    /// When to retry after the CA's limits were exceeded: at its Retry-After, otherwise after a minute, later each
    /// time.
    pub(crate) fn room_at(&self, error: &AcmeError) -> Timestamp {
        match error.retry_after() {
            Some(wait) => later(self.now(), wait),
            None => room_without_retry_after(self.before.as_ref(), self.attempts, self.now()),
        }
    }
}

/// One minute, longer with each attempt in a row that was limited.
pub(crate) fn room_without_retry_after(before: Option<&Reason>, attempts: u32, now: Timestamp) -> Timestamp {
    let is_again = matches!(before, Some(Reason::CaLimited { .. }));
    let attempt = if is_again { attempts.saturating_add(1) } else { 1 };
    Retry::Blocked.due(attempt, now).unwrap_or(now)
}

fn paused(problem: &Problem) -> Ending {
    let url = problem.url.clone().unwrap_or_default();
    Ending::Waiting { reason: Reason::PausedByCa { detail: problem.detail.clone(), url }, not_before: None }
}

/// Whether an answer to a read request is unusable: it does not show the resource, and does not say that the CA is
/// down, limits us or refuses our account.
fn is_odd(error: &AcmeError) -> bool {
    match error {
        AcmeError::Nonsense(_) => true,
        AcmeError::Problem(problem) => {
            let refused = problem.meaning(RequestKind::Order);
            error.is_gone()
                || !matches!(
                    refused,
                    Meaning::CasTrouble | Meaning::Limited | Meaning::Paused | Meaning::RefusesUs
                )
        }
        _ => false,
    }
}

/// The name whose CAA records forbid issuance, if the CA's words name it ("CAA record for example.com prevents
/// issuance").
fn caa_owner(name: &DomainName, detail: &str) -> Option<String> {
    let mut words = detail.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')));
    let is_above = |word: &&str| {
        let word = word.trim_matches('.');
        word.contains('.') && (word == name.as_str() || name.as_str().ends_with(&format!(".{word}")))
    };
    words.find(is_above).map(|word| word.trim_matches('.').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_the_caa_records_is_read_off_the_cas_words() {
        let name = DomainName::parse("shop.example.com").unwrap();
        for (detail, owner) in [
            ("CAA record for example.com prevents issuance", Some("example.com")),
            ("While processing CAA for shop.example.com: DNS problem: SERVFAIL.", Some("shop.example.com")),
            ("CAA record for other.example.net prevents issuance", None),
            ("CAA record for notexample.com.", None),
            ("com.", None),
            ("", None),
        ] {
            assert_eq!(caa_owner(&name, detail).as_deref(), owner, "{detail}");
        }
    }
}
