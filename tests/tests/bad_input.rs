//! Bad input gets one clear line and changes nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use sandbox::{World, WorldOptions};
use tests::{Answer, Mode, SslManager, Surroundings, run_bare, wait_for};

const LIMIT: Duration = Duration::from_secs(20);

async fn running() -> (World, SslManager) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(Mode::Embedded, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    manager.start().await;
    (world, manager)
}

fn fails(answer: &Answer, code: i32, words: &[&str]) {
    assert_eq!(answer.code, code, "{answer:?}");
    assert_eq!(answer.stderr.trim_end().lines().count(), 1, "one line: {}", answer.stderr);
    for word in words {
        assert!(answer.stderr.contains(word), "{word:?} in {}", answer.stderr);
    }
    assert_eq!(answer.stdout, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_refused_with_a_sentence() {
    let (_world, manager) = running().await;
    let long_label = format!("{}.example.com", "a".repeat(64));
    let long_name = format!("{}example.com", "abcdefghi.".repeat(25));
    for (name, words) in [
        ("", "empty"),
        (long_name.as_str(), "253"),
        (long_label.as_str(), "63"),
        ("-a.example.com", "hyphen"),
        ("a-.example.com", "hyphen"),
        ("a_b.example.com", "underscore"),
        ("*.example.com", "wildcard"),
        ("192.0.2.1", "IP address"),
        ("localhost", "single label"),
        ("co.uk", "public suffix"),
    ] {
        let answer = manager.domain(&["add", "--", name]);
        fails(&answer, 1, &["INVALID_ARGUMENT", words]);
    }
    assert_eq!(manager.domain(&["list"]).json, serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_name_has_one_spelling_and_one_row() {
    let (_world, manager) = running().await;
    let first = manager.domain(&["add", "Bücher.Example."]);
    assert_eq!(first.json["name"], "xn--bcher-kva.example", "{}", first.stderr);
    let second = manager.domain(&["add", "bücher.example"]);
    assert_eq!((second.code, &second.json["created_at"]), (0, &first.json["created_at"]));
    assert_eq!(manager.domain(&["list"]).json.as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_unknown_names_are_told_so() {
    let (_world, manager) = running().await;
    for command in [
        vec!["domain", "show", "nobody.example.com"],
        vec!["domain", "history", "nobody.example.com"],
        vec!["domain", "recheck", "nobody.example.com"],
        vec!["domain", "delete", "nobody.example.com", "--yes"],
        vec!["domain", "download", "nobody.example.com", "--chain", "/dev/null"],
    ] {
        let known = manager.domain(&command[1..]);
        fails(&known, 1, &["NOT_FOUND", "nobody.example.com"]);
        for token in ["", "slm_wrong", "nonsense"] {
            fails(&manager.run(&command, token), 1, &["UNAUTHENTICATED"]);
        }
    }
    let revoked = manager.new_token("viewer");
    assert_eq!(manager.run(&["domain", "list"], &revoked).code, 0);
    fails(&manager.run(&["domain", "add", "a.example.com"], &revoked), 1, &["PERMISSION_DENIED", "support"]);
    assert_eq!(manager.run(&["token", "revoke", "viewer"], "").code, 0);
    fails(&manager.run(&["domain", "list"], &revoked), 1, &["UNAUTHENTICATED"]);
    fails(&manager.run(&["token", "revoke", "viewer"], ""), 1, &["NOT_FOUND"]);
    fails(&manager.domain(&["delete", "a.example.com"]), 64, &["--yes"]);
}

/// Files that no editor writes.
#[tokio::test(flavor = "multi_thread")]
async fn files_are_read_within_bounds_and_told() {
    let (_world, manager) = running().await;
    let path = |name: &str| manager.folder().join(name).to_str().unwrap().to_owned();
    let gigabyte = path("gigabyte");
    std::fs::File::create(&gigabyte).unwrap().set_len(1 << 30).unwrap();
    let import = ["import", "a.example.com", "--certificate"];
    let sized = manager.domain(&[&import[..], &[&gigabyte, "--password-file", &gigabyte]].concat());
    fails(&sized, 1, &["TOO_LARGE", "gigabyte", "over 262144 bytes"]);
    let create = ["user", "create", "--name", "lee", "--role", "viewer", "--password-file", &gigabyte];
    fails(&manager.run(&create, ""), 64, &["gigabyte", "over 65536 bytes"]);
    // It grows for as long as somebody reads.
    let endless = manager.domain(&[&import[..], &["/dev/zero", "--key", "/dev/zero"]].concat());
    fails(&endless, 1, &["TOO_LARGE", "/dev/zero"]);
    fails(&manager.domain(&["add", "--file", "/dev/zero"]), 64, &["/dev/zero", "over"]);

    let names = path("names");
    std::fs::write(&names, "a.example.com\nb\0.example.com\n\0\0\nc.example.com\n").unwrap();
    let added = manager.domain(&["add", "--file", &names]);
    assert_eq!(added.code, 1, "{added:?}");
    let results: Vec<_> = added.json.as_array().unwrap().iter().map(|row| row["result"].clone()).collect();
    assert_eq!(results, ["added", "error", "error", "added"], "{added:?}");
    assert_eq!(added.json[1]["reason"], "NAME_BAD_CHARACTER", "{added:?}");
    let shown = manager.run(&["domain", "add", "--file", &names], &manager.new_token("support"));
    assert!(!shown.stderr.contains('\0') && !shown.stdout.contains('\0'), "{shown:?}");
}

fn start_fails(manager: &SslManager, code: i32, words: &[&str]) {
    let answer = manager.run(&["all"], "");
    assert_eq!(answer.code, code, "{answer:?}");
    let last = answer.stderr.trim_end().lines().last().unwrap_or_default();
    for word in words {
        assert!(last.contains(word), "{word:?} in {last}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_start_is_one_clear_line_and_binds_nothing() {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let manager = SslManager::new(Mode::Embedded, &Surroundings::sandbox(&world)).await;
    let settings = std::fs::read_to_string(manager.config()).unwrap();
    let with = |from: &str, to: &str| {
        assert!(settings.contains(from));
        std::fs::write(manager.config(), settings.replace(from, to)).unwrap();
    };

    with("[dns]", "[dns]\nnameserver = [\"127.0.0.1:53\"]");
    start_fails(&manager, 64, &["nameserver"]);
    with("[dns]\n", "[dns]\nnameservers = []\n");
    start_fails(&manager, 64, &["duplicate key", "nameservers", "ssl-manager.toml"]);
    fails(&manager.run(&["config", "check"], ""), 64, &["duplicate key", "nameservers"]);
    with("ca-root.pem", "missing.pem");
    start_fails(&manager, 64, &["root_certificate_file", "missing.pem"]);
    with("directory_url = \"https://", "directory_url = \"http://");
    start_fails(&manager, 64, &["directory_url", "https://"]);

    std::fs::write(manager.config(), &settings).unwrap();
    let database = manager.folder().join("data/ssl-manager.db");
    let kept = std::fs::read(&database).unwrap();
    for leftover in ["ssl-manager.db-wal", "ssl-manager.db-shm"] {
        let _ = std::fs::remove_file(manager.folder().join("data").join(leftover));
    }
    std::fs::write(&database, b"this is not a database, whatever its name says").unwrap();
    start_fails(&manager, 1, &["ssl-manager.db", "not a database"]);
    std::fs::write(&database, kept).unwrap();

    let taken = TcpListener::bind(manager.responder()).unwrap();
    start_fails(&manager, 1, &["challenge_responder.listen", "in use"]);
    let api = manager.endpoint().replace("http://", "");
    assert!(TcpListener::bind(&api).is_ok(), "the API's port is free again");
    drop(taken);

    let missing = run_bare(&["all", "--config", "/nowhere/ssl-manager.toml"], &[]);
    fails(&missing, 64, &["/nowhere/ssl-manager.toml"]);
    let usage = run_bare(&["domain", "frobnicate"], &[]);
    assert_eq!(usage.code, 64, "{usage:?}");
    assert_eq!(run_bare(&["--help"], &[]).code, 0);
    let key = manager.folder().join("eab.key");
    std::fs::write(&key, "no key!").unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let bound = format!(
        "[[acme.issuers]]\nname = \"bound\"\ndirectory_url = \"https://ca.example/directory\"\n\
         eab_key_id = \"kid\"\neab_hmac_key_file = {key:?}\n"
    );
    let file = manager.folder().join("bound.toml");
    std::fs::write(&file, std::fs::read_to_string(manager.config()).unwrap() + &bound).unwrap();
    let checked = run_bare(&["config", "check", "--config", file.to_str().unwrap()], &[]);
    fails(&checked, 64, &["eab_hmac_key_file", "base64"]);
    let from_environment = manager.run(&["config", "check"], "");
    assert_eq!(from_environment.code, 0, "{from_environment:?}");
}

/// What each role would find out at its start, or nobody before it is needed.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_of_the_settings_finds_what_a_start_would() {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let manager = SslManager::new(Mode::Embedded, &Surroundings::sandbox(&world)).await;
    let check = |environment: &[(&str, &str)]| manager.run_with(&["config", "check"], environment);
    let server = ("SSL_MANAGER__STORE__URL", "postgres://ssl_manager@127.0.0.1/ssl_manager");
    let broker = ("SSL_MANAGER__BUS__URL", "amqp://127.0.0.1");
    let key = manager.folder().join("data/sealing.key");
    let nowhere = ("SSL_MANAGER__KEYS__SEALING_KEY_FILE", "/nowhere/sealing.key");
    let file = |name: &str, text: &str, mode: u32| {
        let path = manager.folder().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.display().to_string()
    };

    assert_eq!(check(&[]).code, 0);
    assert_eq!(check(&[server, broker]).code, 0, "nothing is asked of either");
    fails(&check(&[server]), 64, &["bus.url", "embedded:", "RabbitMQ"]);
    fails(&check(&[server, broker, nowhere]), 64, &["keys.sealing_key_file", "/nowhere/sealing.key"]);
    assert_eq!(check(&[nowhere]).code, 0, "beside a file the first start makes one");
    let open = file("open.key", &std::fs::read_to_string(key).unwrap(), 0o644);
    fails(&check(&[("SSL_MANAGER__KEYS__SEALING_KEY_FILE", &open)]), 64, &["open.key", "chmod 600"]);
    let garbled = file("garbled.key", "no key", 0o600);
    fails(&check(&[("SSL_MANAGER__KEYS__SEALING_KEY_FILE", &garbled)]), 64, &["garbled.key", "line 1"]);
    let root = file("root.pem", "no root", 0o644);
    fails(&check(&[("SSL_MANAGER__C4__ROOT_CERTIFICATE_FILE", &root)]), 64, &["c4.root_certificate_file"]);
    fails(&check(&[("SSL_MANAGER__RENEWAL__PRE_EXPIRY_DAYS", "90")]), 64, &["pre_expiry_days", "60"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_do_not_share_a_folder() {
    let (_world, mut manager) = running().await;
    start_fails(&manager, 1, &["another ssl-manager"]);
    manager.process().assert_alive();
    manager.process().terminate();
    assert!(manager.process().exit(LIMIT).await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_say_where_they_come_from_and_hide_secrets() {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let manager = SslManager::new(Mode::Embedded, &Surroundings::sandbox(&world)).await;
    let dump = manager.run(&["config", "dump", "--output", "json"], "");
    let of = |key: &str| {
        dump.json.as_array().unwrap().iter().find(|setting| setting["key"] == key).unwrap().clone()
    };
    assert_eq!(of("renewal.pre_expiry_days")["origin"], "default");
    assert_eq!(of("c4.base_url")["origin"], manager.config().display().to_string());
    assert_eq!(of("c4.token")["value"], "********");
    assert!(!dump.stdout.contains(world.c4.token()));
}

/// A backup that is put in the place of the file under a running process: it is red and takes nothing until its restart, because
/// what it wrote would be lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_file_that_was_replaced_under_the_process_takes_no_calls() {
    let (_world, mut manager) = running().await;
    assert_eq!(manager.domain(&["add", "first.example.com"]).code, 0);
    let file = manager.folder().join("data/ssl-manager.db");
    let copy = file.with_extension("copy");
    let back_up = format!("VACUUM INTO '{}'", copy.display());
    let copied = std::process::Command::new("sqlite3").arg(&file).arg(back_up).status().unwrap();
    assert!(copied.success());
    std::fs::rename(&copy, &file).unwrap();
    let refused = manager.domain(&["add", "second.example.com"]);
    assert!(refused.stderr.starts_with("UNAVAILABLE: "), "{refused:?}");
    wait_for("the reason", LIMIT, || async {
        let said = manager.readiness("all").await;
        let is_told = |(code, text): &(u16, String)| {
            *code == 503 && text.contains("was replaced or removed while this process")
        };
        if said.iter().all(is_told) { Ok(()) } else { Err(format!("{said:?}")) }
    })
    .await;
    assert_eq!(manager.domain(&["show", "first.example.com"]).code, 0, "reads are answered");
    manager.process().terminate();
    manager.process().exit(LIMIT).await;
    manager.start().await;
    assert_eq!(manager.domain(&["add", "second.example.com"]).code, 0);
    assert_eq!(manager.domain(&["show", "first.example.com"]).code, 0);
}
