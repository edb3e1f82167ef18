//! Exports the audit log as a file, in pieces of a thousand entries.

use domain::spreadsheet_cell;
use jiff::Timestamp;
use proto::v1;
use runtime::Context;
use serde_json::json;
use store::{AuditPlace, AuditSearch, FoundAudit};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use super::audit_log::{in_words, search};
use super::{AdministrationService, Administrator, Answers};
use crate::error::{error, from_store, internal, invalid};
use crate::lasts::{READ_TIMEOUT, StreamRights};

const PAGE: u32 = 1000;
const BUFFER: usize = 4;
const HEAD: [&str; 9] =
    ["at", "actor", "peer", "call", "subject", "outcome", "detail", "request_id", "sequence"];

#[derive(Clone, Copy)]
enum Format {
    Csv,
    JsonLines,
}

type Sender = mpsc::Sender<Result<v1::ExportAuditResponse, Status>>;

impl AdministrationService {
    pub(super) async fn export(
        &self,
        by: &Administrator,
        asked: v1::ExportAuditRequest,
        lasts: StreamRights,
    ) -> Result<Answers<v1::ExportAuditResponse>, Status> {
        let format = match asked.format() {
            v1::ExportFormat::Csv => Format::Csv,
            v1::ExportFormat::JsonLines => Format::JsonLines,
            v1::ExportFormat::Unspecified => {
                return Err(invalid("EXPORT_FORMAT_INVALID", "format is CSV or JSON_LINES"));
            }
        };
        let search = search(asked.filter.unwrap_or_default())?;
        // Entries written from here on, including the one about this export, are not part of the file.
        let start = AuditPlace { at: self.now(), id: 0 };
        self.note(by, &search.subject, &in_words(&search)).await?;
        let (sender, receiver) = mpsc::channel(BUFFER);
        let context = self.context.clone();
        self.context.stop.spawn(async move {
            let soft = context.stop.soft().clone();
            let ended = tokio::select! {
                ended = write(&context, &search, start, format, &sender) => ended,
                problem = lasts.until_it_ends() => Err(problem),
                () = soft.cancelled() => {
                    Err(error(Code::Unavailable, "STOPPING", "this process stops: export again"))
                }
            };
            if let Err(problem) = ended {
                // The client may have disconnected.
                let _ = tokio::time::timeout(READ_TIMEOUT, sender.send(Err(problem))).await;
            }
        });
        Ok(Box::pin(ReceiverStream::new(receiver)))
    }
}

async fn write(
    context: &Context,
    search: &AuditSearch,
    start: AuditPlace,
    format: Format,
    sender: &Sender,
) -> Result<(), Status> {
    if matches!(format, Format::Csv) {
        let head = csv_lines([HEAD.map(str::to_owned)]).map_err(|problem| internal(&problem))?;
        send(sender, head).await?;
    }
    let mut after = Some(start);
    while let Some(place) = after {
        let page = context.store.search_audit(search, Some(place), PAGE).await;
        let page = page.map_err(|problem| from_store(&problem))?;
        if !page.lines.is_empty() {
            let data = match format {
                Format::Csv => {
                    csv_lines(page.lines.iter().map(cells)).map_err(|problem| internal(&problem))?
                }
                Format::JsonLines => json_lines(&page.lines),
            };
            send(sender, data).await?;
        }
        after = page.looked_back_to;
    }
    Ok(())
}

async fn send(sender: &Sender, data: Vec<u8>) -> Result<(), Status> {
    match tokio::time::timeout(READ_TIMEOUT, sender.send(Ok(v1::ExportAuditResponse { data }))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Status::cancelled("the client left")),
        Err(_) => {
            let sentence = "the file is not read fast enough: export again";
            Err(error(Code::ResourceExhausted, "TOO_SLOW", sentence))
        }
    }
}

fn time(at: Timestamp) -> String {
    format!("{at:.6}")
}

fn cells(line: &FoundAudit) -> [String; 9] {
    let entry = &line.entry;
    [
        time(entry.at),
        entry.actor.clone(),
        entry.peer.clone(),
        entry.call.clone(),
        entry.subject.clone(),
        entry.outcome.clone(),
        entry.detail.clone(),
        entry.request_id.clone(),
        line.sequence.map(|sequence| sequence.to_string()).unwrap_or_default(),
    ]
}

fn csv_lines(lines: impl IntoIterator<Item = [String; 9]>) -> Result<Vec<u8>, csv::Error> {
    let mut builder = csv::WriterBuilder::new();
    let mut writer = builder.terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for cells in lines {
        writer.write_record(cells.iter().map(|cell| spreadsheet_cell(cell).into_owned()))?;
    }
    writer.into_inner().map_err(|problem| problem.into_error().into())
}

fn json_lines(lines: &[FoundAudit]) -> Vec<u8> {
    let mut data = Vec::new();
    for line in lines {
        let entry = &line.entry;
        let value = json!({
            "at": time(entry.at),
            "actor": entry.actor,
            "peer": entry.peer,
            "call": entry.call,
            "subject": entry.subject,
            "outcome": entry.outcome,
            "detail": entry.detail,
            "request_id": entry.request_id,
            "sequence": line.sequence,
        });
        data.extend_from_slice(value.to_string().as_bytes());
        data.push(b'\n');
    }
    data
}
