//! The part of an issuance at one CA: from the order's row to the stored certificate.
//!
//! Before each request to the CA, everything needed to continue without its answer is stored. So the process may die
//! at any point: the next holder of the lease reads the order's row and continues from there. An order that has a URL
//! is never placed again while it is live, and a certificate whose key we hold is downloaded, not ordered again.

use std::sync::Arc;
use std::time::Duration;

use acme::{
    AccountKey, AcmeError, AcmeOrder, Meaning, OrderProgress, Proof, RenewalId, RequestKind, check_delivered,
};
use domain::budget::LimitKind;
use domain::{Activity, DomainName, Order, Reason};
use jiff::{SignedDuration, Timestamp};
use runtime::checkpoint;
use seal::SealError;
use store::Finished;

use crate::IssuerRole;
use crate::answers::Request;
use crate::ending::Ending;
use crate::issuer::Issuer;
use crate::journal::Journal;
use crate::stop::{Stop, another_order, ended, local};
use crate::turn::Turn;

/// First pause between two polls of an order; doubled each time. It is the minimum, whatever Retry-After says.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// From this pause on, the authorization is polled as well: some CAs leave an order pending after its challenge has
/// failed.
const AUTHORIZATION_PAUSE: Duration = Duration::from_secs(1);
/// Longest wait between two polls of an order, whatever Retry-After says.
const MAX_LOOK_WAIT: Duration = Duration::from_hours(1);
/// How long an issuance keeps its permit while the CA is working; then it waits as a timer, so that domains whose
/// validation hangs do not starve the others.
const PATIENCE: SignedDuration = SignedDuration::from_secs(15);

/// An order of this attempt at a CA.
pub(crate) struct AtCa<'a> {
    pub(crate) role: &'a IssuerRole,
    pub(crate) issuer: &'a Issuer,
    pub(crate) account: Arc<AccountKey>,
    /// The account was looked up again in this attempt, so a further refusal by the CA has another reason.
    pub(crate) is_reloaded: bool,
    pub(crate) name: &'a DomainName,
    pub(crate) journal: &'a Journal,
    /// Previous attempts that ended in the same way.
    pub(crate) attempts: u32,
    /// The reason that the last of them ended with.
    pub(crate) before: Option<Reason>,
    /// The CA's number of refusals when this attempt was let through.
    pub(crate) refusals: u64,
    /// The order's row is from an earlier attempt, which may have requested the order from the CA.
    pub(crate) is_resumed: bool,
    /// CAA identities of this CA; empty if the CA was not asked for them.
    pub(crate) identities: Vec<String>,
    /// The DNS answer of this attempt's preflight.
    pub(crate) dns: Option<String>,
    /// The certificate that the order replaces.
    pub(crate) replaces: Option<RenewalId>,
}

