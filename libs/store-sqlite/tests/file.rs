//! What is particular to a file: its mode, its schema, and other processes.

use std::os::unix::fs::PermissionsExt;

use store::{Store, StoreError};
use store_sqlite::SqliteStore;

#[tokio::test]
async fn the_file_is_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.db");
    SqliteStore::open_and_migrate(&path).await.unwrap().close().await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_schema_that_is_not_ours_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("schema.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let behind = store.check_schema().await.unwrap_err();
    assert!(behind.to_string().contains("ssl-manager db migrate"), "{behind}");
    store.migrate().await.unwrap();
    store.check_schema().await.unwrap();
    store.close().await;

    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (9999, 'of the future', 1, x'00', 0)",
    )
    .execute(&pool)
    .await
    .unwrap();
    pool.close().await;
    let newer = SqliteStore::open_and_migrate(&path).await.err().unwrap();
    assert!(matches!(newer, StoreError::Schema { found: 9999, .. }), "{newer}");
}

#[tokio::test]
async fn what_is_not_a_database_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "not a database at all, but longer than a header of one hundred bytes: ".repeat(3))
        .unwrap();
    let error = SqliteStore::open(&path).await.err().unwrap();
    assert!(matches!(&error, StoreError::Open { url, .. } if url.ends_with("notes.txt")), "{error:?}");
}

#[tokio::test]
async fn a_second_process_may_write_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.db");
    let first = SqliteStore::open_and_migrate(&path).await.unwrap();
    let second = SqliteStore::open(&path).await.unwrap();
    let mut tx = second.begin("token").await.unwrap();
    assert!(!tx.revoke_token("nobody", jiff::Timestamp::UNIX_EPOCH).await.unwrap());
    tx.commit().await.unwrap();
    assert!(first.tokens().await.unwrap().is_empty());
}

/// `docs/DATA_MODEL.md` has a row for each table and each migration, and no more.
#[tokio::test]
async fn the_data_model_is_described() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.db");
    SqliteStore::open_and_migrate(&path).await.unwrap().close().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM pragma_table_list
        WHERE schema = 'main' AND type IN ('table', 'virtual') AND name NOT LIKE 'sqlite%' AND name NOT LIKE '\\_%' ESCAPE '\\'",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let migrations = std::fs::read_dir(root.join("migrations")).unwrap().map(|file| {
        let name = file.unwrap().file_name().into_string().unwrap();
        name.trim_end_matches(".sql").to_owned()
    });
    let mut there: Vec<String> = tables.into_iter().chain(migrations).collect();
    // PostgreSQL's own.
    there.extend(["tally_changes", "numbered"].map(ToOwned::to_owned));
    let text = std::fs::read_to_string(root.join("../../docs/DATA_MODEL.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut described: Vec<String> = rows.map(|row| row.split('`').next().unwrap().to_owned()).collect();
    there.sort();
    described.sort();
    assert_eq!(described, there);
}
