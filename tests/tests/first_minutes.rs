//! The first ten minutes with the README: every block of commands runs as it stands, and so do the demo's.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tests::{Answer, Browser, Subprocess, bare_command, free_port, wait_for};

const README: &str = include_str!("../../README.md");
const LIMIT: Duration = Duration::from_mins(1);

/// The text of the blocks of that language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    README.split(&fence).skip(1).map(|rest| rest.split_once("```").unwrap().0).collect()
}

/// A shell in a folder that looks like the repository after the first command, with ports of its own.
fn shell(script: &str, folder: &Path, environment: &[(String, String)]) -> Command {
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", script]).current_dir(folder).envs(environment.iter().cloned());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SSL_MANAGER") {
            shell.env_remove(name);
        }
    }
    shell.envs(environment.iter().cloned()).stdin(Stdio::null());
    shell
}

/// `target/debug/ssl-manager`, as README has it.
fn link_target(folder: &Path) {
    std::fs::create_dir_all(folder.join("target")).unwrap();
    let program = bare_command(&[]).get_program().to_owned();
    std::os::unix::fs::symlink(Path::new(&program).parent().unwrap(), folder.join("target/debug")).unwrap();
}

fn own_ports() -> (Vec<(String, String)>, u16) {
    let api = free_port();
    let mut environment: Vec<(String, String)> = ["CONSOLE", "CHALLENGE_RESPONDER", "ADMIN"]
        .map(|role| (format!("SSL_MANAGER__{role}__LISTEN"), format!("127.0.0.1:{}", free_port())))
        .into();
    environment.push(("SSL_MANAGER__API__LISTEN".to_owned(), format!("127.0.0.1:{api}")));
    environment.push(("SSL_MANAGER_ENDPOINT".to_owned(), format!("http://127.0.0.1:{api}")));
    // Nothing is asked outside of this machine.
    environment.push(("SSL_MANAGER__C4__BASE_URL".to_owned(), format!("http://127.0.0.1:{}", free_port())));
    (environment, api)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_blocks_of_the_readme_run_as_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    link_target(folder.path());
    let (environment, _) = own_ports();
    let [settings] = blocks("toml")[..] else { panic!("one block of settings") };
    std::fs::write(folder.path().join("ssl-manager.toml"), settings).unwrap();
    let [demo, first, user, watch, compose] = blocks("sh")[..] else { panic!("a block that no test runs") };
    assert!(demo.starts_with("cargo run -- demo ") && demo.contains("\nmake test "), "{demo}");
    // deploy/check.sh reads what this starts.
    assert_eq!(compose, "docker compose up --detach --build\n");

    // One shell, as a reader has it; what it started in the background ends with it.
    let script = format!("{first}{user}echo the blocks are through\n{watch}");
    let mut reader =
        Subprocess::start("reader", folder.path(), &mut shell(&script, folder.path(), &environment));
    wait_for("a change that is watched", LIMIT, || {
        reader.assert_alive();
        let printed = reader.output();
        let is_watched = printed
            .split_once("the blocks are through")
            .is_some_and(|(_, watched)| watched.contains("shop.example.com"));
        std::future::ready(if is_watched { Ok(()) } else { Err(printed) })
    })
    .await;
    let printed = reader.output();
    assert!(printed.contains("lee may sign in now.") && printed.contains("NAME "), "{printed}");
}

/// What failed three times in four: `all` makes the file, and a command comes before its schema.
#[test]
fn a_command_beside_a_start_waits_for_the_schema() {
    for round in 0..8 {
        let folder = tempfile::tempdir().unwrap();
        let (environment, _) = own_ports();
        link_target(folder.path());
        std::fs::write(folder.path().join("ssl-manager.toml"), blocks("toml")[0]).unwrap();
        let script = "(umask 077; echo token > c4.token)
            target/debug/ssl-manager all --config ssl-manager.toml >all.log 2>&1 &
            for name in a b c d; do
                target/debug/ssl-manager token create --name $name --role admin --config ssl-manager.toml
            done
            target/debug/ssl-manager health --wait 30 --config ssl-manager.toml
            kill %1; wait";
        let answer = Answer::from(shell(script, folder.path(), &environment).output().unwrap());
        assert_eq!(answer.code, 0, "round {round}: {answer:?}");
    }
}

/// A demo that has printed what to try; all that it has printed.
async fn settled(demo: &mut Subprocess) -> String {
    wait_for("three things to try", LIMIT, || {
        demo.assert_alive();
        let printed = demo.output();
        std::future::ready(if printed.contains("\nThe same on the page:") {
            Ok(printed)
        } else {
            Err(printed)
        })
    })
    .await
}

/// The page of the README is the demo's: `WRITE_PICTURE=1` takes it anew.
#[tokio::test(flavor = "multi_thread")]
async fn the_readme_shows_the_page_of_the_demo() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Subprocess::start("demo", folder.path(), &mut bare_command(&["demo"]));
    let printed = settled(&mut demo).await;
    let page = printed.split_once("SSL Management:  ").unwrap().1.split_once(' ').unwrap().0;
    let browser = Browser::start().await;
    browser.goto(&format!("{page}sign-in")).await;
    browser.fill("Name", "demo").await;
    browser.fill("Password", "demo-on-loopback").await;
    browser.click("button", "Sign in").await;
    browser.find("heading", "Domains").await;
    browser.goto(&format!("{page}?order=attention")).await;
    browser.find("heading", "Domains").await;
    let taken = std::fs::read(browser.window("readme").await).unwrap();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pictures/page.png");
    if std::env::var_os("WRITE_PICTURE").is_some() {
        std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
        std::fs::write(&kept, &taken).unwrap();
    }
    let kept = std::fs::read(kept).unwrap();
    // Signature, length and name of the first part, width and height (PNG, RFC 2083).
    assert_eq!(kept[..24], taken[..24], "a picture of the same size: WRITE_PICTURE=1 takes it anew");
    assert!(kept.len() < 250_000, "{} bytes", kept.len());
    assert!(README.contains("](docs/pictures/page.png)"));
}

/// The commands that the demo prints work when they are copied, in a shell that knows no `ssl-manager`.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_demo_prints_works_when_copied() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Subprocess::start("demo", folder.path(), &mut bare_command(&["demo"]));
    let printed = settled(&mut demo).await;
    let commands: Vec<&str> = printed
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("export ") || line.starts_with("ssl-manager "))
        .collect();
    assert!(commands.len() >= 6, "{printed}");
    let (watch, others): (Vec<&str>, Vec<&str>) =
        commands.iter().partition(|line| line.contains("domain watch"));
    // A watch ends only with its reader.
    let script = format!("{}\n({}) | head -3 || true", others.join("\n"), watch.join("\n"));
    let answer = Answer::from(shell(&script, folder.path(), &[]).output().unwrap());
    assert_eq!(answer.code, 0, "{answer:?}");
    for told in ["not_pointed", "certificate_uploaded", "pay.example.org", "Changes as they happen"] {
        assert!(answer.stdout.contains(told), "{told} in {}", answer.stdout);
    }
}
