//! Text and headers from outside, made fit for logs, history and people.

use std::error::Error;
use std::time::Duration;

use domain::one_line;
use jiff::fmt::rfc2822;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

const MAX_CHARACTERS: usize = 200;
const MAX_WAIT: Duration = Duration::from_hours(1);
/// A line of base64 in a PEM file is longer than this; what is shorter gives nothing away and occurs by chance.
const MIN_SECRET: usize = 16;

pub(crate) fn tidy(text: &str) -> String {
    one_line(text, MAX_CHARACTERS)
}

/// Like [`tidy`], but withholds a text that repeats something secret, so that a server which echoes its input does
/// not carry a key into the history.
pub(crate) fn tidy_message(text: &str, secrets: &[&str]) -> String {
    let mut lines = secrets.iter().flat_map(|secret| secret.lines()).map(str::trim);
    if text.contains("PRIVATE KEY") || lines.any(|line| line.len() >= MIN_SECRET && text.contains(line)) {
        return "(withheld: the answer repeated secret input)".to_owned();
    }
    match tidy(text) {
        empty if empty.is_empty() => "no message".to_owned(),
        message => message,
    }
}

/// How a request failed, from the outermost to the innermost cause, without the URL.
pub(crate) fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    tidy(&text)
}

/// Retry-After (RFC 9110 section 10.2.3), at most an hour. A date is read against the answer's own Date, so that
/// neither clock needs to be right.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let value = text(RETRY_AFTER)?;
    let wait = if value.bytes().all(|byte| byte.is_ascii_digit()) && !value.is_empty() {
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let until = rfc2822::parse(value).ok()?.timestamp();
        let sent = rfc2822::parse(text(DATE)?).ok()?.timestamp();
        Duration::try_from(until.duration_since(sent)).unwrap_or(Duration::ZERO)
    };
    Some(wait.min(MAX_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(retry_after: &str, date: Option<&str>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry_after.parse().unwrap());
        if let Some(date) = date {
            headers.insert(DATE, date.parse().unwrap());
        }
        super::retry_after(&headers).map(|wait| wait.as_secs())
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        assert_eq!(wait("7", None), Some(7));
        assert_eq!(wait("86400", None), Some(3600));
        assert_eq!(wait("99999999999999999999999", None), Some(3600));
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:37 GMT", date), Some(60));
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT", date), Some(0));
        assert_eq!(wait("Sat, 06 Nov 2094 08:00:00 GMT", date), Some(3600));
        for nonsense in ["", "-1", "soon", "1.5"] {
            assert_eq!(wait(nonsense, date), None, "{nonsense:?}");
        }
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:37 GMT", None), None);
        assert_eq!(super::retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn text_becomes_one_short_line() {
        assert_eq!(tidy("a\r\n\tb\u{1b}[31m \u{202e}c"), "a b [31m c");
        let long = tidy(&"ü".repeat(100_000));
        assert_eq!((long.chars().count(), long.chars().last()), (200, Some('…')));
        assert_eq!(tidy_message("\n", &[]), "no message");
    }

    #[test]
    fn a_message_that_repeats_a_secret_is_withheld() {
        let key = "-----BEGIN X-----\nMIGHAgEAMBMGByqGSM49AgEG\n-----END X-----";
        for message in
            ["bad key MIGHAgEAMBMGByqGSM49AgEG", "-----BEGIN PRIVATE KEY-----", "token 0123456789abcdef"]
        {
            let tidied = tidy_message(message, &[key, "0123456789abcdef"]);
            assert!(tidied.starts_with("(withheld"), "{tidied}");
        }
        assert_eq!(tidy_message("the chain is incomplete", &[key]), "the chain is incomplete");
    }
}
