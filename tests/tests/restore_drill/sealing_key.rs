//! The sealing key is lost, and the documentation's commands are run word for word.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use serde_json::Value;
use tests::{Mode, bare_command, wait_for};

use super::{Drill, LIMIT, commands_after, name, names_in};

const CHAPTER: &str = "**The sealing key is lost.**";
const LIVE: usize = 3;

impl Drill {
    /// Runs the commands that the documentation has after these words, as a user does in the folder with the settings.
    fn run_step(&self, step: &str) {
        let script = commands_after(&[CHAPTER, step]);
        let script = script.replace("\"letsencrypt\"", "\"test\"");
        let program = bare_command(&[]).get_program().to_owned();
        let bin = std::path::Path::new(&program).parent().unwrap().to_owned();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-euc", &script]).current_dir(self.manager.folder());
        shell.env("PATH", path).env("SSL_MANAGER_ENDPOINT", self.manager.endpoint());
        let ended = shell.output().unwrap();
        assert!(ended.status.success(), "{script}: {}", String::from_utf8_lossy(&ended.stderr));
    }

    fn show(&self, name: &str, token: &str) -> Value {
        self.manager.run(&["--output", "json", "domain", "show", name], token).json
    }

    async fn red(&self, role: &str) {
        wait_for("the red line", LIMIT, || async {
            let said = self.manager.readiness(role).await;
            let is_red = |(code, text): &(u16, String)| {
                *code == 503 && text.lines().any(|line| line.starts_with("sealing-key: the sealing key "))
            };
            if said.iter().all(is_red) { Ok(()) } else { Err(format!("{said:?}")) }
        })
        .await;
    }
}

pub(super) async fn the_lost_sealing_key_is_replaced_by_the_documented_commands(mode: Mode) {
    let mut drill = Drill::begin(mode).await;
    let all: Vec<String> = (0..LIVE).map(name).collect();
    drill.add(&all).await;
    for name in &all {
        drill.manager.status(name, "Success", LIMIT).await;
    }
    let folder = drill.manager.folder().to_owned();
    symlink(drill.manager.config(), folder.join("owner.toml")).unwrap();
    let old_token = drill.manager.new_token("support");
    let created = drill.manager.run(&["token", "create", "--name", "dashboard", "--role", "support"], "");
    assert_eq!(created.code, 0, "{created:?}");
    let password = folder.join("ann.password");
    std::fs::write(&password, "correct horse battery staple\n").unwrap();
    std::fs::set_permissions(&password, Permissions::from_mode(0o600)).unwrap();
    let created = ["user", "create", "--name", "ann", "--role", "support", "--password-file"];
    let created = drill.manager.run(&[&created[..], &[password.to_str().unwrap()]].concat(), "");
    assert_eq!(created.code, 0, "{created:?}");
    let before = drill.held(all.iter().cloned());
    let puts = drill.puts();

    drill.manager.process().terminate();
    drill.manager.process().exit(LIMIT).await;
    drill.run_step("With every process stopped");
    drill.run_step("An issuer finds its account");
    drill.run_step("Replace tokens and people");
    drill.manager.spawn(&[]);
    let roles: &[&str] = if mode == Mode::Embedded { &["all"] } else { &["api", "issuer", "c4-uploader"] };
    for role in roles {
        drill.red(role).await;
    }
    said(&drill, &old_token, &all).await;
    assert_eq!(drill.held(all.iter().cloned()), before, "C4 goes on serving");
    assert_eq!(drill.puts(), puts, "nothing was sent");

    drill.run_step("Start everything");
    renewed(&mut drill, &before).await;
}

/// What a client, and an operator who looks, is told while nothing opens.
async fn said(drill: &Drill, old_token: &str, all: &[String]) {
    let refused = wait_for("the API's answer", LIMIT, || {
        let refused = drill.manager.run(&["domain", "list"], old_token);
        let is_told = refused.stderr.starts_with("FAILED_PRECONDITION");
        std::future::ready(if is_told { Ok(refused) } else { Err(refused.stderr) })
    })
    .await;
    assert!(refused.stderr.contains("add its line and restart"), "{refused:?}");
    let checked = drill.check();
    assert_eq!(checked.code, 1, "{checked:?}");
    assert_eq!(names_in(&checked.json, "key_missing"), all.iter().cloned().collect());
    let token = token(drill);
    for name in all {
        assert_eq!(drill.show(name, &token)["status"], "Success", "{name}");
    }
}

fn token(drill: &Drill) -> String {
    let text = std::fs::read_to_string(drill.manager.folder().join("dashboard.token")).unwrap();
    text.trim().to_owned()
}

/// Every name has another certificate, of one order each, and everything is green again.
async fn renewed(drill: &mut Drill, before: &BTreeMap<String, Option<String>>) {
    drill.until_held("new certificates", |drill| drill.unchanged(before)).await;
    let token = token(drill);
    for name in before.keys() {
        let held = drill.held(std::iter::once(name.clone()))[name].clone();
        wait_for("the new certificate is live", LIMIT, || {
            let shown = drill.show(name, &token);
            let is_live =
                shown["status"] == "Success" && shown["certificate"]["sha256"].as_str() == held.as_deref();
            std::future::ready(if is_live { Ok(()) } else { Err(shown.to_string()) })
        })
        .await;
        assert_eq!(drill.world.ca.control().orders_for(name), 2, "{name}");
    }
    drill.manager.ready().await;
    let checked = drill.check();
    assert_eq!(checked.code, 0, "{checked:?}");
}
