//! `/events`: changes of the rows on one viewer's screen, as server-sent events (HTML Living Standard, 9.2).
//!
//! Changes are collected for a quarter of a second, and only the last one of a name is sent. About all other domains a
//! viewer gets, at most every few seconds, the numbers of domains, emergencies, and matches.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use http::HeaderMap;
use proto::{status_word, v1};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::Instant;
use url::form_urlencoded;

use crate::App;
use crate::api::Domains;
use crate::filter::Filter;
use crate::live::{Change, Subscription};
use crate::session::{Person, resolve_in_the_background};
use crate::strangers::busy;
use crate::words;
use crate::zone::Zone;

const GATHER: Duration = Duration::from_millis(250);
const COUNT_INTERVAL: Duration = Duration::from_secs(3);
const SESSION_CHECK_INTERVAL: Duration = Duration::from_secs(1);
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Most names that a viewer may watch; a page has 50.
const MAX_NAMES: usize = 200;
/// Events that wait for a slow browser.
const BUFFER: usize = 16;

/// One viewer.
struct Viewer {
    app: App,
    person: Person,
    zone: Zone,
    filter: Filter,
    /// Names on the screen.
    names: HashSet<String>,
    /// Whether the screen is a list.
    is_list: bool,
    sender: mpsc::Sender<Event>,
}

