//! Notices: messages sent by webhooks, and the changes of a domain that cause them.
//!
//! A notice is derived from a domain before and after a step and is written in that step's transaction, so a crash
//! loses none. Notices that depend on time alone (an approaching end, the midnight report) are found by queries of
//! the notifier; a mark prevents duplicates.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

use crate::{Domain, Reason, Source, Status, Who};

/// The kind of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NoticeKind {
    /// The upload of a certificate to C4 fails.
    Emergency,
    /// The customer has had to act for an hour.
    CustomerActionNeeded,
    /// A live certificate was replaced by a later one.
    Renewed,
    /// A live certificate ends soon, and its renewal is blocked.
    ExpiringBlocked,
    /// A pasted certificate ends soon; it is not renewed.
    PastedEnding,
    /// The daily recheck is complete.
    MidnightReport,
    /// A CA does not answer, or refuses our account.
    IssuerDown,
    /// A test by an administrator; endpoints cannot select it.
    Test,
}

impl NoticeKind {
    /// The kinds that an endpoint can select.
    pub const SELECTABLE: [Self; 7] = [
        Self::Emergency,
        Self::CustomerActionNeeded,
        Self::Renewed,
        Self::ExpiringBlocked,
        Self::PastedEnding,
        Self::MidnightReport,
        Self::IssuerDown,
    ];

    /// The word of the API, the store and the body of a webhook.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Emergency => "emergency",
            Self::CustomerActionNeeded => "customer_action_needed",
            Self::Renewed => "renewed",
            Self::ExpiringBlocked => "expiring_blocked",
            Self::PastedEnding => "pasted_ending",
            Self::MidnightReport => "midnight_report",
            Self::IssuerDown => "issuer_down",
            Self::Test => "test",
        }
    }

    /// Days before the end of a certificate at which this kind of notice is made, the earliest first.
    pub fn days_before_end(self) -> &'static [i16] {
        match self {
            Self::ExpiringBlocked => &[14, 7, 3, 1],
            Self::PastedEnding => &[30, 14, 7, 1],
            _ => &[],
        }
    }

    /// How long notices of this kind are collected into one digest; none for kinds that are sent alone.
    pub fn collected_for(self) -> Option<SignedDuration> {
        match self {
            Self::Emergency | Self::IssuerDown => Some(SignedDuration::from_mins(1)),
            Self::CustomerActionNeeded | Self::ExpiringBlocked | Self::PastedEnding => {
                Some(SignedDuration::from_hours(1))
            }
            Self::Renewed | Self::MidnightReport | Self::Test => None,
        }
    }

    /// Whether each customer has a digest of its own.
    pub fn is_by_customer(self) -> bool {
        matches!(self, Self::CustomerActionNeeded | Self::ExpiringBlocked | Self::PastedEnding)
    }

    /// Whether its subject is a domain.
    pub fn is_of_domain(self) -> bool {
        !matches!(self, Self::MidnightReport | Self::IssuerDown | Self::Test)
    }
}

/// The format of a webhook's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WebhookFormat {
    /// All notices, with every field.
    Json,
    /// `{"text": …}`, as accepted by Slack and compatible chats.
    Slack,
}

impl WebhookFormat {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Json, Self::Slack];

    /// The word of the API and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Slack => "slack",
        }
    }
}

/// The state of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndpointState {
    /// Notices are sent.
    Enabled,
    /// Switched off by an administrator.
    Disabled,
    /// Switched off because it failed for days.
    Failed,
}

impl EndpointState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Enabled, Self::Disabled, Self::Failed];

    /// The word of the API and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Failed => "failed",
        }
    }
}

/// The state of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    /// A digest that still accepts notices.
    Open,
    /// To be sent, or to be sent again.
    Waiting,
    /// The endpoint accepted it.
    Delivered,
    /// The endpoint refused it too often; it is sent again only when a person asks for that.
    Refused,
}

