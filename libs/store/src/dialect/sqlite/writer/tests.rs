use std::path::Path;

use sqlx::sqlite::SqliteJournalMode;

use super::*;

fn writer_options(path: &Path) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    options.journal_mode(SqliteJournalMode::Wal)
}

async fn writer(path: &Path) -> Arc<Writer> {
    let options = writer_options(path);
    let mut connection = options.connect().await.unwrap();
    sqlx::query("CREATE TABLE IF NOT EXISTS t (text TEXT)").execute(&mut connection).await.unwrap();
    Arc::new(Writer::new(options, connection))
}

async fn insert(member: &mut Member, text: &str) -> Result<()> {
    let text = text.to_owned();
    member.db().query("insert", "INSERT INTO t VALUES ($1)").bind(text.as_str()).execute().await.map(drop)
}

async fn texts(writer: &Writer) -> i64 {
    let mut member = writer.single("count").await.unwrap();
    let count = member.db().query("count", "SELECT count(*) FROM t").scalar().await.unwrap();
    member.commit().await.unwrap();
    count
}

/// Lets the spawned tasks run as far as they can.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn nobody_is_answered_before_the_commit_that_all_share() {
    let folder = tempfile::tempdir().unwrap();
    let writer = writer(&folder.path().join("group.db")).await;
    let before = writer.alone("hold").await.unwrap();
    let (go_on, wait) = oneshot::channel::<()>();
    let first = tokio::spawn({
        let writer = writer.clone();
        async move {
            let mut member = writer.begin("first").await.unwrap();
            insert(&mut member, "first").await.unwrap();
            member.commit().await
        }
    });
    settle().await;
    let second = tokio::spawn({
        let writer = writer.clone();
        async move {
            let mut member = writer.begin("second").await.unwrap();
            wait.await.unwrap();
            insert(&mut member, "second").await.unwrap();
            member.commit().await
        }
    });
    settle().await;
    drop(before);
    // The first one is finished, and waits for the second.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!first.is_finished());
    let mut reading = writer_options(&folder.path().join("group.db")).connect().await.unwrap();
    let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(&mut reading).await.unwrap();
    assert_eq!(seen, 0);
    go_on.send(()).unwrap();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert_eq!(texts(&writer).await, 2);
}

/// While the disk is full no commit is reported as successful, and once there is space the next one succeeds.
#[tokio::test]
async fn a_full_disk_fails_all_and_wedges_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let writer = writer(&folder.path().join("full.db")).await;
    let mut alone = writer.alone("limit").await.unwrap();
    sqlx::query("PRAGMA max_page_count = 20").execute(alone.connection()).await.unwrap();
    drop(alone);
    let large = "x".repeat(20_000);
    let tasks = (0..12).map(|_| {
        let (writer, large) = (writer.clone(), large.clone());
        tokio::spawn(async move {
            let mut member = writer.begin("fill").await?;
            insert(&mut member, &large).await?;
            member.commit().await
        })
    });
    let (mut done, mut refused) = (0, 0);
    for task in tasks.collect::<Vec<_>>() {
        match task.await.unwrap() {
            Ok(()) => done += 1,
            Err(error) => {
                assert!(error.is_unavailable(), "{error:?}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "the disk was full");
    assert_eq!(texts(&writer).await, done, "who was told so was committed, and nobody else");
    let mut member = writer.begin("after").await.unwrap();
    insert(&mut member, "small").await.unwrap();
    member.commit().await.unwrap();
}

#[tokio::test]
async fn a_connection_that_cannot_commit_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let writer = writer(&folder.path().join("broken.db")).await;
    let mut member = writer.begin("ends its transaction").await.unwrap();
    insert(&mut member, "lost").await.unwrap();
    member.db().query("rollback", "ROLLBACK").execute().await.unwrap();
    let error = member.commit().await.unwrap_err();
    assert!(error.to_string().contains("commit"), "{error}");
    assert_eq!(texts(&writer).await, 0);
    let mut member = writer.begin("after").await.unwrap();
    insert(&mut member, "kept").await.unwrap();
    member.commit().await.unwrap();
    assert_eq!(texts(&writer).await, 1);
}

#[tokio::test]
async fn who_comes_after_the_close_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let writer = writer(&folder.path().join("closed.db")).await;
    let mut member = writer.begin("before").await.unwrap();
    insert(&mut member, "kept").await.unwrap();
    let committed = tokio::spawn(member.commit());
    writer.close().await;
    committed.await.unwrap().unwrap();
    assert!(writer.begin("late").await.err().unwrap().is_unavailable());
}
