//! The audit log of everything at work: written, sealed, logged, and no longer whole once somebody touched it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use sandbox::{World, WorldOptions};
use serde_json::Value;
use sqlx::{Connection, SqliteConnection};
use tests::{Mode, Postgres, SslManager, Surroundings};

const LIMIT: Duration = Duration::from_mins(1);
const NAME: &str = "shop.example.com";

tests::in_both_modes!(what_was_done_is_kept_and_what_is_done_to_it_is_found);

/// Somebody who has the database's SQL.
async fn tamper(manager: &SslManager, mode: Mode, statement: &'static str) {
    if mode == Mode::Scaled {
        let postgres = Postgres::shared().await;
        postgres.psql(&manager.backends().database, statement).unwrap();
        return;
    }
    let file = manager.folder().join("data/ssl-manager.db");
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
}

fn verify(manager: &SslManager, head: Option<&str>) -> (i32, Value, String) {
    let mut arguments = vec!["--output", "json", "audit", "verify"];
    arguments.extend(head.iter().flat_map(|head| ["--head", head]));
    let answer = manager.run(&arguments, "");
    (answer.code, answer.json, answer.stderr)
}

/// Waits until everything is sealed; the head.
async fn sealed(manager: &SslManager) -> String {
    let head = || {
        let (code, report, stderr) = verify(manager, None);
        assert_eq!((code, stderr.as_str()), (0, ""), "{report}");
        let done = report["unsealed"] == 0 && report["lines"].as_u64() > Some(0);
        let head = report["head"].as_str().unwrap().to_owned();
        std::future::ready(if done { Ok(head) } else { Err(report.to_string()) })
    };
    tests::wait_for("every line has its seal", LIMIT, head).await
}

async fn what_was_done_is_kept_and_what_is_done_to_it_is_found(mode: Mode) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(mode, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    world.point_at_cdn(NAME);
    manager.start().await;
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    manager.status(NAME, "Success", LIMIT).await;
    let key = manager.folder().join("shop.key");
    let download = ["download", NAME, "--key", key.to_str().unwrap(), "--reason", "moving house"];
    assert_eq!(manager.domain(&download).code, 0);
    let viewer = manager.new_token("viewer");
    let refused = manager.run(&["domain", "delete", NAME, "--yes"], &viewer);
    assert_eq!(refused.code, 1);

    let list = ["--output", "json", "audit", "list", "--subject", "SHOP.example.com"];
    let listed = manager.run(&list, "");
    let told: Vec<String> = listed
        .json
        .as_array()
        .unwrap()
        .iter()
        .map(|line| format!("{} {} {}", line["call"], line["outcome"], line["detail"]))
        .collect();
    let [denied, downloaded, added] = &told[..] else { panic!("{}", listed.stdout) };
    assert_eq!(denied, r#""DeleteDomain" "ROLE_LACKS_PERMISSION" """#);
    assert!(downloaded.starts_with(r#""DownloadCertificate" "OK""#), "{downloaded}");
    assert!(downloaded.contains("moving house"), "{downloaded}");
    assert_eq!(added, r#""AddDomain" "OK" """#);

    let head = sealed(&manager).await;
    assert_eq!(verify(&manager, Some(&head)).0, 0);
    let logged = head.split_once(':').unwrap().1;
    assert!(manager.log().contains(logged), "the head is in the log of whoever sealed it");
    let bad = manager.run(&["audit", "verify", "--head", "1:abc"], "");
    assert_eq!(bad.code, 64, "{}", bad.stderr);

    manager.process().terminate();
    manager.process().exit(LIMIT).await;
    tamper(&manager, mode, "UPDATE audit SET actor = 'token:else' WHERE call = 'DownloadCertificate'").await;
    let (code, report, stderr) = verify(&manager, None);
    assert_eq!((code, report["whole"].as_bool()), (1, Some(false)), "{stderr}");
    assert!(stderr.starts_with("AUDIT_BROKEN: ") && stderr.contains("was changed"), "{stderr}");
    tamper(&manager, mode, "DELETE FROM audit WHERE sequence = (SELECT max(sequence) FROM audit)").await;
    let (_, report, _) = verify(&manager, None);
    let broken = report["broken"].to_string();
    assert!(broken.contains("was changed") && broken.contains("was removed"), "{broken}");
}
