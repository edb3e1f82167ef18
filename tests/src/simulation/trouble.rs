//! What goes wrong outside: with one domain, until it is mended, and at a CA that has its moods.

use std::time::Duration;

use domain::{DomainName, Entropy};
use sandbox::{CDN_TARGET, CaRefusal, Endpoint, Nonsense, ValidationResult};

use super::Simulation;

/// About what two certificates take.
const REQUESTS_PER_MOOD: u64 = 20;

/// How a domain fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// DNS leads nowhere.
    NotPointed,
    /// CAA records of the registered domain name another CA.
    CaaForbids,
    /// The CA finds something else than the challenge's response.
    NotFound,
    /// Some of the CA's places do not reach the edge.
    NotFoundElsewhere,
    /// The CA offers no HTTP-01 challenge for it.
    NoHttp01,
    /// The CA has paused the name.
    Paused,
    /// The CA says rate limited, and for how long.
    Limited,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::NotPointed,
        Self::CaaForbids,
        Self::NotFound,
        Self::NotFoundElsewhere,
        Self::NoHttp01,
        Self::Paused,
        Self::Limited,
    ];
}

impl Simulation {
    /// A domain gets into trouble, or out of it.
    pub fn trouble(&self, name: &DomainName, trouble: Trouble, on: bool) {
        let (ca, dns, text) = (self.ca(), self.dns(), name.as_str());
        let invalid = |problem: &str, detail: &str| {
            let (problem, detail) = (problem.to_owned(), detail.to_owned());
            let result = ValidationResult::Invalid { problem, detail };
            ca.validation_result(text, if on { result } else { ValidationResult::Valid });
        };
        match trouble {
            Trouble::NotPointed if on => dns.remove(text),
            Trouble::NotPointed => dns.set_cname(text, CDN_TARGET),
            Trouble::CaaForbids => {
                let records = if on { vec![(0, "issue", "another.example")] } else { Vec::new() };
                dns.set_caa(name.registered(), records);
            }
            Trouble::NotFound => invalid("unauthorized", "the answer was 403"),
            Trouble::NotFoundElsewhere => {
                invalid("connection", "During secondary validation: 192.0.2.7: Timeout during connect");
            }
            Trouble::NoHttp01 => ca.offer_http_01(text, !on),
            Trouble::Paused => ca.pause(text, on.then_some("https://ca.example/unpause")),
            Trouble::Limited => ca.rate_limit(Some(text), on.then_some(Duration::from_hours(30))),
        }
    }

    /// Something is odd at the CA: for the next request of a kind, or in how it writes from now on. Nothing, if it has had few
    /// requests since the last time: oddities that pile up until somebody comes are an outage.
    pub fn mood(&mut self, random: &dyn Entropy) {
        const ENDPOINTS: [Endpoint; 6] = [
            Endpoint::NewOrder,
            Endpoint::Order,
            Endpoint::Authorization,
            Endpoint::Challenge,
            Endpoint::Finalize,
            Endpoint::Certificate,
        ];
        let ca = self.ca();
        if ca.requests() < self.moody_until + REQUESTS_PER_MOOD {
            return;
        }
        self.moody_until = ca.requests();
        let endpoint = ENDPOINTS[random.below(6) as usize];
        let trouble = CaRefusal {
            status: 503,
            problem: "serverInternal".to_owned(),
            detail: "the CA has its moods".to_owned(),
            retry_after: None,
        };
        let on = random.below(2) == 0;
        match random.below(9) {
            0 => ca.drop_request(endpoint),
            1 => ca.drop_answer(endpoint),
            2 => ca.answer_nonsense(endpoint, Nonsense::TruncatedJson),
            3 => ca.answer_nonsense(endpoint, Nonsense::Html),
            4 => ca.fail_issuances(&trouble, 1),
            5 => ca.refuse_next(endpoint, &trouble, 2),
            6 => ca.write_nulls(on),
            7 => ca.write_bare_problem_types(on),
            _ => ca.write_relative_references(on),
        }
    }
}
