//! Many names over one stream.
//!
//! Names that wait are added together, in one transaction for as many as have arrived, and a few transactions at once:
//! one per name would spend its time in commits. If one of them fails, its names are tried one by one, so that no name
//! pays for another. Nothing is read ahead of a client that does not take its answers.

use std::pin::Pin;
use std::sync::Arc;

use audit::Caller;
use domain::Action;
use futures::{Stream, StreamExt, stream};
use proto::v1;
use proto::v1::batch_add_domains_response::Result as Outcome;
use tokio::sync::oneshot;
use tonic::{Request, Status, Streaming};
use tonic_types::StatusExt;

use crate::audited::note_failure;
use crate::auth::Authenticator;
use crate::commands::{Addition, Commands};
use crate::guard::replacement;
use crate::labels;
use crate::lasts::StreamRights;
use crate::service::{DomainsService, name};

/// Names in one transaction.
const TOGETHER: usize = 250;
/// Transactions at once of one stream.
const AT_ONCE: usize = 4;
/// Of a name that is no name, so much comes back.
const MAX_ECHO: usize = 300;

pub(crate) type BatchStream = Pin<Box<dyn Stream<Item = Result<v1::BatchAddDomainsResponse, Status>> + Send>>;

impl DomainsService {
    pub(crate) async fn batch_add(
        &self,
        request: Request<Streaming<v1::BatchAddDomainsRequest>>,
    ) -> Result<BatchStream, Status> {
        let lasts = StreamRights::new(&self.authenticator, &request, Action::Operate);
        let begin = async |by: &Caller, names: Streaming<v1::BatchAddDomainsRequest>| {
            let batch = Arc::new(Batch {
                commands: self.commands.clone(),
                authenticator: self.authenticator.clone(),
                lasts: lasts.clone(),
                by: by.clone(),
            });
            let add = move |sent| {
                let batch = batch.clone();
                async move { stream::iter(batch.add(sent).await) }
            };
            let together = self.authenticator.together(TOGETHER);
            let answers = names.ready_chunks(together).map(add).buffered(AT_ONCE).flatten();
            Ok(until_it_ends(answers, lasts.clone()))
        };
        self.audited("BatchAddDomains", Action::Operate, request, |_| "", begin).await
    }
}

/// The answers, for as long as their principal may have them; a stream that is waited for ends within a second, too.
fn until_it_ends(
    answers: impl Stream<Item = Result<v1::BatchAddDomainsResponse, Status>> + Send + 'static,
    lasts: StreamRights,
) -> BatchStream {
    let (last_word, end) = oneshot::channel();
    let until = async move {
        // A client that is gone hears nothing.
        let _ = last_word.send(Err(lasts.until_it_ends().await));
    };
    let end = stream::once(end).filter_map(|word| std::future::ready(word.ok()));
    Box::pin(answers.take_until(Box::pin(until)).chain(end))
}

struct Batch {
    commands: Commands,
    authenticator: Authenticator,
    lasts: StreamRights,
    by: Caller,
}

impl Batch {
    /// Adds what arrived together; the answers, in the order in which it was sent.
    async fn add(
        &self,
        sent: Vec<Result<v1::BatchAddDomainsRequest, Status>>,
    ) -> Vec<Result<v1::BatchAddDomainsResponse, Status>> {
        self.authenticator.pace(&self.by.actor, u32::try_from(sent.len()).unwrap_or(u32::MAX)).await;
        if let Err(problem) = self.lasts.check().await {
            return vec![Err(problem)];
        }
        // Once the stream breaks there is nothing more.
        let cut = sent.last().and_then(|last| last.as_ref().err()).map(replacement);
        let sent: Vec<v1::BatchAddDomainsRequest> = sent.into_iter().flatten().collect();
        let texts: Vec<String> = sent.iter().map(|request| request.name.clone()).collect();
        let parsed: Vec<Result<Addition, Status>> = sent.into_iter().map(addition).collect();
        let good: Vec<Addition> = parsed.iter().flatten().cloned().collect();
        let mut outcomes: Vec<_> =
            parsed.into_iter().map(|parsed| parsed.map(|_| v1::BatchAdded::default())).collect();
        let of_good = outcomes.iter_mut().filter(|outcome| outcome.is_ok());
        for (outcome, added) in of_good.zip(self.add_good(&good).await) {
            *outcome = added;
        }
        for (text, outcome) in texts.iter().zip(&outcomes) {
            if let Err(status) = outcome {
                note_failure(&self.commands.store, &*self.commands.clock, &self.by, text, status).await;
            }
        }
        let answers = texts.iter().zip(outcomes).map(|(text, outcome)| Ok(answer(text, outcome)));
        answers.chain(cut.map(Err)).collect()
    }

    async fn add_good(&self, additions: &[Addition]) -> Vec<Result<v1::BatchAdded, Status>> {
        let added =
            |addition: &Addition, created| Ok(v1::BatchAdded { name: addition.name.to_string(), created });
        match self.commands.add_all(additions, &self.by).await {
            Ok(created) => {
                additions.iter().zip(created).map(|(addition, created)| added(addition, created)).collect()
            }
            Err(problem) => {
                tracing::debug!(error = &problem as &dyn std::error::Error, "a batch goes on name by name");
                let mut results = Vec::with_capacity(additions.len());
                for addition in additions {
                    let one = self.commands.add(addition.clone(), &self.by).await;
                    results.push(one.map_err(Status::from).and_then(|(_, created)| added(addition, created)));
                }
                results
            }
        }
    }
}

fn addition(request: v1::BatchAddDomainsRequest) -> Result<Addition, Status> {
    let labels = labels::of_added(&request.customer_ref, request.labels)?;
    Ok(Addition { name: name(&request.name)?, labels })
}

fn answer(sent: &str, outcome: Result<v1::BatchAdded, Status>) -> v1::BatchAddDomainsResponse {
    let outcome = match outcome {
        Ok(added) => Outcome::Added(added),
        Err(status) => Outcome::Error(v1::BatchError {
            reason: status.get_details_error_info().map(|info| info.reason).unwrap_or_default(),
            message: status.message().to_owned(),
        }),
    };
    v1::BatchAddDomainsResponse {
        name: sent[..sent.floor_char_boundary(MAX_ECHO)].to_owned(),
        result: Some(outcome),
    }
}
