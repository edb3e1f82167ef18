//! `domain note`: what staff wrote on a domain.

use domain::printable;
use proto::{from_timestamp, v1};
use serde_json::{Value, json};
use tonic::Request;

use super::answer;
use super::connect::Client;
use crate::cli::{NoteArgs, Output};
use crate::dispatch::CommandError;
use crate::output::{print, print_done, print_json, time};
use crate::terminal::{Look, wrap};
use crate::times::Times;

pub(super) async fn run(client: &mut Client, args: &NoteArgs, output: Output) -> Result<(), CommandError> {
    let name = args.name.clone();
    if let Some(id) = &args.delete {
        let request = v1::DeleteDomainNoteRequest { name, id: id.clone() };
        answer(client.delete_domain_note(Request::new(request)).await)?;
        return print_done(
            output,
            format_args!("The note {id} is deleted."),
            &json!({ "id": id, "deleted": true }),
        );
    }
    let notes = if let Some(text) = &args.text {
        let request = v1::AddDomainNoteRequest { name, text: text.clone() };
        Vec::from_iter(answer(client.add_domain_note(Request::new(request)).await)?.note)
    } else {
        let request = v1::ListDomainNotesRequest { name };
        answer(client.list_domain_notes(Request::new(request)).await)?.notes
    };
    match output {
        Output::Json => print_json(&notes.iter().map(note_json).collect()),
        _ if notes.is_empty() => print("There are no notes."),
        _ => print(text(&notes, &Times::here(), Look::of_stdout())),
    }
}

fn note_json(note: &v1::DomainNote) -> Value {
    json!({ "id": note.id, "at": time(note.at.as_ref()), "author": note.author, "text": note.text })
}

fn text(notes: &[v1::DomainNote], times: &Times, look: Look) -> String {
    let mut lines = Vec::new();
    for note in notes {
        let at = note.at.as_ref().and_then(from_timestamp).map(|at| times.absolute(at)).unwrap_or_default();
        let head = format!("{at}  {}  {}", printable(&note.author), note.id);
        lines.extend(wrap(&head, look.width));
        let room = look.width.saturating_sub(4);
        let wrapped = note.text.lines().flat_map(|line| wrap(&printable(line), room)).collect::<Vec<_>>();
        lines.extend(wrapped.into_iter().map(|line| format!("    {line}")));
    }
    lines.join("\n")
}
