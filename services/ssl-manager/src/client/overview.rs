//! `domain summary` and `domain overview`: the list in figures.

use proto::v1;
use serde_json::{Map, Value, json};
use tonic::Request;

use super::answer;
use super::connect::Client;
use crate::cli::Output;
use crate::dispatch::Failure;
use crate::output::{print, print_many, print_one, time};

pub(crate) async fn summary(client: &mut Client, output: Output) -> Result<(), Failure> {
    let told = answer(client.get_summary(Request::new(v1::GetSummaryRequest {})).await)?;
    let shown = json!({
        "statuses": statuses(&told.statuses),
        "renewal_blocked": told.renewal_blocked,
        "expiring_within_7_days": told.expiring_within_7_days,
        "waiting_for_budget": told.waiting_for_budget,
        "queue_through_at": time(told.queue_through_at.as_ref()),
    });
    print_one(output, &shown)
}

pub(crate) async fn overview(client: &mut Client, output: Output) -> Result<(), Failure> {
    let told = answer(client.get_overview(Request::new(v1::GetOverviewRequest {})).await)?;
    let shown = overview_json(&told);
    if matches!(output, Output::Json) {
        return print_one(output, &shown);
    }
    let (lists, figures): (Map<String, Value>, Map<String, Value>) =
        shown.as_object().cloned().unwrap_or_default().into_iter().partition(|(_, value)| value.is_array());
    print_one(output, &Value::Object(figures))?;
    for (list, columns) in [
        ("reasons", ["code", "who", "domains"].as_slice()),
        ("days_left", &["days", "domains"]),
        ("issuance", &["day", "issued", "failed"]),
        ("budget", &["issuer", "limit", "capacity", "left", "free_at"]),
    ] {
        let rows = lists[list].as_array().into_iter().flatten();
        // Ninety lines of noughts tell nobody anything.
        let says_something = |row: &&Value| {
            let mut counts = ["domains", "issued", "failed", "capacity"].iter();
            counts.any(|count| row[*count].as_u64() > Some(0))
        };
        let rows: Vec<Value> = rows.filter(says_something).cloned().collect();
        print(list.replace('_', " "))?;
        print_many(output, &rows, columns)?;
    }
    Ok(())
}

fn overview_json(told: &v1::GetOverviewResponse) -> Value {
    let reason = |one: &v1::ReasonCount| json!({ "code": one.code, "who": one.who, "domains": one.domains });
    let day_left = |one: &v1::DayCount| json!({ "days": one.days, "domains": one.domains });
    let day = |one: &v1::IssuanceDay| json!({ "day": one.day, "issued": one.issued, "failed": one.failed });
    let bucket = |one: &v1::BudgetBucket| {
        json!({
            "issuer": one.issuer,
            "limit": one.limit,
            "capacity": one.capacity,
            "left": one.left,
            "free_at": time(one.free_at.as_ref()),
        })
    };
    let midnight =
        |one: &v1::Midnight| json!({ "day": one.day, "domains": one.domains, "waiting": one.waiting });
    json!({
        "statuses": statuses(&told.statuses),
        "renewal_blocked": told.renewal_blocked,
        "reasons": told.reasons.iter().map(reason).collect::<Vec<_>>(),
        "days_left": told.days_left.iter().map(day_left).collect::<Vec<_>>(),
        "issuance": told.issuance.iter().map(day).collect::<Vec<_>>(),
        "budget": told.budget.iter().map(bucket).collect::<Vec<_>>(),
        "overdue": told.overdue,
        "oldest_due_at": time(told.oldest_due_at.as_ref()),
        "waiting_for_budget": told.waiting_for_budget,
        "queue_through_at": time(told.queue_through_at.as_ref()),
        "last_midnight": told.last_midnight.as_ref().map(midnight),
    })
}

/// `{"Success": 3, …}`, in the order of the documentation.
fn statuses(counts: &[v1::StatusCount]) -> Value {
    let count = |one: &v1::StatusCount| (proto::status_word(one.status()).to_owned(), json!(one.domains));
    Value::Object(counts.iter().map(count).collect())
}
