//! `pause`, `resume` and `paused`: the brake.

use domain::sentence;
use proto::v1;
use serde_json::{Value, json};
use tonic::Request;

use super::answer;
use super::connect::connect;
use crate::cli::{Brake, Global, Output};
use crate::dispatch::CommandError;
use crate::output::{print, print_done, print_json, time};
use crate::times::Times;

pub(crate) async fn pause(brake: &Brake, reason: Option<&str>, global: &Global) -> Result<(), CommandError> {
    let request = v1::PauseOutboundRequest {
        target: brake.target.as_str().to_owned(),
        issuer: brake.issuer(),
        reason: reason.unwrap_or_default().to_owned(),
    };
    let paused = answer(connect(global).await?.pause_outbound(Request::new(request)).await)?;
    let pause = paused.pause.unwrap_or_default();
    let was = if paused.created { "" } else { "It was paused already. " };
    print_done(global.output, format_args!("{was}{}", told(&pause, &Times::here())), &shown(&pause))
}

pub(crate) async fn resume(brake: &Brake, global: &Global) -> Result<(), CommandError> {
    let request =
        v1::ResumeOutboundRequest { target: brake.target.as_str().to_owned(), issuer: brake.issuer() };
    let lifted = answer(connect(global).await?.resume_outbound(Request::new(request)).await)?;
    let pause = lifted.pause.unwrap_or_default();
    let subject = proto::pause_from_message(&pause).map(|pause| pause.subject()).unwrap_or_default();
    let value = json!({ "target": pause.target, "issuer": pause.issuer, "resumed": true });
    print_done(global.output, format_args!("Requests to {subject} continue."), &value)
}

pub(crate) async fn list(global: &Global) -> Result<(), CommandError> {
    let told_of = answer(connect(global).await?.get_summary(Request::new(v1::GetSummaryRequest {})).await)?;
    if global.output == Output::Json {
        return print_json(&pauses(&told_of.pauses));
    }
    let times = Times::here();
    let lines: Vec<String> = told_of.pauses.iter().map(|pause| told(pause, &times)).collect();
    print(if lines.is_empty() { "Nothing is paused.".to_owned() } else { lines.join("\n") })
}

pub(super) fn pauses(pauses: &[v1::Pause]) -> Value {
    Value::Array(pauses.iter().map(shown).collect())
}

/// A pause in a sentence; empty for one that this program does not know.
pub(super) fn told(pause: &v1::Pause, times: &Times) -> String {
    let known = proto::pause_from_message(pause);
    known.map(|pause| sentence::paused(&pause, &times.both(pause.since))).unwrap_or_default()
}

fn shown(pause: &v1::Pause) -> Value {
    json!({
        "target": pause.target,
        "issuer": pause.issuer,
        "by": pause.by,
        "since": time(pause.since.as_ref()),
        "reason": pause.reason,
    })
}
