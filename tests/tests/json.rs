//! Every command prints JSON if it is asked to. The list of commands is what `--help` says there is, so that none is
//! forgotten.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use sandbox::{World, WorldOptions};
use serde_json::Value;
use tests::{Mode, Receiver, SslManager, Subprocess, Surroundings, run_bare, wait_for};

const LIMIT: Duration = Duration::from_mins(1);
const NAME: &str = "shop.example.com";
/// What has no result, or, as completions, is text for a shell.
const EXCEPTED: [&str; 13] = [
    "all",
    "api",
    "c4-uploader",
    "challenge-responder",
    "completions",
    "console",
    "demo",
    "issuer",
    "notifier",
    "sandbox c4",
    "sandbox ca",
    "sandbox dns",
    "scheduler",
];

/// Every command that has none below it, by what `--help` lists.
fn commands(above: &str) -> Vec<String> {
    let mut arguments: Vec<&str> = above.split_whitespace().collect();
    arguments.push("--help");
    let help = run_bare(&arguments, &[]).stdout;
    let Some((_, listed)) = help.split_once("\nCommands:\n") else {
        return vec![above.to_owned()];
    };
    let lines = listed.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| {
        line.strip_prefix("  ")?.split_whitespace().next().filter(|_| !line.starts_with("   "))
    });
    names.filter(|name| *name != "help").flat_map(|name| commands(format!("{above} {name}").trim())).collect()
}

/// What a command is called with, in an order in which each succeeds.
#[expect(clippy::too_many_lines, reason = "a table")]
fn calls(file: &str) -> Vec<(&'static str, String)> {
    let call = |command, arguments: &str| (command, arguments.replace("FILE", file).replace("NAME", NAME));
    vec![
        call("config check", ""),
        call("config dump", ""),
        call("db migrate", ""),
        call("health", ""),
        call("man", "FILE.man"),
        call("token create", "--name t --role viewer"),
        call("token list", ""),
        call("token revoke", "t"),
        call("user create", "--name u --role viewer --password-file FILE.password"),
        call("user list", ""),
        call("user password", "--name u --password-file FILE.password"),
        call("user sign-out", "u"),
        call("user remove", "u"),
        call("keys rotate", ""),
        call("account list", ""),
        call("account export", "--issuer test --file FILE.account"),
        call("account import", "--issuer test --file FILE.account"),
        call("account rollover", ""),
        call("audit list", ""),
        call("audit verify", ""),
        call("restore check", ""),
        call("restore accept", ""),
        call("pause", "c4 --reason test"),
        call("paused", ""),
        call("resume", "c4"),
        call("webhook create", "--name ops --url RECEIVER"),
        call("webhook list", ""),
        call("webhook show", "ops"),
        call("webhook test", "ops"),
        call("webhook deliveries", ""),
        call("webhook redeliver", "DELIVERY"),
        call("webhook update", "ops --format json"),
        call("webhook disable", "ops"),
        call("webhook enable", "ops"),
        call("webhook delete", "ops"),
        call("domain add", "a.example.com b.example.com"),
        call("domain generate", "NAME"),
        call("domain label", "NAME --customer 4711 --label tier=gold"),
        call("domain note", "NAME told"),
        call("midnight", ""),
        call("domain check", "NAME"),
        call("domain show", "NAME"),
        call("domain history", "NAME"),
        call("domain certificates", "NAME"),
        call("domain summary", ""),
        call("domain overview", ""),
        call("domain recheck", "NAME"),
        call("domain list", ""),
        call("domain download", "NAME --chain FILE.chain"),
        call("domain import", "NAME --certificate FILE.pem --key FILE.key"),
        call("domain rollback", "NAME"),
        call("job start", "recheck NAME --wait"),
        call("job list", ""),
        call("job show", "JOB"),
        call("job lines", "JOB"),
        call("job watch", "JOB"),
        call("job cancel", "JOB"),
        call("domain delete", "NAME --yes"),
        call("domain revoke", "NAME --reason superseded --yes"),
        call("domain watch", ""),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_prints_json() {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(Mode::Embedded, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    world.point_at_cdn(NAME);
    manager.start().await;
    let made = manager.run(&["token", "create", "--name", "boss", "--role", "admin"], "");
    let token = made.stdout.trim().to_owned();
    let file = manager.folder().join("own").display().to_string();
    write_own(&file);
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    manager.status(NAME, "Success", LIMIT).await;

    std::fs::create_dir(format!("{file}.man")).unwrap();
    let calls = calls(&file);
    let mut called: Vec<&str> = calls.iter().map(|(command, _)| *command).chain(EXCEPTED).collect();
    called.sort_unstable();
    let mut there = commands("");
    there.sort();
    assert_eq!(called, there, "each command has its line in this test");

    let mut job = String::new();
    let (receiver, mut delivery) = (Receiver::start().await, String::new());
    for (command, arguments) in &calls {
        let arguments =
            arguments.replace("RECEIVER", &receiver.url).replace("DELIVERY", &delivery).replace("JOB", &job);
        let mut all = vec!["--output", "json"];
        all.extend(command.split(' ').chain(arguments.split_whitespace()));
        if *command == "domain watch" {
            follows(&manager, &all, &token).await;
            continue;
        }
        match *command {
            "domain rollback" => serves(&manager, "text").await,
            "domain delete" => serves(&manager, "c4").await,
            _ => {}
        }
        let admin = manager.setting("all", "SSL_MANAGER__ADMIN__LISTEN");
        let ran = manager.command(&all, &token).env("SSL_MANAGER__ADMIN__LISTEN", admin).output().unwrap();
        let ran = tests::Answer::from(ran);
        assert_eq!(ran.code, 0, "{command}: {ran:?}");
        assert!(ran.json.is_object() || ran.json.is_array(), "{command}: {ran:?}");
        if *command == "webhook test" {
            ran.json["id"].as_str().unwrap().clone_into(&mut delivery);
        }
        if *command == "job start" {
            ran.json["id"].as_str().unwrap().clone_into(&mut job);
        }
    }
}

/// A certificate of a customer's own, and a password.
fn write_own(file: &str) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2125, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(format!("{file}.pem"), certificate.pem()).unwrap();
    std::fs::write(format!("{file}.key"), key.serialize_pem()).unwrap();
    std::fs::write(format!("{file}.password"), "correct horse battery").unwrap();
}

async fn serves(manager: &SslManager, source: &str) {
    wait_for("the certificate of that source", LIMIT, || {
        let shown = manager.domain(&["show", NAME]);
        let is_live = shown.json["certificate"]["source"] == source;
        std::future::ready(if is_live { Ok(()) } else { Err(shown.stdout) })
    })
    .await;
}

/// A watch does not end; each of its lines is JSON.
async fn follows(manager: &SslManager, arguments: &[&str], token: &str) {
    let watching = Subprocess::start("watching", manager.folder(), &mut manager.command(arguments, token));
    let first = wait_for("a change", LIMIT, || {
        let printed = watching.output();
        let whole = printed.split_once('\n').map(|(line, _)| line.to_owned());
        std::future::ready(whole.ok_or(printed))
    })
    .await;
    let change: Value = serde_json::from_str(&first).unwrap();
    assert!(change["position"].is_i64(), "{first}");
}
