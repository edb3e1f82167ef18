//! PostgreSQL is put back to a moment by its base backup and its archived log.

use sandbox::{World, WorldOptions};
use tests::{Deserved, Mode, Postgres, RabbitMq, SslManager, Surroundings, wait_for};

use super::{Drill, LIMIT, documented, name, names, names_in};

const DOMAINS: usize = 6;
/// What happens to some of them after that moment.
const RENEWED: std::ops::Range<usize> = 0..2;
const REVOKED: std::ops::Range<usize> = 2..3;
const DELETED: std::ops::Range<usize> = 3..4;
/// Added after the base backup, and before that moment.
const KEPT: &str = "shop.kept.com";
/// Added after that moment.
const LATE: &str = "shop.late.com";

/// Runs the documentation's commands of a step, for this server and moment.
fn run_documented(postgres: &Postgres, step: &str, moment: &str) {
    let folder = postgres.folder().display().to_string();
    let mut script = documented("**PostgreSQL, to a point in time.**", step);
    for (documented, ours) in [
        ("/etc/postgresql/17/main", format!("{folder}/data")),
        ("/var/lib/postgresql/17/main", format!("{folder}/data")),
        ("/var/backups/ssl-manager", format!("{folder}/backup")),
        ("2026-12-01 10:00:00+00", moment.to_owned()),
    ] {
        script = script.replace(documented, &ours);
    }
    postgres.shell(&script);
}

async fn archiving() -> Postgres {
    let mut postgres = Postgres::start(true).await;
    run_documented(&postgres, "Archive the log", "");
    postgres.stop();
    postgres.run().await;
    postgres
}

async fn all_live(drill: &mut Drill, names: &[String]) {
    for name in names {
        drill.manager.status(name, "Success", LIMIT).await;
    }
}

async fn begin(postgres: &Postgres) -> Drill {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let rabbitmq = RabbitMq::shared().await;
    let mut manager = SslManager::on(&Surroundings::sandbox(&world), postgres, rabbitmq, 1).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    manager.start().await;
    Drill { world, manager, mode: Mode::Scaled }
}

/// What happens between that moment and the restore.
async fn go_on(drill: &Drill) {
    let before = drill.held(RENEWED.chain(REVOKED).map(name));
    for number in RENEWED {
        drill.done(&["generate", &name(number), "--force"]);
    }
    for number in REVOKED {
        drill.done(&["revoke", &name(number), "--reason", "key-compromise", "--yes"]);
    }
    for number in DELETED {
        drill.done(&["delete", &name(number), "--remove-from-c4", "--yes"]);
    }
    drill.add(&[LATE.to_owned()]).await;
    drill
        .until_held("what happened after that moment", |drill| {
            let removed = drill.held(DELETED.map(name)).values().filter(|held| held.is_some()).count();
            let late = usize::from(drill.world.c4.control().certificate(LATE).is_none());
            let revoked = REVOKED.len().saturating_sub(drill.world.ca.control().revoked().len());
            drill.unchanged(&before) + removed + late + revoked
        })
        .await;
}

async fn restore(drill: &mut Drill, postgres: &mut Postgres, moment: &str) {
    drill.manager.process().terminate();
    drill.manager.process().exit(LIMIT).await;
    postgres.stop();
    run_documented(postgres, "Go back", moment);
    postgres.run().await;
    wait_for("the end of the recovery", LIMIT, || {
        let recovers = postgres.psql("postgres", "SELECT pg_is_in_recovery()");
        std::future::ready(if recovers.as_deref() == Ok("f") { Ok(()) } else { Err(format!("{recovers:?}")) })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_documented_restore_to_a_point_in_time_makes_nothing_go_backwards() {
    let mut postgres = archiving().await;
    let mut drill = begin(&postgres).await;
    let mut all: Vec<String> = (0..DOMAINS).map(name).collect();
    drill.add(&all).await;
    all_live(&mut drill, &all).await;
    run_documented(&postgres, "Take a base backup", "");
    drill.add(&[KEPT.to_owned()]).await;
    all.push(KEPT.to_owned());
    all_live(&mut drill, &all).await;
    let moment = postgres.psql("postgres", "SELECT clock_timestamp()").unwrap();
    let at_moment = drill.held(all.iter().cloned());
    go_on(&drill).await;
    restore(&mut drill, &mut postgres, &moment).await;

    let checked = drill.check();
    assert_eq!(checked.code, 1, "{checked:?}");
    assert_eq!(names_in(&checked.json, "older_here"), names(RENEWED.chain(REVOKED)), "{}", checked.stdout);
    assert_eq!(names_in(&checked.json, "newer_here"), names(DELETED));
    assert_eq!(names_in(&checked.json, "unknown_here"), [LATE.to_owned()].into());
    let before = drill.held(all.iter().cloned());
    let lost = drill.held(RENEWED.chain(REVOKED).chain(DELETED).map(name));
    drill.manager.spawn(&[]);
    drill
        .until_held("new certificates for what has no key", |drill| {
            drill.assert_nothing_backwards(&at_moment, &before);
            drill.unchanged(&lost)
        })
        .await;
    drill.manager.ready().await;
    all_live(&mut drill, &all).await;
    drill.assert_nothing_backwards(&at_moment, &before);
    let orders = |name: &String| match (0..DOMAINS).find(|number| super::name(*number) == *name) {
        Some(number) if RENEWED.chain(REVOKED).any(|other| other == number) => 3,
        Some(number) if DELETED.contains(&number) => 2,
        _ => 1,
    };
    let deserved: Vec<_> =
        all.iter().map(|name| Deserved::success(name, orders(name)..=orders(name))).collect();
    drill.manager.assert_in_order(&drill.world, &deserved).await;
}
