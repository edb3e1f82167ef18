//! One upload or comparison, from the claim to the end of the lease.
//!
//! The facts decide whether it is a comparison, not the work's cause: the certificate is live already. In a
//! comparison, a request without an answer changes nothing. Any other upload that C4 does not accept is tried three
//! times at once, and after that is an emergency, whatever the reason.
//!
//! C4 never goes back to an older state: if C4 is ahead of this database, as after a restore, our certificate is not
//! uploaded (`decide/withheld.rs`).

use std::time::Duration;

use c4::{C4Certificate, C4Domain, C4Error};
use domain::{Closed, DomainName, EdgesBehind, HttpsSwitch, Lease};
use runtime::{JobError, checkpoint};
use seal::{Binding, SealError};
use store::{Certificate, Finished, StoreError};
use zeroize::Zeroizing;

use crate::Uploader;
use crate::decide::{Shown, Task, UploadError, Withheld};
use crate::journal::{Journal, Taken};
use crate::revocation::Verdict;

/// Pauses between the quick attempts.
const QUICK_PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];
/// No further quick attempt is made if C4 asks for a longer wait than this.
const MAX_QUICK_PAUSE: Duration = Duration::from_secs(10);

pub(crate) struct Upload<'a> {
    uploader: &'a Uploader,
    name: &'a DomainName,
    journal: Journal<'a>,
}

/// The result of an attempt.
enum Attempt {
    /// C4 shows our certificate; `sent` if this run put it there.
    Live { sent: bool },
    /// C4 does not know the domain.
    Unknown,
    /// The comparison got no answer.
    NotCompared { retry_after: Option<Duration> },
    /// The guard after a restore is up.
    Guarded,
    /// Whether its CA has revoked it is not known.
    Unvouched { detail: String },
    /// It was never live, and its CA has revoked it.
    OfNoUse,
    /// It must not be sent.
    Withheld(Withheld, Box<Shown>),
    /// Nothing may be sent to C4.
    NotSent(Closed),
    /// C4 did not accept it.
    Failed(UploadError),
    /// The work is obsolete; its lease has ended.
    Needless(Finished),
}

impl From<C4Error> for Attempt {
    fn from(error: C4Error) -> Self {
        match error {
            C4Error::UnknownDomain => Self::Unknown,
            C4Error::NotSent(closed) => Self::NotSent(closed),
            error => {
                Self::Failed(UploadError { retry_after: error.retry_after(), detail: error.to_string() })
            }
        }
    }
}

impl<'a> Upload<'a> {
    pub(crate) fn new(uploader: &'a Uploader, lease: &'a Lease) -> Self {
        Self { uploader, name: &lease.work.name, journal: Journal::new(&uploader.context, lease) }
    }

    pub(crate) async fn run(&self) -> Result<Finished, JobError> {
        let mut task = match Box::pin(self.journal.load()).await? {
            Taken::Yes(task) => task,
            Taken::Needless(finished) => return Ok(finished),
        };
        let finished = match self.attempts(&mut task).await? {
            Attempt::Live { sent } => self.served(&task, sent).await?,
            Attempt::Unknown => self.journal.unknown(&task).await?,
            Attempt::NotCompared { retry_after } => self.journal.not_compared(&task, retry_after).await?,
            Attempt::Guarded => self.journal.guarded(&task).await?,
            Attempt::Unvouched { detail } => self.journal.unvouched(&task, &detail).await?,
            Attempt::OfNoUse => self.journal.of_no_use(&task.domain, &task.certificate).await?,
            Attempt::Withheld(why, shown) => self.journal.withheld(&task, why, &shown).await?,
            Attempt::NotSent(Closed::Paused(pause)) => self.journal.paused(&task, *pause).await?,
            Attempt::NotSent(Closed::Unknown(why)) => return Err(StoreError::away(why).into()),
            Attempt::Failed(error) => self.journal.failed(&task, &error).await?,
            Attempt::Needless(finished) => finished,
        };
        checkpoint("upload-stored").await;
        Ok(finished)
    }

