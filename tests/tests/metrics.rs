//! What Prometheus reads: a process exports every metric and label value that an alert needs from its start.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sandbox::{World, WorldOptions};
use serde_json::Value;
use tests::{Mode, SslManager, Surroundings, run_bare};

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

async fn metrics_of_all() -> String {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(Mode::Embedded, &Surroundings::sandbox(&world)).await;
    manager.start().await;
    manager.metrics("all").await
}

/// The metrics in an expression, each with its label values: `name` and `name label value`.
fn names_and_values(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, prefix) in text.match_indices("ssl_manager_") {
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let rest = &text[at + prefix.len()..];
        let end = rest.find(|letter| !is_name(letter)).unwrap_or(rest.len());
        let name = format!("{prefix}{}", &rest[..end]);
        let matchers = rest[end..].strip_prefix('{').and_then(|rest| rest.split_once('}'));
        for matcher in matchers.into_iter().flat_map(|(matchers, _)| matchers.split(',')) {
            let (label, value) = matcher.split_once('=').unwrap_or((matcher, ""));
            let values = value.trim_start_matches('~').trim_matches('"').split('|');
            found.extend(values.map(|value| format!("{name} {} {value}", label.trim_end_matches('!'))));
        }
        found.insert(name);
    }
    found
}

fn dashboard_queries() -> Vec<String> {
    let file = std::fs::File::open(project().join("deploy/grafana/ssl-manager.json")).unwrap();
    let dashboard: Value = serde_json::from_reader(file).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

fn promtool() -> PathBuf {
    let fetched = Command::new(project().join("deploy/promtool.sh")).output().unwrap();
    assert!(fetched.status.success(), "{}", String::from_utf8_lossy(&fetched.stderr));
    String::from_utf8(fetched.stdout).unwrap().trim().into()
}

/// There where a port has a certificate of its own, which is not so here.
const OF_TLS: &str = "ssl_manager_own_certificate_end_timestamp_seconds";

#[tokio::test(flavor = "multi_thread")]
async fn what_the_alerts_ask_for_is_there_from_the_start_and_described() {
    let shown = metrics_of_all().await;
    let samples: Vec<&str> = shown.lines().filter(|line| !line.starts_with('#')).collect();
    let exported = names_and_values(&samples.join("\n"));
    let rules = std::fs::read_to_string(project().join("deploy/prometheus/rules.yml")).unwrap();
    let mut asked = names_and_values(&rules);
    asked.extend(dashboard_queries().iter().flat_map(|query| names_and_values(query)));
    assert!(asked.contains("ssl_manager_domains status Emergency"), "{asked:?}");
    assert!(asked.contains("ssl_manager_calls_refused_total limit streams"), "{asked:?}");
    let missing: Vec<_> = asked.difference(&exported).filter(|name| *name != OF_TLS).collect();
    assert!(missing.is_empty(), "alerts and dashboard ask for {missing:?}, which are not in {shown}");

    let mut checker = Command::new(promtool())
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    checker.stdin.take().unwrap().write_all(shown.as_bytes()).unwrap();
    let said = checker.wait_with_output().unwrap();
    let words = [said.stdout, said.stderr].concat();
    assert!(said.status.success() && words.is_empty(), "{}", String::from_utf8_lossy(&words));
}

/// The commands of a text: what begins with `ssl-manager ` after a backtick or at the beginning of a line, up to the next
/// backtick, comment or, in a block, the end of the line.
fn commands(text: &str) -> Vec<Vec<&str>> {
    let mut found = Vec::new();
    for (at, program) in text.match_indices("ssl-manager ") {
        let rest = &text[at + program.len()..];
        let end = match text[..at].chars().next_back() {
            Some('`') => rest.find('`'),
            Some('\n') => rest.find(['\n', '#', '`']),
            _ => continue,
        };
        found.push(rest[..end.unwrap_or(rest.len())].split_whitespace().collect());
    }
    found
}

#[test]
fn runbooks_name_commands_that_exist() {
    let mut count = 0;
    for file in std::fs::read_dir(project().join("docs/runbooks")).unwrap() {
        let path = file.unwrap().path();
        for mut command in commands(&std::fs::read_to_string(&path).unwrap()) {
            command.push("--help");
            let answer = run_bare(&command, &[]);
            assert_eq!(answer.code, 0, "{}: {command:?}: {}", path.display(), answer.stderr);
            count += 1;
        }
    }
    assert!(count > 30, "only {count} commands were found");
}

#[test]
fn names_and_label_values_are_found_in_an_expression() {
    let text = r#"ssl_manager_a{x!="1",y=~"2|3"} > 0 or absent(ssl_manager_b)"#;
    let expected =
        ["ssl_manager_a", "ssl_manager_a x 1", "ssl_manager_a y 2", "ssl_manager_a y 3", "ssl_manager_b"];
    assert_eq!(names_and_values(text).into_iter().collect::<Vec<_>>(), expected);
}
