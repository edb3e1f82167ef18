//! Results of rechecks.
//!
//! A recheck makes work due; its attempt is over once no work of the name is due or leased and nothing is in progress
//! at the CA or at C4. Then status and reason are compared with those before it. Why not use the history: an attempt
//! that changes nothing need not write an entry. Why not write the result in the step that ends the attempt: every
//! attempt of every domain would have to look for jobs, and the issuer would need rights on their tables.

use std::collections::{BTreeSet, HashMap};

use domain::{Activity, DomainName, LineOutcome, Status};
use jiff::{SignedDuration, Timestamp};
use runtime::Context;
use store::{DomainView, JobLease, JobLine, LineResult, StoreError};

/// Maximum wait for the result of a recheck.
const MAX_WAIT: SignedDuration = SignedDuration::from_mins(10);
/// A domain whose next request to the CA is due within this time is still in progress.
const SOON: SignedDuration = SignedDuration::from_mins(1);
/// Names per query.
const TOGETHER: usize = 500;

/// Stores the results that are known; returns how many lines are still without a result, up to `limit`.
pub(super) async fn settle(context: &Context, lease: &JobLease, limit: u32) -> Result<u32, StoreError> {
    let store = &context.store;
    let asked = store.job_lines(lease.job.id, &[LineOutcome::Asked], 0, limit).await?;
    let mut awaited = asked.len();
    for lines in asked.chunks(TOGETHER) {
        let names: Vec<DomainName> = lines.iter().filter_map(|line| line.text.parse().ok()).collect();
        // The order matters: an attempt that ends in between is found by the second query.
        let at_work: BTreeSet<DomainName> = store.names_at_work(&names).await?.into_iter().collect();
        let views = store.listed(&names).await?;
        let views: HashMap<&str, &DomainView> =
            views.iter().map(|view| (view.domain.name.as_str(), view)).collect();
        let now = context.clock.now();
        let result = |line: &JobLine| {
            let view = views.get(line.text.as_str()).copied();
            let is_at_work = at_work.iter().any(|name| name.as_str() == line.text)
                || view.is_some_and(|view| is_under_way(view, now));
            if is_at_work { timed_out(line, now) } else { Some(found(line, view, now)) }
        };
        let results: Vec<LineResult> = lines.iter().filter_map(result).collect();
        if !results.is_empty() {
            let mut tx = store.begin("settle_lines").await?;
            tx.finish_lines(lease.job.id, lease.token, &results).await?;
            tx.commit().await?;
        }
        awaited -= results.len();
    }
    Ok(u32::try_from(awaited).unwrap_or(u32::MAX))
}

/// Whether a result is still pending without another attempt.
fn is_under_way(view: &DomainView, now: Timestamp) -> bool {
    match view.domain.activity {
        Activity::Validating | Activity::Issued | Activity::Uploading => true,
        Activity::WaitingForCa => view.next_attempt_at.is_some_and(|next| next < now + SOON),
        _ => false,
    }
}

fn timed_out(line: &JobLine, now: Timestamp) -> Option<LineResult> {
    let is_over = line.acted_at.is_none_or(|at| now.duration_since(at) >= MAX_WAIT);
    is_over.then(|| LineResult {
        position: line.position,
        from: LineOutcome::Asked,
        outcome: LineOutcome::Unknown,
        code: String::new(),
        sentence: "the recheck goes on; its result was not known within 10 minutes".to_owned(),
        message: String::new(),
    })
}

fn found(line: &JobLine, view: Option<&DomainView>, now: Timestamp) -> LineResult {
    let result = |outcome, code: String, sentence: String, message: String| LineResult {
        position: line.position,
        from: LineOutcome::Asked,
        outcome,
        code,
        sentence,
        message,
    };
    let Some(view) = view else {
        let sentence = "it was deleted before the result of its recheck was known".to_owned();
        return result(LineOutcome::Failed, "DOMAIN_DELETED".to_owned(), sentence, String::new());
    };
    let status = view.domain.status(now);
    let shown = crate::message::of_domain(view, now);
    let reason = shown.reason.unwrap_or_default();
    let is_as_before = line.status_before == Some(status) && line.reason_before == reason.code;
    let outcome = match status {
        Status::Success if line.status_before != Some(Status::Success) => LineOutcome::Works,
        _ if is_as_before => LineOutcome::Unchanged,
        _ => LineOutcome::Changed,
    };
    let sentence = match reason.message.as_str() {
        "" => status.to_string(),
        told => format!("{status}: {told}"),
    };
    result(outcome, reason.code, sentence, reason.customer_message)
}

#[cfg(test)]
mod tests {
    use domain::JobId;

    use super::*;

    fn asked(acted_at: Timestamp) -> JobLine {
        JobLine {
            job: "0190163d-8694-739b-aea5-966c26f8ad91".parse::<JobId>().unwrap(),
            position: 1,
            line: 1,
            text: "shop.example.com".to_owned(),
            outcome: LineOutcome::Asked,
            code: String::new(),
            sentence: String::new(),
            message: String::new(),
            status_before: Some(Status::Failure),
            reason_before: "not_pointed".to_owned(),
            acted_at: Some(acted_at),
        }
    }

    #[test]
    fn a_result_is_awaited_for_ten_minutes() {
        let now = Timestamp::UNIX_EPOCH + MAX_WAIT;
        assert!(timed_out(&asked(Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1)), now).is_none());
        let result = timed_out(&asked(Timestamp::UNIX_EPOCH), now).unwrap();
        assert_eq!((result.outcome, result.from), (LineOutcome::Unknown, LineOutcome::Asked));
    }

    #[test]
    fn a_name_that_is_gone_is_told() {
        let result = found(&asked(Timestamp::UNIX_EPOCH), None, Timestamp::UNIX_EPOCH);
        assert_eq!((result.outcome, result.code.as_str()), (LineOutcome::Failed, "DOMAIN_DELETED"));
    }
}
