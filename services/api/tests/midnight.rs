//! The midnight report over gRPC: a day, its outcomes and pages, and days that have not come.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use std::sync::Arc;

use domain::{Domain, DomainName, Reason, Role};
use proto::v1;
use runtime::testing::ManualClock;

use served::{Served, has_reason, served_at, signed};

fn request(day: &str) -> v1::GetMidnightReportRequest {
    v1::GetMidnightReportRequest { day: day.to_owned(), ..Default::default() }
}

async fn report(
    served: &mut Served,
    token: &str,
    request: v1::GetMidnightReportRequest,
) -> Result<v1::GetMidnightReportResponse, tonic::Status> {
    served.client.get_midnight_report(signed(request, token)).await.map(tonic::Response::into_inner)
}

/// Asks these at the midnight of that day, and ends the attempts of those that are named after them.
async fn midnight(served: &Served, day: &str, labels: &[&str], unchanged: &[&str]) {
    let mut tx = served.context.store.begin("midnight").await.unwrap();
    let name = |label: &&str| DomainName::parse(&format!("{label}.example.com")).unwrap();
    let names: Vec<DomainName> = labels.iter().map(name).collect();
    let domains = tx.domains(&names).await.unwrap();
    tx.ask_at_midnight(day.parse().unwrap(), &domains).await.unwrap();
    for label in unchanged {
        let domain = tx.domain(&name(label)).await.unwrap().unwrap();
        tx.decide_midnight(&domain).await.unwrap();
    }
    tx.commit().await.unwrap();
}

#[expect(clippy::too_many_lines, reason = "a story from beginning to end")]
#[tokio::test]
async fn a_days_report_has_its_outcomes_and_the_difference_to_the_day_before() {
    let clock = Arc::new(ManualClock::new("2026-11-30T17:00:00Z".parse().unwrap()));
    let mut served = served_at(clock, |_| {}).await;
    let token = served.token(Role::Viewer, |_| {}).await;
    assert_eq!(
        report(&mut served, &token, request("")).await.unwrap(),
        v1::GetMidnightReportResponse::default()
    );
    for label in ["a", "b", "c"] {
        let name = DomainName::parse(&format!("{label}.example.com")).unwrap();
        let mut tx = served.context.store.begin("add").await.unwrap();
        let domain = Domain::added(name, served.context.clock.now());
        tx.insert_domain(&domain.blocked(Reason::PortMissing { missing: vec![80] }).unwrap()).await.unwrap();
        tx.commit().await.unwrap();
    }
    midnight(&served, "2026-11-30", &["a", "b"], &["a"]).await;
    midnight(&served, "2026-12-01", &["b", "c"], &["c"]).await;
    let last = report(&mut served, &token, request("")).await.unwrap();
    assert_eq!((last.day.as_str(), last.last_day.as_str()), ("2026-12-01", "2026-12-01"));
    assert_eq!(last.at.unwrap().seconds, 1_796_054_400, "midnight in Singapore");
    let counts: Vec<(v1::MidnightOutcome, u64, u64)> =
        last.counts.iter().map(|count| (count.outcome(), count.domains, count.day_before)).collect();
    assert_eq!(
        counts,
        [
            (v1::MidnightOutcome::Waiting, 1, 0),
            (v1::MidnightOutcome::Works, 0, 0),
            (v1::MidnightOutcome::Changed, 0, 0),
            (v1::MidnightOutcome::Unchanged, 1, 2),
            (v1::MidnightOutcome::Deleted, 0, 0),
        ]
    );
    assert_eq!((last.new_since, last.gone_since), (1, 1));
    let names = |answer: &v1::GetMidnightReportResponse| -> String {
        answer.entries.iter().map(|entry| &entry.name[..1]).collect()
    };
    let outcome = v1::MidnightOutcome::Unchanged.into();
    for (asked, found) in [
        (request(""), "bc"),
        (request("2026-11-30"), "ab"),
        (v1::GetMidnightReportRequest { outcome, ..request("") }, "c"),
        (v1::GetMidnightReportRequest { only_new: true, ..request("") }, "c"),
    ] {
        assert_eq!(names(&report(&mut served, &token, asked).await.unwrap()), found);
    }
    let first = v1::GetMidnightReportRequest { page_size: 1, ..request("2026-11-30") };
    let page = report(&mut served, &token, first.clone()).await.unwrap();
    let page_token = page.next_page_token.clone();
    let second = v1::GetMidnightReportRequest { page_token: page_token.clone(), ..first.clone() };
    let second = report(&mut served, &token, second).await.unwrap();
    assert_eq!(
        (names(&page), names(&second), second.next_page_token),
        ("a".into(), "b".into(), String::new())
    );
    for (asked, reason) in [
        (request("2026-12-02"), "DAY_INVALID"),
        (request("tomorrow"), "DAY_INVALID"),
        (v1::GetMidnightReportRequest { outcome: 9, ..request("") }, "OUTCOME_INVALID"),
        (v1::GetMidnightReportRequest { page_size: 1001, ..request("") }, "PAGE_SIZE_INVALID"),
        (v1::GetMidnightReportRequest { page_token, ..request("2026-12-01") }, "PAGE_TOKEN_INVALID"),
    ] {
        let refused = report(&mut served, &token, asked).await.unwrap_err();
        assert!(has_reason(&refused, reason), "{refused:?}");
    }
}
