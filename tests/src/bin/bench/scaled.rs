//! PostgreSQL, RabbitMQ, a process per role, CA and C4, all on this machine.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sandbox::{World, WorldOptions};
use tests::{Postgres, RabbitMq, SslManager, Surroundings};

use crate::report::{Report, say};
use crate::{all_uploaded, point_all, warm_up};

const IN_FLIGHT: u16 = 64;
const SUSTAINED: usize = 2000;
const STEADY: usize = 300;
const LIMIT: Duration = Duration::from_mins(2);
/// Statements of our own database.
const OURS: &str =
    "FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = current_database()";

/// Certificates per second, and what each costs the database and the processes.
pub(crate) async fn out(report: &mut Report) {
    report.section("Scaled out: PostgreSQL and RabbitMQ, a process per role, 64 in flight");
    let (postgres, rabbitmq) = tokio::join!(Postgres::start(true), RabbitMq::start());
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut surroundings = Surroundings::sandbox(&world);
    surroundings.max_in_flight = IN_FLIGHT;
    let mut manager = SslManager::on(&surroundings, &postgres, &rabbitmq, 1).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    manager.start().await;
    let database = manager.backends().database.clone();
    let ask = |sql: &str| postgres.psql(&database, sql).unwrap();
    ask("CREATE EXTENSION pg_stat_statements");
    warm_up(&world, &manager, usize::from(IN_FLIGHT)).await;

    let names: Vec<String> = (0..SUSTAINED).map(|number| format!("s{number}.example.com")).collect();
    point_all(&world, &names);
    let last_message = "SELECT last_value FROM pg_sequences WHERE sequencename = 'messages_sequence_seq'";
    let messages = || ask(last_message).parse::<f64>().unwrap();
    let messages_before = messages();
    ask("SELECT pg_stat_statements_reset(), pg_stat_reset_shared('wal')");
    let cpu = manager.process().cpu_seconds();
    let started = Instant::now();
    manager.add_all(&names).await;
    all_uploaded(&world, &names, LIMIT).await;
    let rate = SUSTAINED as f64 / started.elapsed().as_secs_f64();
    let cpu = (manager.process().cpu_seconds() - cpu) * 1000.0 / SUSTAINED as f64;
    report.row(&format!("{SUSTAINED} certificates"), &format!("{rate:.1}/s"));
    report.row("CPU of all roles, each", &format!("{cpu:.2} ms"));
    let each = |sql: &str| ask(sql).parse::<f64>().unwrap() / SUSTAINED as f64;
    let calls = |like: &str| each(&format!("SELECT coalesce(sum(calls), 0) {OURS} AND query ILIKE '{like}'"));
    report.row("messages each", &format!("{:.1}", (messages() - messages_before) / SUSTAINED as f64));
    let (all, begun, commits) = (calls("%"), calls("BEGIN%"), calls("COMMIT%"));
    let bracketing = begun + commits + calls("ROLLBACK%");
    report.row("SQL statements each", &format!("{all:.1}, {bracketing:.1} of them BEGIN, COMMIT, ROLLBACK"));
    let syncs = each("SELECT wal_sync FROM pg_stat_wal");
    report.row("commits each", &format!("{commits:.1} in transactions, {syncs:.2} fsyncs of the log"));
    say("  the most frequent statements: calls each, and milliseconds a call");
    say(&ask(&format!(
        "SELECT '    ' || round(calls::numeric / {SUSTAINED}, 2) || '  ' || round(mean_exec_time::numeric, 3) || '  ' \
         || left(split_part(query, chr(10), 1), 60) {OURS} ORDER BY calls DESC LIMIT 30"
    )));
    at_a_steady_rate(report, &world, &manager).await;
}

/// From add to Success, as a client that watches sees it, at ten domains per second.
async fn at_a_steady_rate(report: &mut Report, world: &World, manager: &SslManager) {
    let client = manager.client().await;
    let mut changes = client.watch().await;
    let names: Vec<String> = (0..STEADY).map(|number| format!("t{number}.example.com")).collect();
    point_all(world, &names);
    let adding = tokio::spawn(async move {
        let mut beat = tokio::time::interval(Duration::from_millis(100));
        let mut added = HashMap::new();
        for name in names {
            beat.tick().await;
            added.insert(name.clone(), Instant::now());
            client.add(&name).await;
        }
        added
    });
    let mut succeeded = HashMap::new();
    while succeeded.len() < STEADY {
        let change = changes.message().await.unwrap().unwrap();
        let domain = change.domain.unwrap();
        if domain.name.starts_with('t') && domain.status() == proto::v1::Status::Success {
            succeeded.entry(domain.name).or_insert_with(Instant::now);
        }
    }
    let times: Vec<Duration> =
        adding.await.unwrap().iter().map(|(name, added)| succeeded[name].duration_since(*added)).collect();
    report.times("add to Success at 10 per second", times);
}
