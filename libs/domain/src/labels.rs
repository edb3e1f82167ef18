//! The customer reference and the labels of a domain. Both are the caller's own words; they are stored, searched and
//! shown, and no decision depends on them.

use std::collections::{BTreeMap, BTreeSet};

use crate::is_unfit;

/// Maximum number of labels of one domain.
pub const MAX_LABELS: usize = 32;
const MAX_CUSTOMER_REF: usize = 128;
const MAX_KEY: usize = 63;
const MAX_VALUE: usize = 255;

/// Why a reference or a label is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// The reference is too long.
    #[error("a customer reference has at most {MAX_CUSTOMER_REF} characters")]
    CustomerRefTooLong,
    /// The reference has a character that moves, reverses or hides text.
    #[error("a customer reference has no line breaks, control characters or invisible characters")]
    CustomerRefBadCharacter,
    /// The key has the wrong form.
    #[error(
        "the key of a label has 1 to {MAX_KEY} of the characters a-z A-Z 0-9 - _ . / and begins with a letter or a digit"
    )]
    KeyInvalid,
    /// The value is too long.
    #[error("the value of a label has at most {MAX_VALUE} characters")]
    ValueTooLong,
    /// The value has a character that moves, reverses or hides text.
    #[error("the value of a label has no line breaks, control characters or invisible characters")]
    ValueBadCharacter,
    /// There would be too many labels.
    #[error("a domain has at most {MAX_LABELS} labels: remove some first")]
    TooMany,
}

impl LabelError {
    /// Stable code, for programs.
    pub fn reason(self) -> &'static str {
        match self {
            Self::CustomerRefTooLong => "CUSTOMER_REF_TOO_LONG",
            Self::CustomerRefBadCharacter => "CUSTOMER_REF_BAD_CHARACTER",
            Self::KeyInvalid => "LABEL_KEY_INVALID",
            Self::ValueTooLong => "LABEL_VALUE_TOO_LONG",
            Self::ValueBadCharacter => "LABEL_VALUE_BAD_CHARACTER",
            Self::TooMany => "TOO_MANY_LABELS",
        }
    }
}

/// A validated change of a domain's reference and labels. Fields that it does not name stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelChange {
    /// The new reference; empty removes it, none keeps it.
    customer_ref: Option<String>,
    /// Labels to set.
    set: BTreeMap<String, String>,
    /// Keys of labels to remove.
    remove: BTreeSet<String>,
}

impl LabelChange {
    /// Validates a change of the reference (none keeps it) and of these labels.
    pub fn new(
        customer_ref: Option<&str>,
        set: impl IntoIterator<Item = (String, String)>,
        remove: impl IntoIterator<Item = String>,
    ) -> Result<Self, LabelError> {
        let customer_ref = customer_ref.map(customer_ref_of).transpose()?;
        let mut change = Self { customer_ref, ..Self::default() };
        for (key, value) in set {
            check_label(&key, &value)?;
            change.set.insert(key, value);
            if change.set.len() > MAX_LABELS {
                return Err(LabelError::TooMany);
            }
        }
        for key in remove {
            check_key(&key)?;
            change.remove.insert(key);
        }
        Ok(change)
    }

    /// Whether it changes nothing on any domain.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The reference after the change.
    pub fn customer_ref<'a>(&'a self, before: &'a str) -> &'a str {
        self.customer_ref.as_deref().unwrap_or(before)
    }

