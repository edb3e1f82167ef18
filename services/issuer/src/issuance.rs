//! One issuance, from the claim to the stored certificate, as one function that can be read from top to bottom.
//!
//! Before each call to the CA, what is needed to go on without its answer is stored. So it does not matter where the
//! process dies: the next holder of the lease reads the order's row and goes on from there. An order that has a URL
//! is never placed again while it lives, and a certificate whose key we hold is downloaded, not ordered again.

use std::time::Duration;

use acme::{AcmeError, AcmeOrder, OrderProgress, check_delivered};
use domain::{Activity, CertificateId, DomainName, Lease, Order, OrderState, Reason};
use jiff::{SignedDuration, Timestamp};
use runtime::{JobError, checkpoint};
use zeroize::Zeroizing;

use crate::journal::{Begun, Ending, Journal};
use crate::preflight::Verdict;
use crate::{Issuer, keys};

/// First pause between two looks at an order; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long an issuance keeps its permit while the CA is at work; then it waits as a timer, so that domains whose
/// validation hangs do not starve the others.
const PATIENCE: SignedDuration = SignedDuration::from_secs(15);

pub(crate) struct Issuance<'a> {
    issuer: &'a Issuer,
    name: &'a DomainName,
    attempts: u32,
    journal: Journal,
}

/// Why the way to the certificate ends here.
enum Stop {
    /// The journal did not take a step.
    Job(JobError),
    /// The attempt is over; if `order_over`, so is the order.
    Ended { ending: Ending, order_over: bool },
}

impl From<JobError> for Stop {
    fn from(error: JobError) -> Self {
        Self::Job(error)
    }
}

impl<'a> Issuance<'a> {
    pub(crate) fn new(issuer: &'a Issuer, lease: &'a Lease) -> Self {
        let journal = Journal::new(&issuer.context, lease);
        Self {
            issuer,
            name: &lease.work.name,
            attempts: lease.work.attempts,
            journal,
        }
    }

    pub(crate) async fn run(&self) -> Result<(), JobError> {
        let store = &self.issuer.context.store;
        if store.domain(self.name).await?.is_none() {
            return self.journal.nothing_to_do().await;
        }
        let mut order = store.live_order(self.name).await?;
        match self.order(&mut order).await {
            Ok(()) => Ok(()),
            Err(Stop::Job(error)) => Err(error),
            Err(Stop::Ended { ending, order_over }) => {
                self.journal.ended(order.filter(|_| order_over), ending).await
            }
        }
    }

    async fn order(&self, slot: &mut Option<Order>) -> Result<(), Stop> {
        if slot.as_ref().and_then(|order| order.state.url()).is_none() {
            self.preflight().await?;
            checkpoint("preflight-passed").await;
        }
        let account = self.issuer.account().await.map_err(|error| self.trouble(error))?;
        checkpoint("account-ready").await;
        if slot.is_none() {
            match self.journal.begin_order(account).await? {
                Begun::AlreadyIssued => return Ok(()),
                Begun::Order(order) => *slot = Some(order),
            }
            checkpoint("order-created").await;
        }
        let Some(order) = slot.as_mut() else { return Ok(()) };

        let mut at_ca = self.place_or_resume(order).await?;
        checkpoint("order-placed").await;
        if at_ca.progress() == OrderProgress::Pending {
            self.prove_ownership(order, &mut at_ca).await?;
        }
        if at_ca.progress() == OrderProgress::Ready {
            checkpoint("authorization-valid").await;
            self.finalize(order, &mut at_ca).await?;
            checkpoint("finalized").await;
        }
        self.wait_while(&mut at_ca, OrderProgress::Processing, Activity::WaitingForCa)
            .await?;
        match at_ca.progress() {
            OrderProgress::Valid => self.download(order, &mut at_ca).await,
            OrderProgress::Invalid => Err(self.invalid(&mut at_ca).await),
            // Between two answers the CA went back: look again with the next attempt.
            _ => Err(still_at_it(Activity::WaitingForCa, None)),
        }
    }

    async fn preflight(&self) -> Result<(), Stop> {
        match self.issuer.preflight.ask(self.name).await {
            Verdict::Fine => Ok(()),
            Verdict::Blocked(reason) => Err(ended(Ending::Blocked(reason))),
            Verdict::UnknownToC4 => Err(ended(Ending::UnknownToC4)),
            Verdict::CouldNotAsk(detail) => Err(ended(Ending::Waiting {
                reason: Reason::CouldNotAsk { detail },
                not_before: None,
            })),
        }
    }

    async fn place_or_resume(&self, order: &mut Order) -> Result<AcmeOrder, Stop> {
        let account = self.issuer.account().await.map_err(|error| self.trouble(error))?;
        let ca = &self.issuer.ca;
        if let Some(url) = order.state.url() {
            return ca.resume(account, url).await.map_err(|error| self.trouble(error));
        }
        let placed = ca.place(account, self.name, self.journal.placing(order)).await;
        // The URL is in the row even where the rest of the answer was of no use.
        let stored = self
            .issuer
            .context
            .store
            .live_order(self.name)
            .await
            .map_err(JobError::from)?;
        *order = stored.ok_or_else(|| JobError::Other("the order is gone".to_owned()))?;
        placed.map_err(|error| self.trouble(error))
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
        self.wait_while(at_ca, OrderProgress::Pending, Activity::Validating)
            .await
    }

