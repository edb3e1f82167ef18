//! The one connection that writes, and the groups in which transactions are committed.
//!
//! A commit is a wait for the disk, and a file has one writer. So transactions that meet there share one: each runs in a
//! savepoint of its own, one after the other, and one COMMIT makes all of them durable. Each is answered by itself, and
//! none before that COMMIT. There is no timer, so that nobody waits for others when nobody else is there.
//!
//! The line is the connection's lock, which is fair. Whoever finds no group opens one and sends its COMMIT to the end of
//! the line, in a task of its own: whoever stands before it is in the group, and no member's being dropped can leave a
//! group without its end. A connection on which a BEGIN, SAVEPOINT, ROLLBACK or COMMIT failed is closed, for its state is
//! not known any more (after a full disk SQLite may or may not have rolled back); the next in line opens another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

use crate::sql::{Db, failed};
use crate::{Result, StoreError};

/// How long to stand in line for the connection.
const TURN_TIMEOUT: Duration = Duration::from_secs(30);

/// The connection that writes.
pub(crate) struct Writer {
    line: Arc<Mutex<Line>>,
    /// How many stand in line: whether a single statement is better off in a group.
    waiting: Arc<AtomicUsize>,
}

struct Line {
    options: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
    group: Option<Group>,
    is_closed: bool,
}

/// A transaction in which members have savepoints.
#[derive(Default)]
struct Group {
    answers: Vec<oneshot::Sender<Result<()>>>,
    /// The last member's savepoint is there, and done with.
    has_savepoint: bool,
}

/// Why a group was not committed: one error, told to each member.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the transactions that were committed together were not: {0}")]
pub(crate) struct GroupError(pub(crate) Arc<sqlx::Error>);

impl GroupError {
    fn told(self) -> StoreError {
        StoreError::Database { operation: "commit", source: Box::new(self) }
    }
}

impl Writer {
    pub(crate) fn new(options: SqliteConnectOptions, connection: SqliteConnection) -> Self {
        let line = Line { options, connection: Some(connection), group: None, is_closed: false };
        Self { line: Arc::new(Mutex::new(line)), waiting: Arc::default() }
    }

    /// A transaction's turn: it has a savepoint in a group until it is committed or dropped.
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
        line.run(text).await.map_err(failed(operation))?;
        line.group.get_or_insert_default().has_savepoint = true;
        Ok(Member { line: Some(line), has_savepoint: true })
    }

    /// A single statement's turn: it is a transaction by itself, or in the group of those who wait.
    pub(crate) async fn single(&self, operation: &'static str) -> Result<Member> {
        let mut line = self.turn(operation).await?;
        if line.group.is_none() && self.waiting.load(Ordering::Relaxed) > 0 {
            self.open_group(&mut line);
            line.run("BEGIN IMMEDIATE").await.map_err(failed(operation))?;
        }
        Ok(Member { line: Some(line), has_savepoint: false })
    }

    /// The connection, for somebody who knows transactions.
    pub(crate) async fn alone(&self, operation: &'static str) -> Result<Alone> {
        loop {
            let line = self.turn(operation).await?;
            if line.group.is_none() {
                return Ok(Alone(line));
            }
            // Its COMMIT stands in line already.
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

    /// Opens a group, and sends its COMMIT to the end of the line: it is there once the task runs, while the first member
    /// begins.
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

/// A place in the line, counted while it is stood in.
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
    /// Runs a statement about transactions. Where it fails, nobody in the group is committed.
    async fn run(&mut self, text: &'static str) -> sqlx::Result<()> {
        let Some(connection) = &mut self.connection else {
            return Err(sqlx::Error::PoolClosed);
        };
        let done = sqlx::query(text).execute(connection).await;
        if let Err(error) = &done {
            self.fail(&GroupError(Arc::new(sqlx::Error::Protocol(error.to_string()))));
        }
        done.map(drop)
    }

    /// Makes durable what the group's members did, and tells them.
    async fn commit(&mut self) {
        let (Some(group), Some(connection)) = (self.group.take(), &mut self.connection) else {
            return;
        };
        match sqlx::query("COMMIT").execute(connection).await {
            Ok(_) => group.answer(&Ok(())),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "not committed");
                self.group = Some(group);
                self.fail(&GroupError(Arc::new(error)));
            }
        }
    }

    /// Closes the connection, which rolls back, and tells the group's members.
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
            // Whoever is gone finds in its rows what became of it.
            let _ = member.send(answer.clone().map_err(GroupError::told));
        }
    }
}

/// A member of a group, or a statement that is alone. Dropped, it has changed nothing if it had a savepoint.
pub(crate) struct Member {
    /// Taken by the end.
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

    /// Waits until what it did is durable.
    pub(crate) async fn commit(mut self) -> Result<()> {
        let told = self.line.take().and_then(|mut line| {
            let (tell, told) = oneshot::channel();
            line.group.as_mut()?.answers.push(tell);
            Some(told)
        });
        match told {
            Some(told) => told.await.unwrap_or_else(|_| Err(failed("commit")(sqlx::Error::WorkerCrashed))),
            // It was alone, and durable when it was done.
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
            // Nobody can wait for the connection any more.
            Err(_) => line.fail(&GroupError(Arc::new(sqlx::Error::WorkerCrashed))),
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
