//! Verifies the audit log, with progress. The entry in the log records the result.

use audit::Report;
use proto::v1;
use runtime::Context;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{AdministrationService, Administrator, Answers};
use crate::audited::note_failure;
use crate::error::{from_store, retry};
use crate::lasts::{READ_TIMEOUT, StreamRights};

/// Maximum number of progress messages waiting for a client; further ones are dropped.
const BUFFER: usize = 8;
/// Retry-After while another verification runs.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(10);
/// The outcome in the audit log if the verification fails.
const BROKEN: &str = "AUDIT_BROKEN";

impl AdministrationService {
    pub(super) fn verification(
        &self,
        by: &Administrator,
        lasts: StreamRights,
    ) -> Result<Answers<v1::VerifyAuditResponse>, Status> {
        let permit = self.verifications.clone().try_acquire_owned().map_err(|_| {
            retry(
                "VERIFICATION_RUNNING",
                "another verification runs: wait for its end, then try again",
                AGAIN,
            )
        })?;
        let (sender, receiver) = mpsc::channel(BUFFER);
        let (context, keys, caller) = (self.context.clone(), self.keys.clone(), by.caller.clone());
        self.context.stop.spawn(async move {
            let _permit = permit;
            let tell = |lines| {
                let _ = sender.try_send(Ok(v1::VerifyAuditResponse { lines, verdict: None }));
            };
            let soft = context.stop.soft().clone();
            let ended = tokio::select! {
                report = audit::verify_and_tell(&context.store, &[], Ok(&keys), tell) => {
                    report.map_err(|problem| from_store(&problem))
                }
                problem = lasts.until_it_ends() => Err(problem),
                () = soft.cancelled() => return,
                () = sender.closed() => Err(Status::cancelled("the client left")),
            };
            let answer = match ended {
                Ok(report) => {
                    note(&context, &caller, &report).await;
                    Ok(answer(&report))
                }
                Err(problem) => {
                    note_failure(&context.store, &*context.clock, &caller, "", &problem).await;
                    Err(problem)
                }
            };
            // A client that does not read must not hold the one verification at a time.
            let _ = tokio::time::timeout(READ_TIMEOUT, sender.send(answer)).await;
        });
        Ok(Box::pin(ReceiverStream::new(receiver)))
    }
}

async fn note(context: &Context, caller: &audit::Caller, report: &Report) {
    let outcome = if report.broken.is_empty() { audit::OK } else { BROKEN };
    let problem = report.broken.first().map(|problem| format!(": {problem}")).unwrap_or_default();
    let line = caller.line(context.clock.now(), "", outcome, &format!("{} lines{problem}", report.lines));
    let noted = async {
        let mut tx = context.store.begin("audit_verification").await?;
        tx.append_audit(line);
        tx.commit().await
    };
    if let Err(problem) = noted.await {
        let problem: store::StoreError = problem;
        tracing::error!(error = &problem as &dyn std::error::Error, "a verification is not in the audit log");
    }
}

fn answer(report: &Report) -> v1::VerifyAuditResponse {
    let verdict = v1::AuditVerdict {
        is_whole: report.broken.is_empty(),
        last_line: report.head.sequence,
        last_hash: hex::encode(report.head.hash),
        unchained: report.unsealed,
        end: report.end.to_string(),
        problems: report.broken.iter().map(ToString::to_string).collect(),
    };
    v1::VerifyAuditResponse { lines: report.lines, verdict: Some(verdict) }
}
