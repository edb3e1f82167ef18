//! The work of one line: a command in the owner's name, with the line's mark in the same transaction.

use std::time::Duration;

use audit::Caller;
use domain::{DomainName, JobKind, LabelChange, LineOutcome};
use store::{Job, JobLease, JobLine, LineMark, LineResult, StoreError};
use tonic::Status;
use tonic_types::StatusExt;

use super::create::label_change;
use crate::audited::note_failure;
use crate::commands::{CommandError, Commands};
use crate::error::bad_name;

/// Maximum attempts if the row keeps changing.
const TRIES: u32 = 5;
/// Pause between attempts, multiplied by the attempt's number.
const PAUSE: Duration = Duration::from_millis(50);

/// Why a line has no result.
pub(super) enum Trouble {
    /// The lease is lost, or the job was cancelled.
    Lost,
    /// The store is unavailable; the line stays waiting.
    Away(Status),
}

pub(super) struct Worker<'a> {
    commands: &'a Commands,
    lease: &'a JobLease,
    labels: LabelChange,
}

impl<'a> Worker<'a> {
    pub(super) fn new(commands: &'a Commands, lease: &'a JobLease) -> Result<Self, Status> {
        let labels = label_change(&lease.job.parameters)?;
        Ok(Self { commands, lease, labels })
    }

    /// Processes a line. Returns a result only if the mark does not say everything: an error, or details.
    pub(super) async fn act(&self, line: JobLine) -> Result<Option<LineResult>, Trouble> {
        let mut tries = 0;
        loop {
            tries += 1;
            let problem = match self.try_to(&line).await {
                Ok(result) => return Ok(result),
                Err(problem) => problem,
            };
            match problem {
                CommandError::Store(StoreError::LeaseLost { kind: "job", .. }) => return Err(Trouble::Lost),
                CommandError::Store(StoreError::Conflict { .. }) if tries < TRIES => {
                    tokio::time::sleep(PAUSE * tries).await;
                }
                CommandError::Store(problem) if problem.is_unavailable() => {
                    return Err(Trouble::Away(crate::error::from_store(&problem)));
                }
                problem => return Ok(Some(self.failed(&line, problem.into()).await)),
            }
        }
    }

    async fn try_to(&self, line: &JobLine) -> Result<Option<LineResult>, CommandError> {
        let Job { id, kind, .. } = &self.lease.job;
        let by = self.caller(line);
        let name = match DomainName::parse(&line.text) {
            Ok(name) => name,
            Err(problem) => return Ok(Some(self.failed(line, bad_name(&problem)).await)),
        };
        let outcome = if *kind == JobKind::Recheck { LineOutcome::Asked } else { LineOutcome::Done };
        let mark = LineMark { job: *id, token: self.lease.token, position: line.position, outcome };
        let commands = Commands { line: Some(mark), ..self.commands.clone() };
        match kind {
            JobKind::Add => {
                let (_, created) = commands.add(&name, &by).await?;
                return Ok((!created).then(|| result(line, LineOutcome::Done, LineOutcome::Already, "", "")));
            }
            JobKind::Recheck => drop(commands.recheck(&name, &by).await?),
            JobKind::Delete => {
                let remove_from_c4 = self.lease.job.parameters.remove_from_c4;
                let done = commands.delete(&name, remove_from_c4, &by).await?;
                return Ok(Some(result(line, LineOutcome::Done, LineOutcome::Done, "", done.sentence())));
            }
            JobKind::Generate => drop(self.generate(&commands, &name, false, &by).await?),
            JobKind::Reissue => drop(self.generate(&commands, &name, true, &by).await?),
            JobKind::Label => drop(commands.set_labels(&name, &self.labels, &by).await?),
        }
        Ok(None)
    }

    /// Only for a name on the list: one that was deleted meanwhile is not added again.
    async fn generate(
        &self,
        commands: &Commands,
        name: &DomainName,
        force: bool,
        by: &Caller,
    ) -> Result<(), CommandError> {
        if self.commands.store.domain(name).await?.is_none() {
            return Err(CommandError::NotFound(name.clone()));
        }
        commands.generate(name, force, by).await.map(drop)
    }

    fn caller(&self, line: &JobLine) -> Caller {
        let Job { id, kind, owner, peer, .. } = &self.lease.job;
        Caller {
            actor: owner.clone(),
            peer: peer.clone(),
            call: match kind {
                JobKind::Add => "AddDomain",
                JobKind::Recheck => "RecheckDomain",
                JobKind::Delete => "DeleteDomain",
                JobKind::Generate | JobKind::Reissue => "GenerateCertificate",
                JobKind::Label => "SetDomainLabels",
            },
            request_id: format!("{id}/{}", line.position),
        }
    }

    async fn failed(&self, line: &JobLine, status: Status) -> LineResult {
        let Commands { store, clock, .. } = self.commands;
        note_failure(store, &**clock, &self.caller(line), &line.text, &status).await;
        let code = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
        result(line, LineOutcome::Waiting, LineOutcome::Failed, &code, status.message())
    }
}

fn result(line: &JobLine, from: LineOutcome, outcome: LineOutcome, code: &str, sentence: &str) -> LineResult {
    LineResult {
        position: line.position,
        from,
        outcome,
        code: code.to_owned(),
        sentence: sentence.to_owned(),
        message: String::new(),
    }
}
