//! Jobs at the API: this process keeps nothing of them, so that any console shows any job.

use domain::JobKind;
use futures::stream;
use proto::v1;

use crate::lines::Line;
use crate::page::Frame;
use crate::problem::Problem;

/// Names in one message, which has at most 64 KiB.
const TOGETHER: usize = 200;
const PAGE: i32 = 1000;

/// Creates a job over these lines, in their order; a draft waits for its start.
pub(crate) async fn create(
    frame: &Frame,
    kind: JobKind,
    draft: bool,
    lines: &[Line],
) -> Result<v1::Job, Problem> {
    let name = |line: &Line| v1::JobName { name: line.text.clone(), line: line.number };
    let first = v1::CreateJobRequest { kind: v1::JobKind::from(kind).into(), draft, ..Default::default() };
    let of_lines = |lines: &[Line]| v1::CreateJobRequest {
        names: lines.iter().map(name).collect(),
        ..Default::default()
    };
    let messages: Vec<_> = std::iter::once(first).chain(lines.chunks(TOGETHER).map(of_lines)).collect();
    let created = frame.jobs().create_job(stream::iter(messages)).await?.into_inner();
    Ok(created.job.unwrap_or_default())
}

/// A job.
pub(crate) async fn get(frame: &Frame, id: &str) -> Result<v1::Job, Problem> {
    let answer = frame.jobs().get_job(v1::GetJobRequest { id: id.to_owned() }).await?;
    Ok(answer.into_inner().job.unwrap_or_default())
}

/// Every line of a job, page by page.
pub(crate) struct Lines {
    jobs: crate::api::Jobs,
    /// None once the last page was read.
    next: Option<v1::ListJobLinesRequest>,
}

impl Lines {
    /// Those with one of these outcomes; all if there are none.
    pub(crate) fn new(frame: &Frame, id: &str, outcomes: Vec<i32>) -> Self {
        let request = v1::ListJobLinesRequest {
            id: id.to_owned(),
            outcomes,
            page_size: PAGE,
            ..v1::ListJobLinesRequest::default()
        };
        Self { jobs: frame.jobs(), next: Some(request) }
    }

    /// The next page; none after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<v1::JobLine>>, Problem> {
        let Some(request) = self.next.take() else { return Ok(None) };
        let page = self.jobs.list_job_lines(request.clone()).await?.into_inner();
        if !page.next_page_token.is_empty() {
            self.next = Some(v1::ListJobLinesRequest { page_token: page.next_page_token, ..request });
        }
        Ok(Some(page.lines))
    }
}
