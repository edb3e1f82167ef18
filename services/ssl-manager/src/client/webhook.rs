//! `webhook`: endpoints and their deliveries, through the API.

use std::time::Duration;

use clap::{Args, Subcommand};
use domain::{LabelError, parse_label, printable};
use proto::v1;
use serde_json::{Map, Value, json};
use tonic::Request;

use super::answer;
use super::connect::{NotificationsClient, connect_notifications};
use crate::cli::{Global, Output};
use crate::dispatch::CommandError;
use crate::output::{print, print_done, print_json, print_many, time};

/// How long a test's delivery is waited for: longer than a receiver may take.
const TEST_LOOKS: u32 = 30;
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub(crate) enum WebhookCommand {
    /// Make an endpoint and print the secret that signs what is sent to it, once
    Create(CreateArgs),
    /// Show the endpoints
    List,
    /// Show one endpoint
    Show {
        /// Which endpoint
        name: String,
    },
    /// Change an endpoint; what is not named stays as it is
    Update(UpdateArgs),
    /// Switch an endpoint on; what waited for it is sent
    Enable {
        /// Which endpoint
        name: String,
    },
    /// Switch an endpoint off; what happens meanwhile it is not told
    Disable {
        /// Which endpoint
        name: String,
    },
    /// Delete an endpoint with its deliveries
    Delete {
        /// Which endpoint
        name: String,
    },
    /// Send a test, and say how that went: 0, or 1 if the endpoint did not take it
    Test {
        /// Which endpoint
        name: String,
    },
    /// Show what was sent, or is to be sent, newest first
    Deliveries {
        /// Only to this endpoint
        name: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
    },
    /// Send a delivery again, with the same ids
    Redeliver {
        /// Its id, of `webhook deliveries`
        id: String,
    },
}

#[derive(Debug, Args)]
#[expect(clippy::doc_markdown, reason = "these comments are the help on a terminal, without markup")]
pub(crate) struct CreateArgs {
    /// Its name
    #[arg(long)]
    name: String,
    /// Where it is, https
    #[arg(long)]
    url: String,
    /// What it is told of, repeat it for several: emergency, customer_action_needed, renewed, expiring_blocked,
    /// pasted_ending, midnight_report, issuer_down; without, everything
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
    /// Only domains with this label, repeat it for several
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<v1::Label>,
    /// json, or slack for Slack and compatible chats
    #[arg(long, default_value = "json")]
    format: String,
    /// Send every notice alone, rather than in digests
    #[arg(long)]
    alone: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Which endpoint
    name: String,
    /// A new URL, https; the secret stays
    #[arg(long)]
    url: Option<String>,
    /// Make a new secret and print it, once
    #[arg(long)]
    renew_secret: bool,
    /// What it is told of from now on, repeat it for several
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
    /// json, or slack for Slack and compatible chats
    #[arg(long)]
    format: Option<String>,
    /// Whether every notice is sent alone, rather than in digests
    #[arg(long, value_name = "true|false")]
    alone: Option<bool>,
}

fn label(text: &str) -> Result<v1::Label, LabelError> {
    parse_label(text).map(|(key, value)| v1::Label { key, value })
}