    async fn finalize(&self, order: &mut Order, at_ca: &mut AcmeOrder) -> Result<(), Stop> {
        if let OrderState::Placed { .. } = order.state {
            let Issuer {
                context,
                keys: sealing_keys,
                ..
            } = self.issuer;
            let key = keys::make(self.name).map_err(|error| local(&error))?;
            let certificate = CertificateId::new(&*context.clock, &*context.entropy);
            let sealed = sealing_keys
                .seal(&certificate.to_string(), &key.pkcs8)
                .map_err(|error| local(&error))?;
            self.journal.keyed(order, certificate, sealed, key.csr).await?;
            checkpoint("key-sealed").await;
        }
        let OrderState::Keyed { csr, .. } = &order.state else {
            return Ok(());
        };
        at_ca
            .finalize(csr)
            .await
            .map(drop)
            .map_err(|error| self.trouble(error))
    }

    async fn download(&self, order: &mut Order, at_ca: &mut AcmeOrder) -> Result<(), Stop> {
        let OrderState::Keyed {
            certificate,
            sealed_key,
            ..
        } = &order.state
        else {
            // Valid, but not by a key of ours: nobody can use that certificate.
            return Err(order_over(Ending::StillAtIt {
                activity: Activity::Retrying,
                not_before: None,
            }));
        };
        let chain = at_ca.certificate().await.map_err(|error| self.trouble(error))?;
        checkpoint("certificate-downloaded").await;
        let pkcs8: Zeroizing<Vec<u8>> = self
            .issuer
            .keys
            .unseal(&certificate.to_string(), sealed_key)
            .map_err(|error| local(&error))?;
        let public_key = keys::public_key_der(&pkcs8).map_err(|error| local(&error))?;
        match check_delivered(&chain, self.name, &public_key, self.now()) {
            Ok(delivered) => {
                self.journal.issued(order.clone(), delivered).await?;
                checkpoint("certificate-stored").await;
                Ok(())
            }
            Err(error) => {
                let reason = Reason::CertificateRejected {
                    detail: error.to_string(),
                };
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
        if at_ca.progress() == OrderProgress::Invalid {
            Err(self.invalid(at_ca).await)
        } else {
            Ok(())
        }
    }

    /// The CA ended the order.
    async fn invalid(&self, at_ca: &mut AcmeOrder) -> Stop {
        let why = match at_ca.why_invalid().await {
            Ok(why) => why,
            Err(error) => return self.trouble(error),
        };
        match why {
            acme::WhyInvalid::Challenge { problem, detail } => {
                order_over(Ending::Blocked(Reason::ChallengeInvalid { problem, detail }))
            }
            // An order that ran out ends like this; a fresh one is tried before anybody is blamed.
            acme::WhyInvalid::Order { .. } | acme::WhyInvalid::Unexplained if self.attempts == 0 => {
                order_over(Ending::StillAtIt {
                    activity: Activity::Retrying,
                    not_before: None,
                })
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
    fn trouble(&self, error: AcmeError) -> Stop {
        let not_before = error.retry_after().map(|wait| later(self.now(), wait));
        if error.is_rate_limited() {
            let until = not_before.unwrap_or_else(|| self.now() + SignedDuration::from_hours(1));
            let reason = Reason::CaLimited { until };
            return ended(Ending::Waiting {
                reason,
                not_before: Some(until),
            });
        }
        if error.is_gone() {
            return order_over(Ending::StillAtIt {
                activity: Activity::Retrying,
                not_before,
            });
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
            error => ended(Ending::Waiting {
                reason: Reason::CaDown {
                    detail: error.to_string(),
                },
                not_before,
            }),
        }
    }

    fn now(&self) -> Timestamp {
        self.issuer.context.clock.now()
    }
}

fn later(now: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    now.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

fn ended(ending: Ending) -> Stop {
    Stop::Ended {
        ending,
        order_over: false,
    }
}

fn order_over(ending: Ending) -> Stop {
    Stop::Ended {
        ending,
        order_over: true,
    }
}

fn still_at_it(activity: Activity, not_before: Option<Timestamp>) -> Stop {
    ended(Ending::StillAtIt { activity, not_before })
}

/// Trouble of our own: it stands in the log, and the domain is tried again soon.
fn local(error: &(dyn std::error::Error + 'static)) -> Stop {
    tracing::error!(error, "issuance cannot go on");
    let reason = Reason::CouldNotAsk {
        detail: "trouble on our side, see the log".to_owned(),
    };
    ended(Ending::Waiting {
        reason,
        not_before: None,
    })
}