    /// C4 shows it; if edges are verified, they have to serve it before it counts as live.
    async fn served(&self, task: &Task, sent: bool) -> Result<Finished, JobError> {
        if sent || task.is_verified_at_edges() {
            let behind = self.uploader.edges.behind(self.name, &task.shown_chain()).await;
            if !behind.is_empty() {
                let behind = EdgesBehind::new(behind, self.uploader.edges.count());
                return self.journal.not_served(task, &behind).await;
            }
        }
        self.journal.live(task, sent).await
    }

    /// A few attempts at once; only one if uploading has been failing for some time.
    async fn attempts(&self, task: &mut Task) -> Result<Attempt, JobError> {
        let mut revision = None;
        let mut pauses = if task.is_failing { [].iter() } else { QUICK_PAUSES.iter() };
        loop {
            let error = match self.attempt(task, &mut revision).await? {
                Attempt::Failed(error) => error,
                ended => return Ok(ended),
            };
            tracing::warn!(detail = error.detail, "upload attempt failed");
            let Some(pause) = pauses.next() else {
                return Ok(Attempt::Failed(error));
            };
            let wait = error.retry_after.unwrap_or_default().max(*pause);
            if wait > MAX_QUICK_PAUSE {
                return Ok(Attempt::Failed(error));
            }
            self.uploader.context.clock.sleep(wait).await;
        }
    }

    /// `revision` is the revision of this run's uploads; none before the first one.
    async fn attempt(&self, task: &mut Task, revision: &mut Option<i64>) -> Result<Attempt, JobError> {
        let shown = match self.known().await {
            Ok(known) => {
                task.is_https_on = Some(HttpsSwitch::is_on(&known.ports));
                known.certificate
            }
            Err(C4Error::CouldNotAsk { retry_after, .. })
                if task.is_live && !task.is_failing && revision.is_none() =>
            {
                return Ok(Attempt::NotCompared { retry_after });
            }
            Err(error) => return Ok(error.into()),
        };
        let mut fallen_back = None;
        if is_ours(shown.as_ref(), task) && (revision.is_some() || task.is_told_by_leaf()) {
            fallen_back = self.fallen_back(task, revision.is_some()).await;
            if fallen_back.is_none() {
                return Ok(Attempt::Live { sent: revision.is_some() });
            }
        }
        let shown = self.journal.shown(shown).await?;
        if let Some(ended) = self.kept_back(task, &shown, revision.is_none()).await? {
            return Ok(ended);
        }
        let key = match self.unsealed(task).await {
            Ok(key) => key,
            Err(error) => {
                return Ok(Attempt::Failed(UploadError { detail: error.to_string(), retry_after: None }));
            }
        };
        let current = match *revision {
            Some(revision) => revision,
            None => match self.journal.intent(task, shown.sha256(), fallen_back.as_ref()).await? {
                Taken::Yes(first) => first,
                Taken::Needless(finished) => return Ok(Attempt::Needless(finished)),
            },
        };
        *revision = Some(current);
        checkpoint("upload-intent").await;
        let mut sent = self.put(task, &key, current).await;
        if sent == Err(C4Error::Stale) {
            if !self.journal.decider().is_wanted_all_the_same(task, &shown) {
                return Ok(Attempt::Withheld(Withheld::Ahead, Box::new(shown)));
            }
            let higher = match self.journal.higher_revision(task).await? {
                Taken::Yes(higher) => *revision.insert(higher),
                Taken::Needless(finished) => return Ok(Attempt::Needless(finished)),
            };
            sent = self.put(task, &key, higher).await;
        }
        drop(key);
        match sent {
            Ok(()) => {
                checkpoint("upload-sent").await;
                Ok(self.confirm(task).await)
            }
            Err(error) => Ok(error.into()),
        }
    }

    /// What C4 shows for the name.
    async fn known(&self) -> Result<C4Domain, C4Error> {
        self.uploader.c4.domain(self.name).await?.ok_or(C4Error::UnknownDomain)
    }

