//! The history of a domain, newest first, after its present activity.

use askama::Template;
use domain::DomainName;
use proto::v1;

use super::address;
use crate::page::Frame;
use crate::problem::Problem;
use crate::row::{Badge, Moment};
use crate::words::{self, instant};
use crate::zone::Zone;

/// How many lines are shown at first, and each time that more are asked for; the API gives at most a thousand.
const STEPS: [usize; 4] = [20, 100, 400, 1000];

struct Line {
    at: Option<Moment>,
    title: String,
    actor: String,
    /// Status before and after, where it changed.
    change: Option<(Badge, Badge)>,
    message: String,
    /// What the certificate authority said, in its own words.
    problem: String,
    sha256: String,
}

#[derive(Template)]
#[template(path = "domain/history.html")]
pub(super) struct Timeline {
    /// The present activity; empty if the domain is deleted.
    running: String,
    /// When the next step is due.
    next: Option<Moment>,
    lines: Vec<Line>,
    /// Where there are more.
    more: Option<String>,
    /// Whether there may be more than the API gives.
    is_cut: bool,
}

/// How many lines are to be shown.
fn most(asked: Option<usize>) -> usize {
    asked.unwrap_or(STEPS[0]).clamp(STEPS[0], STEPS[3])
}

/// Reads what is to be shown, whether there is more, and enough to find since when the status is what it is.
pub(super) async fn read(
    frame: &Frame,
    name: &DomainName,
    asked: Option<usize>,
) -> Result<Vec<v1::HistoryEntry>, Problem> {
    let lines = most(asked).saturating_add(1).clamp(100, STEPS[3]);
    let page_size = i32::try_from(lines).unwrap_or(0);
    let request = v1::GetHistoryRequest { name: name.to_string(), page_size, page_token: String::new() };
    Ok(frame.domains().get_history(request).await?.into_inner().entries)
}

impl Timeline {
    /// `domain`: as it is now; none if it is deleted.
    pub(super) fn new(
        name: &DomainName,
        domain: Option<&v1::Domain>,
        entries: &[v1::HistoryEntry],
        asked: Option<usize>,
        zone: &Zone,
    ) -> Self {
        let most = most(asked);
        let next = STEPS.into_iter().find(|step| *step > most);
        let due = domain.and_then(|domain| instant(domain.next_attempt_at.as_ref()));
        Self {
            next: due.map(|at| Moment::time(at, zone)),
            running: domain.map(|domain| words::activity(&domain.activity).to_owned()).unwrap_or_default(),
            lines: entries.iter().take(most).map(|entry| line(entry, zone)).collect(),
            more: next
                .filter(|_| entries.len() > most)
                .map(|next| format!("{}?history={next}#history", address(name))),
            is_cut: entries.len() == STEPS[3] && most == STEPS[3],
        }
    }
}

fn line(entry: &v1::HistoryEntry, zone: &Zone) -> Line {
    let (message, problem) = words::without_problem(&entry.message);
    let (from, to) = (entry.status_from(), entry.status_to());
    Line {
        at: instant(entry.at.as_ref()).map(|at| Moment::second(at, zone)),
        title: words::kind(&entry.kind),
        actor: words::by(&entry.actor),
        change: (from != to).then_some((Badge(from), Badge(to))),
        message: message.to_owned(),
        problem: problem.to_owned(),
        sha256: entry.certificate_sha256.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_shown_as_long_as_there_is_more() {
        let name = DomainName::parse("shop.example.com").unwrap();
        let zone = Zone::of(&http::HeaderMap::new());
        let shown = |there: usize, asked| {
            let entries = vec![v1::HistoryEntry::default(); there];
            let timeline = Timeline::new(&name, None, &entries, asked, &zone);
            (timeline.lines.len(), timeline.more)
        };
        assert_eq!(shown(20, None), (20, None));
        let more = "/domains/shop.example.com?history=100#history".to_owned();
        assert_eq!(shown(21, None), (20, Some(more.clone())));
        assert_eq!(shown(21, Some(100)), (21, None));
        assert_eq!(shown(21, Some(3)), (20, Some(more)), "never less than at first");
        assert_eq!(shown(1000, Some(usize::MAX)), (1000, None));
    }

    #[test]
    fn what_came_from_outside_stays_text() {
        let name = DomainName::parse("shop.example.com").unwrap();
        let entry = v1::HistoryEntry {
            kind: "<b>".to_owned(),
            actor: "token:<i>".to_owned(),
            message: "The certificate authority reported <script>alert(1)</script>".to_owned(),
            ..v1::HistoryEntry::default()
        };
        let zone = Zone::of(&http::HeaderMap::new());
        let timeline = Timeline::new(&name, None, &[entry], None, &zone);
        let html = timeline.render().unwrap();
        for bad in ["<script>", "<b>", "<i>"] {
            assert!(!html.contains(bad), "{html}");
        }
        assert!(html.contains("<details>"), "the CA's words are folded away: {html}");
    }
}
