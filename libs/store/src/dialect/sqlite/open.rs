//! Opening a database file.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::{Clock, Entropy};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::writer::Writer;
use crate::{Pools, Result, Store, StoreError};

const READERS: u32 = 4;
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// With the pause between attempts this lasts as long as the busy timeout.
const OPEN_ATTEMPTS: u32 = 100;
const OPEN_AGAIN_AFTER: Duration = Duration::from_millis(50);
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

impl Store {
    /// Opens a database file, and creates it with mode 0600 if it does not exist. Its folder must exist.
    pub async fn open_file(path: &Path, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Result<Self> {
        let cannot = |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Open {
            url: format!("sqlite://{}", path.display()),
            source,
        };
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| cannot(error.into()))?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // Statements that touch many rows use temporary storage, and a read-only container has no folder for it.
            .pragma("temp_store", "MEMORY")
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new()
            .max_connections(READERS)
            .min_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // A file does not drop connections.
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None);
        let connection = connect(|| options.connect()).await.map_err(|error| cannot(error.into()))?;
        let reading = options.clone().read_only(true);
        let readers = connect(|| pool.clone().connect_with(reading.clone())).await;
        let readers = readers.map_err(|error| cannot(error.into()))?;
        let writer = Writer::new(options, connection);
        let file = OpenedFile::new(path).map_err(|error| cannot(error.into()))?;
        Ok(Self::new(Pools::Sqlite { writer, readers, file }, clock, entropy))
    }
}

/// Identifies the opened file, to detect that another one is at its path. Data written to a replaced file is lost when the
/// process ends, so none is.
pub(crate) struct OpenedFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl OpenedFile {
    fn new(path: &Path) -> io::Result<Self> {
        let found = std::fs::metadata(path)?;
        Ok(Self { path: path.to_owned(), device: found.dev(), inode: found.ino() })
    }

    /// Fails if another file, or none, is at its path.
    pub(crate) fn check(&self) -> Result<()> {
        let found = std::fs::metadata(&self.path);
        if found.is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode)) {
            return Ok(());
        }
        Err(StoreError::Replaced { path: self.path.display().to_string() })
    }
}

/// Connects, and waits for other processes that are opening the same file. SQLite's busy timeout does not apply while
/// a new file is switched to a write-ahead log: a connection opened at that time is refused at once.
async fn connect<T, F: Future<Output = sqlx::Result<T>>>(connect: impl Fn() -> F) -> sqlx::Result<T> {
    let mut attempts = 0;
    loop {
        match connect().await {
            Err(error) if is_busy(&error) && attempts < OPEN_ATTEMPTS => {
                attempts += 1;
                tokio::time::sleep(OPEN_AGAIN_AFTER).await;
            }
            connected => return connected,
        }
    }
}

fn is_busy(error: &sqlx::Error) -> bool {
    const SQLITE_BUSY: u32 = 5;
    let code = error.as_database_error().and_then(|error| error.code()?.parse().ok());
    // The low byte of an extended code is the primary code.
    code.is_some_and(|code: u32| code & 0xff == SQLITE_BUSY)
}
