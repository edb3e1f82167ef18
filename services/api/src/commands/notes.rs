//! Notes: text of staff on a domain.

use audit::Caller;
use domain::{DomainName, MAX_NOTES, NoteError, NoteId};
use store::Note;

use super::{CommandError, Commands};

impl Commands {
    /// Adds a note on a domain on the list.
    pub async fn add_note(
        &self,
        name: &DomainName,
        text: String,
        by: &Caller,
    ) -> Result<Result<Note, NoteError>, CommandError> {
        let mut step = self.open("add_note", name, by).await?;
        if step.before.as_ref().is_none_or(|domain| domain.deleted_at.is_some()) {
            return Err(CommandError::NotFound(name.clone()));
        }
        if step.tx.count_notes(name).await? >= MAX_NOTES {
            return Ok(Err(NoteError::TooMany));
        }
        let note = Note {
            id: NoteId::new(&*self.clock, &*self.entropy),
            name: name.clone(),
            at: self.clock.now(),
            author: by.actor.clone(),
            text,
        };
        step.tx.add_note(note.clone()).await?;
        step.line.detail = note.id.to_string();
        step.commit().await?;
        Ok(Ok(note))
    }

    /// Deletes a note of the caller's own, or any for an admin; false if the caller may not, none if there is none.
    pub async fn delete_note(
        &self,
        name: &DomainName,
        id: NoteId,
        is_admin: bool,
        by: &Caller,
    ) -> Result<Option<bool>, CommandError> {
        let mut step = self.open("delete_note", name, by).await?;
        let Some(note) = step.tx.note(name, id).await? else {
            return Ok(None);
        };
        if note.author != by.actor && !is_admin {
            return Ok(Some(false));
        }
        step.tx.delete_note(id).await?;
        step.line.detail = format!("{id} of {}", note.author);
        step.commit().await?;
        Ok(Some(true))
    }
}
