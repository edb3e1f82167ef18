//! The list as CSV: all domains that match the filter, read and sent page by page.

use axum::body::Body;
use axum::response::Response;
use futures::{StreamExt, stream};
use proto::{status_word, v1};

use crate::csv::{Csv, attachment};
use crate::filter::{Filter, source_word};
use crate::page::Frame;
use crate::problem::Problem;
use crate::walk::Walk;
use crate::words::instant;

/// Answers `/domains.csv`. If a page after the first fails the answer is cut, so that half a list never looks whole.
pub(crate) async fn domains(frame: Frame) -> Result<Response, Problem> {
    let query = frame.here.split_once('?').map(|(_, query)| query);
    let mut walk = Walk::new(&frame, &Filter::parse(query));
    let mut first = Csv::new();
    first.line([
        "name",
        "status",
        "source",
        "created_at",
        "expires_at",
        "reason",
        "who",
        "activity",
        "next_attempt_at",
        "sha256",
        "customer_ref",
        "labels",
        "at_risk",
    ])?;
    for domain in walk.next().await?.unwrap_or_default() {
        line(&mut first, &domain)?;
    }
    let rest = stream::try_unfold(walk, |mut walk| async move {
        let page = match walk.next().await {
            Ok(page) => page,
            Err(problem) => return Err(std::io::Error::other(problem.sentence)),
        };
        let Some(domains) = page else { return Ok(None) };
        let mut csv = Csv::new();
        for domain in domains {
            line(&mut csv, &domain).map_err(std::io::Error::other)?;
        }
        let bytes = csv.bytes().map_err(std::io::Error::other)?;
        Ok(Some((bytes, walk)))
    });
    let first = first.bytes()?;
    let body = stream::once(async { Ok(first) }).chain(rest);
    let name = format!("domains-{}.csv", frame.now.strftime("%Y-%m-%d"));
    Ok(attachment(&name, Body::from_stream(body)))
}

fn line(csv: &mut Csv, domain: &v1::Domain) -> Result<(), csv::Error> {
    let time = |at| instant(at).map_or_else(String::new, |at| format!("{at:.0}"));
    let reason = domain.reason.as_ref();
    let certificate = domain.certificate.as_ref();
    let labels: Vec<String> =
        domain.labels.iter().map(|label| format!("{}={}", label.key, label.value)).collect();
    csv.line([
        &domain.name,
        status_word(domain.status()),
        source_word(domain.source()),
        &time(domain.created_at.as_ref()),
        &time(domain.expires_at.as_ref()),
        reason.map_or("", |reason| &reason.code),
        reason.map_or("", |reason| &reason.who),
        &domain.activity,
        &time(domain.next_attempt_at.as_ref()),
        certificate.map_or("", |certificate| &certificate.sha256),
        &domain.customer_ref,
        &labels.join("; "),
        if domain.at_risk { "yes" } else { "" },
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_a_line_with_what_there_is() {
        let at = |seconds| Some(proto::to_timestamp(jiff::Timestamp::from_second(seconds).unwrap()));
        let domain = v1::Domain {
            name: "shop.example.com".to_owned(),
            status: v1::Status::Failure.into(),
            source: v1::Source::C4.into(),
            created_at: at(0),
            next_attempt_at: at(60),
            reason: Some(v1::Reason {
                code: "not_pointed".to_owned(),
                who: "customer".to_owned(),
                ..v1::Reason::default()
            }),
            activity: "retrying".to_owned(),
            customer_ref: "=1+1".to_owned(),
            labels: vec![v1::Label { key: "tier".to_owned(), value: "gold".to_owned() }],
            ..v1::Domain::default()
        };
        let mut csv = Csv::new();
        line(&mut csv, &domain).unwrap();
        assert_eq!(
            String::from_utf8(csv.bytes().unwrap()).unwrap(),
            "shop.example.com,Failure,c4,1970-01-01T00:00:00Z,,not_pointed,customer,retrying,1970-01-01T00:01:00Z,,\
             '=1+1,tier=gold,\r\n"
        );
    }
}
