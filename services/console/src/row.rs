//! A row of the list. The same template serves the list and the live events, so a row always looks the same; it has no
//! content that depends on the viewer's role.

use askama::Template;
use jiff::Timestamp;
use proto::{status_word, v1};

use crate::words::{self, instant};
use crate::zone::Zone;

/// A live certificate that ends within so many days and does not renew by itself is at risk.
const RISK_DAYS: i64 = 14;

/// The shape and colour of a status; the word stands beside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Badge(pub(crate) v1::Status);

impl Badge {
    pub(crate) fn word(self) -> &'static str {
        match self.0 {
            v1::Status::Unspecified => "None",
            status => status_word(status),
        }
    }

    /// The class of the style sheet, and the name of the icon.
    pub(crate) fn class(self) -> &'static str {
        match self.0 {
            v1::Status::Success => "success",
            v1::Status::Pending => "pending",
            v1::Status::Failure => "failure",
            v1::Status::Discard => "discard",
            v1::Status::Expired => "expired",
            v1::Status::Emergency => "emergency",
            v1::Status::Unspecified => "none",
        }
    }
}

/// A moment as a page shows it.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    /// RFC 3339, for programs.
    pub(crate) machine: String,
    /// For people, in the viewer's zone.
    pub(crate) shown: String,
}

impl Moment {
    pub(crate) fn date(at: Timestamp, zone: &Zone) -> Self {
        Self { machine: format!("{at:.0}"), shown: zone.date(at) }
    }

    pub(crate) fn time(at: Timestamp, zone: &Zone) -> Self {
        Self { machine: format!("{at:.0}"), shown: zone.time(at) }
    }

    pub(crate) fn soon(at: Timestamp, zone: &Zone, now: Timestamp) -> Self {
        Self { machine: format!("{at:.0}"), shown: zone.soon(at, now) }
    }

    /// `10:52:07`, for what was just now.
    pub(crate) fn clock(at: Timestamp, zone: &Zone) -> Self {
        Self { machine: format!("{at:.0}"), shown: zone.clock(at) }
    }

    pub(crate) fn second(at: Timestamp, zone: &Zone) -> Self {
        Self { machine: format!("{at:.0}"), shown: zone.second(at) }
    }
}

/// A name, and the Unicode that it stands for. Both are shown: a name may look like another one.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    /// As it is kept: ASCII, punycode where it must be.
    pub(crate) ascii: String,
    /// What a browser may show; none where that is the same.
    pub(crate) unicode: Option<String>,
}

impl Name {
    pub(crate) fn new(ascii: &str) -> Self {
        let (unicode, _) = idna::domain_to_unicode(ascii);
        Self { ascii: ascii.to_owned(), unicode: (unicode != ascii).then_some(unicode) }
    }

    /// What stands first.
    pub(crate) fn shown(&self) -> &str {
        self.unicode.as_deref().unwrap_or(&self.ascii)
    }
}

/// A row.
#[derive(Template)]
#[template(path = "row.html")]
pub(crate) struct Row {
    pub(crate) name: Name,
    pub(crate) badge: Badge,
    /// When it ends, where it is at risk; empty where it is not.
    pub(crate) risk: String,
    /// Who must act; empty if no action is needed.
    pub(crate) actor: &'static str,
    /// What is being done or waited for.
    pub(crate) doing: String,
    /// When it is tried again, unless `doing` says that.
    pub(crate) next: Option<Moment>,
    pub(crate) next_label: &'static str,
    pub(crate) created: Option<Moment>,
    pub(crate) expires: Option<Moment>,
    /// "12 days left", "ended 3 days ago".
    pub(crate) left: String,
    /// Whether that is soon enough to be marked.
    pub(crate) is_soon: bool,
    pub(crate) source: &'static str,
    /// What the viewer may do with it; nothing in events.
    pub(crate) controls: Controls,
}

/// The cells that are not in events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Controls {
    None,
    Look,
    Operate,
}