/// Answers `/events`.
pub(crate) async fn events(
    State(app): State<App>,
    person: Person,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let Ok(share) = app.viewers.take(&person.name, 1) else {
        return busy().into_response();
    };
    let query = query.unwrap_or_default();
    let pairs = || form_urlencoded::parse(query.as_bytes());
    let names = pairs().filter(|(name, _)| name == "on").map(|(_, value)| value.into_owned());
    let cursor = pairs().find(|(name, _)| name == "cursor");
    let cursor = cursor.and_then(|(_, value)| value.parse().ok());
    let heard = app.hub.listen(&person.token, cursor);
    let (sender, receiver) = mpsc::channel(BUFFER);
    let viewer = Viewer {
        names: names.take(MAX_NAMES).collect(),
        is_list: pairs().any(|(name, _)| name == "list"),
        filter: Filter::parse(Some(&query)),
        zone: Zone::of(&headers),
        app: app.clone(),
        person,
        sender,
    };
    metrics::gauge!("ssl_manager_console_viewers").increment(1);
    app.process.stop.spawn(async move {
        let soft = viewer.app.process.stop.soft().clone();
        let bye = viewer.sender.clone();
        tokio::select! {
            _ = viewer.follow(heard) => {}
            () = soft.cancelled() => {
                // A browser that takes no more hears nothing, and comes again by itself.
                let _ = bye.try_send(Event::default().event("bye").data("bye"));
            }
        }
        metrics::gauge!("ssl_manager_console_viewers").decrement(1);
        drop(share);
    });
    Sse::new(stream(receiver)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

fn stream(mut receiver: mpsc::Receiver<Event>) -> impl Stream<Item = Result<Event, Infallible>> {
    futures::stream::poll_fn(move |context| receiver.poll_recv(context).map(|event| event.map(Ok)))
}

/// The browser has disconnected, or the watched stream has ended.
struct Disconnected;

impl Viewer {
    async fn follow(self, heard: Subscription) -> Result<(), Disconnected> {
        let Subscription { missed, mut changes, mut is_there } = heard;
        match missed {
            Some(missed) => self.rows(&missed).await?,
            None => self.resync().await?,
        }
        let mut count_at: Option<Instant> = None;
        let mut session_at = Instant::now() + SESSION_CHECK_INTERVAL;
        loop {
            let next = count_at.map_or(session_at, |at| at.min(session_at));
            tokio::select! {
                change = changes.recv() => {
                    let first = match change {
                        Ok(change) => change,
                        Err(RecvError::Lagged(_)) => { self.resync().await?; continue }
                        Err(RecvError::Closed) => return Err(Disconnected),
                    };
                    let mut gathered = vec![first];
                    tokio::time::sleep(GATHER).await;
                    while let Ok(change) = changes.try_recv() {
                        gathered.push(change);
                    }
                    self.rows(&gathered).await?;
                    count_at = count_at.or(Some(Instant::now() + COUNT_INTERVAL));
                }
                changed = is_there.changed() => {
                    changed.map_err(|_| Disconnected)?;
                    let word = if *is_there.borrow_and_update() { "back" } else { "away" };
                    self.send(word, word.to_owned()).await?;
                }
                () = self.sender.closed() => return Err(Disconnected),
                () = tokio::time::sleep_until(next) => {}
            }
            if count_at.is_some_and(|at| at <= Instant::now()) {
                count_at = None;
                self.counts().await?;
            }
            if session_at <= Instant::now() {
                session_at = Instant::now() + SESSION_CHECK_INTERVAL;
                self.still_signed_in().await?;
            }
        }
    }

    /// The data must not be empty: a browser drops such an event (HTML Living Standard, 9.2.6).
    async fn send(&self, event: &str, data: String) -> Result<(), Disconnected> {
        let event = Event::default().event(event).data(data);
        self.sender.send(event).await.map_err(|_| Disconnected)
    }

    async fn resync(&self) -> Result<(), Disconnected> {
        self.send("resync", self.app.hub.now().to_string()).await
    }

    /// The last change of each name on the screen.
    async fn rows(&self, changes: &[Arc<Change>]) -> Result<(), Disconnected> {
        let mut last: HashMap<&str, &Change> = HashMap::new();
        for change in changes {
            if self.names.contains(&change.domain.name) {
                last.insert(&change.domain.name, change);
            }
        }
        let mut last: Vec<&Change> = last.into_values().collect();
        last.sort_by_key(|change| change.position);
        for change in last {
            self.send("row", self.row(change)).await?;
        }
        Ok(())
    }

    fn row(&self, change: &Change) -> String {
        let now = self.app.process.clock.now();
        let cursor = self.app.hub.after(change).to_string();
        json!({
            "name": change.domain.name,
            "position": change.position,
            "cursor": cursor,
            "deleted": change.deleted,
            "fits": !change.deleted && self.filter.fits(&change.domain, &self.zone, now),
            "html": &*change.row(&self.zone, now),
        })
        .to_string()
    }

    /// How many domains there are, and of a list how many match. What cannot be asked now is told with the next change.
    async fn counts(&self) -> Result<(), Disconnected> {
        let mut domains = self.app.api.domains_in_the_background(&self.person.token);
        let Ok(summary) = domains.get_summary(v1::GetSummaryRequest {}).await else {
            return Ok(());
        };
        let summary = summary.into_inner();
        let counted = &summary.statuses;
        let emergencies = counted.iter().filter(|count| count.status() == v1::Status::Emergency);
        let emergencies: u64 = emergencies.map(|count| count.domains).sum();
        let statuses = counted.iter().map(|count| (status_word(count.status()), count.domains));
        let figures = statuses.chain([("at_risk", summary.at_risk)]);
        let figures: BTreeMap<_, _> = figures.map(|(word, count)| (word, words::number(count))).collect();
        let counts = json!({
            "figures": figures,
            "emergencies": emergencies,
            "alarm": words::alarm(emergencies),
            "emergency": words::emergencies(emergencies),
            "matching": self.matching(domains).await,
        });
        self.send("counts", counts.to_string()).await
    }

    /// How many domains match the list; none where there is no list, or too many to be counted.
    async fn matching(&self, mut domains: Domains) -> Option<u32> {
        if !self.is_list {
            return None;
        }
        let filter = self.filter.with(|_| {});
        let request = filter.request(&self.zone, self.app.process.clock.now());
        let request = v1::ListDomainsRequest { page_size: 1, ..request };
        let listed = domains.list_domains(request).await.ok()?.into_inner();
        (!listed.matching_more).then_some(listed.matching)
    }

    /// Ends the stream of a viewer who is signed out.
    async fn still_signed_in(&self) -> Result<(), Disconnected> {
        if let Ok(None) = resolve_in_the_background(&self.app, self.person.token.clone()).await {
            self.send("session", "over".to_owned()).await?;
            return Err(Disconnected);
        }
        Ok(())
    }
}