pub(crate) async fn run(command: &WebhookCommand, global: &Global) -> Result<(), CommandError> {
    let mut client = connect_notifications(global).await?;
    let output = global.output;
    match command {
        WebhookCommand::Create(args) => create(&mut client, args, output).await,
        WebhookCommand::List => {
            let endpoints = endpoints(&mut client).await?;
            let values: Vec<Value> = endpoints.iter().map(endpoint_json).collect();
            if values.is_empty() && output != Output::Json {
                return print("There are no endpoints.");
            }
            print_many(output, &values, &["name", "state", "url", "format", "failing_since", "delivered_at"])
        }
        WebhookCommand::Show { name } => show(&mut client, name, output).await,
        WebhookCommand::Update(args) => update(&mut client, args, output).await,
        WebhookCommand::Enable { name } => switch(&mut client, name, true, output).await,
        WebhookCommand::Disable { name } => switch(&mut client, name, false, output).await,
        WebhookCommand::Delete { name } => {
            let request = v1::DeleteEndpointRequest { name: name.clone() };
            answer(client.delete_endpoint(Request::new(request)).await)?;
            let value = json!({ "name": name, "deleted": true });
            print_done(output, format_args!("The endpoint {name} is deleted."), &value)
        }
        WebhookCommand::Test { name } => test(&mut client, name, output).await,
        WebhookCommand::Deliveries { name, limit } => {
            let endpoint = name.clone().unwrap_or_default();
            let values: Vec<Value> =
                deliveries(&mut client, endpoint, *limit).await?.iter().map(delivery_json).collect();
            if values.is_empty() && output != Output::Json {
                return print("There are no deliveries.");
            }
            print_many(
                output,
                &values,
                &["id", "endpoint", "kind", "events", "state", "attempts", "last_error"],
            )
        }
        WebhookCommand::Redeliver { id } => {
            let request = v1::RedeliverDeliveryRequest { id: id.clone() };
            let delivery = answer(client.redeliver_delivery(Request::new(request)).await)?.delivery;
            let value = delivery_json(&delivery.unwrap_or_default());
            print_done(output, format_args!("The delivery {id} is sent again within seconds."), &value)
        }
    }
}

async fn create(
    client: &mut NotificationsClient,
    args: &CreateArgs,
    output: Output,
) -> Result<(), CommandError> {
    let request = v1::CreateEndpointRequest {
        name: args.name.clone(),
        url: args.url.clone(),
        kinds: args.kinds.clone(),
        labels: args.labels.clone(),
        format: args.format.clone(),
        alone: args.alone,
    };
    let made = answer(client.create_endpoint(Request::new(request)).await)?;
    let mut value = endpoint_json(&made.endpoint.unwrap_or_default());
    value["secret"] = json!(made.secret);
    print_done(output, &made.secret, &value)
}

async fn update(
    client: &mut NotificationsClient,
    args: &UpdateArgs,
    output: Output,
) -> Result<(), CommandError> {
    let UpdateArgs { name: _, url, renew_secret, kinds, format, alone } = args;
    if !renew_secret && kinds.is_empty() && (url, format, alone) == (&None, &None, &None) {
        let sentence = "name a change: --url, --renew-secret, --kind, --format or --alone";
        return Err(CommandError::new("INVALID_ARGUMENT", sentence.to_owned()));
    }
    let request = v1::UpdateEndpointRequest {
        name: args.name.clone(),
        enabled: None,
        kinds: args.kinds.clone(),
        format: args.format.clone(),
        alone: args.alone,
        url: args.url.clone(),
        renew_secret: args.renew_secret,
    };
    let changed = answer(client.update_endpoint(Request::new(request)).await)?;
    let mut value = endpoint_json(&changed.endpoint.unwrap_or_default());
    if changed.secret.is_empty() {
        return print_done(output, format_args!("The endpoint {} is changed.", args.name), &value);
    }
    value["secret"] = json!(changed.secret);
    print_done(output, &changed.secret, &value)
}

async fn endpoints(client: &mut NotificationsClient) -> Result<Vec<v1::WebhookEndpoint>, CommandError> {
    Ok(answer(client.list_endpoints(Request::new(v1::ListEndpointsRequest {})).await)?.endpoints)
}

async fn show(client: &mut NotificationsClient, name: &str, output: Output) -> Result<(), CommandError> {
    let found = endpoints(client).await?.into_iter().find(|endpoint| endpoint.name == name);
    let Some(endpoint) = found else {
        let sentence = format!("there is no endpoint {name:?}: `ssl-manager webhook list` shows all");
        return Err(CommandError::new("NOT_FOUND", sentence));
    };
    let value = endpoint_json(&endpoint);
    if output == Output::Json {
        return print_json(&value);
    }
    let labels: Vec<String> =
        endpoint.labels.iter().map(|label| format!("{}={}", label.key, label.value)).collect();
    let mut lines = vec![
        format!("{}: {}", endpoint.name, endpoint.state),
        format!("URL: {}", endpoint.url),
        format!("Kinds: {}", endpoint.kinds.join(", ")),
        format!("Labels: {}", if labels.is_empty() { "all domains".to_owned() } else { labels.join(", ") }),
        format!("Format: {}{}", endpoint.format, if endpoint.alone { ", each notice alone" } else { "" }),
        format!("Created by: {}", endpoint.created_by),
    ];
    for (what, text) in
        [("Switched off because", &endpoint.state_reason), ("Last error", &endpoint.last_error)]
    {
        if !text.is_empty() {
            lines.push(format!("{what}: {text}"));
        }
    }
    print(lines.iter().map(|line| printable(line)).collect::<Vec<_>>().join("\n"))
}

