//! The steps of an issuance as the store sees them: each is one transaction that holds the lease's fencing token.
//!
//! Whoever does not hold the lease any more, or works for an older revision of the name, changes nothing here.

use std::sync::Arc;

use acme::{AccountKey, ChallengeResponse, Delivered, OrderJournal};
use async_trait::async_trait;
use domain::{
    Activity, Cause, CertificateId, CertificateSummary, Domain, EventKind, HistoryKind, Lease, Order,
    OrderId, OrderState, PreExpiry, Reason, Retry, Source, Work, WorkKind, renewal_point,
};
use jiff::Timestamp;
use runtime::{Context, JobError, checkpoint};
use store::{Certificate, Challenge, Entry, StoreError, Tx};

const ACTOR: &str = "issuer";

/// The journal of one issuance.
#[derive(Clone)]
pub(crate) struct Journal {
    context: Context,
    lease: Lease,
}

/// What to do once the order row is asked for.
pub(crate) enum Begun {
    /// Go on with this order.
    Order(Order),
    /// A certificate is there and only has to be uploaded; the lease is ended.
    AlreadyIssued,
}

impl Journal {
    pub(crate) fn new(context: &Context, lease: &Lease) -> Self {
        Self {
            context: context.clone(),
            lease: lease.clone(),
        }
    }

    /// Opens a step: a transaction that holds the lease, and the domain's row.
    async fn open(&self, step: &'static str) -> Result<(Box<dyn Tx>, Domain), JobError> {
        let mut tx = self.context.store.begin(step).await?;
        let domain = tx.fence(&self.lease).await?;
        Ok((tx, domain))
    }

    async fn publish(&self, tx: &mut dyn Tx, kind: EventKind) -> Result<(), StoreError> {
        let work = &self.lease.work;
        self.context.publish(tx, kind, &work.name, work.revision).await
    }

    /// The order row before new-order; or none, where an issued certificate only has to be uploaded.
    pub(crate) async fn begin_order(&self, account: &AccountKey) -> Result<Begun, JobError> {
        let (mut tx, domain) = self.open("order_created").await?;
        let now = self.context.clock.now();
        if let Some(certificate) = tx.newest_generated(&domain.name, now).await?
            && certificate.uploaded_at.is_none()
            && certificate.revision == domain.revision
            && certificate.sealed_key.is_some()
            && now < self.renewal_point(&certificate.summary)
        {
            self.hand_over(&mut *tx, &domain, certificate.id(), None).await?;
            tx.commit().await?;
            return Ok(Begun::AlreadyIssued);
        }
        let order = Order {
            id: OrderId::new(&*self.context.clock, &*self.context.entropy),
            name: domain.name.clone(),
            revision: domain.revision,
            account: account.id,
            created_at: now,
            state: OrderState::Created,
        };
        tx.insert_order(&order).await?;
        let after = domain.clone().clear()?.doing(Activity::WaitingForCa, None)?;
        self.context.apply(&mut *tx, &domain, &after, None).await?;
        tx.commit().await?;
        Ok(Begun::Order(order))
    }

    /// Writes an order's next state.
    async fn update_order(
        &self,
        tx: &mut dyn Tx,
        order: &mut Order,
        next: OrderState,
    ) -> Result<(), JobError> {
        let from = order.state.as_str();
        order.state = next;
        Ok(tx.update_order(order, from).await?)
    }

    /// The hook through which the order's URL is stored the moment it is known.
    pub(crate) fn placing(&self, order: &Order) -> Arc<dyn OrderJournal> {
        Arc::new(Placing {
            journal: self.clone(),
            order: order.clone(),
        })
    }

    /// The challenge response, before the CA is told to look.
    pub(crate) async fn challenge(
        &self,
        order: &Order,
        response: &ChallengeResponse,
    ) -> Result<(), JobError> {
        let (mut tx, domain) = self.open("challenge_stored").await?;
        tx.put_challenge(&Challenge {
            host: domain.name.clone(),
            token: response.token.clone(),
            key_authorization: response.key_authorization.clone(),
            order: order.id,
            created_at: self.context.clock.now(),
        })
        .await?;
        let after = domain.clone().doing(Activity::Validating, None)?;
        self.context.apply(&mut *tx, &domain, &after, None).await?;
        self.publish(&mut *tx, EventKind::ChallengeReady).await?;
        Ok(tx.commit().await?)
    }