impl Row {
    pub(crate) fn new(domain: &v1::Domain, zone: &Zone, now: Timestamp, controls: Controls) -> Self {
        let expires = instant(domain.expires_at.as_ref());
        let (actor, doing) = doing(domain, zone, now);
        Self {
            name: Name::new(&domain.name),
            badge: Badge(domain.status()),
            risk: risk(domain, zone, now),
            actor,
            doing,
            next: instant(domain.next_attempt_at.as_ref())
                .filter(|_| domain.reason.as_ref().is_some_and(|reason| reason.code != "ca_limited"))
                .map(|at| Moment::soon(at, zone, now)),
            next_label: if domain.status() == v1::Status::Emergency { "Next try" } else { "Next check" },
            created: instant(domain.created_at.as_ref()).map(|at| Moment::date(at, zone)),
            expires: expires.map(|at| Moment::date(at, zone)),
            left: expires.map(|at| words::days_left(at, zone, now)).unwrap_or_default(),
            is_soon: expires.is_some_and(|at| zone.days_left(at, now) < 7),
            source: words::source(domain.source()),
            controls,
        }
    }

    /// The id of the row in the page.
    pub(crate) fn id(&self) -> String {
        format!("d-{}", self.name.ascii)
    }
}

/// Who must act, and on what; where no action is needed, what is going on.
fn doing(domain: &v1::Domain, zone: &Zone, now: Timestamp) -> (&'static str, String) {
    let acts = domain.reason.as_ref().filter(|reason| !reason.who.is_empty());
    let actor = acts.map_or("", |reason| words::who(&reason.who));
    (actor, words::in_short(domain, zone, now))
}

/// When a live certificate ends that is blocked, pasted or behind with its renewal, and ends soon; else empty.
pub(crate) fn risk(domain: &v1::Domain, zone: &Zone, now: Timestamp) -> String {
    let ends = instant(domain.expires_at.as_ref());
    let Some(ends) = ends.filter(|ends| now < *ends && zone.days_left(*ends, now) < RISK_DAYS) else {
        return String::new();
    };
    let certificate = domain.certificate.as_ref();
    let is_pasted = certificate.is_some_and(|certificate| certificate.source() == v1::Source::Text);
    let is_behind = domain.failed_attempts > 0 || domain.reason.is_some();
    let is_at_risk =
        domain.status() == v1::Status::Success && (domain.renewal_blocked || is_pasted || is_behind);
    if is_at_risk { words::ends_in(ends, zone, now) } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_looks_like_another_shows_both() {
        let plain = Name::new("shop.example.com");
        assert_eq!((plain.shown(), plain.unicode.as_deref()), ("shop.example.com", None));
        let cyrillic = Name::new("xn--80ak6aa92e.com");
        assert_eq!(cyrillic.shown(), "аррӏе.com");
        assert_eq!(cyrillic.ascii, "xn--80ak6aa92e.com");
    }

    #[test]
    fn a_live_certificate_that_will_end_is_at_risk() {
        let zone = Zone::of(&http::HeaderMap::new());
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        let live = |hours: i64, change: &dyn Fn(&mut v1::Domain)| {
            let mut domain = v1::Domain {
                status: v1::Status::Success.into(),
                expires_at: Some(proto::to_timestamp(now + jiff::SignedDuration::from_hours(hours))),
                certificate: Some(v1::Certificate::default()),
                ..v1::Domain::default()
            };
            change(&mut domain);
            risk(&domain, &zone, now)
        };
        let blocked = |domain: &mut v1::Domain| domain.renewal_blocked = true;
        let pasted = |domain: &mut v1::Domain| {
            domain.certificate.as_mut().unwrap().source = v1::Source::Text.into();
        };
        assert_eq!(live(9, &blocked), "ends in 9 h");
        assert_eq!(live(13 * 24, &pasted), "ends in 13 days");
        assert_eq!(live(13 * 24, &|domain| domain.failed_attempts = 2), "ends in 13 days");
        assert_eq!(live(9, &|_| ()), "", "it renews by itself");
        assert_eq!(live(15 * 24, &blocked), "", "there is time");
        assert_eq!(live(-1, &blocked), "", "it has ended");
        let expired = |domain: &mut v1::Domain| {
            domain.status = v1::Status::Emergency.into();
            domain.renewal_blocked = true;
        };
        assert_eq!(live(9, &expired), "", "its own status says more");
    }

    #[test]
    fn what_came_from_outside_stays_text() {
        let domain = v1::Domain {
            name: "<b>.example.com".to_owned(),
            activity: "<script>alert(1)</script>".to_owned(),
            ..v1::Domain::default()
        };
        let zone = Zone::of(&http::HeaderMap::new());
        let row = Row::new(&domain, &zone, Timestamp::UNIX_EPOCH, Controls::Operate);
        let html = row.render().unwrap();
        assert!(!html.contains("<script>") && !html.contains("<b>"), "{html}");
    }
}
