//! One issuance, from the claim to the stored certificate: preflight, the choice of a CA, the order (`at_ca`), and
//! the next steps if there is no certificate.

use std::sync::{Arc, OnceLock};

use acme::{AccountKey, AcmeError, Meaning, RenewalId, RequestKind};
use domain::budget::LimitKind;
use domain::{AccountId, Cause, Domain, DomainName, Lease, Order, Outbound, Reason};
use jiff::{SignedDuration, Timestamp};
use runtime::{JobError, checkpoint};
use store::{Certificate, Finished, LastStep, StoreError};

use crate::IssuerRole;
use crate::answers::{Request, room_without_retry_after};
use crate::at_ca::AtCa;
use crate::breaker::Closed;
use crate::decide::{AttemptEnd, is_forbidden_by_caa};
use crate::ending::Ending;
use crate::issuer::Issuer;
use crate::journal::{Journal, end};
use crate::order_terms::is_withdrawn;
use crate::stop::{Stop, another_order, ended, local, order_given_up};
use crate::turn::Turn;
use preflight::{DnsFails, Found, Verdict};

mod closed;
mod row;

use row::OrderRow;

/// An order without progress for this long is given up if another CA can be used.
const NO_PROGRESS: SignedDuration = SignedDuration::from_hours(1);
/// Inconclusive attempts after which a failed rehearsal is believed.
const BLAMED_AFTER: u32 = 2;
/// How long DNS may fail for a name before its owner is asked to act.
const DNS_MAY_FAIL: SignedDuration = SignedDuration::from_hours(1);
/// Maximum delay in seconds over which the orders waiting for a CA are spread.
pub(crate) const RELEASE_SPREAD: u64 = 120;

pub(crate) struct Issuance<'a> {
    role: &'a IssuerRole,
    lease: &'a Lease,
    name: &'a DomainName,
    journal: Journal,
    /// The reason that the previous attempt ended with.
    before: OnceLock<Reason>,
    /// The system whose pause this attempt met; the next attempt may wait until that pause is lifted.
    met_pause: OnceLock<Outbound>,
    passed_preflight: OnceLock<()>,
}

/// An order to continue with.
struct StartedOrder<'a> {
    order: Order,
    issuer: &'a Issuer,
    /// The CA's number of refusals when this attempt was let through.
    refusals: u64,
    /// It was started by an earlier attempt.
    is_resumed: bool,
    /// The DNS answer, if DNS was asked.
    dns: Option<String>,
    replaces: Option<RenewalId>,
}

/// The result of starting an order.
enum Started<'a> {
    Order(Box<StartedOrder<'a>>),
    /// A certificate exists and only has to be uploaded.
    AlreadyIssued(Finished),
}

impl<'a> Issuance<'a> {
    /// Performs the work of a lease.
    pub(crate) async fn perform(role: &'a IssuerRole, lease: &'a Lease) -> Result<Finished, JobError> {
        let Some(view) = role.context.store.domain(&lease.work.name).await? else {
            return end(&role.context, &LastStep::dropped(lease)).await;
        };
        let before = view.domain.why_not_issued();
        let issuance = Self {
            role,
            lease,
            name: &lease.work.name,
            journal: Journal::new(&role.context, lease, view.domain.clone()),
            before: before.map_or_else(OnceLock::new, OnceLock::from),
            met_pause: OnceLock::new(),
            passed_preflight: OnceLock::new(),
        };
        issuance.run(&view.domain).await
    }

    fn attempts(&self) -> u32 {
        self.lease.work.attempts
    }

