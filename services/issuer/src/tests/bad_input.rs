//! Tests of invalid input from a CA and from DNS: a typed reason, bounded effort, nothing stuck. Afterwards the next
//! attempt gets the certificate.

use domain::{Status, Who};
use sandbox::Endpoint;

use super::kit::{Kit, name, refusal};

type Why = (Status, &'static str, Who);

const CA_DOWN: Why = (Status::Pending, "ca_down", Who::Us);
const LIMITED: Why = (Status::Pending, "ca_limited", Who::Us);
const REJECTED: Why = (Status::Failure, "order_rejected", Who::Ca);
const REFUSES_US: Why = (Status::Pending, "issuer_refuses_us", Who::Us);
const CAA: Why = (Status::Failure, "caa_forbids", Who::Customer);
const NOT_POINTED: Why = (Status::Failure, "not_pointed", Who::Customer);
const COULD_NOT_ASK: Why = (Status::Pending, "could_not_ask", Who::Us);

/// Number of attempts within which the problem must be resolved.
const ATTEMPTS: usize = 3;
/// Maximum number of requests in one attempt.
const MAX_REQUESTS: u64 = 40;

struct Case {
    what: &'static str,
    spoil: fn(&Kit),
    mend: fn(&Kit),
    why: Why,
}

fn new_order(kit: &Kit, status: u16, problem: &str) {
    kit.ca().refuse(Endpoint::NewOrder, Some(refusal(status, problem, "no")));
}

fn takes_orders(kit: &Kit) {
    kit.ca().refuse(Endpoint::NewOrder, None);
    kit.ca().write_retry_after(&[]);
    kit.ca().write_subproblems(&[]);
}

fn page(kit: &Kit, status: Option<u16>) {
    for endpoint in [Endpoint::NewOrder, Endpoint::Order, Endpoint::Authorization, Endpoint::Finalize] {
        kit.ca().answer_with_page(endpoint, status);
    }
}

fn points_again(kit: &Kit) {
    kit.world.dns.control().remove("shop.example.com");
    kit.world.point_at_cdn("shop.example.com");
}

fn caa(kit: &Kit, records: usize) {
    kit.world.dns.control().set_caa("example.com", vec![(0, "issue", "other.example"); records]);
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn problems() -> Vec<Case> {
    vec![
        Case {
            what: "a type that nobody knows",
            spoil: |kit| new_order(kit, 400, "somethingNew"),
            mend: takes_orders,
            why: REJECTED,
        },
        Case {
            what: "a type that nobody knows, of a server in trouble",
            spoil: |kit| new_order(kit, 500, "somethingNew"),
            mend: takes_orders,
            why: CA_DOWN,
        },
        Case {
            what: "no prefix: the name is refused",
            spoil: |kit| {
                kit.ca().write_bare_problem_types(true);
                new_order(kit, 403, "rejectedIdentifier");
            },
            mend: takes_orders,
            why: REJECTED,
        },
        Case {
            what: "no prefix: we are refused",
            spoil: |kit| {
                kit.ca().write_bare_problem_types(true);
                new_order(kit, 403, "userActionRequired");
            },
            mend: takes_orders,
            why: REFUSES_US,
        },
        Case {
            what: "no prefix: too many requests",
            spoil: |kit| {
                kit.ca().write_bare_problem_types(true);
                new_order(kit, 429, "rateLimited");
            },
            mend: takes_orders,
            why: LIMITED,
        },
        Case {
            what: "subproblems of other names",
            spoil: |kit| {
                kit.ca().write_subproblems(&[
                    ("other.example.com", "caa", "CAA of another"),
                    ("xshop.example.com", "userActionRequired", "terms"),
                ]);
                new_order(kit, 400, "malformed");
            },
            mend: takes_orders,
            why: REJECTED,
        },
        Case {
            what: "a subproblem of this name",
            spoil: |kit| {
                kit.ca().write_subproblems(&[
                    ("other.example.com", "rejectedIdentifier", "policy"),
                    ("shop.example.com", "caa", "CAA record for example.com prevents issuance"),
                ]);
                new_order(kit, 400, "malformed");
            },
            mend: takes_orders,
            why: CAA,
        },
    ]
}

fn answers() -> Vec<Case> {
    vec![
        Case {
            what: "a page instead of an answer",
            spoil: |kit| page(kit, Some(200)),
            mend: |kit| page(kit, None),
            why: CA_DOWN,
        },
        Case {
            what: "a page instead of a problem",
            spoil: |kit| page(kit, Some(403)),
            mend: |kit| page(kit, None),
            why: CA_DOWN,
        },
        Case {
            what: "a problem under 200",
            spoil: |kit| new_order(kit, 200, "serverInternal"),
            mend: takes_orders,
            why: CA_DOWN,
        },
        Case {
            what: "a wait of three thousand years",
            spoil: |kit| {
                kit.ca().write_retry_after(&["99999999999"]);
                new_order(kit, 429, "rateLimited");
            },
            mend: takes_orders,
            why: LIMITED,
        },
        Case {
            what: "two waits",
            spoil: |kit| {
                kit.ca().write_retry_after(&["0", "90"]);
                new_order(kit, 429, "rateLimited");
            },
            mend: takes_orders,
            why: LIMITED,
        },
        Case {
            what: "a directory without newNonce",
            spoil: |kit| kit.ca().leave_out_of_directory(Some("newNonce")),
            mend: |kit| kit.ca().leave_out_of_directory(None),
            why: CA_DOWN,
        },
    ]
}

fn dns() -> Vec<Case> {
    vec![
        Case {
            what: "a CNAME record to itself",
            spoil: |kit| kit.world.dns.control().set_cname("shop.example.com", "shop.example.com"),
            mend: points_again,
            why: NOT_POINTED,
        },
        Case {
            what: "CNAME records in a circle",
            spoil: |kit| {
                kit.world.dns.control().set_cname("shop.example.com", "a.example.net");
                kit.world.dns.control().set_cname("a.example.net", "shop.example.com");
            },
            mend: points_again,
            why: NOT_POINTED,
        },
        Case {
            what: "NXDOMAIN with a CNAME record",
            spoil: |kit| kit.world.dns.control().set_cname("shop.example.com", "nowhere.example.net"),
            mend: points_again,
            why: NOT_POINTED,
        },
        Case {
            what: "a thousand CAA records",
            spoil: |kit| caa(kit, 1_000),
            mend: |kit| caa(kit, 0),
            why: CAA,
        },
        Case {
            what: "more CAA records than a message holds",
            spoil: |kit| caa(kit, 10_000),
            mend: |kit| caa(kit, 0),
            why: COULD_NOT_ASK,
        },
    ]
}

#[tokio::test]
async fn what_makes_no_sense_has_a_reason_is_bounded_and_gets_stuck_nowhere() {
    for Case { what, spoil, mend, why } in problems().into_iter().chain(answers()).chain(dns()) {
        let kit = Kit::new().await;
        let name = name("shop");
        kit.world.point_at_cdn(name.as_str());
        spoil(&kit);
        kit.put(&name).await;
        for attempt in 0..ATTEMPTS {
            let before = (kit.ca().requests(), kit.world.dns.control().queries());
            kit.run_next(&name).await;
            assert_eq!(kit.why(&name).await, why, "{what}");
            let asked_ca = kit.ca().requests() - before.0;
            let asked_dns = kit.world.dns.control().queries() - before.1;
            assert!(asked_ca < MAX_REQUESTS && asked_dns < MAX_REQUESTS, "{what}: {asked_ca}, {asked_dns}");
            assert!(kit.minutes(&name).await <= 24 * 60, "{what}: attempt {attempt}");
        }
        mend(&kit);
        for _ in 0..ATTEMPTS {
            if kit.work(&name).await.is_some() {
                kit.run_next(&name).await;
            }
        }
        kit.issued(&name).await;
        assert!(kit.ca().orders_placed() <= 1, "{what}: {} orders", kit.ca().orders_placed());
    }
}
