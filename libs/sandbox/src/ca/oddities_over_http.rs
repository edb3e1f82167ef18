//! The switches of [`super::oddities`] over HTTP: each by the name of its method, for example `{"write_nulls": true}` or
//! `{"refuse_us": {"problem": "userActionRequired", "detail": "new terms"}}`; what takes nothing is its name alone.

use std::time::Duration;

use serde::Deserialize;

use super::control::CaControl;
use super::oddities::UsRefusal;
use super::{CaRefusal, Endpoint};

/// One switch. What ends it is `false` or `null`.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Switch {
    WriteNulls(bool),
    WriteBareProblemTypes(bool),
    WriteRelativeReferences(bool),
    /// Name, type, words of each.
    WriteSubproblems(Vec<(String, String, String)>),
    WriteRetryAfter(Vec<String>),
    LeaveOutOfDirectory(Option<String>),
    AnswerAfter {
        endpoint: Endpoint,
        milliseconds: u64,
    },
    Refuse {
        endpoint: Endpoint,
        refusal: Option<CaRefusal>,
    },
    RefuseNext {
        endpoint: Endpoint,
        refusal: CaRefusal,
        times: usize,
    },
    AnswerWith {
        endpoint: Endpoint,
        refusal: CaRefusal,
    },
    AnswerWithPage {
        endpoint: Endpoint,
        status: Option<u16>,
    },
    RefuseReplacements(Option<CaRefusal>),
    RefuseUs(Option<UsRefusal>),
    Pause {
        domain: String,
        url: Option<String>,
    },
    FailIssuances {
        problem: CaRefusal,
        times: usize,
    },
    ListOrders(bool),
    ListOrdersBy(usize),
    OfferHttp01 {
        domain: String,
        on: bool,
    },
    LeaveFailedOrdersPending(bool),
    ForgetAccounts,
}

impl Switch {
    pub(super) fn turn(&self, control: &CaControl) {
        match self {
            Self::WriteNulls(on) => control.write_nulls(*on),
            Self::WriteBareProblemTypes(on) => control.write_bare_problem_types(*on),
            Self::WriteRelativeReferences(on) => control.write_relative_references(*on),
            Self::WriteSubproblems(all) => {
                let all: Vec<_> =
                    all.iter().map(|(name, kind, detail)| (&**name, &**kind, &**detail)).collect();
                control.write_subproblems(&all);
            }
            Self::WriteRetryAfter(headers) => {
                let headers: Vec<_> = headers.iter().map(String::as_str).collect();
                control.write_retry_after(&headers);
            }
            Self::LeaveOutOfDirectory(resource) => control.leave_out_of_directory(resource.as_deref()),
            Self::AnswerAfter { endpoint, milliseconds } => {
                control.answer_after(*endpoint, Duration::from_millis(*milliseconds));
            }
            Self::Refuse { endpoint, refusal } => control.refuse(*endpoint, refusal.clone()),
            Self::RefuseNext { endpoint, refusal, times } => control.refuse_next(*endpoint, refusal, *times),
            Self::AnswerWith { endpoint, refusal } => control.answer_with(*endpoint, refusal),
            Self::AnswerWithPage { endpoint, status } => control.answer_with_page(*endpoint, *status),
            Self::RefuseReplacements(refusal) => control.refuse_replacements(refusal.clone()),
            Self::RefuseUs(refusal) => control.refuse_us(refusal.clone()),
            Self::Pause { domain, url } => control.pause(domain, url.as_deref()),
            Self::FailIssuances { problem, times } => control.fail_issuances(problem, *times),
            Self::ListOrders(on) => control.list_orders(*on),
            Self::ListOrdersBy(page) => control.list_orders_by(*page),
            Self::OfferHttp01 { domain, on } => control.offer_http_01(domain, *on),
            Self::LeaveFailedOrdersPending(on) => control.leave_failed_orders_pending(*on),
            Self::ForgetAccounts => control.forget_accounts(),
        }
    }
}
