//! Webhooks, for administrators: the endpoints with their state, the deliveries, and a form for a new endpoint. The
//! new secret is shown on the page that answers its form, and nowhere else.

use askama::Template;
use axum::body::Body;
use axum::response::{IntoResponse, Redirect, Response};
use domain::{Action, NoticeKind, WebhookFormat, parse_label};
use http::StatusCode;
use proto::v1;
use tonic::Code;
use url::form_urlencoded;

use crate::form::{Form, query};
use crate::page::Frame;
use crate::problem::{Problem, html};
use crate::row::Moment;
use crate::words::instant;

const PAGE_SIZE: u32 = 50;

struct Line {
    name: String,
    url: String,
    state: &'static str,
    is_on: bool,
    told: String,
    trouble: String,
    since: Option<Moment>,
    delivered: Option<Moment>,
}

struct Sent {
    id: String,
    endpoint: String,
    kind: &'static str,
    events: u32,
    state: String,
    made: Option<Moment>,
    trouble: String,
    can_send: bool,
}

/// The fields of the form for a new endpoint.
#[derive(Default)]
struct EndpointForm {
    name: String,
    url: String,
    labels: String,
    kinds: Vec<String>,
    is_slack: bool,
    alone: bool,
}

#[derive(Template)]
#[template(path = "webhooks.html")]
struct WebhooksPage {
    frame: Frame,
    lines: Vec<Line>,
    sent: Vec<Sent>,
    next: Option<String>,
    kinds: Vec<(&'static str, &'static str, bool)>,
    asked: EndpointForm,
    /// The name of the endpoint that was just created or changed, and its new secret.
    secret: Option<(String, String)>,
    said: Option<&'static str>,
    trouble: Option<String>,
}

fn kind_words(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Emergency => "Emergency",
        NoticeKind::CustomerActionNeeded => "The customer must act",
        NoticeKind::Renewed => "Renewed",
        NoticeKind::ExpiringBlocked => "Ends soon, renewal blocked",
        NoticeKind::PastedEnding => "Pasted certificate ends soon",
        NoticeKind::MidnightReport => "Midnight report",
        NoticeKind::IssuerDown => "A CA is down",
        NoticeKind::Test => "Test",
    }
}

/// The confirmation of an action, by the word in the address.
fn said(word: &str) -> Option<&'static str> {
    Some(match word {
        "enabled" => "The endpoint is switched on. What waited is sent.",
        "disabled" => "The endpoint is switched off.",
        "deleted" => "The endpoint is deleted.",
        "tested" => "The test is sent within seconds; reload the page to see how that went.",
        "changed" => "The endpoint is changed. What waits is sent to where it is now.",
        "redelivered" => "The delivery is sent again within seconds.",
        _ => return None,
    })
}

/// Answers `/webhooks`.
pub(crate) async fn show(frame: Frame) -> Result<Response, Problem> {
    frame.person.require(Action::Webhooks)?;
    page(frame, EndpointForm::default(), None, None).await
}

async fn page(
    frame: Frame,
    asked: EndpointForm,
    secret: Option<(String, String)>,
    trouble: Option<String>,
) -> Result<Response, Problem> {
    let mut client = frame.app.api.notifications(&frame.person.token);
    let mut fields = query(frame.here.split_once('?').map(|(_, query)| query));
    let endpoints = client.list_endpoints(v1::ListEndpointsRequest {}).await?.into_inner().endpoints;
    let request = v1::ListDeliveriesRequest {
        endpoint: String::new(),
        page_size: PAGE_SIZE,
        page_token: fields.remove("page").unwrap_or_default(),
    };
    let deliveries = client.list_deliveries(request).await?.into_inner();
    let next = Some(deliveries.next_page_token).filter(|token| !token.is_empty());
    let is_asked =
        |kind: NoticeKind| asked.kinds.is_empty() || asked.kinds.iter().any(|word| word == kind.as_str());
    Ok(html(&WebhooksPage {
        lines: endpoints.iter().map(|endpoint| line(&frame, endpoint)).collect(),
        sent: deliveries.deliveries.iter().map(|delivery| sent(&frame, delivery)).collect(),
        next: next.map(|token| {
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("page", &token).finish();
            format!("/webhooks?{query}")
        }),
        kinds: NoticeKind::SELECTABLE.map(|kind| (kind.as_str(), kind_words(kind), is_asked(kind))).to_vec(),
        said: fields.get("did").and_then(|word| said(word)),
        frame,
        asked,
        secret,
        trouble,
    }))
}

fn line(frame: &Frame, endpoint: &v1::WebhookEndpoint) -> Line {
    let time = |at: Option<&prost_types::Timestamp>| instant(at).map(|at| Moment::time(at, &frame.zone));
    let kinds = endpoint.kinds.iter().filter_map(|word| word.parse().ok()).map(kind_words);
    let labels = endpoint.labels.iter().map(|label| format!("{}={}", label.key, label.value));
    let mut told = kinds.collect::<Vec<_>>().join(", ");
    if !endpoint.labels.is_empty() {
        told = format!("{told}; only {}", labels.collect::<Vec<_>>().join(", "));
    }
    let reason = if endpoint.last_error.is_empty() { &endpoint.state_reason } else { &endpoint.last_error };
    Line {
        name: endpoint.name.clone(),
        url: endpoint.url.clone(),
        state: match endpoint.state.as_str() {
            "enabled" if endpoint.failing_since.is_some() => "On, failing",
            "enabled" => "On",
            "failed" => "Off: it took nothing",
            _ => "Off",
        },
        is_on: endpoint.state == "enabled",
        told,
        trouble: reason.clone(),
        since: time(endpoint.failing_since.as_ref()),
        delivered: time(endpoint.delivered_at.as_ref()),
    }
}

