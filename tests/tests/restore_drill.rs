//! The drill: a database is backed up and put back by the commands of docs/OPERATIONS.md, while C4 and the CA have gone on.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use sandbox::{ValidationResult, World, WorldOptions};
use serde_json::Value;
use tests::{Answer, Mode, Postgres, SslManager, Surroundings, wait_for};

const LIMIT: Duration = Duration::from_mins(3);
const DOMAINS: usize = 100;
/// What happens to so many of them after the backup, one range after the other.
const RENEWED: std::ops::Range<usize> = 0..20;
const REVOKED: std::ops::Range<usize> = 20..25;
const DELETED: std::ops::Range<usize> = 25..30;
/// Domains whose order is under way at the backup.
const UNDER_WAY: usize = 3;
const ADDED: usize = 5;

#[path = "restore_drill/point_in_time.rs"]
mod point_in_time;
#[path = "restore_drill/sealing_key.rs"]
mod sealing_key;

use sealing_key::the_lost_sealing_key_is_replaced_by_the_documented_commands;

tests::in_both_modes!(nothing_goes_backwards, the_lost_sealing_key_is_replaced_by_the_documented_commands);

fn name(number: usize) -> String {
    format!("shop.customer{number}.com")
}

fn under_way(number: usize) -> String {
    format!("shop.slow{number}.com")
}

fn added(number: usize) -> String {
    format!("shop.added{number}.com")
}

/// The first commands in the documentation after these words, each looked for after the one before.
fn commands_after(marks: &[&str]) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/OPERATIONS.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut rest = text.as_str();
    for mark in marks.iter().chain(&["```sh\n"]) {
        rest = rest.split_once(mark).unwrap_or_else(|| panic!("{mark} is not documented")).1;
    }
    rest.split("```").next().unwrap().to_owned()
}

/// The commands of a step of a restore, for one of the databases.
fn documented(database: &str, step: &str) -> String {
    commands_after(&["## After a restore", database, step])
}

struct Drill {
    world: World,
    manager: SslManager,
    mode: Mode,
}

impl Drill {
    async fn begin(mode: Mode) -> Self {
        let world = World::start(WorldOptions::default()).await.unwrap();
        let mut manager = SslManager::new(mode, &Surroundings::sandbox(&world)).await;
        world.edge.control().set_challenge_upstream(manager.responder());
        manager.start().await;
        Self { world, manager, mode }
    }

    async fn add(&self, names: &[String]) {
        for name in names {
            self.world.point_at_cdn(name);
        }
        self.manager.add_all(names).await;
    }

    /// Runs the documentation's commands of a step, in the folder, against this test's database.
    async fn run_documented(&self, step: &str) {
        let mut shell = Command::new("sh");
        let script = match self.mode {
            Mode::Embedded => documented("**SQLite.**", step),
            Mode::Scaled => {
                let postgres = Postgres::shared().await;
                let database = &self.manager.backends().database;
                shell.env("PGHOST", "127.0.0.1").env("PGPORT", postgres.port().to_string());
                shell.env("PGUSER", "postgres").env("PGPASSWORD", postgres.password());
                let script = documented("**PostgreSQL.**", step);
                let script = script.replace(" ssl_manager\n", &format!(" {database}\n"));
                script.replace("--dbname=ssl_manager ", &format!("--dbname={database} "))
            }
        };
        let ended = shell.args(["-euc", &script]).current_dir(self.manager.folder()).output().unwrap();
        assert!(ended.status.success(), "{script}: {}", String::from_utf8_lossy(&ended.stderr));
    }

    async fn back_up(&self) {
        self.run_documented("Back up").await;
    }

    async fn put_back(&mut self) {
        self.manager.process().terminate();
        self.manager.process().exit(LIMIT).await;
        self.run_documented("Put it back").await;
    }

    /// What C4 holds for each of these names.
    fn held(&self, names: impl Iterator<Item = String>) -> BTreeMap<String, Option<String>> {
        let c4 = self.world.c4.control();
        names.map(|name| (name.clone(), c4.certificate(&name).map(|held| held.sha256))).collect()
    }

    async fn until_held(&self, what: &str, is_there: impl Fn(&Self) -> usize) {
        wait_for(what, LIMIT, || {
            let missing = is_there(self);
            std::future::ready(if missing == 0 { Ok(()) } else { Err(format!("{missing} are missing")) })
        })
        .await;
    }

    /// How many of these names C4 holds no other certificate of than before.
    fn unchanged(&self, before: &BTreeMap<String, Option<String>>) -> usize {
        let now = self.held(before.keys().cloned());
        before.iter().filter(|(name, held)| now[*name].is_none() || now[*name] == **held).count()
    }

    fn check(&self) -> Answer {
        self.manager.run(&["--output", "json", "restore", "check"], "")
    }

    fn puts(&self) -> u64 {
        let c4 = self.world.c4.control();
        c4.domains().iter().map(|name| c4.puts(name)).sum()
    }