async fn switch(
    client: &mut NotificationsClient,
    name: &str,
    enabled: bool,
    output: Output,
) -> Result<(), CommandError> {
    let request = v1::UpdateEndpointRequest {
        name: name.to_owned(),
        enabled: Some(enabled),
        ..v1::UpdateEndpointRequest::default()
    };
    let endpoint = answer(client.update_endpoint(Request::new(request)).await)?.endpoint.unwrap_or_default();
    let word = if enabled { "on" } else { "off" };
    print_done(output, format_args!("The endpoint {name} is switched {word}."), &endpoint_json(&endpoint))
}

/// Sends a test and waits until it was tried.
async fn test(client: &mut NotificationsClient, name: &str, output: Output) -> Result<(), CommandError> {
    let request = v1::TestEndpointRequest { name: name.to_owned() };
    let sent = answer(client.test_endpoint(Request::new(request)).await)?.delivery.unwrap_or_default();
    for _ in 0..TEST_LOOKS {
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        let found = deliveries(client, name.to_owned(), 200).await?;
        let Some(delivery) = found.into_iter().find(|delivery| delivery.id == sent.id) else { continue };
        if delivery.state == "delivered" {
            let sentence = format!("{name} took the test (status {}).", delivery.http_status);
            return print_done(output, sentence, &delivery_json(&delivery));
        }
        if delivery.attempts > 0 {
            let sentence = format!("{name} did not take the test: {}", printable(&delivery.last_error));
            return Err(CommandError::new("NOT_DELIVERED", sentence));
        }
    }
    let sentence =
        "the test was not sent yet: is the notifier running? `ssl-manager webhook deliveries` shows it";
    Err(CommandError::new("NOT_SENT", sentence))
}

async fn deliveries(
    client: &mut NotificationsClient,
    endpoint: String,
    limit: u32,
) -> Result<Vec<v1::WebhookDelivery>, CommandError> {
    let request = v1::ListDeliveriesRequest { endpoint, page_size: limit, page_token: String::new() };
    Ok(answer(client.list_deliveries(Request::new(request)).await)?.deliveries)
}

fn endpoint_json(endpoint: &v1::WebhookEndpoint) -> Value {
    let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    json!({
        "name": endpoint.name,
        "url": endpoint.url,
        "kinds": endpoint.kinds,
        "labels": endpoint.labels.iter().map(|label| (label.key.clone(), json!(label.value))).collect::<Map<_, _>>(),
        "format": endpoint.format,
        "alone": endpoint.alone,
        "state": endpoint.state,
        "state_reason": text(&endpoint.state_reason),
        "created_at": time(endpoint.created_at.as_ref()),
        "created_by": endpoint.created_by,
        "failing_since": time(endpoint.failing_since.as_ref()),
        "last_error": text(&endpoint.last_error),
        "delivered_at": time(endpoint.delivered_at.as_ref()),
    })
}

fn delivery_json(delivery: &v1::WebhookDelivery) -> Value {
    json!({
        "id": delivery.id,
        "endpoint": delivery.endpoint,
        "kind": delivery.kind,
        "events": delivery.events,
        "state": delivery.state,
        "created_at": time(delivery.created_at.as_ref()),
        "next_attempt_at": time(delivery.next_attempt_at.as_ref()),
        "attempts": delivery.attempts,
        "http_status": Some(delivery.http_status).filter(|status| *status != 0),
        "last_error": Some(&delivery.last_error).filter(|text| !text.is_empty()),
        "delivered_at": time(delivery.delivered_at.as_ref()),
    })
}
