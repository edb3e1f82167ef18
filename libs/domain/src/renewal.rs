//! When a certificate is renewed: in the window that its CA suggests (ACME Renewal Information, RFC 9773), and at
//! pre-expiry at the latest.

use jiff::{SignedDuration, Timestamp};

/// How long before its end a certificate is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreExpiry {
    /// A number of days.
    Days(u16),
    /// A third of its lifetime, as CAs advise; seven days if the CA suggests a window, which lies at about a third.
    Third,
}

const DAY: SignedDuration = SignedDuration::from_hours(24);

impl PreExpiry {
    /// Seven days.
    pub const DEFAULT: Self = Self::Days(7);

    /// The value for a certificate with a suggested window: pre-expiry is the deadline after the window, and must not
    /// come before it.
    #[must_use]
    pub fn after_window(self) -> Self {
        match self {
            Self::Third => Self::DEFAULT,
            days @ Self::Days(_) => days,
        }
    }

    /// The value for a certificate with that `lifetime`: as configured; a third of the lifetime under 21 days, half
    /// of it under 10; never before half of the lifetime.
    pub fn for_lifetime(self, lifetime: SignedDuration) -> SignedDuration {
        let half = lifetime / 2;
        match self {
            _ if lifetime < DAY.saturating_mul(10) => half,
            Self::Days(days) if lifetime >= DAY.saturating_mul(21) => {
                DAY.saturating_mul(i32::from(days)).min(half)
            }
            Self::Days(_) | Self::Third => lifetime / 3,
        }
    }
}

/// The instant at which renewal is due.
pub fn renewal_point(not_before: Timestamp, not_after: Timestamp, pre_expiry: PreExpiry) -> Timestamp {
    let lifetime = not_after.duration_since(not_before).max(SignedDuration::ZERO);
    not_after.checked_sub(pre_expiry.for_lifetime(lifetime)).unwrap_or(not_before)
}

/// The renewal window that a CA suggests (RFC 9773 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuggestedWindow {
    /// Its start.
    pub start: Timestamp,
    /// Its end, after its start.
    pub end: Timestamp,
}

impl SuggestedWindow {
    /// A uniformly random point in it, as required by section 4.2; `random` is a number below
    /// [`SuggestedWindow::seconds`]. A window in the past means now: CAs announce a revocation that way.
    pub fn point(&self, random: u64) -> Timestamp {
        let random = i64::try_from(random.min(self.seconds())).unwrap_or(i64::MAX);
        self.start.checked_add(SignedDuration::from_secs(random)).unwrap_or(self.end)
    }

    /// Its length in seconds.
    pub fn seconds(&self) -> u64 {
        u64::try_from(self.end.duration_since(self.start).as_secs()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_lies_in_its_window() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let window = SuggestedWindow { start: at(100), end: at(160) };
        assert_eq!(window.seconds(), 60);
        for random in [0, 1, 59, 60, u64::MAX] {
            let point = window.point(random);
            assert!(window.start <= point && point <= window.end, "{random}");
        }
        assert_eq!(window.point(7), at(107));
    }

    #[test]
    fn pre_expiry_follows_the_lifetime() {
        let seven = PreExpiry::DEFAULT;
        for (lifetime_hours, before_end_hours) in [
            (90 * 24, 7 * 24),
            (45 * 24, 7 * 24),
            (21 * 24, 7 * 24),
            (20 * 24, 160),
            (160, 80),
            (10 * 24, 80),
            (0, 0),
        ] {
            let lifetime = SignedDuration::from_hours(lifetime_hours);
            assert_eq!(seven.for_lifetime(lifetime).as_hours(), before_end_hours, "{lifetime_hours} h");
        }
        let ninety = SignedDuration::from_hours(90 * 24);
        assert_eq!(
            PreExpiry::Days(80).for_lifetime(ninety).as_hours(),
            45 * 24,
            "never before half of the lifetime"
        );
        for (lifetime_hours, before_end_hours) in
            [(90 * 24, 30 * 24), (45 * 24, 15 * 24), (20 * 24, 160), (160, 80)]
        {
            let lifetime = SignedDuration::from_hours(lifetime_hours);
            assert_eq!(PreExpiry::Third.for_lifetime(lifetime).as_hours(), before_end_hours);
        }
        assert_eq!(PreExpiry::Third.after_window(), seven, "a CA's window is not cut off");
        assert_eq!(PreExpiry::Days(9).after_window(), PreExpiry::Days(9));
    }
}
