//! When a certificate is to be renewed, where the CA does not say (ARI, RFC 9773, overrules an earlier point).

use jiff::{SignedDuration, Timestamp};

/// How long before its end a certificate is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreExpiry(SignedDuration);

const DAY: SignedDuration = SignedDuration::from_hours(24);

impl PreExpiry {
    /// So many days before the end.
    pub fn days(days: u16) -> Self {
        Self(DAY.saturating_mul(i32::from(days)))
    }

    /// For a certificate that lives `lifetime`: as configured; a third of the lifetime under 21 days, half of it under
    /// 10; never before half of the lifetime.
    pub fn for_lifetime(self, lifetime: SignedDuration) -> SignedDuration {
        let half = lifetime / 2;
        if lifetime < DAY.saturating_mul(10) {
            half
        } else if lifetime < DAY.saturating_mul(21) {
            lifetime / 3
        } else {
            self.0.min(half)
        }
    }
}

/// The instant at which renewal is due.
pub fn renewal_point(not_before: Timestamp, not_after: Timestamp, pre_expiry: PreExpiry) -> Timestamp {
    let lifetime = not_after.duration_since(not_before).max(SignedDuration::ZERO);
    not_after
        .checked_sub(pre_expiry.for_lifetime(lifetime))
        .unwrap_or(not_before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pre_expiry_follows_the_lifetime() {
        let seven = PreExpiry::days(7);
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
            assert_eq!(
                seven.for_lifetime(lifetime).as_hours(),
                before_end_hours,
                "{lifetime_hours} h"
            );
        }
        let ninety = SignedDuration::from_hours(90 * 24);
        assert_eq!(
            PreExpiry::days(80).for_lifetime(ninety).as_hours(),
            45 * 24,
            "never before half of the lifetime"
        );
    }
}
