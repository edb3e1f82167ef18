//! The brake: an admin pauses requests to the CAs or to C4, and lifts the pause.

use audit::Caller;
use domain::{Action, Outbound, Pause, one_line};
use proto::v1;
use store::StoreError;
use tonic::{Code, Request, Status};

use crate::error::{error, from_store, invalid};
use crate::service::DomainsService;

const MAX_REASON: usize = 200;

impl DomainsService {
    pub(crate) async fn pause(
        &self,
        request: Request<v1::PauseOutboundRequest>,
    ) -> Result<v1::PauseOutboundResponse, Status> {
        let pause = async |by: &Caller, asked: v1::PauseOutboundRequest| {
            let target = target(&asked.target, &asked.issuer)?;
            self.must_be_an_issuer(&asked.issuer).await?;
            if asked.reason.chars().count() > MAX_REASON {
                let sentence = format!("a reason has at most {MAX_REASON} characters: say it in fewer words");
                return Err(invalid("PAUSE_REASON_TOO_LONG", sentence));
            }
            let pause = Pause {
                target,
                issuer: asked.issuer,
                by: by.actor.clone(),
                since: self.context.clock.now(),
                reason: one_line(&asked.reason, MAX_REASON),
            };
            let stored = self.store_pause(&pause, by).await.map_err(|problem| from_store(&problem))?;
            let (pause, created) = stored;
            Ok(v1::PauseOutboundResponse { pause: Some(proto::pause(&pause)), created })
        };
        self.audited("PauseOutbound", Action::Pause, request, |asked| &asked.target, pause).await
    }

    pub(crate) async fn resume(
        &self,
        request: Request<v1::ResumeOutboundRequest>,
    ) -> Result<v1::ResumeOutboundResponse, Status> {
        let resume = async |by: &Caller, asked: v1::ResumeOutboundRequest| {
            let target = target(&asked.target, &asked.issuer)?;
            let lifted = self.lift_pause(target, &asked.issuer, by).await;
            match lifted.map_err(|problem| from_store(&problem))? {
                Some(pause) => Ok(v1::ResumeOutboundResponse { pause: Some(proto::pause(&pause)) }),
                None => Err(self.not_paused().await),
            }
        };
        self.audited("ResumeOutbound", Action::Pause, request, |asked| &asked.target, resume).await
    }

    async fn store_pause(&self, pause: &Pause, by: &Caller) -> Result<(Pause, bool), StoreError> {
        let mut tx = self.context.store.begin("pause_outbound").await?;
        let stored = tx.pause(pause).await?;
        let detail = format!("{} {}", pause.issuer, pause.reason);
        tx.append_audit(by.line(pause.since, pause.target.as_str(), audit::OK, detail.trim()));
        tx.commit().await?;
        Ok(stored)
    }

    async fn lift_pause(
        &self,
        target: Outbound,
        issuer: &str,
        by: &Caller,
    ) -> Result<Option<Pause>, StoreError> {
        let mut tx = self.context.store.begin("resume_outbound").await?;
        let Some(pause) = tx.lift_pause(target, issuer).await? else {
            return Ok(None);
        };
        tx.append_audit(by.line(self.context.clock.now(), target.as_str(), audit::OK, issuer));
        tx.commit().await?;
        Ok(Some(pause))
    }

    /// A CA of the settings, or one where we have an account: the API need not be configured with them.
    async fn must_be_an_issuer(&self, name: &str) -> Result<(), Status> {
        let of_settings = self.context.config.acme.issuers.iter().map(|issuer| issuer.name.clone());
        let mut known: Vec<String> = of_settings.collect();
        if name.is_empty() || known.iter().any(|known| known == name) {
            return Ok(());
        }
        known.extend(self.context.store.account_issuers().await.map_err(|problem| from_store(&problem))?);
        if known.iter().any(|known| known == name) {
            return Ok(());
        }
        known.sort();
        known.dedup();
        let sentence = format!("there is no issuer {name:?}: the issuers are {}", known.join(", "));
        Err(error(Code::NotFound, "ISSUER_NOT_FOUND", sentence))
    }

    async fn not_paused(&self) -> Status {
        let paused = match self.context.store.pauses().await {
            Ok(pauses) => pauses.iter().map(Pause::subject).collect::<Vec<_>>().join(", "),
            Err(problem) => return from_store(&problem),
        };
        let sentence = match paused.as_str() {
            "" => "this is not paused, and nothing else is".to_owned(),
            paused => format!("this is not paused; what is paused: {paused}"),
        };
        error(Code::NotFound, "NOT_PAUSED", sentence)
    }
}

fn target(target: &str, issuer: &str) -> Result<Outbound, Status> {
    let target = target
        .parse()
        .map_err(|()| invalid("PAUSE_TARGET_INVALID", "target is \"ca\" for the CAs, or \"c4\" for C4"))?;
    if target == Outbound::C4 && !issuer.is_empty() {
        return Err(invalid("ISSUER_NOT_ALLOWED", "C4 has no issuers: omit the issuer, or pause the CA"));
    }
    Ok(target)
}