fn sent(frame: &Frame, delivery: &v1::WebhookDelivery) -> Sent {
    let state = match (delivery.state.as_str(), delivery.attempts) {
        ("delivered", _) => "Delivered".to_owned(),
        ("open", _) => "Collecting".to_owned(),
        ("refused", 1) => "Given up after 1 attempt".to_owned(),
        ("refused", attempts) => format!("Given up after {attempts} attempts"),
        (_, 0) => "To be sent".to_owned(),
        (_, 1) => "1 attempt failed".to_owned(),
        (_, attempts) => format!("{attempts} attempts failed"),
    };
    Sent {
        id: delivery.id.clone(),
        endpoint: delivery.endpoint.clone(),
        kind: delivery.kind.parse().map_or("", kind_words),
        events: delivery.events,
        state,
        made: instant(delivery.created_at.as_ref()).map(|at| Moment::time(at, &frame.zone)),
        trouble: delivery.last_error.clone(),
        can_send: delivery.state != "open",
    }
}

/// Answers a POST to `/webhooks`.
pub(crate) async fn act(frame: Frame, body: Body) -> Result<Response, Problem> {
    frame.person.require(Action::Webhooks)?;
    let form = Form::of(&frame.person, body).await?;
    let (action, name) = (form.get("action"), form.get("name").to_owned());
    let mut client = frame.app.api.notifications(&frame.person.token);
    let switch = |enabled| v1::UpdateEndpointRequest {
        name: name.clone(),
        enabled: Some(enabled),
        ..v1::UpdateEndpointRequest::default()
    };
    let did = match action {
        "create" => return create(frame, &form).await,
        "change" => return change(frame, &form).await,
        "enable" => client.update_endpoint(switch(true)).await.map(|_| "enabled"),
        "disable" => client.update_endpoint(switch(false)).await.map(|_| "disabled"),
        "delete" => client.delete_endpoint(v1::DeleteEndpointRequest { name }).await.map(|_| "deleted"),
        "test" => client.test_endpoint(v1::TestEndpointRequest { name }).await.map(|_| "tested"),
        "redeliver" => {
            let request = v1::RedeliverDeliveryRequest { id: form.get("id").to_owned() };
            client.redeliver_delivery(request).await.map(|_| "redelivered")
        }
        _ => {
            let sentence = "There is no such button. Open the page again and use one that is there.";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "ACTION_UNKNOWN", sentence));
        }
    };
    match did {
        Ok(did) => Ok(Redirect::to(&format!("/webhooks?did={did}")).into_response()),
        Err(status) => {
            let trouble = refused(status)?;
            page(frame, EndpointForm::default(), None, Some(trouble)).await
        }
    }
}

async fn create(frame: Frame, form: &Form) -> Result<Response, Problem> {
    let asked = EndpointForm {
        name: form.get("name").trim().to_owned(),
        url: form.get("url").trim().to_owned(),
        labels: form.get("labels").trim().to_owned(),
        kinds: form.all("kind").map(str::to_owned).collect(),
        is_slack: form.get("format") == WebhookFormat::Slack.as_str(),
        alone: form.is_set("alone"),
    };
    let mut labels = Vec::new();
    for text in asked.labels.split_whitespace() {
        match parse_label(text) {
            Ok((key, value)) => labels.push(v1::Label { key, value }),
            Err(problem) => {
                let trouble = format!("Labels: {problem}.");
                return page(frame, asked, None, Some(trouble)).await;
            }
        }
    }
    let request = v1::CreateEndpointRequest {
        name: asked.name.clone(),
        url: asked.url.clone(),
        kinds: asked.kinds.clone(),
        labels,
        format: form.get("format").to_owned(),
        alone: asked.alone,
    };
    let made = frame.app.api.notifications(&frame.person.token).create_endpoint(request).await;
    match made {
        Ok(made) => {
            page(frame, EndpointForm::default(), Some((asked.name, made.into_inner().secret)), None).await
        }
        Err(status) => {
            let trouble = refused(status)?;
            page(frame, asked, None, Some(trouble)).await
        }
    }
}

/// Gives an endpoint a new URL, a new secret, or both.
async fn change(frame: Frame, form: &Form) -> Result<Response, Problem> {
    let (name, url) = (form.get("name").to_owned(), form.get("url").trim());
    let request = v1::UpdateEndpointRequest {
        name: name.clone(),
        url: Some(url.to_owned()).filter(|url| !url.is_empty()),
        renew_secret: form.is_set("renew"),
        ..v1::UpdateEndpointRequest::default()
    };
    if request.url.is_none() && !request.renew_secret {
        let trouble = format!("Nothing to change at {name}: type a new URL, or choose a new secret.");
        return page(frame, EndpointForm::default(), None, Some(trouble)).await;
    }
    let changed = frame.app.api.notifications(&frame.person.token).update_endpoint(request).await;
    match changed.map(|changed| changed.into_inner().secret) {
        Ok(secret) if secret.is_empty() => Ok(Redirect::to("/webhooks?did=changed").into_response()),
        Ok(secret) => page(frame, EndpointForm::default(), Some((name, secret)), None).await,
        Err(status) => {
            let trouble = refused(status)?;
            page(frame, EndpointForm::default(), None, Some(trouble)).await
        }
    }
}

/// The API's message for an invalid request; other errors have a page of their own.
fn refused(status: tonic::Status) -> Result<String, Problem> {
    let is_about_the_request = matches!(
        status.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::ResourceExhausted
    );
    let problem = Problem::from(status);
    if is_about_the_request { Ok(problem.sentence) } else { Err(problem) }
}
