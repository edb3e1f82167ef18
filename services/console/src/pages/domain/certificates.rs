//! Every certificate that a name ever had.

use askama::Template;
use domain::DomainName;
use jiff::Timestamp;
use proto::v1;
use url::form_urlencoded;

use super::address;
use crate::page::Frame;
use crate::row::Moment;
use crate::words::{self, instant};
use crate::zone::Zone;

const PAGE: i32 = 20;

#[expect(clippy::struct_excessive_bools, reason = "a row says yes or no to four questions")]
struct Row {
    issuer: String,
    serial: String,
    sha256: String,
    from: Option<Moment>,
    until: Option<Moment>,
    source: &'static str,
    created: Option<Moment>,
    uploaded: Option<Moment>,
    revoked: Option<Moment>,
    is_live: bool,
    is_ended: bool,
    has_key: bool,
    can_roll_back: bool,
    /// The page that revokes it, if the viewer may.
    revoke: Option<String>,
}

#[derive(Template)]
#[template(path = "domain/certificates.html")]
pub(super) struct Certificates {
    rows: Vec<Row>,
    older: Option<String>,
    /// The list could not be had: the rest of the page can.
    is_away: bool,
}

/// A page of them; none if that call failed, so that the rest of the page is still shown.
pub(super) async fn read(
    frame: &Frame,
    name: &DomainName,
    page: &str,
) -> Option<v1::ListCertificatesResponse> {
    let request =
        v1::ListCertificatesRequest { name: name.to_string(), page_size: PAGE, page_token: page.to_owned() };
    let answer = frame.domains().list_certificates(request).await;
    answer.map(tonic::Response::into_inner).ok()
}

impl Certificates {
    pub(super) fn new(
        name: &DomainName,
        listed: Option<v1::ListCertificatesResponse>,
        may_operate: bool,
        may_revoke: bool,
        zone: &Zone,
        now: Timestamp,
    ) -> Self {
        let is_away = listed.is_none();
        let listed = listed.unwrap_or_default();
        let older = (!listed.next_page_token.is_empty()).then(|| {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("certificates", &listed.next_page_token);
            format!("{}?{}#certificates", address(name), query.finish())
        });
        let rows = listed.certificates.into_iter().map(|record| {
            let revoke = may_revoke && is_revocable(&record, now);
            Row::new(record, may_operate, revoke.then_some(name), zone, now)
        });
        Self { rows: rows.collect(), older, is_away }
    }
}

/// As the API has it: not what was pasted, ended, or revoked already.
fn is_revocable(record: &v1::CertificateRecord, now: Timestamp) -> bool {
    record.revoked_at.is_none()
        && record.certificate.as_ref().is_some_and(|certificate| {
            certificate.source() == v1::Source::C4
                && instant(certificate.not_after.as_ref()).is_some_and(|ends| ends > now)
        })
}

impl Row {
    fn new(
        record: v1::CertificateRecord,
        may_operate: bool,
        revoke: Option<&DomainName>,
        zone: &Zone,
        now: Timestamp,
    ) -> Self {
        let date = |at: Option<&prost_types::Timestamp>| instant(at).map(|at| Moment::date(at, zone));
        let certificate = record.certificate.unwrap_or_default();
        let ends = instant(certificate.not_after.as_ref());
        let sha256 = certificate.sha256.clone();
        Self {
            source: words::source(certificate.source()),
            from: date(certificate.not_before.as_ref()),
            until: date(certificate.not_after.as_ref()),
            created: date(record.created_at.as_ref()),
            uploaded: date(record.uploaded_at.as_ref()),
            revoked: date(record.revoked_at.as_ref()),
            is_live: record.live,
            is_ended: ends.is_some_and(|ends| ends <= now),
            has_key: record.has_key,
            can_roll_back: record.is_rollback_target && may_operate,
            revoke: revoke.map(|name| format!("{}/revoke?sha256={sha256}", address(name))),
            issuer: certificate.issuer,
            serial: certificate.serial,
            sha256,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_done_has_no_control() {
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        let at = |days: i64| {
            Some(prost_types::Timestamp { seconds: now.as_second() + days * 24 * 60 * 60, nanos: 0 })
        };
        let record = v1::CertificateRecord {
            certificate: Some(v1::Certificate {
                sha256: "ab".repeat(32),
                not_after: at(20),
                source: v1::Source::C4.into(),
                ..v1::Certificate::default()
            }),
            is_rollback_target: true,
            ..v1::CertificateRecord::default()
        };
        let name = DomainName::parse("shop.example.com").unwrap();
        let zone = Zone::of(&http::HeaderMap::new());
        let shown = |record: &v1::CertificateRecord, operate, revoke| {
            let listed = v1::ListCertificatesResponse {
                certificates: vec![record.clone()],
                next_page_token: "a b".to_owned(),
            };
            let list = Certificates::new(&name, Some(listed), operate, revoke, &zone, now);
            let html = list.render().unwrap();
            assert!(html.contains("?certificates=a+b#certificates"), "{html}");
            (html.contains("Roll back"), html.contains("/revoke?sha256=abab"))
        };
        assert_eq!(shown(&record, true, true), (true, true));
        assert_eq!(shown(&record, false, false), (false, false));
        let revoked =
            v1::CertificateRecord { revoked_at: at(-1), is_rollback_target: false, ..record.clone() };
        assert_eq!(shown(&revoked, true, true), (false, false));
        let mut pasted = record.clone();
        pasted.certificate.as_mut().unwrap().source = v1::Source::Text.into();
        assert_eq!(shown(&pasted, true, true), (true, false));
        let mut ended = record;
        ended.certificate.as_mut().unwrap().not_after = at(-1);
        assert!(!shown(&ended, true, true).1);
    }
}
