//! An upgrade without a window: the schema of the next version under the processes of this one, everything replaced while
//! names are added, and one step back. The next version is this program on a schema with one more migration, which only
//! adds, as migrations do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sandbox::{World, WorldOptions};
use tests::{Client, Mode, Postgres, RabbitMq, SslManager, Surroundings, wait_for};
use tokio::task::{JoinHandle, JoinSet};

const LIMIT: Duration = Duration::from_mins(3);
const ADD_INTERVAL: Duration = Duration::from_millis(100);
/// Those of five minutes.
const MAX_NAMES: usize = 3000;
const ROLES: [&str; 5] = ["issuer", "challenge-responder", "c4-uploader", "scheduler", "api"];
const NEXT_VERSION: &str = "
    BEGIN;
    ALTER TABLE domains ADD COLUMN of_the_next_version text;
    CREATE TABLE of_the_next_version (name text PRIMARY KEY);
    INSERT INTO _sqlx_migrations VALUES (2, 'next', now(), true, '', 0);
    COMMIT;";

fn name(number: usize) -> String {
    format!("d{number}.example.com")
}

/// Adds names, ten a second, until it is told to stop; every call that fails is mended by a retry, or this panics.
fn keep_adding(client: Client, stop: &Arc<AtomicBool>) -> JoinHandle<Vec<String>> {
    let stop = stop.clone();
    tokio::spawn(async move {
        let (mut names, mut adding) = (Vec::new(), JoinSet::new());
        while !stop.load(Ordering::SeqCst) && names.len() < MAX_NAMES {
            let name = name(names.len());
            names.push(name.clone());
            let client = client.clone();
            adding.spawn(async move { client.add(&name).await });
            tokio::time::sleep(ADD_INTERVAL).await;
        }
        adding.join_all().await;
        names
    })
}

/// The names that a kill may have cost an order: the CA's answer is lost, or it looked while no responder was there.
fn cut_off(postgres: &Postgres, database: &str) -> BTreeSet<String> {
    let text = "SELECT name FROM orders WHERE state IN ('created', 'failed')";
    postgres.psql(database, text).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_run_together_and_one_step_back_is_possible() {
    let (postgres, rabbitmq) = (Postgres::shared().await, RabbitMq::shared().await);
    let world = World::start(WorldOptions::default()).await.unwrap();
    for number in 0..MAX_NAMES {
        world.point_at_cdn(&name(number));
    }
    let mut manager = SslManager::new(Mode::Scaled, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    manager.start().await;
    let backends = manager.backends().clone();
    let stop = Arc::new(AtomicBool::new(false));
    let added = keep_adding(manager.client().await, &stop);

    postgres.psql(&backends.database, NEXT_VERSION).unwrap();
    let migrated = manager.run(&["db", "migrate"], "");
    assert_eq!(migrated.code, 0, "the version before leaves the schema as it is: {migrated:?}");
    let mut cut = BTreeSet::new();
    for role in ROLES {
        manager.roll(role).await;
        manager.kill_role(role);
        cut.extend(cut_off(postgres, &backends.database));
        manager.start_again(role);
        manager.ready().await;
    }
    stop.store(true, Ordering::SeqCst);
    let names = added.await.unwrap();
    assert!(names.len() > 50, "{} names were added meanwhile", names.len());

    let waiting = "SELECT count(*) FROM domains WHERE status <> 'Success'";
    for (what, text) in [("domains that wait", waiting), ("messages", "SELECT count(*) FROM messages")] {
        wait_for(&format!("no {what}"), LIMIT, || {
            let left = postgres.psql(&backends.database, text).unwrap();
            std::future::ready(if left == "0" { Ok(()) } else { Err(left) })
        })
        .await;
    }
    cut.extend(cut_off(postgres, &backends.database));
    let twice = names.iter().filter(|name| world.ca.control().orders_for(name) > 1);
    let twice: BTreeSet<String> = twice.cloned().collect();
    assert!(twice.is_subset(&cut), "{twice:?} were ordered again, of {cut:?}");
    let dead = rabbitmq.peek(&backends.vhost, "ssl-manager.dead", 10).await;
    assert!(dead.is_empty(), "{dead:?}");

    // The step after which no process of the version before may run any more.
    postgres.psql(&backends.database, "UPDATE schema_compatibility SET compatible_from = 2").unwrap();
    let store = manager.setting("scheduler", "SSL_MANAGER__STORE__URL");
    let refused = manager.run_with(&["scheduler"], &[("SSL_MANAGER__STORE__URL", &store)]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("install the ssl-manager that wrote it"), "{refused:?}");
}