    async fn run(&self, domain: &Domain) -> Result<Finished, JobError> {
        let mut slot = self.role.context.store.live_order(self.name).await?;
        let mut at = None;
        match self.order(domain, &mut slot, &mut at).await {
            Ok(finished) => Ok(finished),
            Err(Stop::Job(error)) => Err(error),
            Err(Stop::Account { error, .. }) => Err(JobError::Other(runtime::chain(&error))),
            Err(Stop::Ended { ending, order }) => {
                if let Ending::Paused(pause) = &*ending {
                    self.met_pause.get_or_init(|| pause.target);
                }
                let failed_at = at.filter(|_| ending.authorization_failed());
                let c4s_fault = matches!(*ending, Ending::UnknownToC4)
                    && self.role.context.store.is_c4s_fault(domain).await?;
                let end = AttemptEnd {
                    is_withdrawn: is_withdrawn(self.live(domain).await?.as_ref()),
                    order: slot.map(|slot| (slot, order)),
                    failure: failed_at.map(Issuer::ledger),
                    paused_for: self.met_pause.get().copied(),
                    ending: *ending,
                    c4s_fault,
                    passed_preflight: self.passed_preflight.get().is_some(),
                };
                self.journal.ended(&end).await
            }
        }
    }

    /// Orders the certificate. `slot` receives the live order, and `at` its CA, as soon as they are known.
    async fn order(
        &self,
        domain: &Domain,
        slot: &mut Option<Order>,
        at: &mut Option<&'a Issuer>,
    ) -> Result<Finished, Stop> {
        let begin = match slot.take() {
            Some(order) => {
                *slot = Some(order.clone());
                self.resume(domain, order).await?
            }
            None => match self.begin(domain).await? {
                Started::Order(begin) => *begin,
                Started::AlreadyIssued(finished) => return Ok(finished),
            },
        };
        *at = Some(begin.issuer);
        let order = slot.insert(begin.order);
        checkpoint("order-created").await;
        let account = self.account(begin.issuer).await?;
        if account.id != order.account {
            // The CA lost the account, or another account replaced it: the present account cannot read its orders.
            return Err(another_order());
        }
        let at_ca = AtCa {
            role: self.role,
            issuer: begin.issuer,
            account,
            is_reloaded: false,
            name: self.name,
            journal: &self.journal,
            attempts: self.attempts(),
            before: self.before.get().cloned(),
            refusals: begin.refusals,
            is_resumed: begin.is_resumed,
            identities: begin.issuer.identities().await.unwrap_or_default(),
            dns: begin.dns,
            replaces: begin.replaces,
        };
        match at_ca.run(order).await {
            Err(Stop::Account { error, request, turn }) => {
                self.with_account_again(at_ca, order, error, request, turn).await
            }
            done => done,
        }
    }

    /// The CA refused a request signed by our account: looks the account up again, and registers it again if the CA
    /// has lost it. Then the order continues with its new key, or ends together with its account.
    async fn with_account_again(
        &self,
        mut at_ca: AtCa<'_>,
        order: &mut Order,
        error: AcmeError,
        request: Request,
        turn: Option<Turn>,
    ) -> Result<Finished, Stop> {
        let issuer = at_ca.issuer;
        let IssuerRole { context, keys, .. } = self.role;
        let reloaded = issuer.reloaded(context, keys, &at_ca.account).await;
        let reloaded = reloaded.map_err(|error| self.account_out_of_reach(&at_ca, &error, request))?;
        at_ca.is_reloaded = true;
        if let Some(account) = reloaded {
            if account.id != order.account {
                return Err(another_order());
            }
            at_ca.account = account;
            drop(turn);
            return at_ca.run(order).await;
        }
        if error.is_unknown_account() {
            let again = issuer.registered_again(context, keys, &at_ca.account).await;
            let again = again.map_err(|error| self.account_out_of_reach(&at_ca, &error, request))?;
            if again.is_some() {
                return Err(another_order());
            }
        }
        Err(at_ca.trouble(error, request))
    }

    /// The account of a refused order cannot be restored. If the CA refuses our account, the next CA is used.
    fn account_out_of_reach(&self, at_ca: &AtCa<'_>, error: &AcmeError, request: Request) -> Stop {
        match error.as_problem() {
            Some(problem) if problem.meaning(RequestKind::Account) == Meaning::RefusesUs => {
                at_ca.issuer.note(Some(error), at_ca.now());
                at_ca.refused_us(problem, request)
            }
            _ => self.out_of_reach(at_ca.issuer, error),
        }
    }