    /// Sealed key and CSR, before finalize.
    pub(crate) async fn keyed(
        &self,
        order: &mut Order,
        certificate: CertificateId,
        sealed_key: Vec<u8>,
        csr: Vec<u8>,
    ) -> Result<(), JobError> {
        let (mut tx, _) = self.open("order_keyed").await?;
        let next = order.state.clone().keyed(certificate, sealed_key, csr)?;
        self.update_order(&mut *tx, order, next).await?;
        Ok(tx.commit().await?)
    }

    /// The certificate with its sealed key; the upload is due, and the lease is ended.
    pub(crate) async fn issued(&self, mut order: Order, delivered: Delivered) -> Result<(), JobError> {
        let OrderState::Keyed {
            certificate: id,
            sealed_key,
            ..
        } = order.state.clone()
        else {
            return Err(JobError::Other(
                "a certificate for an order without a key".to_owned(),
            ));
        };
        let (mut tx, domain) = self.open("certificate_issued").await?;
        let certificate = Certificate {
            summary: CertificateSummary {
                id,
                sha256: delivered.sha256,
                serial: delivered.serial,
                issuer: delivered.issuer,
                not_before: delivered.not_before,
                not_after: delivered.not_after,
                source: Source::C4,
            },
            name: domain.name.clone(),
            revision: domain.revision,
            chain_pem: delivered.chain_pem,
            sealed_key: Some(sealed_key),
            created_at: self.context.clock.now(),
            uploaded_at: None,
        };
        tx.insert_certificate(&certificate).await?;
        let next = order.state.clone().issued()?;
        self.update_order(&mut *tx, &mut order, next).await?;
        tx.drop_challenges(order.id).await?;
        let entry = Entry {
            kind: HistoryKind::CertificateIssued,
            actor: ACTOR,
            message: format!(
                "Issued by {}, valid until {}.",
                certificate.summary.issuer, delivered.not_after
            ),
            certificate_sha256: Some(certificate.summary.sha256.clone()),
        };
        self.hand_over(&mut *tx, &domain, id, Some(entry)).await?;
        tx.commit().await?;
        metrics::counter!("ssl_manager_certificates_issued_total").increment(1);
        Ok(())
    }

    /// Makes the upload due and ends the lease.
    async fn hand_over(
        &self,
        tx: &mut dyn Tx,
        domain: &Domain,
        certificate: CertificateId,
        entry: Option<Entry<'_>>,
    ) -> Result<(), JobError> {
        let after = domain.clone().doing(Activity::Issued, None)?;
        self.context.apply(tx, domain, &after, entry).await?;
        tx.schedule(&Work {
            name: domain.name.clone(),
            kind: WorkKind::Upload,
            revision: domain.revision,
            cause: Cause::Requested,
            attempts: 0,
            due_at: Some(self.context.clock.now()),
            certificate: Some(certificate),
        })
        .await?;
        tx.finish(&self.lease, None).await?;
        Ok(self.publish(tx, EventKind::CertIssued { certificate }).await?)
    }

    /// The work is of no use any more; the lease is ended.
    pub(crate) async fn nothing_to_do(&self) -> Result<(), JobError> {
        let mut tx = self.context.store.begin("issue_dropped").await?;
        tx.finish(&self.lease, None).await?;
        Ok(tx.commit().await?)
    }

    /// Ends the attempt: what was learnt, the order's end if it is over, and when the next attempt begins.
    pub(crate) async fn ended(&self, order: Option<Order>, ending: Ending) -> Result<(), JobError> {
        let (mut tx, domain) = self.open("issue_ended").await?;
        let now = self.context.clock.now();
        if let Some(mut order) = order {
            let next = order.state.clone().failed()?;
            self.update_order(&mut *tx, &mut order, next).await?;
            tx.drop_challenges(order.id).await?;
        }
        let reason = ending.reason();
        let again = domain.reason().map(|reason| reason.code()) == reason.as_ref().map(Reason::code);
        let attempts = if again { self.lease.work.attempts + 1 } else { 1 };
        let due_at = ending
            .retry()
            .due(attempts, now)
            .map(|due_at| due_at.max(ending.not_before(now)));
        let after = ending.change(domain.clone(), now)?;
        let entry = (!again).then(|| {
            let message = reason
                .as_ref()
                .map_or_else(String::new, |reason| reason.message(&domain.name));
            Entry::new(ending.history(), ACTOR, message)
        });
        self.context
            .apply(
                &mut *tx,
                &domain,
                &after,
                entry.filter(|entry| !entry.message.is_empty()),
            )
            .await?;
        let next = Work {
            cause: Cause::Retry,
            attempts,
            due_at,
            ..self.lease.work.clone()
        };
        tx.finish(&self.lease, Some(&next)).await?;
        self.publish(&mut *tx, EventKind::IssueFailed).await?;
        tx.commit().await?;
        let code = reason.as_ref().map_or("waiting", Reason::code);
        metrics::counter!("ssl_manager_issue_attempts_ended_total", "reason" => code).increment(1);
        tracing::info!(
            reason = code,
            next_attempt_at = due_at.map(|at| at.to_string()),
            "attempt ended"
        );
        Ok(())
    }

