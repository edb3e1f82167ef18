//! A preflight without effect: the questions that are asked before every order, in their order, each with its answer.
//!
//! The API asks by itself and not through the issuer, so that a person has the answer in seconds; it needs C4's token and
//! the settings of the CDN and of DNS for that, and answers `CHECK_UNAVAILABLE` where it has none.

use acme::{AcmeError, Ca, CaOptions};
use domain::{Action, DomainName, Reason};
use preflight::{DnsFails, Found, Preflight, Verdict};
use proto::v1;
use runtime::config::AcmeIssuer;
use runtime::{Context, RoleError};
use store::{ProbeOf, StoreError};
use tokio::sync::Semaphore;
use tonic::{Code, Request, Status};

use crate::error::{error, from_store, overloaded};
use crate::service::{DomainsService, name};

/// Concurrent checks in one process: each waits for outside servers.
const AT_ONCE: usize = 32;
const STEPS: [&str; 4] = ["c4", "dns", "caa", "challenge_path"];

impl DomainsService {
    pub(crate) async fn check(
        &self,
        request: Request<v1::CheckDomainRequest>,
    ) -> Result<v1::CheckDomainResponse, Status> {
        self.authenticator.authorize(&request, Action::Operate).await?;
        let name = name(&request.get_ref().name)?;
        let checker = self.checker.as_ref().ok_or_else(unavailable)?;
        let Ok(_permit) = checker.permits.try_acquire() else {
            return Err(overloaded(std::time::Duration::from_secs(5)));
        };
        let steps = checker.steps(&name).await.map_err(|problem| from_store(&problem))?;
        let stands_in_the_way = |step: &v1::CheckStep| {
            [v1::CheckOutcome::Blocked, v1::CheckOutcome::CouldNotAsk].contains(&step.outcome())
        };
        Ok(v1::CheckDomainResponse {
            name: name.to_string(),
            ready: !steps.iter().any(stands_in_the_way),
            steps,
        })
    }
}

fn unavailable() -> Status {
    let sentence =
        "this API has no settings of C4 to ask with: add the sections [c4], [cdn] and [dns] to its settings";
    error(Code::FailedPrecondition, "CHECK_UNAVAILABLE", sentence)
}

/// Asks.
pub(crate) struct Checker {
    context: Context,
    preflight: Preflight,
    authorities: Vec<Authority>,
    permits: Semaphore,
}

/// A CA, as far as CAA is concerned.
struct Authority {
    ca: Ca,
    /// The CA's names in CAA records; empty: those in its directory.
    identities: Vec<String>,
}

impl Checker {
    /// None where the settings say nothing of C4.
    pub(crate) fn new(context: &Context) -> Result<Option<Self>, RoleError> {
        let config = &context.config;
        if config.c4.base_url.is_empty() {
            return Ok(None);
        }
        let brake = context.brake();
        let authority = |settings: &AcmeIssuer| {
            let unusable = |what: String| RoleError::setting("acme.issuers", what);
            let root = &settings.root_certificate_file;
            let root = (!root.as_os_str().is_empty()).then(|| std::fs::read(root)).transpose();
            let options = CaOptions {
                name: settings.name.clone(),
                directory_url: settings.directory_url.clone(),
                root_certificate_pem: root.map_err(|error| unusable(error.to_string()))?,
                ..CaOptions::default()
            };
            let ca = Ca::new(options, context.clock.clone());
            let ca = ca.map_err(|error| unusable(error.to_string()))?.behind(brake.clone());
            Ok(Authority { ca, identities: settings.caa_identities.clone() })
        };
        let preflight = Preflight::new(config)?.behind(brake.clone());
        let token = preflight.c4_token();
        context.follow_c4_token(move |fresh| token.replace(&fresh).map_err(|error| error.to_string()));
        Ok(Some(Self {
            preflight,
            authorities: config.acme.issuers.iter().map(authority).collect::<Result<_, RoleError>>()?,
            permits: Semaphore::new(AT_ONCE),
            context: context.clone(),
        }))
    }

    /// Every step; those after one that is not fine are not asked.
    async fn steps(&self, name: &DomainName) -> Result<Vec<v1::CheckStep>, StoreError> {
        let mut steps = Vec::new();
        self.ask(name, &mut steps).await?;
        for step in &STEPS[steps.len()..] {
            steps.push(v1::CheckStep {
                step: (*step).to_owned(),
                outcome: v1::CheckOutcome::NotAsked.into(),
                ..v1::CheckStep::default()
            });
        }
        Ok(steps)
    }