    /// Returns the edges that serve another certificate than the live one that C4 shows; edges without an answer are
    /// ignored. Not used while the edges are given time to follow.
    async fn fallen_back(&self, task: &Task, sent: bool) -> Option<EdgesBehind> {
        if sent || task.is_verified_at_edges() {
            return None;
        }
        let edges = &self.uploader.edges;
        let behind = edges.fallen_back(self.name, &task.shown_chain()).await;
        (!behind.is_empty()).then(|| EdgesBehind::new(behind, edges.count()))
    }

    /// The result of the attempt if nothing may be sent.
    async fn kept_back(
        &self,
        task: &mut Task,
        shown: &Shown,
        is_first: bool,
    ) -> Result<Option<Attempt>, JobError> {
        if let Some(why) = self.journal.decider().withholds(task, shown) {
            return Ok(Some(Attempt::Withheld(why, Box::new(shown.clone()))));
        }
        if !self.uploader.guard.may_send().await? {
            return Ok(Some(Attempt::Guarded));
        }
        if is_first { self.revoked(task, shown).await } else { Ok(None) }
    }

    /// The result of the attempt if the CA has revoked a certificate that is not fresh, or its list is not available.
    async fn revoked(&self, task: &mut Task, shown: &Shown) -> Result<Option<Attempt>, JobError> {
        let decider = self.journal.decider();
        if !decider.is_in_doubt(&task.certificate) {
            return Ok(None);
        }
        match self.uploader.revocations.verdict(&task.certificate.chain_pem, decider.now).await {
            Verdict::NotRevoked => Ok(None),
            Verdict::Revoked(reason) => {
                self.journal.note_revoked(task, reason).await?;
                let shown = Box::new(shown.clone());
                let withheld = Attempt::Withheld(Withheld::Revoked, shown);
                Ok(Some(if task.is_live { withheld } else { Attempt::OfNoUse }))
            }
            Verdict::Unknown(detail) if decider.goes_unvouched(shown) => {
                tracing::warn!(
                    detail,
                    "uploaded without its CA's revocation list, because C4 holds nothing of use"
                );
                Ok(None)
            }
            Verdict::Unknown(detail) => Ok(Some(Attempt::Unvouched { detail })),
        }
    }

    async fn unsealed(&self, task: &Task) -> Result<Zeroizing<String>, SealError> {
        let Certificate { name, chain_pem, .. } = &task.certificate;
        let public_key = x509::leaf_public_key_sha256(chain_pem).ok_or(SealError::NotAuthentic)?;
        let binding = Binding::certificate(task.certificate.id(), name);
        let pkcs8 = self.uploader.keys.unseal(&binding, &public_key, &task.sealed_key).await?;
        Ok(x509::private_key_pem(&pkcs8))
    }

    async fn put(&self, task: &Task, private_key_pem: &str, revision: i64) -> Result<(), C4Error> {
        let upload = c4::Upload {
            certificate: task.certificate.id(),
            certificate_pem: &task.certificate.chain_pem,
            private_key_pem,
            sha256: task.sha256(),
            source: task.certificate.summary.source,
            revision,
        };
        self.uploader.c4.put_certificate(self.name, upload).await
    }

    /// C4's answer that it accepted the upload is not enough; what it shows decides.
    async fn confirm(&self, task: &Task) -> Attempt {
        match self.known().await.map(|known| known.certificate) {
            Ok(shown) if is_ours(shown.as_ref(), task) => Attempt::Live { sent: true },
            Ok(shown) => {
                let shown = described(shown.as_ref().map(|shown| shown.sha256.as_str()));
                let detail = format!("C4 took the certificate but shows {shown}");
                Attempt::Failed(UploadError { detail, retry_after: None })
            }
            Err(error) => error.into(),
        }
    }
}

fn is_ours(shown: Option<&C4Certificate>, task: &Task) -> bool {
    shown.is_some_and(|shown| shown.sha256 == task.sha256())
}

/// What C4 holds instead of ours, as a part of a sentence.
pub(crate) fn described(shown: Option<&str>) -> String {
    shown.map_or_else(
        || "no certificate".to_owned(),
        |sha256| format!("another certificate (SHA-256 {sha256})"),
    )
}