    fn renewal_point(&self, certificate: &CertificateSummary) -> Timestamp {
        let pre_expiry = PreExpiry::days(self.context.config.renewal.pre_expiry_days);
        renewal_point(certificate.not_before, certificate.not_after, pre_expiry)
    }
}

/// How an attempt ended without a certificate.
#[derive(Debug)]
pub(crate) enum Ending {
    /// Verification cannot succeed as things are.
    Blocked(Reason),
    /// C4 does not know the domain.
    UnknownToC4,
    /// Nobody's fault, or not known whose: asked again soon, or when there is room.
    Waiting {
        reason: Reason,
        not_before: Option<Timestamp>,
    },
    /// The CA is still at it.
    StillAtIt {
        activity: Activity,
        not_before: Option<Timestamp>,
    },
}

impl Ending {
    fn reason(&self) -> Option<Reason> {
        match self {
            Self::Blocked(reason) | Self::Waiting { reason, .. } => Some(reason.clone()),
            Self::UnknownToC4 => Some(Reason::UnknownToC4),
            Self::StillAtIt { .. } => None,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Blocked(_) => Retry::Blocked,
            Self::UnknownToC4 => Retry::Unknown,
            Self::Waiting { .. } | Self::StillAtIt { .. } => Retry::CouldNotAsk,
        }
    }

    fn not_before(&self, now: Timestamp) -> Timestamp {
        match self {
            Self::Waiting { not_before, .. } | Self::StillAtIt { not_before, .. } => {
                not_before.unwrap_or(now)
            }
            Self::Blocked(_) | Self::UnknownToC4 => now,
        }
    }

    fn history(&self) -> HistoryKind {
        match self {
            Self::Blocked(Reason::ChallengeInvalid { .. } | Reason::OrderRejected { .. }) => {
                HistoryKind::OrderFailed
            }
            Self::Blocked(Reason::CertificateRejected { .. }) => HistoryKind::CertificateRejected,
            Self::Blocked(_) => HistoryKind::Blocked,
            Self::UnknownToC4 => HistoryKind::UnknownToC4,
            Self::Waiting {
                reason: Reason::CouldNotAsk { .. },
                ..
            } => HistoryKind::CouldNotAsk,
            Self::Waiting { .. } | Self::StillAtIt { .. } => HistoryKind::CaWaiting,
        }
    }

    fn change(&self, domain: Domain, now: Timestamp) -> Result<Domain, domain::InvalidTransition> {
        match self {
            Self::Blocked(reason) => domain.blocked(reason.clone()),
            // One 404 takes nothing from a domain whose certificate is live: it is asked again first.
            Self::UnknownToC4 if domain.facts.live.is_some_and(|live| now < live.not_after) => {
                domain.doing(Activity::Retrying, Some(Reason::UnknownToC4))
            }
            Self::UnknownToC4 => domain.unknown_to_c4(),
            Self::Waiting {
                reason: reason @ Reason::CaLimited { .. },
                ..
            } => domain.doing(Activity::WaitingForBudget, Some(reason.clone())),
            Self::Waiting { reason, .. } => domain.doing(Activity::Retrying, Some(reason.clone())),
            Self::StillAtIt { activity, .. } => domain.doing(*activity, None),
        }
    }
}

struct Placing {
    journal: Journal,
    order: Order,
}

#[async_trait]
impl OrderJournal for Placing {
    async fn placed(&self, url: &str) -> Result<(), StoreError> {
        checkpoint("new-order-answered").await;
        let step = async {
            let (mut tx, domain) = self.journal.open("order_placed").await?;
            let mut order = self.order.clone();
            let next = order.state.clone().placed(url.to_owned())?;
            self.journal.update_order(&mut *tx, &mut order, next).await?;
            let entry = Entry::new(
                HistoryKind::OrderPlaced,
                ACTOR,
                "The certificate authority took the order.",
            );
            let after = domain.clone();
            self.journal
                .context
                .apply(&mut *tx, &domain, &after, Some(entry))
                .await?;
            Ok::<_, JobError>(tx.commit().await?)
        };
        step.await.map_err(|error| match error {
            JobError::Store(error) => error,
            other => StoreError::Database {
                operation: "order_placed",
                source: other.into(),
            },
        })
    }
}