    async fn ask(&self, name: &DomainName, steps: &mut Vec<v1::CheckStep>) -> Result<(), StoreError> {
        let known = self.preflight.known(name).await;
        let Some(known) = note(steps, name, known, |_| "known with ports 80 and 443") else {
            return Ok(());
        };
        let pointed = self.preflight.pointed(name, &known).await;
        let pointed = self.explained(pointed).await;
        let Some(found) = note(steps, name, pointed, |found| &found.dns) else {
            return Ok(());
        };
        let permitted = self.caa(name, &found).await?;
        let permitted = self.explained(permitted).await;
        if note(steps, name, permitted, |()| "our CA may issue").is_none() {
            return Ok(());
        }
        if let Some(reached) = self.path(name).await? {
            note(steps, name, reached, |()| "our answer came back");
        }
        Ok(())
    }

    /// Broken signatures are told at once; nameservers that fail may do so for a moment.
    async fn explained<T>(&self, verdict: Verdict<T>) -> Verdict<T> {
        let Verdict::DnsFails(fails) = verdict else {
            return verdict;
        };
        match self.preflight.why_dns_fails(&fails, None).await {
            Some(reason @ Reason::DnssecBroken { .. }) => Verdict::Blocked(reason),
            _ => Verdict::CouldNotAsk(fails.detail),
        }
    }

    /// Whether any of the CAs may issue.
    async fn caa(&self, name: &DomainName, found: &Found) -> Result<Verdict<()>, StoreError> {
        let mut worst = Verdict::CouldNotAsk("this API's settings name no CA".to_owned());
        for authority in &self.authorities {
            let Authority { ca, identities } = authority;
            let url = self.context.store.account_url(ca.name(), ca.directory_url()).await?;
            let identities =
                if identities.is_empty() { ca.caa_identities().await } else { Ok(identities.clone()) };
            worst = match identities {
                Ok(identities) => self.preflight.caa(name, found, &identities, url.as_deref()).await,
                Err(AcmeError::Paused(pause)) => Verdict::Paused(pause),
                Err(problem) => Verdict::CouldNotAsk(format!("{}: {problem}", ca.name())),
            };
            if worst == Verdict::Fine(()) {
                break;
            }
        }
        Ok(worst)
    }

    /// Whether the challenge path leads to us; none where it is not rehearsed.
    async fn path(&self, name: &DomainName) -> Result<Option<Verdict<()>>, StoreError> {
        let Context { store, clock, entropy, .. } = &self.context;
        let Some(probe) = self.preflight.probe(&**entropy) else {
            return Ok(None);
        };
        let mut tx = store.begin("check_probe").await?;
        tx.put_probe(name, ProbeOf::Check, &probe.token, &probe.answer).await?;
        tx.commit().await?;
        let verdict = self.preflight.rehearse(name, &probe, &**clock).await;
        let is_still_ours = store.key_authorization(name, &probe.token).await?.is_some();
        let mut tx = store.begin("check_done").await?;
        if is_still_ours {
            tx.drop_probe(name, ProbeOf::Check).await?;
        }
        tx.commit().await?;
        Ok(Some(match verdict {
            Verdict::Blocked(_) if !is_still_ours => {
                Verdict::CouldNotAsk("another check of this domain ran at the same moment".to_owned())
            }
            verdict => verdict,
        }))
    }
}

/// Adds the step that the verdict is about; what was found, if it is fine.
fn note<T>(
    steps: &mut Vec<v1::CheckStep>,
    name: &DomainName,
    verdict: Verdict<T>,
    found: impl for<'a> FnOnce(&'a T) -> &'a str,
) -> Option<T> {
    let mut step = v1::CheckStep { step: STEPS[steps.len()].to_owned(), ..v1::CheckStep::default() };
    let (outcome, reason) = match &verdict {
        Verdict::Fine(fine) => {
            found(fine).clone_into(&mut step.found);
            (v1::CheckOutcome::Fine, None)
        }
        Verdict::Blocked(reason) => (v1::CheckOutcome::Blocked, Some(reason.clone())),
        Verdict::UnknownToC4 => (v1::CheckOutcome::Blocked, Some(Reason::UnknownToC4)),
        Verdict::Paused(pause) => {
            let pause = (**pause).clone();
            (v1::CheckOutcome::CouldNotAsk, Some(Reason::PausedByOperator { pause }))
        }
        Verdict::CouldNotAsk(detail) | Verdict::DnsFails(DnsFails { detail, .. }) => {
            let detail = detail.clone();
            (v1::CheckOutcome::CouldNotAsk, Some(Reason::CouldNotAsk { detail }))
        }
    };
    step.set_outcome(outcome);
    if let Some(reason) = &reason {
        step.found = reason.found().unwrap_or_default();
        step.reason = Some(proto::reason(reason, name));
    }
    steps.push(step);
    match verdict {
        Verdict::Fine(fine) => Some(fine),
        _ => None,
    }
}
