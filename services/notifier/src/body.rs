//! Bodies of webhooks: one JSON object per notice in an envelope per delivery, or a text for chats.

use std::collections::BTreeMap;

use domain::sentence::{MidnightTotals, short};
use domain::{DomainName, NoticeKind, Status, WebhookFormat, Who, printable};
use jiff::civil::Date;
use runtime::Context;
use serde_json::{Value, json};
use store::{DeliveryEvent, Endpoint, Notice, StoreError, WebhookDelivery};

/// Maximum number of notices named in a chat text; the rest is counted.
const MAX_NAMED: usize = 20;
/// Maximum length of a reason's sentence in a chat text.
const MAX_SENTENCE: usize = 300;

/// The JSON object of one notice.
pub(crate) async fn event(
    context: &Context,
    notice: &Notice,
    labels: &BTreeMap<String, String>,
) -> Result<Value, StoreError> {
    let name: Option<DomainName> = notice.subject.parse().ok().filter(|_| notice.kind.is_of_domain());
    let reason = notice.reason.as_ref().map(|reason| {
        json!({
            "code": reason.code(),
            "who": reason.who().map(Who::as_str),
            "message": name.as_ref().map_or_else(|| short(reason).to_owned(), |name| reason.message(name)),
        })
    });
    let mut told = json!({
        "id": notice.id.to_string(),
        "kind": notice.kind.as_str(),
        "at": notice.at.to_string(),
        "subject": notice.subject,
        "customer_ref": notice.customer_ref,
        "labels": labels,
        "status": notice.status.map(Status::as_str),
        "reason": reason,
        "expires_at": notice.ends_at.map(|at| at.to_string()),
        "days_left": notice.days,
    });
    if let (NoticeKind::MidnightReport, Ok(day)) = (notice.kind, notice.subject.parse::<Date>()) {
        told["report"] = report(context, day).await?;
    }
    Ok(told)
}

async fn report(context: &Context, day: Date) -> Result<Value, StoreError> {
    let figures = context.store.midnight_figures(day).await?;
    let mut totals = MidnightTotals::default();
    let mut outcomes = serde_json::Map::new();
    for (outcome, domains) in figures.outcomes {
        totals.add(outcome, domains);
        outcomes.insert(outcome.as_str().to_owned(), domains.into());
    }
    Ok(json!({ "asked": totals.asked(), "outcomes": outcomes, "new": figures.new, "gone": figures.gone }))
}

/// The id of a delivery as its receiver sees it: for a single notice, the notice's own id.
pub(crate) fn id(delivery: &WebhookDelivery, events: &[DeliveryEvent]) -> String {
    match events {
        [event] if delivery.digest_key.is_empty() => event.event.to_string(),
        _ => delivery.id.to_string(),
    }
}

/// The body of a request.
pub(crate) fn whole(endpoint: &Endpoint, delivery: &WebhookDelivery, events: &[DeliveryEvent]) -> String {
    let told: Vec<Value> = events.iter().filter_map(|event| serde_json::from_str(&event.body).ok()).collect();
    let body = match endpoint.format {
        WebhookFormat::Slack => json!({ "text": text(delivery.kind, &told) }),
        WebhookFormat::Json => json!({
            "id": id(delivery, events),
            "kind": delivery.kind.as_str(),
            "created_at": delivery.created_at.to_string(),
            "digest": !delivery.digest_key.is_empty(),
            "count": told.len(),
            "events": told,
        }),
    };
    body.to_string()
}

fn headline(kind: NoticeKind, count: usize) -> String {
    let domains = if count == 1 { "1 domain".to_owned() } else { format!("{count} domains") };
    match kind {
        NoticeKind::Emergency => format!("Emergency: C4 does not take the certificates of {domains}"),
        NoticeKind::CustomerActionNeeded => format!("The customer must act: {domains}"),
        NoticeKind::Renewed => format!("Renewed: {domains}"),
        NoticeKind::ExpiringBlocked => format!("The certificate ends soon and cannot be renewed: {domains}"),
        NoticeKind::PastedEnding => format!("The pasted certificate ends soon: {domains}"),
        NoticeKind::MidnightReport => "The daily recheck is done".to_owned(),
        NoticeKind::IssuerDown => "A certificate authority is down or refuses us".to_owned(),
        NoticeKind::Test => "SSL Manager: this is a test".to_owned(),
    }
}

/// A text for Slack and compatible chats.
fn text(kind: NoticeKind, events: &[Value]) -> String {
    let mut lines = vec![format!("*{}*", headline(kind, events.len()))];
    lines.extend(events.iter().take(MAX_NAMED).filter_map(line));
    if events.len() > MAX_NAMED {
        lines.push(format!("… and {} more", events.len() - MAX_NAMED));
    }
    lines.join("\n")
}

fn line(event: &Value) -> Option<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if let Some(report) = event.get("report") {
        let of = |outcome: &str| report["outcomes"][outcome].as_u64().unwrap_or(0);
        return Some(format!(
            "{}: {} asked, {} now work, {} unchanged",
            text(&event["subject"]),
            report["asked"],
            of("works"),
            of("unchanged")
        ));
    }
    let subject = text(&event["subject"]);
    if subject.is_empty() {
        return None;
    }
    let mut parts = vec![format!("• {subject}")];
    if let Some(days) = event["days_left"].as_u64() {
        parts.push(format!("ends within {days} {}", if days == 1 { "day" } else { "days" }));
    }
    let message = text(&event["reason"]["message"]);
    if !message.is_empty() {
        parts.push(message.chars().take(MAX_SENTENCE).collect());
    }
    Some(escaped(&printable(&parts.join(": "))))
}

/// Escapes characters that Slack would read as a link or a mention.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_is_told_in_a_few_lines_and_nothing_in_them_is_a_link() {
        let event = |name: &str| json!({ "subject": name, "days_left": 7, "reason": { "message": "<!channel> & <https://x>" } });
        let events: Vec<Value> = (0..22).map(|number| event(&format!("s{number}.example.com"))).collect();
        let text = text(NoticeKind::ExpiringBlocked, &events);
        assert!(
            text.starts_with("*The certificate ends soon and cannot be renewed: 22 domains*\n"),
            "{text}"
        );
        assert!(
            text.contains("• s0.example.com: ends within 7 days: &lt;!channel&gt; &amp; &lt;https"),
            "{text}"
        );
        assert!(text.ends_with("\n… and 2 more"), "{text}");
        assert_eq!(text.lines().count(), 22);
    }

    #[test]
    fn a_report_and_a_test_have_words_of_their_own() {
        let report = json!({ "subject": "2026-12-01", "report": { "asked": 3, "outcomes": { "works": 1 } } });
        let told = text(NoticeKind::MidnightReport, &[report]);
        assert_eq!(told, "*The daily recheck is done*\n2026-12-01: 3 asked, 1 now work, 0 unchanged");
        assert_eq!(text(NoticeKind::Test, &[json!({})]), "*SSL Manager: this is a test*");
    }
}