impl DeliveryState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Open, Self::Waiting, Self::Delivered, Self::Refused];

    /// The word of the API and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Refused => "refused",
        }
    }
}

macro_rules! words {
    ($($of:ty: $all:expr;)+) => {$(
        impl fmt::Display for $of {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $of {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                $all.into_iter().find(|word| word.as_str() == text).ok_or(())
            }
        }
    )+};
}
words! {
    NoticeKind: Self::SELECTABLE.into_iter().chain([Self::Test]);
    WebhookFormat: Self::ALL;
    EndpointState: Self::ALL;
    DeliveryState: Self::ALL;
}

/// How long the customer must have had to act before a notice is sent.
const CUSTOMER_HAS: SignedDuration = SignedDuration::from_hours(1);
/// A CA that recovers within this time does not count as down.
const ISSUER_HAS: SignedDuration = SignedDuration::from_mins(2);

/// A notice caused by a change of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noticed {
    /// What it is about.
    pub kind: NoticeKind,
    /// The domain's name, or our name for the CA.
    pub subject: String,
    /// One notice is stored per kind, subject and mark; if empty, each one is.
    pub mark: String,
    /// When it is sent, if it still holds then.
    pub due_at: Timestamp,
    /// The status after the change.
    pub status: Status,
    /// The reason after the change.
    pub reason: Option<Reason>,
    /// The end of the live certificate after the change.
    pub ends_at: Option<Timestamp>,
}

/// Returns the notices caused by a change of a domain at `now`.
pub fn noticed(before: Option<&Domain>, after: &Domain, now: Timestamp) -> Vec<Noticed> {
    if after.deleted_at.is_some() {
        return Vec::new();
    }
    let before = before.filter(|domain| domain.deleted_at.is_none());
    let status = after.status(now);
    let stored = Domain { recorded: status, ..after.clone() };
    let reason = stored.reason();
    let ends_at = after.facts.live.map(|live| live.not_after);
    let name = after.name.to_string();
    let made = |kind, subject: &str, mark, within: SignedDuration| Noticed {
        kind,
        subject: subject.to_owned(),
        mark,
        due_at: now.checked_add(within).unwrap_or(now),
        status,
        reason: reason.clone(),
        ends_at,
    };
    let mut notices = Vec::new();
    if status == Status::Emergency && before.map(|domain| domain.recorded) != Some(Status::Emergency) {
        notices.push(made(NoticeKind::Emergency, &name, String::new(), SignedDuration::ZERO));
    }
    let who = |reason: &Option<Reason>| reason.as_ref().and_then(Reason::who);
    let reason_before = before.and_then(Domain::reason);
    // Pasted certificates have their own reminders, by days.
    let is_reminder = matches!(reason, Some(Reason::PastedEnds { .. }));
    if who(&reason) == Some(Who::Customer) && who(&reason_before) != Some(Who::Customer) && !is_reminder {
        let mark = format!("{}/{}", reason.as_ref().map_or("", Reason::code), now.strftime("%Y-%m-%d"));
        notices.push(made(NoticeKind::CustomerActionNeeded, &name, mark, CUSTOMER_HAS));
    }
    if is_renewed(before, after) {
        notices.push(made(NoticeKind::Renewed, &name, String::new(), SignedDuration::ZERO));
    }
    if let Some(issuer) = issuer_down(after.waiting.as_ref())
        && issuer_down(before.and_then(|domain| domain.waiting.as_ref())).is_none()
    {
        let mark =
            format!("{}/{}", after.waiting.as_ref().map_or("", Reason::code), now.strftime("%Y-%m-%dT%H"));
        let down = Noticed {
            reason: after.waiting.clone(),
            ..made(NoticeKind::IssuerDown, &issuer, mark, ISSUER_HAS)
        };
        notices.push(down);
    }
    notices
}

