//! Notes of staff on a domain: added, listed, deleted by their author or an admin, never edited.

use audit::Caller;
use domain::{Action, MAX_NOTES, NoteError, NoteId, note_text, printable};
use proto::{to_timestamp, v1};
use store::Note;
use tonic::{Code, Request, Status};

use crate::error::{error, from_store, invalid};
use crate::service::{DomainsService, name};

fn message_of(note: &Note) -> v1::DomainNote {
    v1::DomainNote {
        id: note.id.to_string(),
        at: Some(to_timestamp(note.at)),
        author: printable(&note.author),
        text: printable(&note.text),
    }
}

fn bad_note(problem: NoteError) -> Status {
    let code = if problem == NoteError::TooMany { Code::FailedPrecondition } else { Code::InvalidArgument };
    error(code, problem.reason(), problem.to_string())
}

impl DomainsService {
    pub(crate) async fn add_note(
        &self,
        request: Request<v1::AddDomainNoteRequest>,
    ) -> Result<v1::AddDomainNoteResponse, Status> {
        let add = async |by: &Caller, asked: v1::AddDomainNoteRequest| {
            let (name, text) = (name(&asked.name)?, note_text(&asked.text).map_err(bad_note)?);
            let note = self.commands.add_note(&name, text, by).await?.map_err(bad_note)?;
            Ok(v1::AddDomainNoteResponse { note: Some(message_of(&note)) })
        };
        self.audited("AddDomainNote", Action::Operate, request, |asked| &asked.name, add).await
    }

    pub(crate) async fn list_notes(
        &self,
        request: Request<v1::ListDomainNotesRequest>,
    ) -> Result<v1::ListDomainNotesResponse, Status> {
        self.authenticator.authorize(&request, Action::Read).await?;
        let name = name(&request.get_ref().name)?;
        let notes = self.context.store.notes(&name, MAX_NOTES as u32).await;
        let notes = notes.map_err(|problem| from_store(&problem))?;
        Ok(v1::ListDomainNotesResponse { notes: notes.iter().map(message_of).collect() })
    }

    pub(crate) async fn delete_note(
        &self,
        request: Request<v1::DeleteDomainNoteRequest>,
    ) -> Result<v1::DeleteDomainNoteResponse, Status> {
        let is_admin = self.authenticator.principal(&request).await?.is_admin();
        let delete = async |by: &Caller, asked: v1::DeleteDomainNoteRequest| {
            let name = name(&asked.name)?;
            let id: NoteId =
                asked.id.parse().map_err(|_| invalid("NOTE_ID_INVALID", "send the id of a note"))?;
            match self.commands.delete_note(&name, id, is_admin, by).await? {
                Some(true) => Ok(v1::DeleteDomainNoteResponse {}),
                Some(false) => Err(error(
                    Code::PermissionDenied,
                    "NOTE_OF_ANOTHER",
                    "only its author and an admin may delete a note",
                )),
                None => Err(error(
                    Code::NotFound,
                    "NOTE_NOT_FOUND",
                    "the domain has no such note: it may be deleted already",
                )),
            }
        };
        self.audited("DeleteDomainNote", Action::Operate, request, |asked| &asked.name, delete).await
    }
}
