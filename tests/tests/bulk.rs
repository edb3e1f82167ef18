//! `domain add` of many names.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use sandbox::{World, WorldOptions};
use serde_json::{Value, json};
use tests::{Answer, Mode, SslManager, Subprocess, Surroundings, wait_for};

const LIMIT: Duration = Duration::from_mins(1);
/// So many that nobody has added them before the test has looked.
const MANY: usize = 100_000;

async fn running() -> SslManager {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(Mode::Embedded, &Surroundings::sandbox(&world)).await;
    manager.start().await;
    manager
}

fn write(manager: &SslManager, text: &str) -> String {
    let path = manager.folder().join("names");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_names_come_from_arguments_a_file_and_stdin() {
    let manager = running().await;
    let file = write(&manager, "# customers\nb.example.com\n\n  *.example.com\na.example.com\n");
    let all = manager.domain(&["add", "a.example.com", "--file", &file]);
    assert_eq!(all.code, 1, "{all:?}");
    assert_eq!(all.stderr, "NOT_ALL_ADDED: 1 of 4 names were not added\n");
    let row =
        |name: &str, result: &str| json!({ "name": name, "result": result, "reason": null, "message": null });
    let rows = all.json.as_array().unwrap();
    assert_eq!(
        [&rows[0], &rows[1], &rows[3]],
        [&row("a.example.com", "added"), &row("b.example.com", "added"), &row("a.example.com", "present")]
    );
    assert_eq!(
        (&rows[2]["name"], &rows[2]["result"], &rows[2]["reason"]),
        (&json!("*.example.com"), &json!("error"), &json!("NAME_IS_WILDCARD"))
    );
    assert!(rows[2]["message"].as_str().unwrap().contains("wildcard"));

    let token = manager.new_token("support");
    let told = manager.run(&["domain", "add", "c.example.com", "", "a.example.com"], &token);
    assert_eq!(told.stdout, "1 added, 1 present before, 1 failed\n");
    assert!(told.stderr.contains("NAME_EMPTY"), "{}", told.stderr);

    let mut command = manager.command(&["domain", "add", "--file", "-"], &token);
    let mut reading = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    reading.stdin.take().unwrap().write_all(b"d.example.com").unwrap();
    let read: Answer = reading.wait_with_output().unwrap().into();
    assert_eq!((read.code, read.stdout.as_str()), (0, "1 added, 0 present before, 0 failed\n"));

    let alone = manager.domain(&["add", "a.example.com"]);
    assert_eq!((alone.code, &alone.json["name"]), (0, &json!("a.example.com")), "one name shows its domain");
    let empty = write(&manager, "# nothing\n");
    for wrong in [
        vec!["domain", "add"],
        vec!["domain", "add", "--file", &empty],
        vec!["domain", "add", "--file", "/nowhere"],
    ] {
        assert_eq!(manager.run(&wrong, &token).code, 64, "{wrong:?}");
    }
    let viewer = manager.new_token("viewer");
    let refused = manager.run(&["domain", "add", "x.example.com", "y.example.com"], &viewer);
    assert!(refused.stderr.starts_with("PERMISSION_DENIED: "), "{refused:?}");
}

/// Adds very many and lets `cut` happen once the first is there; what the command said then.
async fn cut_short(cut: impl FnOnce(&mut SslManager, &Subprocess)) -> (String, Vec<Value>) {
    let mut manager = running().await;
    let names: Vec<String> = (0..MANY).map(|number| format!("d{number}.example.com")).collect();
    let file = write(&manager, &names.join("\n"));
    let token = manager.new_token("support");
    let arguments = ["--output", "json", "domain", "add", "--file", &file];
    let mut command = manager.command(&arguments, &token);
    let mut adding = Subprocess::start("adding", manager.folder(), &mut command);
    wait_for("the first name", LIMIT, || {
        let shown = manager.domain(&["show", "d0.example.com"]);
        std::future::ready(if shown.code == 0 { Ok(()) } else { Err(shown.stderr) })
    })
    .await;
    cut(&mut manager, &adding);
    assert_eq!(adding.exit(LIMIT).await.code(), Some(1));
    let printed = adding.output();
    let rows = printed.lines().find(|line| line.starts_with('[')).unwrap();
    let rows: Vec<Value> = serde_json::from_str(rows).unwrap();
    assert!(rows.len() < MANY, "{} rows", rows.len());
    assert!(rows.iter().all(|row| row["result"] == "added"));
    let line = printed.lines().find(|line| !line.starts_with('[')).unwrap();
    assert!(line.contains(&format!("{} of {MANY} names were answered", rows.len())), "{line}");
    (line.to_owned(), rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_tells_what_was_added_by_then() {
    let (line, _) = cut_short(|_, adding| adding.interrupt()).await;
    assert!(line.starts_with("INTERRUPTED: "), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_tells_no_less() {
    let (line, _) = cut_short(|manager, _| manager.process().kill_9()).await;
    let code = line.split(':').next().unwrap();
    assert!(["UNAVAILABLE", "UNKNOWN", "CANCELLED", "INTERNAL"].contains(&code), "{line}");
}
