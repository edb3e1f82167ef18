//! What is odd or broken outside for a while: at the CA, in its limits, in DNS. Each is a switch of the sandbox.

use std::time::Duration;

use domain::{DomainName, Entropy};
use jiff::SignedDuration;
use sandbox::{CaRefusal, Endpoint, Nonsense, UsRefusal, ValidationResult};

use super::Simulation;

/// Certificates after which what was to happen to the next requests has happened.
const ISSUED_BETWEEN_COUNTED: u64 = 3;
const NOTICE: &str = "https://ca.example/notice";

/// What is wrong. Of those of one part only one can be at a time, because they share a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it, and `Simulation::disturb` what they do")]
pub enum Disturbance {
    Down,
    RefusesUs(&'static str),
    NewOrderUnavailable,
    TooManyRequests { says_when: bool },
    ChallengeInvalid { leaves_order_pending: bool },
    NoValidation,
    NamesPaused,
    FinalizeUnavailable,
    AnswersLost,
    NewOrderAnswerLost,
    NewOrderFailsButIsDone,
    NewOrderAnsweredLate,
    CertificateNotThereYet,
    IssuanceFails,
    AnswersUnreadable,
    OrdersExpire,
    AccountsForgotten,
    RetryAfterZero,
    RelativeReferences,
    NullsAndBareTypes,
    NoncesRefused,
    ReplacementsRefused,
    NoListOfOrders,
    RenewalInThePast { is_explained: bool },
    RenewalInfoNotFound,
    RenewalInfoBroken,
    NameservFail,
    NoAaaa,
    OddCaa,
    C4Down,
}

use Disturbance as D;

/// By part.
pub const DISTURBANCES: [&[Disturbance]; 16] = [
    &[D::Down],
    &[
        D::RefusesUs("userActionRequired"),
        D::RefusesUs("unauthorized"),
        D::RefusesUs("externalAccountRequired"),
        D::RefusesUs("accountDoesNotExist"),
    ],
    &[
        D::NewOrderUnavailable,
        D::TooManyRequests { says_when: true },
        D::TooManyRequests { says_when: false },
    ],
    &[
        D::ChallengeInvalid { leaves_order_pending: true },
        D::ChallengeInvalid { leaves_order_pending: false },
        D::NoValidation,
    ],
    &[D::NamesPaused],
    &[D::FinalizeUnavailable],
    &[
        D::AnswersLost,
        D::NewOrderAnswerLost,
        D::NewOrderFailsButIsDone,
        D::CertificateNotThereYet,
        D::IssuanceFails,
        D::AnswersUnreadable,
    ],
    &[D::NewOrderAnsweredLate],
    &[D::OrdersExpire, D::AccountsForgotten],
    &[D::RetryAfterZero],
    &[D::RelativeReferences, D::NullsAndBareTypes],
    &[D::NoncesRefused],
    &[D::ReplacementsRefused, D::NoListOfOrders],
    &[
        D::RenewalInThePast { is_explained: true },
        D::RenewalInThePast { is_explained: false },
        D::RenewalInfoNotFound,
        D::RenewalInfoBroken,
    ],
    &[D::NameservFail, D::NoAaaa, D::OddCaa],
    &[D::C4Down],
];

const EVERY_STEP: [Endpoint; 5] = [
    Endpoint::Order,
    Endpoint::Authorization,
    Endpoint::Challenge,
    Endpoint::Finalize,
    Endpoint::Certificate,
];

fn problem(status: u16, problem: &str, detail: &str, retry_after: Option<Duration>) -> CaRefusal {
    CaRefusal { status, problem: problem.to_owned(), detail: detail.to_owned(), retry_after }
}

fn trouble() -> CaRefusal {
    problem(503, "serverInternal", "the CA has trouble", None)
}

impl Disturbance {
    /// Whether it happens to the next requests, however long it lasts.
    fn is_counted(self) -> bool {
        matches!(
            self,
            Self::AnswersLost
                | Self::NewOrderAnswerLost
                | Self::NewOrderFailsButIsDone
                | Self::CertificateNotThereYet
                | Self::IssuanceFails
                | Self::AnswersUnreadable
        )
    }
}

impl Simulation {
    /// Something begins or ends. `names`: the domains that it is about, where it is not about all.
    pub fn disturb(&mut self, what: Disturbance, names: &[DomainName], on: bool, random: &dyn Entropy) {
        if what.is_counted() {
            let issued = self.ca().certificates_issued();
            // What waits for its request piles up otherwise.
            if on && issued >= self.counted_after {
                self.counted_after = issued + ISSUED_BETWEEN_COUNTED;
                self.disturb_next(what, random);
            }
            return;
        }
        match what {
            D::NameservFail | D::NoAaaa | D::OddCaa | D::NamesPaused | D::RenewalInThePast { .. } => {
                for name in names {
                    self.disturb_name(what, name, on);
                }
            }
            D::RefusesUs(_) | D::NewOrderUnavailable | D::TooManyRequests { .. } => {
                self.disturb_orders(what, on);
            }
            _ => self.disturb_ca(what, on),
        }
    }

