//! Reads changed files again while the process runs: certificates and keys of its ports, tokens, passwords.
//!
//! The files are checked every ten seconds, because no signal is sent to a pod whose Secret was renewed, and at once on
//! SIGHUP. Unusable files change nothing: the earlier value stays, the log says why, and a metric is 1 until the files
//! can be used. Contents are compared, not times: an orchestrator swaps links, and an editor may write twice within one
//! clock tick.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::digest::{Context as Hash, SHA256};
use rustls_pki_types::CertificateDer;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{RoleError, chain};

const POLL_INTERVAL: Duration = Duration::from_secs(10);
/// Far over what any of these files has.
const MAX_BYTES: u64 = 1024 * 1024;

/// A value that is replaced while others use it: each use goes on with the value that it began with. Cheap to clone.
pub struct Current<T>(Arc<RwLock<Arc<T>>>);

impl<T> Current<T> {
    /// With its first value.
    pub fn new(value: T) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(value))))
    }

    /// The value now.
    pub fn get(&self) -> Arc<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another one in its place.
    pub fn replace(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}

impl<T> Clone for Current<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

type Reread = Box<dyn Fn() -> Result<(), RoleError> + Send + Sync>;

/// The files of this process that are read again. Cheap to clone.
#[derive(Clone, Default)]
pub struct Reload(Arc<Inner>);

#[derive(Default)]
struct Inner {
    watched: Mutex<Vec<WatchedFiles>>,
    asked: Notify,
}

struct WatchedFiles {
    setting: &'static str,
    files: Vec<PathBuf>,
    seen: Fingerprint,
    /// The files that were seen last cannot be used.
    is_refused: bool,
    rereads: Vec<Reread>,
}

/// SHA-256 over the files; a file that cannot be read counts as such.
type Fingerprint = Vec<u8>;

impl Reload {
    /// Reads a value from files, and again when they change. `setting` names them in the log and in metrics.
    pub fn keep<T: Send + Sync + 'static>(
        &self,
        setting: &'static str,
        files: Vec<PathBuf>,
        read: impl Fn() -> Result<T, RoleError> + Send + Sync + 'static,
    ) -> Result<Current<T>, RoleError> {
        let files = named(files);
        let seen = fingerprint(&files);
        let current = Current::new(read()?);
        let kept = current.clone();
        self.add(setting, files, seen, Box::new(move || read().map(|value| kept.replace(value))));
        Ok(current)
    }

    /// Calls `reread` when files change that were read a moment ago.
    pub fn watch(
        &self,
        setting: &'static str,
        files: Vec<PathBuf>,
        reread: impl Fn() -> Result<(), RoleError> + Send + Sync + 'static,
    ) {
        let files = named(files);
        let seen = fingerprint(&files);
        self.add(setting, files, seen, Box::new(reread));
    }

    fn add(&self, setting: &'static str, files: Vec<PathBuf>, seen: Fingerprint, reread: Reread) {
        if files.is_empty() {
            return;
        }
        refused_gauge(setting, false);
        let mut all = self.watched();
        match all.iter_mut().find(|watched| watched.setting == setting && watched.files == files) {
            Some(watched) => watched.rereads.push(reread),
            None => all.push(WatchedFiles { setting, files, seen, is_refused: false, rereads: vec![reread] }),
        }
    }

    fn watched(&self) -> MutexGuard<'_, Vec<WatchedFiles>> {
        self.0.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks now; what could not be used is tried again, too.
    pub fn look_now(&self) {
        self.0.asked.notify_one();
    }

    /// Looks until the stop.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let again = tokio::select! {
                () = tokio::time::sleep(POLL_INTERVAL) => false,
                () = self.0.asked.notified() => true,
                () = stop.cancelled() => return,
            };
            let reload = self.clone();
            // Files may be on a slow disk. A closure that panics loses this look and no other.
            if let Err(error) = tokio::task::spawn_blocking(move || reload.look(again)).await {
                tracing::error!(%error, "a look at changed files was cut off");
            }
        }
    }

    fn look(&self, again: bool) {
        for watched in self.watched().iter_mut() {
            watched.look(again);
        }
    }
}

