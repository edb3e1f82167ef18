//! The part of an issuance that is spent at one CA: an order from its row to the stored certificate.
//!
//! Before each call to the CA, what is needed to go on without its answer is stored. So it does not matter where the
//! process dies: the next holder of the lease reads the order's row and goes on from there. An order that has a URL
//! is never placed again while it lives, and a certificate whose key we hold is downloaded, not ordered again.

use std::sync::Arc;
use std::time::Duration;

use acme::{AccountKey, AcmeError, AcmeOrder, OrderProgress, RenewalId, check_delivered};
use domain::{Activity, CertificateId, DomainName, Order, OrderState, Reason, WorkKind};
use jiff::{SignedDuration, Timestamp};
use runtime::{JobError, checkpoint};
use store::StoreError;

use crate::authority::Authority;
use crate::ending::Ending;
use crate::issuance::{Stop, ended, local, order_over};
use crate::journal::Journal;
use crate::{Issuer, keys};

/// First pause between two looks at an order; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long an issuance keeps its permit while the CA is at work; then it waits as a timer, so that domains whose
/// validation hangs do not starve the others.
const PATIENCE: SignedDuration = SignedDuration::from_secs(15);

/// Where a CA that is over its limits does not say how long.
const WITHOUT_RETRY_AFTER: Duration = Duration::from_hours(1);

/// An order of this attempt at a CA.
pub(crate) struct AtCa<'a> {
    pub(crate) issuer: &'a Issuer,
    pub(crate) authority: &'a Authority,
    pub(crate) account: Arc<AccountKey>,
    /// The account was looked up again in this attempt: what the CA refuses now, it refuses for another reason.
    pub(crate) is_reloaded: bool,
    pub(crate) name: &'a DomainName,
    pub(crate) journal: &'a Journal,
    /// Attempts before this one that ended alike.
    pub(crate) attempts: u32,
    /// What DNS answered to this attempt's preflight.
    pub(crate) dns: Option<String>,
    /// The certificate that the order replaces.
    pub(crate) replaces: Option<RenewalId>,
}

