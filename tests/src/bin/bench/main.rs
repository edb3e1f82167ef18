//! Figures, printed and never asserted: `make bench`.
//!
//! Absolute times say as much about the machine as about the program; what counts are the ratios to what ran in the same
//! run.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and ends where something fails"
)]

mod answers;
mod fill;
mod fleet;
mod limit;
mod list;
mod many;
mod midnight;
mod page;
mod peers;
mod plot;
mod report;
mod responder;
mod scaled;
mod singles;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use sandbox::World;
use tests::SslManager;

use crate::report::{Report, say};

const WARM_WITHIN: Duration = Duration::from_mins(2);

/// Each part, what it measures, and about how many minutes it takes on two cores.
const PARTS: [(&str, &str, u32); 8] = [
    ("singles", "one at a time against Pebble", 1),
    ("many", "certificates per second on SQLite, beside the limit and a bare client", 2),
    ("scaled", "the same on PostgreSQL and RabbitMQ, a process per role", 2),
    ("peers", "beside lego and certbot", 2),
    ("responder", "the challenge responder beside nginx", 1),
    ("midnight", "the daily recheck beside a new customer", 5),
    ("fleet", "certificates per second with 10,000, 100,000 and a million domains", 4),
    ("list", "API and page with DOMAINS domains (a million)", 8),
];

const HELP: &str = "Usage: bench [--report FOLDER] [PART]...

Measures all parts, or those that are named, and prints figures. Needs a release build of ssl-manager beside it, which
`make bench` makes. With --report the figures and plots are written into that folder.

Parts:";

#[tokio::main]
async fn main() -> ExitCode {
    let mut folder = None;
    let mut wished = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" | "-h" => return help(),
            "--report" => folder = arguments.next().map(PathBuf::from),
            part if PARTS.iter().any(|(name, ..)| *name == part) => wished.push(argument),
            other => {
                say(&format!("bench: there is no part {other:?}; --help lists them"));
                return ExitCode::from(64);
            }
        }
    }
    let parts = PARTS.iter().filter(|(name, ..)| wished.is_empty() || wished.iter().any(|wish| wish == name));
    let mut report = Report::new(folder);
    for (part, what, minutes) in parts {
        say(&format!("\n{part}: {what}; about {minutes} min"));
        measure(part, &mut report).await;
    }
    report.write();
    ExitCode::SUCCESS
}

fn help() -> ExitCode {
    say(HELP);
    for (part, what, minutes) in PARTS {
        say(&format!("  {part:<10} {what}; about {minutes} min"));
    }
    ExitCode::SUCCESS
}

async fn measure(part: &str, report: &mut Report) {
    match part {
        "singles" => singles::against_pebble(report).await,
        "many" => many::embedded(report).await,
        "scaled" => scaled::out(report).await,
        "peers" => peers::side_by_side(report).await,
        "responder" => responder::beside_nginx(report).await,
        "midnight" => midnight::beside_a_new_customer(report).await,
        "fleet" => fleet::over_its_size(report).await,
        _ => {
            let many = std::env::var("DOMAINS").map_or(1_000_000, |many| many.parse().unwrap());
            list::at(many, report).await;
        }
    }
}

/// The account, the connections, the caches.
async fn warm_up(world: &World, manager: &SslManager, many: usize) {
    let names: Vec<String> = (0..many).map(|number| format!("w{number}.example.com")).collect();
    point_all(world, &names);
    manager.add_all(&names).await;
    all_uploaded(world, &names, WARM_WITHIN).await;
}

async fn all_uploaded(world: &World, names: &[String], limit: Duration) {
    tests::wait_for("all uploads", limit, || {
        let held = |name: &&String| world.c4.control().certificate(name).is_some();
        let done = names.iter().filter(held).count();
        std::future::ready(if done == names.len() {
            Ok(())
        } else {
            Err(format!("{done} of {}", names.len()))
        })
    })
    .await;
}

fn point_all(world: &World, names: &[String]) {
    for name in names {
        world.point_at_cdn(name);
    }
}
