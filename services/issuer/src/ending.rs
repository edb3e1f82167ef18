//! The ways in which an attempt can end without a certificate, and their consequences.

use domain::budget::{LimitKind, Wait};
use domain::{Activity, Domain, HistoryKind, InvalidTransition, Outbound, Pause, Reason, Retry};
use jiff::{SignedDuration, Timestamp};

/// How an attempt ended.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    /// Verification cannot succeed as things are.
    Blocked(Reason),
    /// The CA found the challenge invalid. `dns`: the DNS answer of this attempt; none if DNS was not asked.
    ChallengeInvalid { reason: Reason, dns: Option<String> },
    /// The CA refused an order of this name, or its certificate was rejected; counted across orders.
    Refused { reason: Reason, authorization_failed: bool },
    /// The order failed because of a problem at the CA: another one is placed soon, later each time.
    Lost { reason: Reason, authorization_failed: bool },
    /// Too many challenges were invalid: nothing is ordered until a person acts or DNS changes.
    Resting(Reason),
    /// The customer switched HTTPS off: the domain rests.
    HttpsOff,
    /// C4 does not know the domain.
    UnknownToC4,
    /// The cause is temporary or unknown: retried soon, or once there is room.
    Waiting { reason: Reason, not_before: Option<Timestamp> },
    /// An operator has paused the CA or C4: nothing was tried, so this does not count as an attempt.
    Paused(Box<Pause>),
    /// A resource that the CA announced could not be read: retried soon with the same order.
    NotThere { detail: String },
    /// DNS fails for the name: not for long yet, or not by a fault of the owner. Retried soon.
    DnsFails { detail: String },
    /// The CA is still working.
    StillAtIt { activity: Activity, not_before: Option<Timestamp> },
}

/// What happens to the order when an attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrderFate {
    /// The next attempt continues with it.
    GoesOn,
    /// It is given up, whatever its state at the CA.
    GivenUp,
    /// The CA said that it will not become a certificate.
    Refused,
}

impl Ending {
    /// The order is over, but the name is fine: another order is placed soon.
    pub(crate) fn another_order() -> Self {
        Self::StillAtIt { activity: Activity::Retrying, not_before: None }
    }

    pub(crate) fn could_not_ask(detail: String) -> Self {
        Self::Waiting { reason: Reason::CouldNotAsk { detail }, not_before: None }
    }

    pub(crate) fn ca_down(detail: String, not_before: Option<Timestamp>) -> Self {
        Self::Waiting { reason: Reason::CaDown { detail }, not_before }
    }

    /// The CA itself reported a limit; `limit` is none if its words do not name one.
    pub(crate) fn limited(until: Timestamp, issuer: &str, limit: Option<LimitKind>) -> Self {
        let (issuer, limit) = (issuer.to_owned(), limit.map_or("", LimitKind::as_str).to_owned());
        let reason = Reason::CaLimited { until, issuer, limit, seconds_per_place: 0 };
        Self::Waiting { reason, not_before: Some(until) }
    }

    /// The ledger of the CA's limits has no room.
    pub(crate) fn queued(wait: Wait, issuer: &str) -> Self {
        let Wait { until, limit, seconds_per_place } = wait;
        let (issuer, limit) = (issuer.to_owned(), limit.as_str().to_owned());
        let reason = Reason::CaLimited { until, issuer, limit, seconds_per_place };
        Self::Waiting { reason, not_before: Some(until) }
    }

    /// Whether the attempt served its purpose; otherwise the next attempt continues with the same cause.
    pub(crate) fn is_done(&self) -> bool {
        !matches!(
            self,
            Self::Waiting { .. }
                | Self::Paused(_)
                | Self::Lost { .. }
                | Self::NotThere { .. }
                | Self::DnsFails { .. }
                | Self::StillAtIt { .. }
        )
    }

    /// Whether the CA counts a failed authorization.
    pub(crate) fn authorization_failed(&self) -> bool {
        match self {
            Self::ChallengeInvalid { .. } => true,
            Self::Refused { authorization_failed, .. } | Self::Lost { authorization_failed, .. } => {
                *authorization_failed
            }
            _ => false,
        }
    }

