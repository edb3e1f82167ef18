//! What an administrator takes away, or gets wrong, is a red line that says what to mend; no process ends for it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use reqwest::Method;
use sandbox::{World, WorldOptions};
use serde_json::{Value, json};
use tests::{Answer, Mode, Postgres, RabbitMq, SslManager, Surroundings, wait_for};

const LIMIT: Duration = Duration::from_mins(2);
const NAME: &str = "shop.example.com";
/// A sealing key that sealed nothing here.
const FOREIGN_KEY: &str = "YW5vdGhlciBpbnN0YWxsYXRpb24gaGFzIHRoaXMga2U=";
const GRANTS: &str = include_str!("../../deploy/postgres/roles.sql");

async fn scaled() -> (World, SslManager) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let manager = SslManager::new(Mode::Scaled, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    (world, manager)
}

/// Waits until every copy of a role answers that code, with a line that begins and goes on so.
async fn says(manager: &SslManager, role: &str, code: u16, part: &str, words: &str) {
    wait_for(&format!("{code} of {role} with {part}{words}"), LIMIT, || async {
        let said = manager.readiness(role).await;
        let is_told = |(answered, text): &(u16, String)| {
            *answered == code && text.lines().any(|line| line.starts_with(part) && line.contains(words))
        };
        if said.iter().all(is_told) { Ok(()) } else { Err(format!("{said:?}")) }
    })
    .await;
}

async fn is_ready(manager: &SslManager, role: &str) {
    says(manager, role, 200, "", "").await;
}

