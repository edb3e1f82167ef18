//! The guard after a restore: while C4 shows that this database is older than C4's data, no uploads are sent.
//!
//! At its start a process asks C4 for the names whose renewal or comparison is overdue or comes next. In a database
//! that was restored from a backup, some of that work had already been done, and C4 shows the result: a certificate
//! that ends later and is not stored here. One such name raises the guard, in the store, for every copy. Then all
//! names are compared; those that differ are handled one by one (`decide/withheld.rs`), which takes over the
//! certificate at C4 or orders a new one. Once the last name has been compared, or an operator has run `ssl-manager
//! restore accept`, the guard is released (ADR 0026).
//!
//! Orders and renewals continue meanwhile; their certificates wait here.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::{DomainName, HistoryKind};
use jiff::SignedDuration;
use runtime::Context;
use store::{Entry, RestoreGuard, StoreError, Tx};
use tokio::sync::Mutex;

use crate::ACTOR;
use crate::comparison::{Compared, Comparison, ComparisonError, Difference};
use crate::upload::described;

/// Number of names that C4 is asked for at the start.
const SAMPLE: u32 = 100;
const PAGE: u32 = 100;
const PAUSE: Duration = Duration::from_secs(5);
/// The roles start without the first check if it takes longer than this.
const FIRST_LOOK_WITHIN: Duration = Duration::from_secs(5);
/// For this long after a release, the guard is not raised again: every name is compared within it, and differences
/// are noted.
const QUIET_AFTER_RELEASE: SignedDuration = SignedDuration::from_hours(26);
const PART: &str = "restore";

/// Holds uploads back after a restore.
pub struct Guard {
    context: Context,
    comparison: Comparison,
    /// This process has asked C4 whether the store is older.
    has_looked: AtomicBool,
    /// Serialises the checks.
    looking: Mutex<()>,
}

/// Why a round was not finished. The next one continues where it stopped.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// C4 answered for none of the names.
    #[error("C4 cannot be asked: {0}")]
    C4(String),
    /// The store or the sealing key.
    #[error(transparent)]
    Comparison(#[from] ComparisonError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The result of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// The guard is down.
    Down,
    /// Another page of names was compared.
    Compared,
}

impl Guard {
    pub(crate) fn new(context: Context, comparison: Comparison) -> Self {
        Self { context, comparison, has_looked: AtomicBool::new(false), looking: Mutex::new(()) }
    }

    /// Skips the check at the start.
    pub(crate) fn set_looked(&self) {
        self.has_looked.store(true, Ordering::Relaxed);
    }

    /// Whether changes may be sent to C4; runs the check first if this process has not done so.
    pub(crate) async fn may_send(&self) -> Result<bool, StoreError> {
        if let Err(error) = self.look().await {
            self.tell_trouble(&error);
            return Ok(false);
        }
        Ok(self.context.store.restore_guard().await?.up_since().is_none())
    }

    /// Runs the check before the first upload; if that takes too long, [`Self::watch`] repeats it.
    pub(crate) async fn first_look(&self) {
        match tokio::time::timeout(FIRST_LOOK_WITHIN, self.look()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.tell_trouble(&error),
            Err(_) => self.tell_trouble(&GuardError::C4("no answer in time".to_owned())),
        }
    }

