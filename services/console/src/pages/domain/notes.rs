//! Notes of staff on a domain: "customer told on 3 Dec, ticket 4711". They are added, never edited; their author or an admin
//! deletes them.

use askama::Template;
use axum::body::Body;
use axum::response::{IntoResponse, Redirect, Response};
use domain::{Action, DomainName};
use http::StatusCode;
use proto::v1;

use super::{Named, Troubles, address, again, refused};
use crate::form::Form;
use crate::page::Frame;
use crate::problem::{Problem, html};
use crate::row::{Moment, Name};
use crate::words::{self, instant};

pub(super) struct Note {
    id: String,
    pub(super) at: Option<Moment>,
    pub(super) author: String,
    pub(super) text: String,
    /// Whether the viewer may delete it.
    is_deletable: bool,
}

/// The notes on a domain, newest first.
pub(super) async fn read(frame: &Frame, name: &DomainName) -> Result<Vec<Note>, Problem> {
    let request = v1::ListDomainNotesRequest { name: name.to_string() };
    let notes = frame.domains().list_domain_notes(request).await?.into_inner().notes;
    let me = format!("user:{}", frame.person.name);
    let may_delete_all = frame.may_operate() && frame.may_revoke();
    let note = |note: v1::DomainNote| Note {
        at: instant(note.at.as_ref()).map(|at| Moment::time(at, &frame.zone)),
        is_deletable: may_delete_all || (frame.may_operate() && note.author == me),
        author: words::by(&note.author),
        id: note.id,
        text: note.text,
    };
    Ok(notes.into_iter().map(note).collect())
}

#[derive(Template)]
#[template(path = "domain/notes.html")]
struct NotesPage {
    frame: Frame,
    troubles: Troubles,
    name: Name,
    notes: Vec<Note>,
    /// What was typed.
    text: String,
}

impl NotesPage {
    async fn read(frame: Frame, name: &DomainName) -> Result<Self, Problem> {
        Ok(Self {
            notes: read(&frame, name).await?,
            troubles: Troubles::default(),
            name: Name::new(name.as_str()),
            text: String::new(),
            frame,
        })
    }
}

/// Answers `/domains/{name}/notes`.
pub(crate) async fn show(frame: Frame, Named(name): Named) -> Result<Response, Problem> {
    Ok(html(&NotesPage::read(frame, &name).await?))
}

/// Adds a note, or deletes the one whose id is sent.
pub(crate) async fn send(frame: Frame, Named(name): Named, body: Body) -> Result<Response, Problem> {
    frame.person.require(Action::Operate)?;
    let form = Form::of(&frame.person, body).await?;
    let (mut domains, to) = (frame.domains(), name.to_string());
    let text = form.get("text").to_owned();
    let answer = match form.get("delete") {
        "" => {
            domains.add_domain_note(v1::AddDomainNoteRequest { name: to, text: text.clone() }).await.map(drop)
        }
        id => domains
            .delete_domain_note(v1::DeleteDomainNoteRequest { name: to, id: id.to_owned() })
            .await
            .map(drop),
    };
    if let Err(status) = answer {
        let problem = refused(status)?;
        let troubles = Troubles::one("text", problem.sentence);
        let page = NotesPage { troubles, text, ..NotesPage::read(frame, &name).await? };
        return Ok(again(StatusCode::UNPROCESSABLE_ENTITY, &page));
    }
    Ok(Redirect::to(&format!("{}/notes", address(&name))).into_response())
}
