//! Every role as processes of its own on PostgreSQL and RabbitMQ: what happens when any of them dies or is away.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::time::Duration;

use sandbox::{World, WorldOptions};
use tests::{Deserved, Mode, Postgres, RabbitMq, SslManager, Surroundings, wait_for};

const LIMIT: Duration = Duration::from_mins(2);
/// A domain that the CA looked at while no responder was there is tried again after a minute.
const AFTER_THE_LAST_FAULT: Duration = Duration::from_mins(2);
const DEADLINE: Duration = Duration::from_secs(30);
const NAME: &str = "shop.example.com";
const MANY: usize = 200;
const STORE_URL: &str = "SSL_MANAGER__STORE__URL";
const STANDING_STILL: usize = 20;
const LONGER_THAN_A_LEASE: Duration = Duration::from_secs(40);
/// Whose first copy stands still.
const STAND_STILL: [&str; 3] = ["issuer", "c4-uploader", "scheduler"];
const ROLES: [&str; 5] = ["issuer", "challenge-responder", "c4-uploader", "scheduler", "api"];
/// Of no use without database and broker; a responder answers what it has seen.
const NEED_BACKENDS: [&str; 4] = ["issuer", "c4-uploader", "scheduler", "api"];

async fn world() -> World {
    let world = World::start(WorldOptions::default()).await.unwrap();
    world.point_at_cdn(NAME);
    world
}

/// Waits until that many domains have the status Success.
async fn successes(postgres: &Postgres, database: &str, at_least: usize, limit: Duration) {
    wait_for(&format!("{at_least} successes"), limit, || {
        let count = postgres.psql(database, "SELECT count(*) FROM domains WHERE status = 'Success'");
        let count = count.and_then(|count| count.parse::<usize>().map_err(|error| error.to_string()));
        std::future::ready(match count {
            Ok(count) if count >= at_least => Ok(()),
            other => Err(format!("{other:?}")),
        })
    })
    .await;
}

/// The names whose order stands in the journal without a URL: the CA's answer, if there was one, is lost.
fn unanswered(postgres: &Postgres, database: &str) -> BTreeSet<String> {
    let names = postgres.psql(database, "SELECT name FROM orders WHERE state = 'created'");
    names.unwrap().lines().map(str::to_owned).collect()
}

/// The names of which the CA ended an order: it looked at the challenge while no responder was there to answer.
fn looked_at_in_vain(postgres: &Postgres, database: &str) -> BTreeSet<String> {
    let names = postgres.psql(database, "SELECT name FROM orders WHERE state = 'failed'");
    names.unwrap().lines().map(str::to_owned).collect()
}