    fn disturb_ca(&self, what: Disturbance, on: bool) {
        let ca = self.ca();
        let invalid = ValidationResult::Invalid {
            problem: "connection".to_owned(),
            detail: "192.0.2.7: Timeout during connect".to_owned(),
        };
        let validation = |result| ca.validation_default(if on { result } else { ValidationResult::Valid });
        let renewal_info = |status, kind| {
            let refusal = problem(status, kind, "no renewal information", None);
            ca.refuse(Endpoint::RenewalInfo, on.then_some(refusal));
        };
        match what {
            D::Down => ca.down(on),
            D::C4Down => self.c4().down(on),
            D::ChallengeInvalid { leaves_order_pending } => {
                validation(invalid);
                ca.leave_failed_orders_pending(on && leaves_order_pending);
            }
            D::NoValidation => validation(ValidationResult::Never),
            D::FinalizeUnavailable => ca.refuse(Endpoint::Finalize, on.then(trouble)),
            D::NewOrderAnsweredLate => {
                let wait = if on { Duration::from_millis(50) } else { Duration::ZERO };
                ca.answer_after(Endpoint::NewOrder, wait);
            }
            D::OrdersExpire if on => ca.expire_orders(),
            D::AccountsForgotten if on => ca.forget_accounts(),
            D::RetryAfterZero => ca.write_retry_after(if on { &["0"] } else { &[] }),
            D::RelativeReferences => ca.write_relative_references(on),
            D::NullsAndBareTypes => {
                ca.write_nulls(on);
                ca.write_bare_problem_types(on);
            }
            D::NoncesRefused => ca.reject_nonces(if on { 30 } else { 0 }),
            D::ReplacementsRefused => {
                ca.refuse_replacements(on.then(|| problem(409, "alreadyReplaced", "it is replaced", None)));
            }
            D::NoListOfOrders => ca.list_orders(!on),
            D::RenewalInfoNotFound => renewal_info(404, "malformed"),
            D::RenewalInfoBroken => renewal_info(500, "serverInternal"),
            _ => {}
        }
    }

    fn disturb_orders(&self, what: Disturbance, on: bool) {
        let ca = self.ca();
        let new_order = |refusal| ca.refuse(Endpoint::NewOrder, on.then_some(refusal));
        match what {
            D::RefusesUs(kind) => ca.refuse_us(on.then(|| UsRefusal {
                problem: kind.to_owned(),
                detail: "not like this".to_owned(),
                instance: Some(NOTICE.to_owned()),
                terms: None,
            })),
            D::TooManyRequests { says_when } => {
                let wait = says_when.then_some(Duration::from_mins(20));
                new_order(problem(429, "rateLimited", "the service is overloaded", wait));
            }
            _ => new_order(trouble()),
        }
    }

    fn disturb_name(&self, what: Disturbance, name: &DomainName, on: bool) {
        let (ca, dns, text) = (self.ca(), self.dns(), name.as_str());
        match what {
            D::NamesPaused => ca.pause(text, on.then_some(NOTICE)),
            D::NameservFail => dns.servfail(text, on),
            D::NoAaaa => dns.servfail_for_aaaa(text, on),
            D::OddCaa => {
                let records = vec![(0, "od-d", "x"), (0, "issue", "sandbox.example")];
                dns.set_caa(name.registered(), if on { records } else { Vec::new() });
            }
            D::RenewalInThePast { is_explained } if on => {
                let hours = |hours| self.now() - SignedDuration::from_hours(hours);
                ca.set_renewal_window(Some(text), hours(2), hours(1), is_explained.then_some(NOTICE));
            }
            D::RenewalInThePast { .. } => ca.clear_renewal_windows(),
            _ => {}
        }
    }

    /// What happens to the next requests. No step fails more often in a row than a client asks again.
    fn disturb_next(&self, what: Disturbance, random: &dyn Entropy) {
        let ca = self.ca();
        match what {
            D::AnswersLost => {
                for endpoint in EVERY_STEP {
                    if random.below(2) == 0 { ca.drop_answer(endpoint) } else { ca.drop_request(endpoint) }
                }
            }
            D::NewOrderAnswerLost => ca.drop_answer(Endpoint::NewOrder),
            D::NewOrderFailsButIsDone => ca.answer_with(Endpoint::NewOrder, &trouble()),
            D::CertificateNotThereYet => {
                let refusal = problem(404, "malformed", "Certificate not found", None);
                ca.refuse_next(Endpoint::Certificate, &refusal, 3);
            }
            D::IssuanceFails => {
                let refusal = problem(500, "serverInternal", "could not get enough SCTs", None);
                ca.fail_issuances(&refusal, 2);
            }
            _ => {
                for endpoint in [Endpoint::NewOrder].into_iter().chain(EVERY_STEP) {
                    let nonsense =
                        if random.below(2) == 0 { Nonsense::TruncatedJson } else { Nonsense::Html };
                    ca.answer_nonsense(endpoint, nonsense);
                }
            }
        }
    }
}
