//! The only connection that writes, and the groups in which transactions are committed.
//!
//! A commit waits for the disk, and a file has one writer. So concurrent transactions share a commit: each runs in a
//! savepoint of its own, one after the other, and one COMMIT makes all of them durable. Each gets its own result, and
//! none before that COMMIT. There is no timer, so a single transaction never waits for others.
//!
//! The queue is the connection's lock, which is fair. A transaction that finds no group opens one and queues its
//! COMMIT at the end, in a task of its own: all transactions queued before the COMMIT are in the group, and a dropped
//! member cannot leave a group without its COMMIT. A connection on which a BEGIN, SAVEPOINT, ROLLBACK or COMMIT
//! failed is closed, because its state is unknown (after a full disk SQLite may or may not have rolled back); the
//! next in the queue opens another one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

use crate::Result;
use crate::group::GroupError;
use crate::sql::{Db, failed};

/// Maximum wait for the connection.
const TURN_TIMEOUT: Duration = Duration::from_secs(30);

/// The connection that writes.
pub(crate) struct Writer {
    line: Arc<Mutex<Line>>,
    /// Number of waiting transactions, to decide whether a single statement should join a group.
    waiting: Arc<AtomicUsize>,
}

struct Line {
    options: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
    group: Option<Group>,
    is_closed: bool,
}

/// A transaction with savepoints for its members.
#[derive(Default)]
struct Group {
    answers: Vec<oneshot::Sender<Result<()>>>,
    /// The last member's savepoint exists and is finished.
    has_savepoint: bool,
}

impl Writer {
    pub(crate) fn new(options: SqliteConnectOptions, connection: SqliteConnection) -> Self {
        let line = Line { options, connection: Some(connection), group: None, is_closed: false };
        Self { line: Arc::new(Mutex::new(line)), waiting: Arc::default() }
    }

    /// Waits for a transaction's turn: it has a savepoint in a group until it is committed or dropped.
    pub(crate) async fn begin(&self, operation: &'static str) -> Result<Member> {
        let mut line = self.turn(operation).await?;
        let is_first = line.group.is_none();
        if is_first {
            self.open_group(&mut line);
        }
        let group = line.group.get_or_insert_default();
        let text = match (is_first, std::mem::take(&mut group.has_savepoint)) {
            (true, _) => "BEGIN IMMEDIATE; SAVEPOINT step",
            (false, true) => "RELEASE step; SAVEPOINT step",
            (false, false) => "SAVEPOINT step",
        };
        line.run(text).await?;
        line.group.get_or_insert_default().has_savepoint = true;
        Ok(Member { line: Some(line), has_savepoint: true })
    }

    /// Waits for a single statement's turn: it is a transaction by itself, or joins the group of the waiting ones.
    pub(crate) async fn single(&self, operation: &'static str) -> Result<Member> {
        let mut line = self.turn(operation).await?;
        if line.group.is_none() && self.waiting.load(Ordering::Relaxed) > 0 {
            self.open_group(&mut line);
            line.run("BEGIN IMMEDIATE").await?;
        }
        Ok(Member { line: Some(line), has_savepoint: false })
    }

    /// Waits for the connection without a transaction, for callers that manage transactions themselves.
    pub(crate) async fn alone(&self, operation: &'static str) -> Result<Alone> {
        loop {
            let line = self.turn(operation).await?;
            if line.group.is_none() {
                return Ok(Alone(line));
            }
            // The COMMIT of this group is already queued.
            drop(line);
        }
    }

    pub(crate) async fn close(&self) {
        let mut line = self.line.lock().await;
        line.is_closed = true;
        line.commit().await;
        if let Some(connection) = line.connection.take() {
            let _ = connection.close().await;
        }
    }

    async fn turn(&self, operation: &'static str) -> Result<OwnedMutexGuard<Line>> {
        let place = Place::new(&self.waiting);
        let turn = tokio::time::timeout(TURN_TIMEOUT, self.line.clone().lock_owned()).await;
        drop(place);
        let mut line = turn.map_err(|_| failed(operation)(sqlx::Error::PoolTimedOut))?;
        if line.is_closed {
            return Err(failed(operation)(sqlx::Error::PoolClosed));
        }
        if line.connection.is_none() {
            let connection = line.options.connect().await.map_err(failed(operation))?;
            line.connection = Some(connection);
        }
        Ok(line)
    }

