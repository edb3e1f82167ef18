//! `renewal.pre_expiry_days`: a number of days, or `"third"`.

use std::fmt;

use domain::PreExpiry;
use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;

const THIRD: &str = "third";

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
pub(super) fn serialize<S: Serializer>(pre_expiry: &PreExpiry, serializer: S) -> Result<S::Ok, S::Error> {
    match pre_expiry {
        PreExpiry::Days(days) => serializer.serialize_u16(*days),
        PreExpiry::Third => serializer.serialize_str(THIRD),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PreExpiry, D::Error> {
    deserializer.deserialize_any(DaysOrThird)
}

struct DaysOrThird;

impl Visitor<'_> for DaysOrThird {
    type Value = PreExpiry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of days, or \"third\"")
    }

    fn visit_i64<E: Error>(self, days: i64) -> Result<PreExpiry, E> {
        let unexpected = || E::invalid_value(serde::de::Unexpected::Signed(days), &self);
        days.try_into().map(PreExpiry::Days).map_err(|_| unexpected())
    }

    fn visit_u64<E: Error>(self, days: u64) -> Result<PreExpiry, E> {
        let unexpected = || E::invalid_value(serde::de::Unexpected::Unsigned(days), &self);
        days.try_into().map(PreExpiry::Days).map_err(|_| unexpected())
    }

    /// The environment gives numbers as text.
    fn visit_str<E: Error>(self, text: &str) -> Result<PreExpiry, E> {
        match text.trim() {
            THIRD => Ok(PreExpiry::Third),
            days => {
                let unexpected = || E::invalid_value(serde::de::Unexpected::Str(text), &self);
                days.parse().map(PreExpiry::Days).map_err(|_| unexpected())
            }
        }
    }
}
