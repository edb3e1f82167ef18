//! ACME Renewal Information (RFC 9773): when a CA suggests to renew a certificate.
//!
//! Uses our own GET request, because instant-acme's reads the system's clock and sleeps.

use std::time::Duration;

use bytes::Bytes;
use domain::SuggestedWindow;
use http::{HeaderMap, Method};
use instant_acme::CertificateIdentifier;
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::AcmeError;
use crate::ca::{Ca, Patience};

/// Used if a CA does not say when to ask again (RFC 9773 section 4.3.3 suggests six hours).
const DEFAULT_QUERY_INTERVAL: Duration = Duration::from_hours(6);
/// Minimum time between two queries about one certificate, whatever the CA suggests.
const MIN_QUERY_INTERVAL: Duration = Duration::from_mins(10);

/// A CA's suggestion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// When to renew.
    pub window: SuggestedWindow,
    /// When to ask again, 10 min to 24 h.
    pub ask_again: Duration,
    /// The CA has a page that explains it, as it has for incidents.
    pub is_explained: bool,
}

/// How a CA names a certificate (RFC 9773 section 4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewalId(pub(crate) CertificateIdentifier<'static>);

impl RenewalId {
    /// Of the leaf of a chain in PEM; none if it does not say by which key it was signed.
    pub fn of(chain_pem: &str) -> Option<Self> {
        let leaf = CertificateDer::from_pem_slice(chain_pem.as_bytes()).ok()?;
        let (_, leaf) = X509Certificate::from_der(&leaf).ok()?;
        let authority =
            leaf.extensions().iter().find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::AuthorityKeyIdentifier(authority) => authority.key_identifier.as_ref(),
                _ => None,
            })?;
        let (authority, serial) = (authority.0.into(), leaf.raw_serial().into());
        Some(Self(CertificateIdentifier::new(authority, serial).into_owned()))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RenewalInfo {
    suggested_window: Window,
    #[serde(default, rename = "explanationURL")]
    explanation_url: serde_json::Value,
}

#[derive(Deserialize)]
struct Window {
    start: Timestamp,
    end: Timestamp,
}

impl Ca {
    /// Asks when to renew a certificate; none if the CA has no renewal information.
    pub async fn renewal_info(&self, id: &RenewalId) -> Result<Option<Suggestion>, AcmeError> {
        let Some(url) = self.directory().await?.renewal_info else {
            return Ok(None);
        };
        let CertificateIdentifier { authority_key_identifier, serial } = &id.0;
        let url = format!("{}/{authority_key_identifier}.{serial}", url.trim_end_matches('/'));
        let answer =
            self.send_safely(Method::GET, &url, HeaderMap::new(), Bytes::new(), Patience::Look).await?;
        if !answer.status.is_success() {
            return Err(self.problem(&answer));
        }
        let ask_again = self.retry_after(&answer.headers).unwrap_or(DEFAULT_QUERY_INTERVAL);
        let (window, is_explained) = parse(&answer.body)?;
        Ok(Some(Suggestion { window, ask_again: ask_again.max(MIN_QUERY_INTERVAL), is_explained }))
    }
}

/// The window, and whether the CA explains it.
fn parse(body: &[u8]) -> Result<(SuggestedWindow, bool), AcmeError> {
    let info: RenewalInfo = serde_json::from_slice(body)
        .map_err(|error| AcmeError::Nonsense(format!("renewal information: {error}")))?;
    let Window { start, end } = info.suggested_window;
    if end <= start {
        return Err(AcmeError::Nonsense("a renewal window that ends before it starts".into()));
    }
    let is_explained = info.explanation_url.as_str().is_some_and(|url| !url.is_empty());
    Ok((SuggestedWindow { start, end }, is_explained))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_makes_no_sense_is_refused() {
        let window = |start: &str, end: &str| {
            let json = serde_json::json!({ "suggestedWindow": { "start": start, "end": end } });
            parse(json.to_string().as_bytes())
        };
        let (early, late) = ("2027-01-02T04:00:00Z", "2027-01-03T04:00:00Z");
        assert_eq!(window(early, late).unwrap().0.seconds(), 86_400);
        for (start, end) in [(late, early), (early, early), ("soon", late)] {
            assert!(window(start, end).is_err(), "{start} to {end}");
        }
        for explanation in [serde_json::Value::Null, "".into(), 7.into(), "https://ca.example/why".into()] {
            let json = serde_json::json!({
                "suggestedWindow": { "start": early, "end": late, "new": null }, "explanationURL": explanation,
            });
            let (_, is_explained) = parse(json.to_string().as_bytes()).unwrap();
            assert_eq!(is_explained, explanation == "https://ca.example/why");
        }
        for body in ["", "{", "[]", "{\"suggestedWindow\":null}"] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
