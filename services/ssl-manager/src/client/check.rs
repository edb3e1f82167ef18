//! `domain check`: the checks before an order, one by one.

use proto::v1;
use serde_json::{Value, json};
use tonic::Request;

use super::answer;
use super::connect::Client;
use super::show::message;
use crate::cli::Output;
use crate::dispatch::CommandError;
use crate::output::{print, print_json, reason_json};
use crate::terminal::{Cell, Colour, Look, grid};

pub(crate) async fn run(client: &mut Client, name: &str, output: Output) -> Result<(), CommandError> {
    let request = v1::CheckDomainRequest { name: name.to_owned() };
    let checked = answer(client.check_domain(Request::new(request)).await)?;
    match output {
        Output::Json => {
            let steps: Vec<Value> = checked.steps.iter().map(step_json).collect();
            print_json(&json!({ "name": checked.name, "ready": checked.ready, "steps": steps }))
        }
        _ => print(text(&checked, Look::of_stdout())),
    }
}

/// First the result, then the checks, then the message for the party that must act.
fn text(checked: &v1::CheckDomainResponse, look: Look) -> String {
    let verdict = if checked.ready {
        "All checks pass: an order would be placed now."
    } else {
        "No order would be placed now."
    };
    let row = |step: &v1::CheckStep| {
        let colour = match step.outcome() {
            v1::CheckOutcome::Fine => Some(Colour::Green),
            v1::CheckOutcome::Blocked => Some(Colour::Red),
            _ => Some(Colour::Yellow),
        };
        let outcome = Cell { text: outcome(step).replace('_', " "), colour };
        vec![Cell::from(step.step.replace('_', " ")), outcome, Cell::from(&step.found)]
    };
    let rows: Vec<Vec<Cell>> = checked.steps.iter().map(row).collect();
    let mut parts = vec![verdict.to_owned(), grid(&["step", "outcome", "found"], &rows, look)];
    parts.extend(
        checked.steps.iter().filter_map(|step| step.reason.as_ref()).map(|reason| message(reason, look)),
    );
    parts.join("\n\n")
}

fn step_json(step: &v1::CheckStep) -> Value {
    json!({
        "step": step.step,
        "outcome": outcome(step),
        "reason": step.reason.as_ref().map(reason_json),
        "found": step.found,
    })
}

fn outcome(step: &v1::CheckStep) -> &'static str {
    match step.outcome() {
        v1::CheckOutcome::Unspecified => "",
        v1::CheckOutcome::Fine => "fine",
        v1::CheckOutcome::Blocked => "blocked",
        v1::CheckOutcome::CouldNotAsk => "could_not_ask",
        v1::CheckOutcome::NotAsked => "not_asked",
    }
}