fn is_renewed(before: Option<&Domain>, after: &Domain) -> bool {
    let lives = before.and_then(|domain| domain.facts.live).zip(after.facts.live);
    let is_later = lives.is_some_and(|(before, after)| {
        before.certificate != after.certificate && before.not_after < after.not_after
    });
    is_later && after.source == Source::C4
}

/// The CA that is down according to the reason; `ca` if the reason does not name it.
fn issuer_down(waiting: Option<&Reason>) -> Option<String> {
    match waiting? {
        Reason::CaDown { .. } => Some("ca".to_owned()),
        Reason::IssuerRefusesUs { issuer, .. } => Some(issuer.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CertificateId, Live};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn domain() -> Domain {
        Domain::added("shop.example.com".parse().unwrap(), at(0))
    }

    #[expect(clippy::unnecessary_wraps, reason = "as the facts hold it")]
    fn live(id: u128, not_after: i64) -> Option<Live> {
        Some(Live { certificate: CertificateId::from(uuid::Uuid::from_u128(id)), not_after: at(not_after) })
    }

    fn with(change: impl FnOnce(&mut Domain)) -> Domain {
        let mut domain = domain();
        change(&mut domain);
        Domain { recorded: domain.status(at(0)), ..domain }
    }

    fn kinds(before: &Domain, after: &Domain) -> Vec<(NoticeKind, Timestamp)> {
        noticed(Some(before), after, at(0)).iter().map(|notice| (notice.kind, notice.due_at)).collect()
    }

    #[test]
    fn an_emergency_is_told_at_once_and_once() {
        let failing =
            with(|domain| domain.facts.upload_failing = Some(Reason::UploadFailed { detail: "x".into() }));
        assert_eq!(kinds(&domain(), &failing), [(NoticeKind::Emergency, at(0))]);
        assert_eq!(kinds(&failing, &failing), []);
        let deleted = Domain { deleted_at: Some(at(0)), ..failing };
        assert_eq!(kinds(&domain(), &deleted), []);
    }

    #[test]
    fn what_the_customer_must_do_is_told_after_an_hour() {
        let blocked = with(|domain| domain.facts.block = Some(Reason::PortMissing { missing: vec![443] }));
        assert_eq!(kinds(&domain(), &blocked), [(NoticeKind::CustomerActionNeeded, at(3600))]);
        assert_eq!(kinds(&blocked, &blocked), []);
        let ours = with(|domain| domain.facts.block = Some(Reason::CouldNotAsk { detail: "x".into() }));
        assert_eq!(kinds(&domain(), &ours), []);
    }

    #[test]
    fn a_renewal_is_a_later_certificate_over_a_live_one() {
        let first = with(|domain| domain.facts.live = live(1, 100));
        let second = with(|domain| domain.facts.live = live(2, 200));
        assert_eq!(kinds(&domain(), &first), [], "the first certificate renews nothing");
        assert_eq!(kinds(&first, &second), [(NoticeKind::Renewed, at(0))]);
        assert_eq!(kinds(&second, &first), [], "a roll back");
        let pasted = Domain { source: Source::Text, ..second.clone() };
        assert_eq!(kinds(&first, &pasted), []);
    }

    #[test]
    fn a_ca_that_is_down_is_told_once_an_hour() {
        let down = with(|domain| domain.waiting = Some(Reason::CaDown { detail: "503".into() }));
        let notices = noticed(Some(&domain()), &down, at(0));
        assert_eq!(notices.len(), 1);
        assert_eq!((notices[0].subject.as_str(), notices[0].due_at), ("ca", at(120)));
        assert!(notices[0].mark.starts_with("ca_down/2027-01-15T"), "{}", notices[0].mark);
        assert_eq!(kinds(&down, &down), []);
    }

    #[test]
    fn every_word_comes_back() {
        for kind in NoticeKind::SELECTABLE.into_iter().chain([NoticeKind::Test]) {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        for format in WebhookFormat::ALL {
            assert_eq!(format.as_str().parse(), Ok(format));
        }
        for state in EndpointState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        for state in DeliveryState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
    }
}