    /// The labels after the change. A key that is both set and removed is set.
    pub fn labels(&self, before: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, LabelError> {
        let kept = before.iter().filter(|(key, _)| !self.remove.contains(*key));
        let mut after: BTreeMap<String, String> =
            kept.map(|(key, value)| (key.clone(), value.clone())).collect();
        after.extend(self.set.clone());
        if after.len() > MAX_LABELS { Err(LabelError::TooMany) } else { Ok(after) }
    }
}

/// Normalises a reference for storage.
pub fn customer_ref_of(text: &str) -> Result<String, LabelError> {
    let text = text.trim();
    if text.chars().count() > MAX_CUSTOMER_REF {
        return Err(LabelError::CustomerRefTooLong);
    }
    if text.chars().any(is_unfit) {
        return Err(LabelError::CustomerRefBadCharacter);
    }
    Ok(text.to_owned())
}

/// A label as people write it, `KEY=VALUE`.
pub fn parse_label(text: &str) -> Result<(String, String), LabelError> {
    let (key, value) = text.split_once('=').ok_or(LabelError::KeyInvalid)?;
    check_label(key, value)?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Checks a label's key and value.
pub fn check_label(key: &str, value: &str) -> Result<(), LabelError> {
    check_key(key)?;
    if value.chars().count() > MAX_VALUE {
        return Err(LabelError::ValueTooLong);
    }
    if value.chars().any(is_unfit) {
        return Err(LabelError::ValueBadCharacter);
    }
    Ok(())
}

fn check_key(key: &str) -> Result<(), LabelError> {
    let is_good = key.len() <= MAX_KEY
        && key.starts_with(|first: char| first.is_ascii_alphanumeric())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
    if is_good { Ok(()) } else { Err(LabelError::KeyInvalid) }
}

/// The changes as a sentence for the history; none if nothing changed.
pub fn label_changes(
    customer_ref: (&str, &str),
    labels: (&BTreeMap<String, String>, &BTreeMap<String, String>),
) -> Option<String> {
    let mut told = Vec::new();
    match customer_ref {
        (before, after) if before == after => {}
        ("", after) => told.push(format!("the customer is {after}")),
        (before, "") => told.push(format!("the customer {before} was removed")),
        (before, after) => told.push(format!("the customer is {after}, before {before}")),
    }
    let (before, after) = labels;
    for (key, value) in after {
        match before.get(key) {
            Some(same) if same == value => {}
            Some(other) => told.push(format!("{key}={value}, before {other}")),
            None => told.push(format!("{key}={value}")),
        }
    }
    told.extend(
        before.keys().filter(|key| !after.contains_key(*key)).map(|key| format!("{key} was removed")),
    );
    (!told.is_empty()).then(|| format!("Labels: {}.", told.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_would_move_or_hide_text_is_refused() {
        let refused = |customer_ref: &str| LabelChange::new(Some(customer_ref), [], []).unwrap_err().reason();
        for bad in ["a\nb", "a\u{0}b", "a\u{202e}b", "a\u{200b}b", "a\u{7f}b"] {
            assert_eq!(refused(bad), "CUSTOMER_REF_BAD_CHARACTER", "{bad:?}");
            assert_eq!(parse_label(&format!("k={bad}")), Err(LabelError::ValueBadCharacter), "{bad:?}");
        }
        assert_eq!(refused(&"ü".repeat(129)), "CUSTOMER_REF_TOO_LONG");
        assert!(customer_ref_of(&"ü".repeat(128)).is_ok());
        assert_eq!(parse_label(&format!("k={}", "ü".repeat(256))), Err(LabelError::ValueTooLong));
        for bad in ["", "=v", "no", "-k=v", "k k=v", "k\n=v", "ü=v", &format!("{}=v", "k".repeat(64))] {
            assert_eq!(parse_label(bad), Err(LabelError::KeyInvalid), "{bad:?}");
        }
        for good in ["k=", "k=v=w", "example.com/tier=<b>gold</b>", "K-1_a=+1"] {
            assert!(parse_label(good).is_ok(), "{good}");
        }
        assert_eq!(customer_ref_of(" <script>=1+1 ").unwrap(), "<script>=1+1", "escaped where it is shown");
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        let before = labels(&[("tier", "gold"), ("team", "a")]);
        let change =
            LabelChange::new(None, [("team".to_owned(), "b".to_owned())], ["tier".to_owned()]).unwrap();
        assert_eq!(change.labels(&before).unwrap(), labels(&[("team", "b")]));
        assert_eq!(change.customer_ref("4711"), "4711");
        assert_eq!(LabelChange::new(Some(""), [], []).unwrap().customer_ref("4711"), "");
        assert!(LabelChange::default().is_empty() && !change.is_empty());
    }

    #[test]
    fn labels_are_bounded() {
        let many = |from: usize, to: usize| (from..to).map(|number| (format!("k{number}"), String::new()));
        assert_eq!(LabelChange::new(None, many(0, 10_000), []), Err(LabelError::TooMany));
        let full: BTreeMap<_, _> = many(0, MAX_LABELS).collect();
        let one_more = LabelChange::new(None, many(99, 100), []).unwrap();
        assert_eq!(one_more.labels(&full), Err(LabelError::TooMany));
        let swapped = LabelChange::new(None, many(99, 100), ["k0".to_owned()]).unwrap();
        assert_eq!(swapped.labels(&full).unwrap().len(), MAX_LABELS);
    }

    #[test]
    fn a_change_is_told_in_a_sentence() {
        let (before, after) = (labels(&[("a", "1"), ("b", "2")]), labels(&[("a", "3"), ("c", "4")]));
        let told = label_changes(("", "4711"), (&before, &after));
        assert_eq!(told.as_deref(), Some("Labels: the customer is 4711; a=3, before 1; c=4; b was removed."));
        assert_eq!(label_changes(("x", "x"), (&before, &before)), None);
    }
}