    /// Opens a group, and queues its COMMIT at the end: its task gets in line while the first member begins.
    fn open_group(&self, line: &mut Line) {
        line.group = Some(Group::default());
        let end_of_line = self.line.clone().lock_owned();
        let waiting = self.waiting.clone();
        tokio::spawn(async move {
            let place = Place::new(&waiting);
            let mut line = end_of_line.await;
            drop(place);
            line.commit().await;
        });
    }
}

/// A place in the queue, counted until it is dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn new(waiting: &Arc<AtomicUsize>) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Line {
    /// Runs a transaction control statement. If it fails, no member of the group is committed.
    async fn run(&mut self, text: &'static str) -> Result<()> {
        let Some(connection) = &mut self.connection else {
            return Err(failed("commit")(sqlx::Error::PoolClosed));
        };
        let done = sqlx::query(text).execute(connection).await;
        done.map(drop).map_err(|error| {
            let text = error.to_string();
            let error = failed("commit")(error);
            // After some errors SQLite has rolled back by itself, and then misses a savepoint: that passes, too, because the next
            // transaction gets another connection.
            let passes = error.is_unavailable();
            let error = if passes { error } else { failed("commit")(sqlx::Error::Protocol(text)) };
            let error = GroupError::of(error);
            self.fail(&error);
            error.told()
        })
    }

    /// Commits the group's changes and notifies the members.
    async fn commit(&mut self) {
        let (Some(group), Some(connection)) = (self.group.take(), &mut self.connection) else {
            return;
        };
        match sqlx::query("COMMIT").execute(connection).await {
            Ok(_) => group.answer(&Ok(())),
            Err(error) => {
                let error = failed("commit")(error);
                if !error.is_disk_full() {
                    tracing::error!(error = &error as &dyn std::error::Error, "not committed");
                }
                self.group = Some(group);
                self.fail(&GroupError::of(error));
            }
        }
    }

    /// Closes the connection, which rolls back, and notifies the group's members.
    fn fail(&mut self, error: &GroupError) {
        self.connection = None;
        if let Some(group) = self.group.take() {
            group.answer(&Err(error.clone()));
        }
    }
}

impl Group {
    fn answer(self, answer: &std::result::Result<(), GroupError>) {
        for member in self.answers {
            // A member that was dropped finds the outcome in its rows.
            let _ = member.send(answer.clone().map_err(GroupError::told));
        }
    }
}

/// A member of a group, or a statement by itself. A dropped member with a savepoint has changed nothing.
pub(crate) struct Member {
    /// None once the member has ended.
    line: Option<OwnedMutexGuard<Line>>,
    has_savepoint: bool,
}

impl Member {
    pub(crate) fn db(&mut self) -> Db<'_> {
        match self.line.as_mut().and_then(|line| line.connection.as_mut()) {
            Some(connection) => Db::Sqlite(connection),
            None => unreachable!("whose turn it is has the connection"),
        }
    }

    /// Waits until its changes are durable.
    pub(crate) async fn commit(mut self) -> Result<()> {
        let told = self.line.take().and_then(|mut line| {
            let (tell, told) = oneshot::channel();
            line.group.as_mut()?.answers.push(tell);
            Some(told)
        });
        match told {
            Some(told) => told.await.unwrap_or_else(|_| Err(failed("commit")(sqlx::Error::WorkerCrashed))),
            // The statement was a transaction by itself, and is durable already.
            None => Ok(()),
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let Some(mut line) = self.line.take().filter(|_| self.has_savepoint) else {
            return;
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(async move { line.run("ROLLBACK TO step").await });
            }
            // No one can wait for the connection any more.
            Err(_) => line.fail(&GroupError::of(failed("commit")(sqlx::Error::WorkerCrashed))),
        }
    }
}

/// The connection, with no transaction open.
pub(crate) struct Alone(OwnedMutexGuard<Line>);

impl Alone {
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        match self.0.connection.as_mut() {
            Some(connection) => connection,
            None => unreachable!("whose turn it is has the connection"),
        }
    }
}

#[cfg(test)]
mod tests;