impl AtCa<'_> {
    /// Goes the way to the certificate; `order` is the row as it was stored last.
    pub(crate) async fn run(&self, order: &mut Order) -> Result<(), Stop> {
        let mut at_ca = self.place_or_resume(order).await?;
        self.authority.note(None, self.now());
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
            // Between two answers the CA went back: look again with the next attempt.
            _ => Err(still_at_it(Activity::WaitingForCa, None)),
        }
    }

    async fn place_or_resume(&self, order: &mut Order) -> Result<AcmeOrder, Stop> {
        if let Some(url) = order.state.url() {
            let resumed = self.authority.ca.resume(&self.account, url).await;
            return resumed.map_err(|error| self.trouble(error));
        }
        match self.place(order, self.replaces.as_ref()).await {
            Err(error) if error.is_already_replaced() => {
                if let Err(until) = self.journal.charge_renewal(self.authority).await? {
                    return Err(ended(Ending::limited(until)));
                }
                let placed = self.place(order, None).await;
                self.placed(order, placed).await
            }
            placed => self.placed(order, placed).await,
        }
    }

    async fn place(&self, order: &Order, replaces: Option<&RenewalId>) -> Result<AcmeOrder, AcmeError> {
        let journal = self.journal.placing(order);
        let ca = &self.authority.ca;
        ca.place(&self.account, self.name, replaces, journal).await
    }

    /// The URL is in the row even where the rest of the answer was of no use.
    async fn placed(
        &self,
        order: &mut Order,
        placed: Result<AcmeOrder, AcmeError>,
    ) -> Result<AcmeOrder, Stop> {
        let store = &self.issuer.context.store;
        let stored = store.live_order(self.name).await.map_err(JobError::from)?;
        // Only who takes the work away abandons its order.
        let lost = || StoreError::LeaseLost { kind: WorkKind::Issue.as_str(), name: self.name.to_string() };
        *order = stored.ok_or_else(lost).map_err(JobError::from)?;
        let error = match placed {
            Ok(placed) => return Ok(placed),
            Err(error) => error,
        };
        if error.is_rate_limited()
            && let AcmeError::Problem { detail, .. } = &error
        {
            let until = self.room_at(&error);
            self.journal.correct_budget(self.authority, detail, until).await?;
        }
        Err(self.trouble(error))
    }
    async fn prove_ownership(&self, order: &Order, at_ca: &mut AcmeOrder) -> Result<(), Stop> {
        if let Some(response) = at_ca.challenge().await.map_err(|error| self.trouble(error))? {
            self.journal.challenge(order, &response).await?;
            checkpoint("challenge-stored").await;
            let answer = at_ca.answer().await;
            // A second answer is a nudge, for a CA that looked while we were away. It may come too late to be taken.
            if !response.answered {
                answer.map_err(|error| self.trouble(error))?;
            }
            checkpoint("challenge-answered").await;
        }
        self.wait_while(at_ca, OrderProgress::Pending, Activity::Validating).await
    }

    async fn finalize(&self, order: &mut Order, at_ca: &mut AcmeOrder) -> Result<(), Stop> {
        if let OrderState::Placed { .. } = order.state {
            let Issuer { context, keys: sealing_keys, .. } = self.issuer;
            let (name, algorithm) = (self.name.clone(), context.config.issuer.key_algorithm);
            let made = tokio::task::spawn_blocking(move || keys::make(&name, algorithm)).await;
            let key = made.map_err(|error| local(&error))?.map_err(|error| local(&error))?;
            let certificate = CertificateId::new(&*context.clock, &*context.entropy);
            let sealed = sealing_keys
                .seal(&certificate.to_string(), &key.pkcs8)
                .await
                .map_err(|error| local(&error))?;
            self.journal.keyed(order, certificate, sealed, key.csr).await?;
            checkpoint("key-sealed").await;
        }
        let OrderState::Keyed { csr, .. } = &order.state else {
            return Ok(());
        };
        at_ca.finalize(csr).await.map(drop).map_err(|error| self.trouble(error))
    }

    async fn download(&self, order: &mut Order, at_ca: &mut AcmeOrder) -> Result<(), Stop> {
        let OrderState::Keyed { certificate, sealed_key, .. } = &order.state else {
            // Valid, but not by a key of ours: nobody can use that certificate.
            return Err(order_over(Ending::StillAtIt { activity: Activity::Retrying, not_before: None }));
        };
        let chain = at_ca.certificate().await.map_err(|error| self.trouble(error))?;
        checkpoint("certificate-downloaded").await;
        let pkcs8 = self
            .issuer
            .keys
            .unseal(&certificate.to_string(), sealed_key)
            .await
            .map_err(|error| local(&error))?;
        let public_key = keys::public_key_der(&pkcs8).map_err(|error| local(&error))?;
        match check_delivered(&chain, self.name, &public_key, self.now()) {
            Ok(delivered) => {
                self.journal.issued(order.id, delivered).await?;
                checkpoint("certificate-stored").await;
                Ok(())
            }
            Err(error) => {
                let reason = Reason::CertificateRejected { detail: error.to_string() };
                Err(order_over(Ending::Blocked(reason)))
            }
        }
    }

    /// Looks at the order, less and less often, until it is something else than `while_progress`.
    async fn wait_while(
        &self,
        at_ca: &mut AcmeOrder,
        while_progress: OrderProgress,
        activity: Activity,
    ) -> Result<(), Stop> {
        let until = self.now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        while at_ca.progress() == while_progress {
            let wait = at_ca.retry_after().unwrap_or(pause);
            let next_look = later(self.now(), wait);
            if next_look > until {
                return Err(still_at_it(activity, Some(next_look)));
            }
            self.issuer.context.clock.sleep(wait).await;
            at_ca.refresh().await.map_err(|error| self.trouble(error))?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        if at_ca.progress() == OrderProgress::Invalid { Err(self.invalid(at_ca).await) } else { Ok(()) }
    }

    /// The CA ended the order.
    async fn invalid(&self, at_ca: &mut AcmeOrder) -> Stop {
        let why = match at_ca.why_invalid().await {
            Ok(why) => why,
            Err(error) => return self.trouble(error),
        };
        match why {
            acme::WhyInvalid::Challenge { problem, detail } => order_over(Ending::ChallengeInvalid {
                reason: Reason::ChallengeInvalid { problem, detail },
                dns: self.dns.clone(),
            }),
            // An order that ran out ends like this; a fresh one is tried before anybody is blamed.
            acme::WhyInvalid::Order { .. } | acme::WhyInvalid::Unexplained if self.attempts == 0 => {
                order_over(Ending::StillAtIt { activity: Activity::Retrying, not_before: None })
            }
            acme::WhyInvalid::Order { problem, detail } => {
                order_over(Ending::Blocked(Reason::OrderRejected { problem, detail }))
            }
            acme::WhyInvalid::Unexplained => order_over(Ending::Blocked(Reason::OrderRejected {
                problem: "invalid".to_owned(),
                detail: "the order became invalid without a reason".to_owned(),
            })),
        }
    }

    /// What an error of the CA means for this attempt.
    pub(crate) fn trouble(&self, error: AcmeError) -> Stop {
        if !self.is_reloaded && error.may_be_the_accounts_key() {
            return Stop::Account(error);
        }
        self.authority.note(Some(&error), self.now());
        let not_before = error.retry_after().map(|wait| later(self.now(), wait));
        if error.is_rate_limited() {
            return ended(Ending::limited(self.room_at(&error)));
        }
        if error.is_gone() {
            return order_over(Ending::StillAtIt { activity: Activity::Retrying, not_before });
        }
        if error.is_order_not_ready() {
            return still_at_it(Activity::WaitingForCa, not_before);
        }
        if error.is_refusal()
            && let AcmeError::Problem { problem, detail, .. } = error
        {
            return order_over(Ending::Blocked(Reason::OrderRejected { problem, detail }));
        }
        match error {
            AcmeError::Store(error) => Stop::Job(error.into()),
            error @ AcmeError::Local(_) => local(&error),
            error => ended(Ending::ca_down(error.to_string(), not_before)),
        }
    }

    /// When a CA that is over its limits may be asked again.
    fn room_at(&self, error: &AcmeError) -> Timestamp {
        let wait = error.retry_after().unwrap_or(WITHOUT_RETRY_AFTER);
        later(self.now(), wait)
    }

    fn now(&self) -> Timestamp {
        self.issuer.context.clock.now()
    }
}

fn later(now: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    now.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

fn still_at_it(activity: Activity, not_before: Option<Timestamp>) -> Stop {
    ended(Ending::StillAtIt { activity, not_before })
}