    /// Chooses which of two CAs' results to show: one that may pass by itself, and of two such the sooner.
    pub(crate) fn or_sooner(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Blocked(_), Self::Waiting { .. } | Self::Paused(_))
            | (Self::Paused(_), Self::Waiting { .. }) => other,
            (Self::Waiting { not_before: one, .. }, Self::Waiting { not_before: another, .. })
                if another < one =>
            {
                other
            }
            _ => self,
        }
    }

    pub(crate) fn reason(&self) -> Option<Reason> {
        match self {
            Self::Blocked(reason)
            | Self::Resting(reason)
            | Self::ChallengeInvalid { reason, .. }
            | Self::Refused { reason, .. }
            | Self::Lost { reason, .. }
            | Self::Waiting { reason, .. } => Some(reason.clone()),
            Self::HttpsOff => Some(Reason::HttpsOff),
            Self::UnknownToC4 => Some(Reason::UnknownToC4),
            Self::Paused(pause) => Some(Reason::PausedByOperator { pause: (**pause).clone() }),
            Self::NotThere { detail } => Some(Reason::CaDown { detail: detail.clone() }),
            Self::DnsFails { detail } => Some(Reason::CouldNotAsk { detail: detail.clone() }),
            Self::StillAtIt { .. } => None,
        }
    }

    /// The schedule of the next attempts. With a live certificate there is more time and more at stake, unless that
    /// certificate is to be revoked (`is_withdrawn`), which is a matter of hours.
    pub(crate) fn retry(&self, domain: &Domain, is_withdrawn: bool, now: Timestamp) -> Retry {
        match self {
            Self::HttpsOff => Retry::HttpsOff,
            Self::UnknownToC4 => Retry::Unknown,
            Self::Paused(_) => Retry::Paused,
            // Such a pause does not end by itself: the CA is asked as rarely as for a blocked domain.
            Self::Waiting { reason: Reason::PausedByCa { .. }, .. } => Retry::Blocked,
            Self::Waiting { .. }
            | Self::Lost { .. }
            | Self::NotThere { .. }
            | Self::DnsFails { .. }
            | Self::StillAtIt { .. } => Retry::CouldNotAsk,
            Self::Refused { reason: Reason::CertificateRejected { .. }, .. } => Retry::Rejected,
            Self::Blocked(_) | Self::Resting(_) | Self::Refused { .. } | Self::ChallengeInvalid { .. } => {
                match domain.live() {
                    Some(live) if now < live.not_after && !is_withdrawn => {
                        Retry::Renewal { left: live.not_after.duration_since(now) }
                    }
                    _ => Retry::Blocked,
                }
            }
        }
    }

    /// The number of this attempt in its schedule; `attempts` is the number of attempts in a row with the same
    /// ending.
    pub(crate) fn attempt(&self, domain: &Domain, attempts: u32) -> u32 {
        // An accepted order in between clears the reason, so these endings have their own count.
        match self {
            Self::ChallengeInvalid { dns, .. } => {
                return domain.invalid_challenges.and_a_challenge(dns.clone()).count;
            }
            Self::Refused { reason, .. } | Self::Lost { reason, .. } => {
                return domain.invalid_challenges.and_an_order(reason).count;
            }
            Self::Paused(_) => return attempts,
            // The order is given up after a few of these, so earlier trouble with the CA does not count.
            Self::NotThere { .. } if domain.why_not_issued() != self.reason() => return 1,
            _ => {}
        }
        let [last, this] = [domain.why_not_issued(), self.reason()].map(|why| why.map(|why| why.code()));
        if last == this { attempts.saturating_add(1) } else { 1 }
    }

    pub(crate) fn not_before(&self, now: Timestamp) -> Timestamp {
        match self {
            Self::Waiting { not_before, .. } | Self::StillAtIt { not_before, .. } => {
                not_before.unwrap_or(now)
            }
            _ => now,
        }
    }

    pub(crate) fn history(&self) -> HistoryKind {
        match self {
            Self::Refused { reason: Reason::CertificateRejected { .. }, .. } => {
                HistoryKind::CertificateRejected
            }
            Self::ChallengeInvalid { .. } | Self::Refused { .. } | Self::Lost { .. } => {
                HistoryKind::OrderFailed
            }
            Self::Blocked(_) | Self::Resting(_) => HistoryKind::Blocked,
            Self::HttpsOff => HistoryKind::HttpsOff,
            Self::UnknownToC4 => HistoryKind::UnknownToC4,
            Self::Paused(_) => HistoryKind::Paused,
            Self::Waiting { reason: Reason::CouldNotAsk { .. }, .. } | Self::DnsFails { .. } => {
                HistoryKind::CouldNotAsk
            }
            Self::Waiting { .. } | Self::NotThere { .. } | Self::StillAtIt { .. } => HistoryKind::CaWaiting,
        }
    }

    /// The domain after the attempt. `c4s_fault`: C4 reports so many domains as unknown that its answer is not
    /// believed.
    pub(crate) fn change(
        &self,
        domain: Domain,
        now: Timestamp,
        c4s_fault: bool,
    ) -> Result<Domain, InvalidTransition> {
        match self {
            Self::Blocked(reason) | Self::Resting(reason) => domain.blocked(reason.clone()),
            Self::ChallengeInvalid { reason, dns } => domain.challenge_invalid(reason.clone(), dns.clone()),
            Self::Refused { reason, .. } => domain.order_refused(reason.clone()),
            Self::Lost { reason, .. } => domain.order_lost(reason.clone()),
            Self::HttpsOff => domain.https_off(),
            Self::UnknownToC4 => domain.unknown_to_c4(now, c4s_fault),
            Self::DnsFails { detail } => {
                domain.dns_fails(Reason::CouldNotAsk { detail: detail.clone() }, now)
            }
            Self::NotThere { detail } => {
                domain.doing(Activity::Retrying, Some(Reason::CaDown { detail: detail.clone() }))
            }
            Self::Waiting { reason, .. } => {
                let activity = match reason {
                    Reason::CaLimited { .. } => Activity::WaitingForBudget,
                    Reason::IssuerRefusesUs { .. } | Reason::PausedByCa { .. } => Activity::WaitingForCa,
                    _ => Activity::Retrying,
                };
                domain.doing(activity, Some(reason.clone()))
            }
            Self::Paused(pause) => {
                let activity = match pause.target {
                    Outbound::Ca => Activity::WaitingForCa,
                    Outbound::C4 => Activity::Preflight,
                };
                domain.doing(activity, self.reason())
            }
            Self::StillAtIt { activity, .. } => domain.doing(*activity, None),
        }
    }
}