#[expect(clippy::too_many_lines, reason = "a story from beginning to end")]
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_whatever_dies() {
    let (mut postgres, mut rabbitmq) = tokio::join!(Postgres::start(true), RabbitMq::start());
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut surroundings = Surroundings::sandbox(&world);
    surroundings.max_in_flight = 8;
    // Slow enough for all the faults to come while domains are under way.
    world.ca.control().delay(Duration::from_secs(2));
    let mut manager = SslManager::on(&surroundings, &postgres, &rabbitmq, 2).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    let names: Vec<String> = (0..MANY).map(|number| format!("d{number}.example.com")).collect();
    for name in &names {
        world.point_at_cdn(name);
    }
    manager.start().await;
    let backends = manager.backends().clone();
    manager.add_all(&names).await;

    let mut lost_answers = BTreeSet::new();
    let mut done = 5;
    for role in ROLES {
        successes(&postgres, &backends.database, done, LIMIT).await;
        manager.kill_role(role);
        lost_answers.extend(unanswered(&postgres, &backends.database));
        manager.start_again(role);
        done += 15;
    }
    successes(&postgres, &backends.database, done, LIMIT).await;
    rabbitmq.kill_9();
    rabbitmq.run().await;
    successes(&postgres, &backends.database, done + 15, LIMIT).await;
    let so_far = postgres.psql(&backends.database, "SELECT count(*) FROM domains WHERE status = 'Success'");
    assert!(
        so_far.unwrap().parse::<usize>().unwrap() < MANY,
        "the last fault comes while domains are under way"
    );
    postgres.kill_9();
    postgres.run().await;
    lost_answers.extend(unanswered(&postgres, &backends.database));
    successes(&postgres, &backends.database, MANY, AFTER_THE_LAST_FAULT).await;

    manager.ready().await;
    lost_answers.extend(looked_at_in_vain(&postgres, &backends.database));
    let ordered_twice: BTreeSet<String> =
        names.iter().filter(|name| world.ca.control().orders_for(name) > 1).cloned().collect();
    assert!(
        ordered_twice.is_subset(&lost_answers),
        "{ordered_twice:?} were ordered again, of {lost_answers:?}"
    );
    for name in &names {
        let shown = manager.domain(&["show", name]).json;
        let held = world.c4.control().certificate(name).unwrap();
        assert_eq!(shown["certificate"]["sha256"], held.sha256.as_str(), "{name}");
        assert!(world.ca.control().orders_for(name) <= 2, "{name}");
    }
    wait_for("an empty outbox", LIMIT, || {
        let messages = postgres.psql(&backends.database, "SELECT count(*) FROM messages");
        std::future::ready(match messages.as_deref() {
            Ok("0") => Ok(()),
            other => Err(format!("{other:?}")),
        })
    })
    .await;
    let dead = rabbitmq.peek(&backends.vhost, "ssl-manager.dead", 10).await;
    assert!(dead.is_empty(), "{dead:?}");
    manager.process().terminate();
    assert!(manager.process().exit(DEADLINE).await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_away_at_the_start_is_waited_for() {
    let (mut postgres, mut rabbitmq) = tokio::join!(Postgres::start(false), RabbitMq::start());
    let world = world().await;
    let mut manager = SslManager::on(&Surroundings::sandbox(&world), &postgres, &rabbitmq, 2).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    postgres.kill_9();
    rabbitmq.kill_9();
    manager.spawn(&[]);
    for role in ROLES {
        red(&manager, role, "store: ").await;
    }
    postgres.run().await;
    for role in NEED_BACKENDS {
        red(&manager, role, "bus: ").await;
    }
    told(&manager, "challenge-responder", 200, "bus: ").await;
    rabbitmq.run().await;
    manager.ready().await;
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    manager.status(NAME, "Success", LIMIT).await;

    // And who goes away later.
    postgres.kill_9();
    for role in NEED_BACKENDS {
        red(&manager, role, "store: ").await;
    }
    told(&manager, "challenge-responder", 200, "store: ").await;
    postgres.run().await;
    rabbitmq.kill_9();
    for role in NEED_BACKENDS {
        red(&manager, role, "bus: ").await;
    }
    told(&manager, "challenge-responder", 200, "bus: ").await;
    assert_eq!(manager.ready_without("api", "bus").await, 200, "it serves without the broker");
    rabbitmq.run().await;
    manager.ready().await;
    let second = "second.example.com";
    world.point_at_cdn(second);
    assert_eq!(manager.domain(&["add", second]).code, 0);
    manager.status(second, "Success", LIMIT).await;
}

/// Waits until every copy of a role is not ready for a reason that begins so, and says more than that.
async fn red(manager: &SslManager, role: &str, reason: &str) {
    told(manager, role, 503, reason).await;
}

/// Waits until every copy of a role answers that code, with such a reason.
async fn told(manager: &SslManager, role: &str, code: u16, reason: &str) {
    wait_for(&format!("{code} of {role} with {reason}"), LIMIT, || async {
        let said = manager.readiness(role).await;
        let is_told = |(answered, text): &(u16, String)| {
            *answered == code && text.lines().any(|line| line.starts_with(reason) && !line.ends_with(": ok"))
        };
        if said.iter().all(is_told) { Ok(()) } else { Err(format!("{said:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_a_reason_and_no_end() {
    let postgres = Postgres::shared().await;
    let world = world().await;
    let mut manager = SslManager::new(Mode::Scaled, &Surroundings::sandbox(&world)).await;
    let database = manager.backends().database.clone();
    let wrong = postgres.tls_url("ssl_manager_scheduler", "wr0ng", &database);
    manager.override_setting("scheduler", "SSL_MANAGER__STORE__URL", &wrong);
    manager.spawn(&[]);
    red(&manager, "scheduler", "store: ").await;
    let said = manager.readiness("scheduler").await;
    assert!(said[0].1.contains("password authentication failed"), "{said:?}");
    assert!(!said[0].1.contains("wr0ng"), "{said:?}");
    manager.process().assert_alive();
}

/// As a standby that was not promoted, and a server that is out of disk: it answers, and takes no writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_takes_no_writes_is_a_reason_for_all_who_write() {
    let postgres = Postgres::shared().await;
    let world = world().await;
    let mut manager = SslManager::new(Mode::Scaled, &Surroundings::sandbox(&world)).await;
    manager.start().await;
    let database = manager.backends().database.clone();
    let read_only = |value: &str| {
        let set = format!("ALTER DATABASE {database} SET default_transaction_read_only = {value}");
        postgres.psql("postgres", &set).unwrap();
        let end =
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()
            AND pid <> pg_backend_pid()";
        postgres.psql(&database, end).unwrap();
    };
    read_only("on");
    for role in ["api", "issuer", "scheduler", "c4-uploader"] {
        red(&manager, role, "store: ").await;
    }
    wait_for("the responder", LIMIT, || async {
        let said = manager.readiness("challenge-responder").await;
        if said.iter().all(|(code, _)| *code == 200) { Ok(()) } else { Err(format!("{said:?}")) }
    })
    .await;
    let refused = manager.domain(&["add", NAME]);
    assert!(refused.stderr.starts_with("UNAVAILABLE: the database "), "{refused:?}");
    assert_eq!(manager.domain(&["list"]).code, 0, "what only reads is answered");
    read_only("off");
    manager.ready().await;
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
}

/// Processes that are pointed at a standby say so, at their start and in `config check --live`; they work as soon as it is
/// promoted, as after a fail-over.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_a_reason_until_it_is_promoted() {
    const REASON: &str = "store: the database takes no writes: store.url leads to a standby";
    let (mut primary, rabbitmq) = tokio::join!(Postgres::start(false), RabbitMq::shared());
    let world = world().await;
    let mut manager = SslManager::on(&Surroundings::sandbox(&world), &primary, rabbitmq, 1).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    let standby = primary.standby().await;
    for role in ROLES {
        let url = manager.setting(role, STORE_URL);
        let url = url.replace(&format!(":{}/", primary.port()), &format!(":{}/", standby.port()));
        manager.override_setting(role, STORE_URL, &url);
    }
    manager.spawn(&[]);
    for role in NEED_BACKENDS {
        red(&manager, role, REASON).await;
    }
    let url = standby.superuser_url(&manager.backends().database);
    let of_bus = ["SSL_MANAGER__BUS__URL", "SSL_MANAGER__BUS__ROOT_CERTIFICATE_FILE"];
    let [bus, root] = of_bus.map(|variable| manager.setting("api", variable));
    let settings = [(STORE_URL, url.as_str()), (of_bus[0], &bus), (of_bus[1], &root)];
    let checked = manager.run_with(&["config", "check", "--live"], &settings);
    assert_eq!(checked.code, 1, "{checked:?}");
    assert!(checked.stderr.contains(REASON), "{checked:?}");
    primary.kill_9();
    standby.psql("postgres", "SELECT pg_promote()").unwrap();
    manager.ready().await;
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    manager.status(NAME, "Success", LIMIT).await;
}

/// No connection is left, then a table is locked: both are red, and over as soon as their cause is.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_connections_or_with_a_lock_is_a_reason_that_passes() {
    let (postgres, rabbitmq) = tokio::join!(Postgres::shared(), RabbitMq::shared());
    let world = world().await;
    let mut manager = SslManager::on(&Surroundings::sandbox(&world), postgres, rabbitmq, 1).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    manager.start().await;
    let database = manager.backends().database.clone();
    let allow = |limit: i32| {
        let set = format!("ALTER DATABASE {database} CONNECTION LIMIT {limit}");
        postgres.psql("postgres", &set).unwrap();
    };
    allow(0);
    let end =
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()
        AND pid <> pg_backend_pid()";
    postgres.psql(&database, end).unwrap();
    for role in NEED_BACKENDS {
        red(&manager, role, "store: connect failed in the database: error returned from database: too many connections for database").await;
    }
    let refused = manager.domain(&["add", NAME]);
    assert!(refused.stderr.starts_with("UNAVAILABLE: the database "), "{refused:?}");
    allow(-1);
    manager.ready().await;

    let locked = tokio::task::spawn_blocking(move || {
        let lock = "BEGIN; LOCK TABLE domains, work, messages; SELECT pg_sleep(12)";
        postgres.psql(&database, lock).unwrap();
    });
    for role in NEED_BACKENDS {
        red(&manager, role, "store: no answer in time").await;
    }
    locked.await.unwrap();
    manager.ready().await;
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    manager.status(NAME, "Success", LIMIT).await;
    manager.assert_in_order(&world, &[Deserved::success(NAME, 1..=1)]).await;
}

/// Longer than a lease, while domains are under way: other copies take them over, and what wakes up has lost its lease and changes
/// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stands_still_for_longer_than_its_lease_doubles_nothing() {
    let postgres = Postgres::shared().await;
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(Mode::Scaled, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    let names: Vec<String> = (0..STANDING_STILL).map(|number| format!("still{number}.example.com")).collect();
    for name in &names {
        world.point_at_cdn(name);
    }
    world.ca.control().delay(Duration::from_secs(1));
    manager.start().await;
    let database = manager.backends().database.clone();
    manager.add_all(&names).await;
    wait_for("orders at the CA", LIMIT, || {
        let placed = world.ca.control().orders_placed();
        std::future::ready(if placed >= STANDING_STILL as u64 / 2 { Ok(()) } else { Err(placed.to_string()) })
    })
    .await;
    for role in STAND_STILL {
        manager.freeze_first(role, true);
    }
    let doubtful = unanswered(postgres, &database);
    let live = postgres.psql(&database, "SELECT count(*) FROM domains WHERE status = 'Success'");
    assert!(live.unwrap().parse::<usize>().unwrap() < STANDING_STILL, "domains are under way");
    tokio::time::sleep(LONGER_THAN_A_LEASE).await;
    for role in STAND_STILL {
        manager.freeze_first(role, false);
    }
    successes(postgres, &database, STANDING_STILL, LIMIT).await;
    manager.ready().await;
    let orders = |name: &String| if doubtful.contains(name) { 1..=2 } else { 1..=1 };
    let deserved: Vec<_> = names.iter().map(|name| Deserved::success(name, orders(name))).collect();
    manager.assert_in_order(&world, &deserved).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_not_there_ends_it_with_what_to_run() {
    let world = world().await;
    let manager = SslManager::new(Mode::Scaled, &Surroundings::sandbox(&world)).await;
    let postgres = Postgres::shared().await;
    let empty = postgres.superuser_url(&postgres.database());
    let answer = manager.run_with(&["scheduler"], &[("SSL_MANAGER__STORE__URL", &empty)]);
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(answer.stderr.contains("ssl-manager db migrate"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_is_missing_at_the_broker_ends_it_with_one_line() {
    let rabbitmq = RabbitMq::shared().await;
    let world = world().await;
    let manager = SslManager::new(Mode::Scaled, &Surroundings::sandbox(&world)).await;
    let backends = manager.backends();
    let weak = rabbitmq.user(&backends.vhost, "weak", "^$", "^$", "^$").await;
    let settings = [("SSL_MANAGER__BUS__URL", weak.as_str()), ("RUST_LOG", "off")];
    let answer = manager.run_with(&["scheduler"], &settings);
    assert_eq!(answer.code, 1, "{answer:?}");
    assert_eq!(answer.stderr.lines().count(), 1, "{answer:?}");
    assert!(answer.stderr.contains("permission"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_responder_answers_without_ever_hearing_a_broadcast() {
    let world = world().await;
    let mut manager = SslManager::new(Mode::Scaled, &Surroundings::sandbox(&world)).await;
    manager.start().await;
    let at = format!("127.0.0.1:{}", tests::free_port());
    let store = manager.setting("challenge-responder", "SSL_MANAGER__STORE__URL");
    let deaf = manager
        .start_role(
            "challenge-responder",
            &[
                ("SSL_MANAGER__STORE__URL", store.as_str()),
                ("SSL_MANAGER__BUS__URL", "embedded:"),
                ("SSL_MANAGER__CHALLENGE_RESPONDER__LISTEN", at.as_str()),
            ],
        )
        .await;
    world.edge.control().set_challenge_upstream(&at);
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    manager.status(NAME, "Success", LIMIT).await;
    drop(deaf);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_responder_answers_what_the_first_was_told_of() {
    let world = world().await;
    let mut manager = SslManager::new(Mode::Scaled, &Surroundings::sandbox(&world)).await;
    manager.start().await;
    let second = manager.settings_of("challenge-responder", "SSL_MANAGER__CHALLENGE_RESPONDER__LISTEN");
    world.edge.control().set_challenge_upstream(&second[1]);
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    manager.status(NAME, "Success", LIMIT).await;
}
