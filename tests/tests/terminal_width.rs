//! What people see in a terminal of eighty columns: every command that prints, in colour and without, and for `head -1`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Stdio};
use std::time::Duration;

use sandbox::{World, WorldOptions};
use tests::{Answer, Mode, SslManager, Surroundings, in_terminal};

const LIMIT: Duration = Duration::from_mins(1);
const COLUMNS: u16 = 80;
const NAME: &str = "shop.example.com";
const ELSEWHERE: &str = "a-customer-with-a-rather-long-name-that-left.example.com";

const COMMANDS: [&str; 30] = [
    "domain list",
    "domain list -o table --status Failure",
    "domain show NAME",
    "domain show ELSEWHERE",
    "domain history NAME",
    "domain history ELSEWHERE",
    "domain certificates NAME",
    "domain summary",
    "domain overview",
    "domain label NAME --customer 4711 --label tier=gold",
    "domain note NAME told-the-customer",
    "domain note NAME",
    "midnight",
    "paused",
    "webhook list",
    "webhook deliveries",
    "domain check NAME",
    "domain check ELSEWHERE",
    "domain recheck ELSEWHERE",
    "domain generate NAME",
    "job start recheck NAME ELSEWHERE --wait",
    "job list",
    "domain add NAME a.example.com",
    "token list",
    "user list",
    "account list",
    "audit list",
    "audit verify",
    "config check",
    "config dump",
];

async fn running() -> (World, SslManager) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(Mode::Embedded, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    world.point_at_cdn(NAME);
    world.point_at_cdn(ELSEWHERE);
    world.dns.control().remove(ELSEWHERE);
    world.dns.control().set_a(ELSEWHERE, &["203.0.113.7".parse().unwrap()]);
    manager.start().await;
    for (name, status) in [(NAME, "Success"), (ELSEWHERE, "Failure")] {
        assert_eq!(manager.domain(&["add", name]).code, 0);
        manager.status(name, status, LIMIT).await;
    }
    (world, manager)
}

fn words(command: &str) -> Vec<String> {
    let replaced = command.replace("NAME", NAME).replace("ELSEWHERE", ELSEWHERE);
    replaced.split(' ').map(str::to_owned).collect()
}

/// What is seen: without colours.
fn seen(printed: &str) -> String {
    let mut seen = String::new();
    let mut rest = printed;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        seen.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    seen + rest
}

fn assert_fits(command: &str, answer: &Answer) {
    assert_eq!(answer.code, 0, "{command}: {answer:?}");
    for line in seen(&answer.stdout).lines() {
        // A word that is longer than the terminal, such as a path, is not broken.
        let fits = line.chars().count() <= COLUMNS.into() || !line.trim().contains(' ');
        assert!(fits, "{command}: {} columns: {line}", line.chars().count());
    }
    let has_instant = answer.stdout.split_whitespace().any(|word| {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        word.ends_with('Z') && word.contains('T') && digits >= 14
    });
    assert!(!has_instant, "{command}: a time of a machine in\n{}", answer.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_output_fits_a_terminal() {
    let (_world, manager) = running().await;
    let token = manager.token();
    let run = |command: &str, no_color: &str| {
        let words = words(command);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = manager.command(&words, token);
        command.env("NO_COLOR", no_color).env("TERM", "xterm");
        in_terminal(command, COLUMNS)
    };
    for command in COMMANDS {
        for no_color in ["1", ""] {
            let answer = run(command, no_color);
            assert_fits(command, &answer);
            assert!(no_color.is_empty() || !answer.stdout.contains('\u{1b}'), "{command}: {answer:?}");
        }
    }

    assert_fits("domain delete", &run("domain delete a.example.com --yes", ""));

    let list = run("domain list", "");
    assert!(list.stdout.contains(&format!("{NAME}  ")), "{list:?}");
    assert!(list.stdout.contains("\u{1b}[32mSuccess\u{1b}[0m"), "{list:?}");
    assert_eq!(list.stdout.lines().count(), 3, "a head and a line per domain: {}", list.stdout);
    let failure = run("domain list --status Failure", "1").stdout;
    assert!(failure.contains(&format!("{ELSEWHERE}  Failure")), "the name is whole: {failure}");
    let shown = run("domain show ELSEWHERE", "1").stdout;
    assert!(shown.starts_with("No certificate yet: DNS does not point to the CDN."), "{shown}");
    let overview = run("domain overview", "1").stdout;
    assert!(overview.lines().count() <= 20 && overview.contains("customer 1: 1 not_pointed"), "{overview}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_line_is_enough() {
    let (_world, manager) = running().await;
    let token = manager.token();
    for command in COMMANDS {
        for format in ["table", "json"] {
            let words = words(&command.replace("-o table", ""));
            let words = words.iter().map(String::as_str).filter(|word| !word.is_empty());
            let words: Vec<&str> = words.chain(["--output", format]).collect();
            let mut child = manager.command(&words, token);
            let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let head = Command::new("head").arg("-1").stdin(child.stdout.take().unwrap()).output().unwrap();
            let answer = Answer::from(child.wait_with_output().unwrap());
            assert!([0, 141].contains(&answer.code) && answer.stderr.is_empty(), "{command}: {answer:?}");
            assert_eq!(String::from_utf8(head.stdout).unwrap().lines().count(), 1, "{command}");
        }
    }
}

#[test]
fn help_fits_a_terminal() {
    let run = |words: &str| {
        let command = tests::bare_command(&words.split(' ').collect::<Vec<_>>());
        in_terminal(command, COLUMNS)
    };
    for command in COMMANDS.iter().chain(&[
        "all",
        "demo",
        "domain",
        "domain import",
        "domain download",
        "health",
        "restore check",
    ]) {
        let path: Vec<&str> = command.split(' ').take_while(|word| !word.starts_with('-')).take(2).collect();
        let help = run(&format!("{} --help", path.join(" ")));
        assert_fits(command, &help);
        assert!(!help.stdout.contains("SSL_MANAGER_TOKEN holds"), "{command}: {}", help.stdout);
    }
    let whole = run("--help");
    assert_fits("--help", &whole);
    assert!(whole.stdout.contains("SSL_MANAGER_TOKEN holds"), "{}", whole.stdout);
}