/// Adds jitter to attempts that were planned together: up to a tenth sooner or later. `random` is below 1000.
pub(crate) fn jittered(delay: SignedDuration, random: u64) -> SignedDuration {
    let thousandths = 900 + i32::try_from(random.min(999) / 5).unwrap_or(0);
    delay / 1000 * thousandths
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::DomainName;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_may_end_by_itself_is_shown_and_the_sooner_first() {
        let forbidden = Ending::Blocked(Reason::UnknownToC4);
        let (soon, late) = (Ending::limited(at(10), "ca", None), Ending::limited(at(20), "ca", None));
        for (one, another, not_before) in [
            (&forbidden, &late, at(20)),
            (&late, &forbidden, at(20)),
            (&late, &soon, at(10)),
            (&soon, &late, at(10)),
        ] {
            let shown = one.clone().or_sooner(another.clone());
            assert_eq!(shown.not_before(at(0)), not_before, "{one:?} {another:?}");
        }
    }

    #[test]
    fn invalid_challenges_are_counted_across_the_orders_between_them() {
        let domain = Domain::added(DomainName::parse("shop.example.com").unwrap(), at(0));
        let ending = Ending::ChallengeInvalid { reason: Reason::UnknownToC4, dns: None };
        assert_eq!(ending.attempt(&domain, 7), 1);
        let failed = ending.change(domain, at(1), false).unwrap();
        let placed_again = failed.clear().unwrap();
        assert_eq!(ending.attempt(&placed_again, 0), 2);
    }

    #[test]
    fn an_upload_that_fails_meanwhile_starts_no_schedule_anew() {
        let ending = Ending::Blocked(Reason::DnssecBroken { zone: String::new() });
        let domain = Domain::added(DomainName::parse("shop.example.com").unwrap(), at(0));
        let failing = domain.upload_failed(Reason::UploadFailed { detail: String::new() });
        let blocked = ending.change(failing.unwrap(), at(1), false).unwrap();
        assert_eq!(ending.attempt(&blocked, 7), 8);
    }

    #[test]
    fn jitter_is_a_tenth_at_most() {
        let hour = SignedDuration::from_hours(1);
        for random in [0, 1, 500, 999, u64::MAX] {
            let minutes = jittered(hour, random).as_mins();
            assert!((54..=66).contains(&minutes), "{minutes}");
        }
        assert!(jittered(hour, 0) < hour && hour < jittered(hour, 999));
    }
}