impl WatchedFiles {
    fn look(&mut self, again: bool) {
        let now = fingerprint(&self.files);
        if now == self.seen && !(again && self.is_refused) {
            return;
        }
        self.seen = now;
        let mut result = Ok(());
        for reread in &self.rereads {
            result = result.and(reread());
        }
        self.is_refused = result.is_err();
        refused_gauge(self.setting, self.is_refused);
        let outcome = if self.is_refused { "refused" } else { "ok" };
        metrics::counter!("ssl_manager_reloads_total", "setting" => self.setting, "result" => outcome)
            .increment(1);
        match result {
            Ok(()) => tracing::info!(setting = self.setting, "changed files are in use"),
            Err(error) => tracing::error!(
                setting = self.setting,
                reason = chain(&error),
                "changed files cannot be used, what was read before stays"
            ),
        }
    }
}

/// Without those that no setting names.
fn named(mut files: Vec<PathBuf>) -> Vec<PathBuf> {
    files.retain(|file| !file.as_os_str().is_empty());
    files
}

fn refused_gauge(setting: &'static str, is_refused: bool) {
    metrics::gauge!("ssl_manager_reload_refused", "setting" => setting).set(f64::from(u8::from(is_refused)));
}

fn fingerprint(files: &[PathBuf]) -> Fingerprint {
    let mut hash = Hash::new(&SHA256);
    for file in files {
        match File::open(file).and_then(|opened| text_file::read_bytes(opened, MAX_BYTES)) {
            Ok(bytes) => {
                hash.update(&(bytes.len() as u64).to_be_bytes());
                hash.update(&bytes);
            }
            Err(error) => hash.update(format!("{error:?}").as_bytes()),
        }
    }
    hash.finish().as_ref().to_vec()
}

/// Shows in the metrics when the certificate that this process itself shows ends.
pub fn show_own_certificate(file: &Path, leaf: &CertificateDer<'_>) {
    let Some(end) = x509::not_after(leaf) else { return };
    let file = file.display().to_string();
    metrics::gauge!("ssl_manager_own_certificate_end_timestamp_seconds", "file" => file)
        .set(end.as_second() as f64);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn number(path: &Path) -> Result<u32, RoleError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| RoleError::setting("x", error.to_string()))?;
        text.trim().parse().map_err(|_| RoleError::setting("x", "is no number"))
    }

    #[test]
    fn what_changed_is_used_and_what_is_bad_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        std::fs::write(&path, "1").unwrap();
        let (reload, reads) = (Reload::default(), Arc::new(AtomicUsize::new(0)));
        let (read_from, counted) = (path.clone(), reads.clone());
        let current = reload
            .keep("x", vec![path.clone(), PathBuf::new()], move || {
                counted.fetch_add(1, Ordering::Relaxed);
                number(&read_from)
            })
            .unwrap();
        let look = |again| {
            reload.look(again);
            (*current.get(), reads.load(Ordering::Relaxed))
        };
        assert_eq!((look(false), look(true)), ((1, 1), (1, 1)), "nothing changed");
        std::fs::write(&path, "2").unwrap();
        assert_eq!((look(false), look(false)), ((2, 2), (2, 2)));
        std::fs::write(&path, "none").unwrap();
        assert_eq!((look(false), look(false)), ((2, 3), (2, 3)), "said once");
        assert_eq!(look(true), (2, 4), "SIGHUP tries again");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(look(false), (2, 5));
        std::fs::write(&path, "2").unwrap();
        assert_eq!((look(false), look(true)), ((2, 6), (2, 6)), "used again");
    }

    #[test]
    fn a_file_that_two_parts_read_is_read_by_both() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        std::fs::write(&path, "1").unwrap();
        let reload = Reload::default();
        let keep = || {
            let read_from = path.clone();
            reload.keep("x", vec![path.clone()], move || number(&read_from)).unwrap()
        };
        let both = [keep(), keep()];
        std::fs::write(&path, "2").unwrap();
        reload.look(false);
        assert_eq!(both.map(|one| *one.get()), [2, 2]);
        assert_eq!(reload.watched().len(), 1);
    }

    #[tokio::test]
    async fn a_signal_looks_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        std::fs::write(&path, "1").unwrap();
        let reload = Reload::default();
        let read_from = path.clone();
        let current = reload.keep("x", vec![path.clone()], move || number(&read_from)).unwrap();
        let stop = CancellationToken::new();
        let running = tokio::spawn(reload.clone().run(stop.clone()));
        std::fs::write(&path, "2").unwrap();
        reload.look_now();
        let used = async {
            while *current.get() != 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), used).await.expect("it is read again");
        stop.cancel();
        running.await.unwrap();
    }
}