    /// What happens between the backup and the restore.
    async fn go_on(&self) {
        let before = self.held(RENEWED.chain(REVOKED).map(name));
        for number in RENEWED {
            self.done(&["generate", &name(number), "--force"]);
        }
        for number in REVOKED {
            self.done(&["revoke", &name(number), "--reason", "key-compromise", "--yes"]);
        }
        for number in DELETED {
            self.done(&["delete", &name(number), "--remove-from-c4", "--yes"]);
        }
        let added: Vec<String> = (0..ADDED).map(added).collect();
        self.add(&added).await;
        self.until_held("what happened after the backup", |drill| {
            let removed = drill.held(DELETED.map(name)).values().filter(|held| held.is_some()).count();
            let new = drill.held(added.iter().cloned()).values().filter(|held| held.is_none()).count();
            let revoked = REVOKED.len().saturating_sub(drill.world.ca.control().revoked().len());
            drill.unchanged(&before) + removed + new + revoked
        })
        .await;
    }

    fn done(&self, command: &[&str]) {
        let answer = self.manager.domain(command);
        assert_eq!(answer.code, 0, "{command:?}: {}", answer.stderr);
    }

    /// Every name that C4 holds something else for than before: neither what was there at the backup, nor revoked.
    fn assert_nothing_backwards(
        &self,
        at_backup: &BTreeMap<String, Option<String>>,
        before: &BTreeMap<String, Option<String>>,
    ) {
        let revoked: BTreeSet<String> =
            self.world.ca.control().revoked().into_iter().map(|revoked| revoked.sha256).collect();
        for (name, now) in self.held(before.keys().cloned()) {
            let was = at_backup.get(&name).cloned().flatten();
            assert!(now == before[&name] || now != was, "{name} went backwards");
            assert!(now.is_some() || before[&name].is_none(), "{name} lost its certificate");
            assert!(now.is_none_or(|now| !revoked.contains(&now)), "{name} has a revoked certificate");
        }
    }
}

