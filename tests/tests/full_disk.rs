//! The disk of the SQLite file is full: callers and `/readyz` are told so, the log says it once a minute, nothing wedges, and
//! once there is space again work goes on where it was.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sandbox::{World, WorldOptions};
use tests::{Deserved, Mode, SslManager, Surroundings, wait_for};

const LIMIT: Duration = Duration::from_mins(1);
const SENTENCE: &str = "disk full: the database stores nothing until there is space again";

/// What makes the disk of one file full while another is there.
fn build(folder: &Path) -> PathBuf {
    let library = folder.join("full_disk.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/full_disk.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).args([source, "-ldl"]);
    assert!(compiler.status().unwrap().success(), "{compiler:?}");
    library
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_disk_is_named_and_work_goes_on_once_there_is_space() {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(Mode::Embedded, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    let folder = manager.folder().to_owned();
    let (database, full) = (folder.join("data/ssl-manager.db"), folder.join("full"));
    manager.spawn(&[
        ("LD_PRELOAD", build(&folder).to_str().unwrap()),
        ("FULL_DISK_FILE", database.to_str().unwrap()),
        ("FULL_DISK_WHILE", full.to_str().unwrap()),
    ]);
    manager.ready().await;
    let [done, under_way, refused] =
        ["done", "under-way", "refused"].map(|label| format!("{label}.example.com"));
    for name in [&done, &under_way, &refused] {
        world.point_at_cdn(name);
    }
    assert_eq!(manager.domain(&["add", &done]).code, 0);
    manager.status(&done, "Success", LIMIT).await;
    world.ca.control().delay(Duration::from_millis(500));
    assert_eq!(manager.domain(&["add", &under_way]).code, 0);
    wait_for("an order under way", LIMIT, || {
        let placed = world.ca.control().orders_for(&under_way);
        std::future::ready(if placed > 0 { Ok(()) } else { Err("none".to_owned()) })
    })
    .await;

    std::fs::write(&full, "").unwrap();
    for _ in 0..5 {
        let told = manager.domain(&["add", &refused]);
        assert_eq!((told.code, told.stderr.trim_end()), (1, format!("UNAVAILABLE: {SENTENCE}").as_str()));
    }
    assert_eq!(manager.domain(&["show", &done]).code, 0, "reads are answered");
    wait_for("the reason", LIMIT, || async {
        let said = manager.readiness("all").await;
        let is_told = |(code, text): &(u16, String)| *code == 503 && text.contains("disk is full");
        if said.iter().all(is_told) { Ok(()) } else { Err(format!("{said:?}")) }
    })
    .await;
    assert_eq!(manager.domain(&["show", &under_way]).json["status"], "Pending");
    let log = manager.log();
    assert_eq!(log.matches(SENTENCE).count(), 1, "once a minute: {log}");

    std::fs::remove_file(&full).unwrap();
    manager.ready().await;
    assert_eq!(manager.domain(&["add", &refused]).code, 0);
    let names = [done, under_way, refused];
    for name in &names {
        manager.status(name, "Success", LIMIT).await;
    }
    let deserved = names.each_ref().map(|name| Deserved::success(name, 1..=1));
    manager.assert_in_order(&world, &deserved).await;
}