async fn issues(world: &World, manager: &mut SslManager, name: &str) {
    world.point_at_cdn(name);
    assert_eq!(manager.domain(&["add", name]).code, 0);
    manager.status(name, "Success", LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_withdrawn_at_the_broker_is_waited_for() {
    let rabbitmq = RabbitMq::shared().await;
    let (world, mut manager) = scaled().await;
    manager.start().await;
    issues(&world, &mut manager, NAME).await;
    let vhost = manager.backends().vhost.name.clone();
    let given = rabbitmq.must(Method::GET, &format!("/vhosts/{vhost}/permissions"), Value::Null).await;
    let ours = |one: &&Value| one["user"].as_str().unwrap().starts_with(&format!("{vhost}-"));
    let given: Vec<Value> = given.as_array().unwrap().iter().filter(ours).cloned().collect();
    assert_eq!(given.len(), 5, "a user per role");
    for one in &given {
        let user = one["user"].as_str().unwrap();
        let nothing = json!({ "configure": "^$", "write": "^$", "read": "^$" });
        rabbitmq.must(Method::PUT, &format!("/permissions/{vhost}/{user}"), nothing).await;
        // Channels that are open remember what they may.
        rabbitmq.must(Method::DELETE, &format!("/connections/username/{user}"), Value::Null).await;
    }
    for role in ["api", "issuer", "scheduler", "c4-uploader"] {
        says(&manager, role, 503, "bus: ", "give the user of bus.url this permission").await;
    }
    says(&manager, "challenge-responder", 200, "bus: ", "give the user of bus.url this permission").await;
    manager.process().assert_alive();
    for one in &given {
        let path = format!("/permissions/{vhost}/{}", one["user"].as_str().unwrap());
        let again = json!({ "configure": one["configure"], "write": one["write"], "read": one["read"] });
        rabbitmq.must(Method::PUT, &path, again).await;
    }
    manager.ready().await;
    issues(&world, &mut manager, "second.example.com").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_in_the_database_is_named() {
    let postgres = Postgres::shared().await;
    let (world, mut manager) = scaled().await;
    let database = manager.backends().database.clone();
    for revoke in [
        "REVOKE INSERT ON history FROM ssl_manager_issuer",
        "REVOKE UPDATE (used_at) ON sessions FROM ssl_manager_api",
        "REVOKE SELECT ON challenges FROM ssl_manager_responder",
    ] {
        postgres.psql(&database, revoke).unwrap();
    }
    manager.spawn(&[]);
    says(&manager, "issuer", 503, "database-rights: ", "lacks INSERT on history: run ").await;
    says(&manager, "api", 503, "database-rights: ", "lacks UPDATE (used_at) on sessions: run ").await;
    says(&manager, "challenge-responder", 503, "database-rights: ", "lacks SELECT on challenges: run ").await;
    for role in ["scheduler", "c4-uploader"] {
        is_ready(&manager, role).await;
    }
    let checked = check_live(&manager);
    assert_eq!(checked.code, 1, "{checked:?}");
    for lack in
        ["ssl_manager_issuer lacks INSERT on history: ", "ssl_manager_responder lacks SELECT on challenges: "]
    {
        assert!(checked.stderr.contains(lack), "{checked:?}");
    }
    postgres.psql(&database, GRANTS).unwrap();
    manager.ready().await;
    let checked = check_live(&manager);
    assert!(checked.code == 0 && checked.stdout.contains("roles-rights: ok"), "{checked:?}");
    issues(&world, &mut manager, NAME).await;
}

/// As the owner of the tables, and at the broker as the API.
fn check_live(manager: &SslManager) -> Answer {
    let of_bus = ["SSL_MANAGER__BUS__URL", "SSL_MANAGER__BUS__ROOT_CERTIFICATE_FILE"];
    let [url, root] = of_bus.map(|variable| manager.setting("api", variable));
    manager.run_with(&["config", "check", "--live"], &[(of_bus[0], &url), (of_bus[1], &root)])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_c4_that_is_down_or_refuses_the_token_is_named_and_nothing_stops() {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(Mode::Embedded, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    manager.start().await;
    let check = |environment: &[(&str, &str)]| manager.run_with(&["config", "check", "--live"], environment);
    let checked = check(&[]);
    assert!(checked.code == 0 && checked.stdout.contains("c4: ok"), "{checked:?}");
    let nobody = format!("http://127.0.0.1:{}", tests::free_port());
    for (variable, value, why) in [
        ("SSL_MANAGER__C4__BASE_URL", nobody.as_str(), "refused"),
        ("SSL_MANAGER__C4__TOKEN", "another", "C4 does not accept our token"),
    ] {
        let checked = check(&[(variable, value)]);
        assert_eq!((checked.code, checked.stdout.as_str()), (1, ""), "{checked:?}");
        assert!(checked.stderr.contains("c4: ") && checked.stderr.contains(why), "{checked:?}");
    }

    world.c4.control().down(true);
    world.point_at_cdn(NAME);
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    says(&manager, "all", 200, "c4: ", "(not counted: ").await;
    world.c4.control().down(false);
    assert_eq!(manager.domain(&["recheck", NAME]).code, 0);
    manager.status(NAME, "Success", LIMIT).await;
    says(&manager, "all", 200, "c4: ok", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_sealing_key_is_red_wherever_keys_are_opened_and_named_by_config_check() {
    let (world, mut manager) = scaled().await;
    manager.start().await;
    issues(&world, &mut manager, NAME).await;
    let checked = check_live(&manager);
    assert_eq!(checked.code, 0, "{checked:?}");
    assert!(checked.stdout.contains("sealing-key: ok"), "{checked:?}");
    manager.process().terminate();
    assert!(manager.process().exit(LIMIT).await.success());

    let file = manager.folder().join("data/sealing.key");
    let right = std::fs::read(&file).unwrap();
    std::fs::write(&file, FOREIGN_KEY).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    manager.spawn(&[]);
    for role in ["api", "issuer", "c4-uploader"] {
        says(&manager, role, 503, "sealing-key: ", "is not in the sealing-key file").await;
    }
    for role in ["scheduler", "challenge-responder"] {
        is_ready(&manager, role).await;
    }
    let checked = check_live(&manager);
    assert_eq!((checked.code, checked.stdout.as_str()), (1, ""), "{checked:?}");
    assert!(checked.stderr.contains("sealing-key: the sealing key "), "{checked:?}");
    assert_eq!(checked.stderr.trim_end().lines().count(), 1, "{checked:?}");
    manager.process().terminate();
    assert!(manager.process().exit(LIMIT).await.success());

    std::fs::write(&file, right).unwrap();
    manager.start().await;
    issues(&world, &mut manager, "second.example.com").await;
}