    /// Runs rounds until the soft stop.
    pub(crate) async fn watch(&self) {
        let stop = self.context.stop.soft().clone();
        loop {
            let pause = match self.round().await {
                Ok(Round::Down) => PAUSE,
                Ok(Round::Compared) => Duration::ZERO,
                Err(error) => {
                    self.tell_trouble(&error);
                    PAUSE
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.context.clock.sleep(pause) => {}
            }
        }
    }

    /// Runs the check if this process has not done so; then compares the next page of names if the guard is up.
    pub async fn round(&self) -> Result<Round, GuardError> {
        self.look().await?;
        let guard = self.context.store.restore_guard().await?;
        if guard.up_since().is_none() {
            self.context.health.ok(PART);
            metrics::gauge!("ssl_manager_restore_guard").set(0.0);
            return Ok(Round::Down);
        }
        self.tell_up(&guard);
        self.compare_page(&guard).await?;
        Ok(Round::Compared)
    }

    /// Asks C4 once whether it is ahead of the store.
    async fn look(&self) -> Result<(), GuardError> {
        if self.has_looked.load(Ordering::Relaxed) {
            return Ok(());
        }
        let _one = self.looking.lock().await;
        let store = &self.context.store;
        let guard = store.restore_guard().await?;
        let is_quiet =
            guard.released_at.is_some_and(|at| self.context.clock.now() < at + QUIET_AFTER_RELEASE);
        if guard.up_since().is_none()
            && !is_quiet
            && let Some(evidence) = self.evidence().await?
            && store.raise_restore_guard(&evidence).await?
        {
            tracing::error!(
                domain = %evidence,
                "the database is older than C4, as after a restore from a backup: nothing is uploaded until all names were \
                 compared; `ssl-manager restore check` shows the differences, `ssl-manager restore accept` ends this"
            );
        }
        self.set_looked();
        Ok(())
    }

    /// Returns a name for which C4 holds a certificate that is unknown here.
    async fn evidence(&self) -> Result<Option<DomainName>, GuardError> {
        let sample = self.context.store.first_due_and_live(SAMPLE).await?;
        let compared = self.comparison.compare(&sample).await?;
        must_be_answered(&compared)?;
        // Results are in the order of the sample. Names with a note were handled before.
        let news = sample.iter().zip(&compared).find(|(view, compared)| {
            let sha256 = compared.held.as_ref().map(|held| held.sha256.as_str());
            compared.shows_older_store() && view.domain.known_ahead(sha256).is_none()
        });
        Ok(news.map(|(view, _)| view.domain.name.clone()))
    }

    async fn compare_page(&self, guard: &RestoreGuard) -> Result<(), GuardError> {
        let Some(raised_at) = guard.up_since() else { return Ok(()) };
        let store = &self.context.store;
        let page = store.listed_after(&guard.compared_to, PAGE).await?;
        let Some(last) = page.last().map(|view| view.domain.name.clone()) else {
            let mut tx = store.begin("release_restore_guard").await?;
            let is_released = tx.release_restore_guard(Some(raised_at)).await?;
            tx.commit().await?;
            if is_released {
                tracing::warn!("every name was compared with C4 after a restore; uploads go on");
            }
            return Ok(());
        };
        let live: Vec<_> = page.into_iter().filter(|view| view.certificate.is_some()).collect();
        let compared = self.comparison.compare(&live).await?;
        must_be_answered(&compared)?;
        let mut tx = store.begin("compare_restored").await?;
        for ended in compared.iter().filter(|compared| self.has_ended(compared)) {
            self.note_ahead(&mut tx, ended).await?;
        }
        let differing = compared.into_iter().filter(|compared| !compared.differences.is_empty());
        let differing: Vec<DomainName> = differing.map(|compared| compared.name).collect();
        tx.compare_now(&differing).await?;
        tx.note_restore_compared(raised_at, &last).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Whether C4 is ahead of a certificate that has ended and is therefore no longer compared.
    fn has_ended(&self, compared: &Compared) -> bool {
        let now = self.context.clock.now();
        compared.shows_older_store() && compared.live.as_ref().is_some_and(|live| live.not_after <= now)
    }

    /// Notes what C4 holds, so that the next order of the name replaces it; otherwise the first order would be
    /// wasted.
    async fn note_ahead(&self, tx: &mut Tx, compared: &Compared) -> Result<(), StoreError> {
        let Some(held) = &compared.held else { return Ok(()) };
        let Some(domain) = tx.domain(&compared.name).await? else { return Ok(()) };
        let live = domain.live().map(|live| live.certificate);
        if domain.deleted_at.is_some() || live != compared.live.as_ref().map(|live| live.id) {
            return Ok(());
        }
        let holds = described(Some(&held.sha256));
        let message = format!(
            "C4 has had an upload that is not stored here, and holds {holds}. What is live here has ended; a new one goes over it."
        );
        let after = domain.left_behind(&held.sha256, self.context.clock.now());
        tx.apply(Some(&domain), &after, Some(Entry::new(HistoryKind::AheadAtC4, ACTOR, message))).await
    }

    fn tell_up(&self, guard: &RestoreGuard) {
        metrics::gauge!("ssl_manager_restore_guard").set(1.0);
        let place = if guard.compared_to.is_empty() { "the beginning" } else { &guard.compared_to };
        self.context.health.bad(
            PART,
            format!(
                "the database is older than C4 (which holds a newer certificate of {}): nothing is uploaded until all names \
                 were compared, now at {place}; look with `ssl-manager restore check`, end it with `ssl-manager restore accept`",
                guard.evidence
            ),
        );
    }

    fn tell_trouble(&self, error: &GuardError) {
        let reason = runtime::chain(error);
        if self.has_looked.load(Ordering::Relaxed) {
            tracing::warn!(reason, "the comparison after a restore does not get on; it is tried again");
        } else {
            let sentence =
                "nothing is uploaded before C4 was asked whether this database is older than what it holds";
            self.context.health.bad(PART, format!("{sentence}: {reason}"));
            tracing::warn!(reason, "{sentence}");
        }
    }
}

/// A name without an answer is asked for again by its own comparison; if no name gets one, C4 is down.
fn must_be_answered(compared: &[Compared]) -> Result<(), GuardError> {
    match compared.iter().find(|compared| compared.differences.contains(&Difference::NotAsked)) {
        Some(silent) if !compared.iter().any(Compared::is_answered) => {
            Err(GuardError::C4(silent.trouble.clone().unwrap_or_default()))
        }
        _ => Ok(()),
    }
}
