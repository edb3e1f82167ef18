//! The order of uploads to C4, and the handling of a C4 that is ahead of this database.
//!
//! A database that was restored from a backup knows less than C4: certificates that were uploaded after the backup, a
//! removal, a roll back. There are two signs. C4 answers `stale`, because it has seen a higher revision than any
//! stored here; or it shows a certificate that is not stored here and ends later than ours. Then our certificate is
//! not uploaded. What C4 held is noted with the time, and requests made after that take it into account.

use jiff::Timestamp;

use crate::{Activity, Domain, Facts, InvalidTransition, Reason, Source};

/// What C4 held when it was found to be ahead of this database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AheadAtC4 {
    /// The SHA-256 of the certificate; none if C4 held none.
    pub sha256: Option<String>,
    /// When it was found.
    pub found_at: Timestamp,
    /// The name's revision at that time.
    pub revision: i64,
}

impl Domain {
    /// The domain for an upload or removal that is about to be sent: its revision is the next odd number.
    ///
    /// The even number before it is reserved for [`Self::uploading_again`], which thereby detects an upload that is
    /// not stored here.
    #[must_use]
    pub fn uploading(&self) -> Self {
        Self { upload_revision: next_odd(self.upload_revision), ..self.clone() }
    }

    /// The domain for sending the live certificate once more, because C4 shows something else. Its revision is above
    /// the last upload's and below the next one's: C4 rejects it exactly if it has received an upload that is not
    /// stored here.
    #[must_use]
    pub fn uploading_again(&self) -> Self {
        match self.upload_revision {
            0 => self.uploading(),
            revision => Self { upload_revision: revision + revision % 2, ..self.clone() },
        }
    }

    /// The domain for an upload that C4 must accept although it has seen a higher revision. C4 does not say which
    /// revision that is; the seconds since 1970 are higher than any number of uploads of one name.
    #[must_use]
    pub fn uploading_over(&self, now: Timestamp) -> Self {
        let upload_revision = next_odd(self.upload_revision.max(now.as_second()));
        Self { upload_revision, ..self.clone() }
    }

    /// C4 is ahead: the planned upload is given up, and another certificate is ordered.
    pub fn overtaken(self, ahead: AheadAtC4) -> Result<Self, InvalidTransition> {
        Ok(Self { ahead_at_c4: Some(ahead), ..self.replaced()? })
    }

    /// C4 is ahead by a pasted certificate: the upload is given up without an order, and the customer has to paste
    /// again.
    pub fn overtaken_by_paste(self, ahead: AheadAtC4, reason: Reason) -> Result<Self, InvalidTransition> {
        Ok(Self { ahead_at_c4: Some(ahead), ..self.upload_given_up(reason)? })
    }

    /// The planned upload is given up, and another certificate is ordered instead.
    pub fn replaced(self) -> Result<Self, InvalidTransition> {
        let listed = self.doing(Activity::Preflight, None)?;
        let facts = Facts { unknown_to_c4: false, missing: None, upload_failing: None, ..listed.facts };
        Ok(Self { facts, ..listed })
    }

    /// C4 is ahead, and nothing is done about it but to keep in mind what it holds.
    #[must_use]
    pub fn left_behind(&self, sha256: &str, now: Timestamp) -> Self {
        Self { ahead_at_c4: Some(self.note_ahead(Some(sha256), now)), ..self.clone() }
    }

    /// What C4 is ahead by is the live certificate from now on: the next certificate comes from where it came from, and uploads
    /// go over what C4 has seen.
    #[must_use]
    pub fn taken_over(&self, source: Source, now: Timestamp) -> Self {
        Self { source, ..self.uploading_over(now) }
    }

    /// Notes that C4 is ahead, and what it holds. The first time is kept.
    pub fn note_ahead(&self, sha256: Option<&str>, now: Timestamp) -> AheadAtC4 {
        let known = self.ahead_at_c4.clone().filter(|known| known.sha256.as_deref() == sha256);
        known.unwrap_or_else(|| AheadAtC4 {
            sha256: sha256.map(str::to_owned),
            found_at: now,
            revision: self.revision,
        })
    }

    /// The note about C4 being ahead, if it still matches what C4 shows. Later requests were made with that in view.
    pub fn known_ahead(&self, shown: Option<&str>) -> Option<&AheadAtC4> {
        self.ahead_at_c4.as_ref().filter(|known| known.sha256.as_deref() == shown)
    }

    /// Whether C4 was found to be ahead after a certificate was stored: another one has to be ordered.
    pub fn has_overtaken(&self, created_at: Timestamp) -> bool {
        self.ahead_at_c4.as_ref().is_some_and(|ahead| created_at < ahead.found_at)
    }
}

fn next_odd(revision: i64) -> i64 {
    revision + 1 + revision % 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DomainName, Status};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn domain() -> Domain {
        Domain::added(DomainName::parse("shop.example.com").unwrap(), at(0))
    }

    /// C4 rejects revisions below the highest one it has seen.
    #[test]
    fn a_comparison_is_above_the_last_upload_and_below_the_next_one() {
        let first = domain().uploading();
        assert_eq!(first.upload_revision, 1, "the contract has none below");
        let second = first.uploading();
        let compared = first.uploading_again();
        assert!(first.upload_revision < compared.upload_revision);
        assert!(compared.upload_revision < second.upload_revision);
        assert_eq!(compared.uploading_again(), compared, "there is one number in between");
        assert_eq!(compared.uploading(), second);
        assert_eq!(domain().uploading_again().upload_revision, 1);
    }

    #[test]
    fn an_upload_over_what_is_not_stored_here_is_above_all_that_was_counted() {
        let over = domain().uploading_over(at(1_800_000_000));
        assert!(over.upload_revision > 1_800_000_000);
        let again = over.uploading_over(at(5));
        assert!(again.upload_revision > over.upload_revision, "whatever the clock says");
        assert_eq!(
            (over.upload_revision % 2, again.upload_revision % 2),
            (1, 1),
            "an upload's number is odd"
        );
    }

    #[test]
    fn what_c4_is_ahead_by_is_noted_once_and_takes_nothing_away() {
        let domain = domain().upload_failed(Reason::UploadFailed { detail: "503".into() }).unwrap();
        let found = domain.note_ahead(Some("aa"), at(5));
        let overtaken = domain.overtaken(found.clone()).unwrap();
        assert_eq!((overtaken.status(at(6)), overtaken.activity), (Status::Pending, Activity::Preflight));
        assert_eq!(overtaken.note_ahead(Some("aa"), at(9)), found, "the first time counts");
        assert_eq!(overtaken.note_ahead(None, at(9)).found_at, at(9), "that is something else");
        assert_eq!(overtaken.known_ahead(Some("aa")), Some(&found));
        assert_eq!(overtaken.known_ahead(None), None);
        assert!(overtaken.has_overtaken(at(4)) && !overtaken.has_overtaken(at(5)));
        let deleted = overtaken.delete(at(10)).unwrap();
        assert_eq!(deleted.added_again(at(11)).unwrap().ahead_at_c4, Some(found), "it outlives a delete");
    }
}