impl AtCa<'_> {
    /// Takes the order to the stored certificate; `order` is the row as last stored.
    pub(crate) async fn run(&self, order: &mut Order) -> Result<Finished, Stop> {
        let mut at_ca = self.place_or_resume(order).await?;
        self.issuer.note(None, self.now());
        checkpoint("order-placed").await;
        if at_ca.progress() == OrderProgress::Pending {
            self.prove_ownership(order, &mut at_ca).await?;
        }
        if at_ca.progress() == OrderProgress::Ready {
            checkpoint("authorization-valid").await;
            self.finalize(order, &mut at_ca).await?;
            checkpoint("finalized").await;
        }
        self.wait_while(&mut at_ca, OrderProgress::Processing, Activity::WaitingForCa).await?;
        match at_ca.progress() {
            OrderProgress::Valid => self.download(order, &mut at_ca).await,
            OrderProgress::Invalid => Err(self.invalid(&mut at_ca).await),
            // The CA's state went back between two answers: poll again in the next attempt.
            _ => Err(still_at_it(Activity::WaitingForCa, None)),
        }
    }

    async fn place_or_resume(&self, order: &mut Order) -> Result<AcmeOrder, Stop> {
        if self.is_resumed && order.state.url().is_none() {
            let known = self.role.context.store.order_urls(self.name).await;
            let known = known.map_err(|error| Stop::Job(error.into()))?;
            match self.issuer.ca.find_order(&self.account, self.name, &known).await {
                Ok(Some(url)) => self.journal.found(order, &url).await?,
                Ok(None) => {}
                // A CA that does not show its list of orders may accept an order all the same.
                Err(error) if self.is_reloaded && error.is_refusal() => {}
                Err(error) => return Err(self.trouble(error, Request::Look)),
            }
        }
        if let Some(url) = order.state.url() {
            return self.look(self.issuer.ca.resume(&self.account, url).await);
        }
        let turn = self.issuer.turn(self.refusals, &*self.role.context.clock).await;
        let turn = turn.map_err(|error| self.trouble(error, Request::NewOrder))?;
        let placed = match self.place(order, self.replaces.as_ref(), &turn).await {
            Err(error)
                if self.replaces.is_some()
                    && order.state.url().is_none()
                    && error.may_be_the_replacement() =>
            {
                tracing::info!(
                    error = &error as &dyn std::error::Error,
                    "the CA takes no order that replaces the certificate: ordered without that"
                );
                if let Err(wait) = self.journal.charge(&self.issuer.charge(order.id, self.name)).await? {
                    return Err(ended(Ending::queued(wait, self.issuer.name())));
                }
                self.place(order, None, &turn).await
            }
            placed => placed,
        };
        self.placed(order, placed).await.map_err(|stop| stop.within(turn))
    }

    /// Places the order. The URL is stored in the row even if the rest of the answer is unusable.
    async fn place(
        &self,
        order: &mut Order,
        replaces: Option<&RenewalId>,
        turn: &Turn,
    ) -> Result<AcmeOrder, AcmeError> {
        let journal = self.journal.order_url(order, turn);
        let answer = self.issuer.ca.place(&self.account, self.name, replaces, journal.clone()).await;
        if let Some(placed) = journal.placed() {
            *order = placed;
        }
        answer
    }

    /// Handles the answer to new-order. An order that has a URL is polled, whatever else the answer was.
    async fn placed(&self, order: &Order, placed: Result<AcmeOrder, AcmeError>) -> Result<AcmeOrder, Stop> {
        let error = match placed {
            Ok(placed) => {
                self.issuer.accepted();
                return Ok(placed);
            }
            Err(error @ (AcmeError::Paused(_) | AcmeError::Store(_))) => {
                return Err(self.trouble(error, Request::NewOrder));
            }
            Err(error) => error,
        };
        if let Some(url) = order.state.url() {
            self.issuer.accepted();
            return self.look(self.issuer.ca.resume(&self.account, url).await);
        }
        let meaning = error.as_problem().map(|problem| problem.meaning(RequestKind::NewOrder));
        if meaning.is_some_and(|meaning| meaning != Meaning::CasTrouble) {
            self.journal.not_taken(order).await?;
        }
        if error.is_rate_limited()
            && let Some(problem) = error.as_problem()
            && meaning == Some(Meaning::Limited)
        {
            let until = self.room_at(&error);
            let detail = problem.about(self.name).detail;
            self.journal.correct_budget(self.issuer, &detail, until).await?;
            let is_of_the_account = LimitKind::named_in(&detail) == Some(LimitKind::NewOrders);
            if is_of_the_account && self.issuer.limits.new_orders.is_none() {
                self.issuer.breaker.limited(problem, until);
            }
        }
        Err(self.trouble(error, Request::NewOrder))
    }

    async fn prove_ownership(&self, order: &Order, at_ca: &mut AcmeOrder) -> Result<(), Stop> {
        match self.look(at_ca.challenge().await)? {
            Proof::Done => {}
            Proof::Invalid(problem) => return Err(self.challenge_failed(&problem)),
            Proof::NotOffered => return Err(Self::no_challenge()),
            Proof::Wanted(response) => {
                self.journal.challenge(order, &response).await?;
                checkpoint("challenge-stored").await;
                let answer = at_ca.answer().await;
                // Answering again is a nudge for a CA that polled while this process was down; the CA may refuse it
                // as too late.
                if let Err(error) = answer
                    && !response.answered
                {
                    self.answer_refused(at_ca, error).await?;
                }
                checkpoint("challenge-answered").await;
            }
        }
        self.wait_while(at_ca, OrderProgress::Pending, Activity::Validating).await
    }

    /// The CA refused the answer to a challenge. It may have been too late: the CA validated by itself, or our first
    /// request did arrive. So the challenge's present state decides.
    async fn answer_refused(&self, at_ca: &mut AcmeOrder, error: AcmeError) -> Result<(), Stop> {
        if !error.is_refusal() {
            return Err(self.trouble(error, Request::Change));
        }
        if let Some(problem) = self.look(at_ca.invalid_challenge().await)? {
            return Err(self.challenge_failed(&problem));
        }
        match self.look(at_ca.challenge().await)? {
            Proof::Wanted(response) if !response.answered => Err(self.trouble(error, Request::Change)),
            _ => self.look(at_ca.refresh().await).map(drop),
        }
    }

    async fn finalize(&self, order: &Order, at_ca: &mut AcmeOrder) -> Result<(), Stop> {
        let Some(key) = order.state.key() else {
            return Err(another_order());
        };
        let Err(error) = at_ca.finalize(&key.csr).await else {
            return Ok(());
        };
        if let AcmeError::Paused(_) | AcmeError::Store(_) | AcmeError::Local(_) = error {
            return Err(self.trouble(error, Request::Change));
        }
        // The order's state says whether finalize arrived; the answer does not.
        match at_ca.refresh().await {
            Ok(OrderProgress::Pending | OrderProgress::Ready) => Err(self.trouble(error, Request::Change)),
            Ok(_) => Ok(()),
            Err(unseen) => Err(self.trouble(unseen, Request::Look)),
        }
    }

    async fn download(&self, order: &Order, at_ca: &mut AcmeOrder) -> Result<Finished, Stop> {
        let Some(key) = order.state.key() else {
            return Err(another_order());
        };
        let chain = self.look(at_ca.certificate().await)?;
        checkpoint("certificate-downloaded").await;
        let public_key = x509::csr_public_key(&key.csr).ok_or_else(|| local(&SealError::Format))?;
        match check_delivered(&chain, self.name, &public_key, self.now()) {
            Ok(delivered) => {
                let finished = self.journal.issued(self.issuer, order, &delivered).await?;
                checkpoint("certificate-stored").await;
                Ok(finished)
            }
            Err(error) if error.is_unreadable() => Err(self.unreadable(&error)),
            Err(error) => Err(self.rejected(&error)),
        }
    }

    /// Polls the order at growing intervals until its progress is no longer `while_progress`.
    async fn wait_while(
        &self,
        at_ca: &mut AcmeOrder,
        while_progress: OrderProgress,
        activity: Activity,
    ) -> Result<(), Stop> {
        let until = self.now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        while at_ca.progress() == while_progress {
            let asked = at_ca.retry_after().unwrap_or_default().min(MAX_LOOK_WAIT);
            let wait = asked.max(pause);
            let next_look = later(self.now(), wait);
            if next_look > until {
                return Err(still_at_it(activity, Some(next_look)));
            }
            self.role.context.clock.sleep(wait).await;
            self.look(at_ca.refresh().await)?;
            if while_progress == OrderProgress::Pending
                && at_ca.progress() == while_progress
                && pause >= AUTHORIZATION_PAUSE
                && let Some(problem) = self.look(at_ca.invalid_challenge().await)?
            {
                return Err(self.challenge_failed(&problem));
            }
            pause = (pause * 2).min(MAX_PAUSE);
        }
        if at_ca.progress() == OrderProgress::Invalid { Err(self.invalid(at_ca).await) } else { Ok(()) }
    }

    /// The CA ended the order.
    async fn invalid(&self, at_ca: &mut AcmeOrder) -> Stop {
        match at_ca.why_invalid().await {
            Ok(why) => self.order_invalid(why),
            Err(error) => {
                self.look::<()>(Err(error)).err().unwrap_or_else(|| still_at_it(Activity::WaitingForCa, None))
            }
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.role.context.clock.now()
    }
}

pub(crate) fn later(now: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    now.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

pub(crate) fn still_at_it(activity: Activity, not_before: Option<Timestamp>) -> Stop {
    ended(Ending::StillAtIt { activity, not_before })
}
