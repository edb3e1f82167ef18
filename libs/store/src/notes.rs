//! Notes of staff on a name: added and deleted, never changed.

use domain::{DomainName, NoteId};
use jiff::Timestamp;

use crate::record::columns;
use crate::{Result, Store, Tx};

/// A note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Its id.
    pub id: NoteId,
    /// The domain.
    pub name: DomainName,
    /// When it was written.
    pub at: Timestamp,
    /// The principal who wrote it.
    pub author: String,
    /// The text.
    pub text: String,
}

columns!(Note in "notes": id, name, at, author, text);

impl Store {
    /// Returns the notes on a name, newest first, even if the name is deleted.
    pub async fn notes(&self, name: &DomainName, limit: u32) -> Result<Vec<Note>> {
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let rest = "WHERE name = $1 ORDER BY at DESC, id DESC LIMIT $2";
        db.select::<Note>("notes", rest).bind(name).limit(limit).all().await
    }
}

impl Tx {
    /// Returns the number of notes on a name. The name's row must be locked, so that no other transaction adds one
    /// meanwhile.
    pub async fn count_notes(&mut self, name: &DomainName) -> Result<u64> {
        let text = "SELECT count(*) FROM notes WHERE name = $1";
        self.db().await?.query("count_notes", text).bind(name).count().await
    }

    /// Stores a note.
    pub async fn add_note(&mut self, note: Note) -> Result<()> {
        self.insert("add_note", "", std::slice::from_ref(&note), &[], "").await
    }

    /// Returns a note on a name.
    pub async fn note(&mut self, name: &DomainName, id: NoteId) -> Result<Option<Note>> {
        let mut db = self.db().await?;
        db.select::<Note>("note", "WHERE id = $1 AND name = $2").bind(&id).bind(name).optional().await
    }

    /// Deletes a note.
    pub async fn delete_note(&mut self, id: NoteId) -> Result<()> {
        let text = "DELETE FROM notes WHERE id = $1";
        self.write("delete_note", "", text).await?.bind(&id).keep_one();
        Ok(())
    }
}
