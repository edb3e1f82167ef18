//! `domain check`: what stands in the way of a certificate, step by step.

use proto::v1;
use serde_json::{Value, json};
use tonic::Request;

use super::answer;
use super::connect::Client;
use crate::cli::Output;
use crate::dispatch::Failure;
use crate::output::{print_many, print_one, reason_json};

pub(crate) async fn run(client: &mut Client, name: &str, output: Output) -> Result<(), Failure> {
    let request = v1::CheckDomainRequest { name: name.to_owned() };
    let checked = answer(client.check_domain(Request::new(request)).await)?;
    let steps: Vec<Value> = checked.steps.iter().map(step_json).collect();
    match output {
        Output::Json => {
            print_one(output, &json!({ "name": checked.name, "ready": checked.ready, "steps": steps }));
        }
        Output::Table => {
            print_many(output, &steps, &["step", "outcome", "found", "reason"]);
            let verdict =
                if checked.ready { "An order would be placed now." } else { "No order would be placed." };
            println!("{verdict}");
        }
    }
    Ok(())
}

fn step_json(step: &v1::CheckStep) -> Value {
    let outcome = match step.outcome() {
        v1::CheckOutcome::Unspecified => "",
        v1::CheckOutcome::Fine => "fine",
        v1::CheckOutcome::Blocked => "blocked",
        v1::CheckOutcome::CouldNotAsk => "could_not_ask",
        v1::CheckOutcome::NotAsked => "not_asked",
    };
    json!({
        "step": step.step,
        "outcome": outcome,
        "reason": step.reason.as_ref().map(reason_json),
        "found": step.found,
    })
}