fn names_in(report: &Value, list: &str) -> BTreeSet<String> {
    let rows = report[list].as_array().unwrap_or_else(|| panic!("no list {list}: {report}"));
    rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

fn names(numbers: impl Iterator<Item = usize>) -> BTreeSet<String> {
    numbers.map(name).collect()
}

/// Everything live but for the orders under way, and nothing differs; the names of both.
async fn settled(mode: Mode) -> (Drill, Vec<String>, Vec<String>) {
    let mut drill = Drill::begin(mode).await;
    let slow: Vec<String> = (0..UNDER_WAY).map(under_way).collect();
    for name in &slow {
        drill.world.ca.control().validation_result(name, ValidationResult::Never);
    }
    let all: Vec<String> = (0..DOMAINS).map(name).collect();
    drill.add(&[all.clone(), slow.clone()].concat()).await;
    drill
        .until_held("the first certificates", |drill| {
            let orders: u64 = slow.iter().map(|name| drill.world.ca.control().orders_for(name)).sum();
            let without = drill.held(all.iter().cloned()).values().filter(|held| held.is_none()).count();
            without + (UNDER_WAY as u64).saturating_sub(orders) as usize
        })
        .await;
    for number in [0, DOMAINS - 1] {
        drill.manager.status(&name(number), "Success", LIMIT).await;
    }
    let live = || drill.manager.domain(&["list", "--status", "Success"]).json.as_array().map_or(0, Vec::len);
    wait_for("all of them live", LIMIT, || {
        let live = live();
        std::future::ready(if live == DOMAINS { Ok(()) } else { Err(live.to_string()) })
    })
    .await;
    let same = drill.check();
    assert_eq!(same.code, 0, "{} {}", same.stderr, same.stdout);
    assert_eq!(same.json["same"].as_array().map(Vec::len), Some(DOMAINS + UNDER_WAY));
    (drill, all, slow)
}

async fn nothing_goes_backwards(mode: Mode) {
    let (mut drill, all, slow) = settled(mode).await;
    drill.back_up().await;
    let at_backup = drill.held(all.iter().cloned());
    drill.go_on().await;
    drill.put_back().await;
    let everybody = || all.iter().cloned().chain((0..ADDED).map(added));
    let before = drill.held(everybody());
    let orders: BTreeMap<String, u64> = everybody()
        .chain(slow.iter().cloned())
        .map(|name| (name.clone(), drill.world.ca.control().orders_for(&name)))
        .collect();
    check_lists(&drill);

    start_while_c4_is_away(&mut drill).await;
    for name in &slow {
        drill.world.ca.control().validation_result(name, ValidationResult::Valid);
    }
    drill.world.c4.control().down(false);
    let lost = RENEWED.chain(REVOKED).chain(DELETED);
    let lost_before = drill.held(lost.clone().map(name));
    drill
        .until_held("new certificates for what has no key", |drill| {
            drill.assert_nothing_backwards(&at_backup, &before);
            let slow = drill.held(slow.iter().cloned()).values().filter(|held| held.is_none()).count();
            drill.unchanged(&lost_before) + slow
        })
        .await;
    assert!(drill.manager.log().contains("the database is older than C4"), "the log says so");
    drill.manager.ready().await;
    let lost = names(lost);
    for (name, orders) in orders {
        let placed = drill.world.ca.control().orders_for(&name) - orders;
        assert_eq!(placed, u64::from(lost.contains(&name)), "orders of {name}");
    }
    adopt(&mut drill).await;
    drill.assert_nothing_backwards(&at_backup, &before);
}

/// It sends nothing, and says why.
async fn start_while_c4_is_away(drill: &mut Drill) {
    drill.world.c4.control().down(true);
    drill.manager.spawn(&[]);
    let role = if drill.mode == Mode::Embedded { "all" } else { "c4-uploader" };
    wait_for("the red line", LIMIT, || async {
        let said = drill.manager.readiness(role).await;
        let is_red =
            |(code, text): &(u16, String)| *code == 503 && text.contains("restore: nothing is uploaded");
        if said.iter().all(is_red) { Ok(()) } else { Err(format!("{said:?}")) }
    })
    .await;
}

/// Every difference is on a list, and looking sends nothing.
fn check_lists(drill: &Drill) {
    let puts = drill.puts();
    let checked = drill.check();
    assert_eq!(checked.code, 1, "{}", checked.stdout);
    assert!(checked.stderr.starts_with("DIFFERENT: 35 of 108 names differ"), "{}", checked.stderr);
    let replaced = names(RENEWED.chain(REVOKED));
    assert_eq!(names_in(&checked.json, "older_here"), replaced);
    assert_eq!(names_in(&checked.json, "key_missing"), replaced);
    assert_eq!(names_in(&checked.json, "newer_here"), names(DELETED));
    assert_eq!(names_in(&checked.json, "unknown_here"), (0..ADDED).map(added).collect());
    for list in ["revoked_here", "unknown_to_c4", "not_asked"] {
        assert!(names_in(&checked.json, list).is_empty(), "{list}");
    }
    drill.world.c4.control().lists_nothing(true);
    let unlisted = drill.check();
    assert_eq!(unlisted.json["names_of_c4_known"], false);
    let file = drill.manager.folder().join("names.txt");
    std::fs::write(&file, drill.world.c4.control().domains().join("\n")).unwrap();
    let file = file.to_str().unwrap();
    let given = drill.manager.run(&["--output", "json", "restore", "check", "--names", file], "");
    assert_eq!(names_in(&given.json, "unknown_here"), (0..ADDED).map(added).collect());
    drill.world.c4.control().lists_nothing(false);
    assert_eq!(drill.puts(), puts);
}

/// Names that only C4 has are added by the documentation's own line; then nothing differs.
async fn adopt(drill: &mut Drill) {
    let found: Vec<String> = names_in(&drill.check().json, "unknown_here").into_iter().collect();
    assert_eq!(found.len(), ADDED);
    let mut adding =
        drill.manager.command(&["domain", "add", "--file", "-"], &drill.manager.new_token("support"));
    let mut adding = adding.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    adding.stdin.take().unwrap().write_all(found.join("\n").as_bytes()).unwrap();
    assert!(adding.wait().unwrap().success());
    wait_for("no difference", LIMIT, || {
        let checked = drill.check();
        let pending = checked.json["same"].as_array().map_or(0, Vec::len);
        let is_whole = checked.code == 0 && pending == DOMAINS + UNDER_WAY + ADDED;
        std::future::ready(if is_whole { Ok(()) } else { Err(checked.stdout) })
    })
    .await;
}

/// Some of its names are names of the other one, too; the rest that one does not know.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_another_installation_is_named_and_nothing_is_sent() {
    let (mut theirs, mut ours) = tokio::join!(Drill::begin(Mode::Embedded), Drill::begin(Mode::Embedded));
    let (all, known): (Vec<String>, Vec<String>) = ((0..4).map(name).collect(), (0..2).map(name).collect());
    for (drill, names) in [(&theirs, &all), (&ours, &known)] {
        drill.add(names).await;
        let without =
            |drill: &Drill| drill.held(names.iter().cloned()).values().filter(|held| held.is_none()).count();
        drill.until_held("certificates", without).await;
    }
    for name in &known {
        ours.manager.status(name, "Success", LIMIT).await;
    }
    for name in &all {
        theirs.manager.status(name, "Success", LIMIT).await;
    }
    let puts = ours.puts();
    let (url, token) = (ours.world.c4.base_url(), ours.world.c4.token().to_owned());
    let at_ours = [("SSL_MANAGER__C4__BASE_URL", url.as_str()), ("SSL_MANAGER__C4__TOKEN", token.as_str())];
    let checked = theirs.manager.run_with(&["--output", "json", "restore", "check"], &at_ours);
    assert_eq!(checked.code, 1, "{checked:?}");
    assert!(checked.stderr.starts_with("FOREIGN: for 0 of 4 live names"), "{}", checked.stderr);
    assert_eq!(checked.json["looks_foreign"], true);
    assert_eq!(names_in(&checked.json, "unknown_to_c4"), names(2..4));
    assert_eq!(names_in(&checked.json, "key_missing"), names(0..2));
    assert_eq!(ours.puts(), puts);
    assert_eq!(ours.check().json["looks_foreign"], false);
}