    /// Continues with an order, at the CA that it was made for.
    async fn resume(&self, domain: &Domain, order: Order) -> Result<StartedOrder<'a>, Stop> {
        let Some(issuer) = self.role.issuer_of(&order).await? else {
            tracing::warn!(order.id = %order.id, "the order's CA is not configured any more");
            return Err(another_order());
        };
        self.may_send(issuer).await?;
        let now = self.role.context.clock.now();
        let asked = match order.state.url() {
            // The CA goes on with orders that it accepted before it refused our account.
            Some(_) => issuer.breaker.ask(now).map(|()| issuer.breaker.refusals()).map_err(Closed::Down),
            None => issuer.breaker.ask_for_order(now),
        };
        let has_others = self.role.issuers.len() > 1;
        let refusals = match asked {
            Ok(refusals) => refusals,
            Err(Closed::Limited(until)) => return Err(ended(self.limited(issuer, until))),
            Err(Closed::Refused(until, problem)) => {
                let ending = self.refused(issuer, until, &problem);
                return Err(if has_others { order_given_up(ending) } else { ended(ending) });
            }
            Err(Closed::Down(until)) => {
                let is_stuck = now.duration_since(order.created_at) >= NO_PROGRESS;
                return Err(if is_stuck && has_others {
                    another_order()
                } else {
                    ended(self.down(issuer, until))
                });
            }
        };
        let mut dns = None;
        if order.state.url().is_none() {
            dns = Some(self.preflight(domain).await?.dns);
            self.preflight_passed(domain).await?;
        }
        let live = self.live(domain).await?;
        let replaces = live.as_ref().and_then(|live| replaced(live, order.account));
        if order.state.url().is_none() {
            let live = live.as_ref().filter(|_| replaces.is_some());
            if let Err(wait) = self.charge_again(issuer, &order, live).await? {
                return Err(ended(Ending::queued(wait, issuer.name())));
            }
        }
        Ok(StartedOrder { order, issuer, refusals, is_resumed: true, dns, replaces })
    }

    /// Preflight no longer finds an obstacle. Whether CAA permits is checked per CA, after this.
    async fn preflight_passed(&self, domain: &Domain) -> Result<(), JobError> {
        self.passed_preflight.get_or_init(|| ());
        if !is_forbidden_by_caa(domain) {
            self.journal.cleared().await?;
        }
        checkpoint("preflight-passed").await;
        Ok(())
    }

    /// Starts an order at the first CA that is permitted and available.
    async fn begin(&self, domain: &Domain) -> Result<Started<'a>, Stop> {
        self.must_not_all_be_paused().await?;
        let found = self.preflight(domain).await?;
        if domain.invalid_challenges.rest(&found.dns) && !self.unlocks_rest() {
            return Err(ended(Ending::Resting(why_it_rests(domain))));
        }
        self.preflight_passed(domain).await?;
        let live = self.live(domain).await?;
        let mut why: Option<Ending> = None;
        for issuer in self.role.in_order(live.as_ref()).await? {
            let ending = match self.begin_at(issuer, domain, &found, live.as_ref()).await {
                Ok((OrderRow::AlreadyIssued(finished), _)) => return Ok(Started::AlreadyIssued(finished)),
                Ok((OrderRow::Written(order), refusals)) => {
                    let replaces = live.as_ref().and_then(|live| replaced(live, order.account));
                    let dns = Some(found.dns);
                    let started = StartedOrder { order, issuer, refusals, is_resumed: false, dns, replaces };
                    return Ok(Started::Order(Box::new(started)));
                }
                Ok((OrderRow::NoRoom(wait), _)) => Ending::queued(wait, issuer.name()),
                Err(Stop::Ended { ending, .. }) => *ending,
                Err(stop) => return Err(stop),
            };
            why = Some(match why {
                Some(sooner) => sooner.or_sooner(ending),
                None => ending,
            });
        }
        Err(ended(
            why.unwrap_or_else(|| Ending::ca_down("no certificate authority is configured".to_owned(), None)),
        ))
    }

    /// Returns the result at one CA, and the CA's number of refusals when it was asked.
    async fn begin_at(
        &self,
        issuer: &Issuer,
        domain: &Domain,
        found: &Found,
        live: Option<&Certificate>,
    ) -> Result<(OrderRow, u64), Stop> {
        self.may_send(issuer).await?;
        let now = self.role.context.clock.now();
        let refusals = match issuer.breaker.ask_for_order(now) {
            Ok(refusals) => refusals,
            Err(Closed::Down(until)) => return Err(ended(self.down(issuer, until))),
            Err(Closed::Limited(until)) => return Err(ended(self.limited(issuer, until))),
            Err(Closed::Refused(until, problem)) => {
                return Err(ended(self.refused(issuer, until, &problem)));
            }
        };
        let account = self.account(issuer).await?;
        checkpoint("account-ready").await;
        let identities = issuer.identities().await;
        let identities = identities.map_err(|error| self.out_of_reach(issuer, &error))?;
        let caa = self.role.preflight.caa(self.name, found, &identities, Some(account.url()));
        self.fine(domain, caa.await).await?;
        let replaces = live.filter(|live| replaced(live, account.id).is_some());
        Ok((self.order_row(issuer, account.id, live, replaces).await?, refusals))
    }

    /// Checks whether an order can succeed at any CA; returns the DNS findings.
    async fn preflight(&self, domain: &Domain) -> Result<Found, Stop> {
        let found = self.fine(domain, self.role.preflight.ask(self.name).await).await?;
        if let Some(probe) = self.role.preflight.probe(&*self.role.context.entropy) {
            self.journal.probe(&probe).await?;
            let clock = &*self.role.context.clock;
            let rehearsed = self.role.preflight.rehearse(self.name, &probe, clock).await;
            self.fine(domain, self.once_more(domain, rehearsed)).await?;
        }
        Ok(found)
    }

    async fn fine<T>(&self, domain: &Domain, verdict: Verdict<T>) -> Result<T, Stop> {
        Err(ended(match verdict {
            Verdict::Fine(found) => return Ok(found),
            Verdict::Blocked(reason) if domain.has_https_switched_off(&reason) => Ending::HttpsOff,
            Verdict::Blocked(reason) => Ending::Blocked(reason),
            Verdict::UnknownToC4 => Ending::UnknownToC4,
            Verdict::CouldNotAsk(detail) => Ending::could_not_ask(detail),
            Verdict::Paused(pause) => Ending::Paused(pause),
            Verdict::DnsFails(fails) => self.dns_fails(domain, fails).await,
        }))
    }

    /// DNS failed. The first failure has no consequence; the cause is looked for when DNS fails again.
    async fn dns_fails(&self, domain: &Domain, fails: DnsFails) -> Ending {
        let now = self.role.context.clock.now();
        let Some(since) = domain.dns_failing_since() else {
            return Ending::DnsFails { detail: fails.detail };
        };
        let is_long = now.duration_since(since) >= DNS_MAY_FAIL;
        match self.role.preflight.why_dns_fails(&fails, Some(since)).await {
            Some(reason @ Reason::DnssecBroken { .. }) => Ending::Blocked(reason),
            Some(reason) if is_long => Ending::Blocked(reason),
            _ => Ending::DnsFails { detail: fails.detail },
        }
    }

    /// A failed rehearsal may have met one of our own processes while it was starting, so it becomes a reason only
    /// after several failures in a row.
    fn once_more(&self, domain: &Domain, rehearsed: Verdict<()>) -> Verdict<()> {
        let was_blamed = matches!(domain.block(), Some(Reason::ChallengeUnreachable { .. }));
        match rehearsed {
            Verdict::Blocked(Reason::ChallengeUnreachable { found })
                if !was_blamed && self.attempts() < BLAMED_AFTER =>
            {
                Verdict::CouldNotAsk(format!("the challenge path: {found}; looked at once more"))
            }
            other => other,
        }
    }

    async fn account(&self, issuer: &Issuer) -> Result<Arc<AccountKey>, Stop> {
        let account = issuer.account(&self.role.context, &self.role.keys).await;
        account.map_err(|error| self.out_of_reach(issuer, &error))
    }

    /// Returns the live certificate.
    async fn live(&self, domain: &Domain) -> Result<Option<Certificate>, JobError> {
        match domain.live() {
            Some(live) => Ok(self.role.context.store.certificate(self.name, live.certificate).await?),
            None => Ok(None),
        }
    }

    /// Whether this attempt may order although the domain rests: it was requested by a person or program, or is the
    /// daily recheck.
    fn unlocks_rest(&self) -> bool {
        matches!(self.lease.work.cause, Cause::Requested | Cause::OperatorRecheck | Cause::DailyRecheck)
    }

    /// The CA's directory or our account cannot be reached.
    fn out_of_reach(&self, issuer: &Issuer, error: &AcmeError) -> Stop {
        let now = self.role.context.clock.now();
        issuer.note(Some(error), now);
        let wait = error.retry_after().and_then(|wait| SignedDuration::try_from(wait).ok());
        let not_before = wait.map(|wait| now.saturating_add(wait).unwrap_or(Timestamp::MAX));
        if let Some(problem) = error.as_problem()
            && problem.meaning(RequestKind::Account) == Meaning::RefusesUs
        {
            let until = issuer.refused(problem, now);
            return ended(self.refused(issuer, until, problem));
        }
        match error {
            AcmeError::Paused(pause) => {
                self.met_pause.get_or_init(|| pause.target);
                ended(Ending::Paused(pause.clone()))
            }
            AcmeError::Local(_) => local(error),
            // The lease is released as soon as the database is available again.
            AcmeError::Store(cause) if cause.is_unavailable() => {
                Stop::Job(StoreError::away(runtime::chain(error)).into())
            }
            AcmeError::Store(_) => Stop::Job(JobError::Other(runtime::chain(error))),
            error if error.is_rate_limited() => {
                let room_at = || room_without_retry_after(self.before.get(), self.attempts(), now);
                let until = not_before.unwrap_or_else(room_at);
                let limit = error.as_problem().and_then(|problem| LimitKind::named_in(&problem.detail));
                if let Some(problem) = error.as_problem() {
                    issuer.breaker.limited(problem, until);
                }
                ended(Ending::limited(until, issuer.name(), limit))
            }
            error => ended(Ending::ca_down(error.to_string(), not_before)),
        }
    }
}

/// The CA's identifier of the live certificate, if an order with that account replaces it (RFC 9773 section 5). The
/// replacement of a certificate that is to be revoked is not a renewal suggested by the CA.
pub(crate) fn replaced(live: &Certificate, account: AccountId) -> Option<RenewalId> {
    let suggested = live.account == Some(account) && !live.withdrawn && live.renewal?.window.is_some();
    suggested.then(|| RenewalId::of(&live.chain_pem)).flatten()
}

/// The reason of the last failed challenge. Another obstacle may have replaced it since and be gone by now.
fn why_it_rests(domain: &Domain) -> Reason {
    match domain.block() {
        Some(
            reason @ (Reason::ChallengeInvalid { .. }
            | Reason::ChallengeFailedAtEdge { .. }
            | Reason::ChallengeUnreachableElsewhere { .. }),
        ) => reason.clone(),
        _ => Reason::ChallengeFailedAtEdge {
            problem: "unauthorized".to_owned(),
            detail: "the challenge failed too often".to_owned(),
        },
    }
}
