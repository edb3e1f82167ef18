//! The page "SSL Management", the support team's daily tool: HTML from the server, usable without script, live with it.
//!
//! The console is a client of the gRPC API like any other. It has no database and keeps no key: the browser's cookie
//! holds the person's own session token, which goes with every call, so the API decides and its audit log sees people.
//! Pages are in `pages`, their common frame in `page`, all sentences in `words`, and the updates of open pages in
//! `live`.

mod api;
mod assets;
mod chart;
mod checks;
mod csrf;
mod csv;
mod filter;
mod form;
mod guard;
mod jobs;
mod lines;
mod live;
mod page;
mod pages;
mod problem;
mod row;
mod serve;
mod session;
mod step;
mod strangers;
mod walk;
mod words;
mod zone;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use http::{StatusCode, Uri};
use runtime::{Current, Listen, Listener, Process, RoleError, RoleName, Shares};
use tower_http::compression::CompressionLayer;
use tower_http::timeout::TimeoutLayer;

use api::Api;
use checks::Checks;
use guard::Site;
use live::Hub;
use pages::oidc::SignInProvider;
use session::Cookies;
use strangers::Strangers;

/// Until an answer begins; far over what the API takes for any page.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(45);
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
const VIEWERS: usize = 2048;
const VIEWERS_PER_PERSON: usize = 64;

/// The shared state of all pages. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) process: Process,
    pub(crate) api: Api,
    pub(crate) cookies: Cookies,
    pub(crate) site: Site,
    pub(crate) hub: Hub,
    pub(crate) checks: Checks,
    pub(crate) strangers: Strangers,
    /// Open event streams, of all and of one person.
    pub(crate) viewers: Arc<Shares<String>>,
    /// The OpenID provider that people may sign in with.
    pub(crate) provider: Option<Current<SignInProvider>>,
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Runs the page until the stop.
pub async fn run(process: Process) -> Result<(), RoleError> {
    let role = RoleName::Console.as_str();
    process.health.expect(role);
    let settings = &process.config.console;
    let tls = serve::tls(&process)?;
    let public: Option<Uri> = settings.public_url.parse().ok().filter(|_| !settings.public_url.is_empty());
    let secure = tls.is_some() || public.as_ref().and_then(Uri::scheme_str) == Some("https");
    let listener = Listener::new(&process, Listen::Console, tls)?;
    let app = App(Arc::new(Parts {
        api: Api::new(&process)?,
        cookies: Cookies { secure },
        site: Site { public },
        hub: Hub::new(first_stream(&process)),
        checks: Checks::default(),
        strangers: Strangers::new(&process.config, process.health.clone()),
        viewers: Shares::new(VIEWERS, VIEWERS_PER_PERSON),
        provider: SignInProvider::new(&process)?,
        process: process.clone(),
    }));
    // Of an API in this process its own part of the health tells.
    if !process.health.knows(RoleName::Api.as_str()) {
        process.stop.spawn(watch_the_api(app.clone()));
    }
    process.stop.spawn(follow_changes(app.clone()));
    process.health.ok(role);
    serve::serve(listener, &router(app), &process.stop).await;
    Ok(())
}

fn router(app: App) -> Router {
    Router::new()
        .route("/", get(pages::list::show).post(pages::bulk::send))
        .route("/domains", get(pages::domains))
        .route("/domains.csv", get(pages::export::domains))
        .route("/sign-in", get(pages::sign_in::show).post(pages::sign_in::sign_in))
        .route("/sign-in/oidc", get(pages::oidc::leave))
        .route("/sign-in/oidc/callback", get(pages::oidc::come_back))
        .route("/sign-out", post(pages::sign_in::sign_out))
        .route("/events", get(live::events))
        .route("/clock", post(pages::clock::set))
        .route("/domains/new", get(pages::add::show).post(pages::add::send))
        .route("/domains/new/check", post(pages::add::check))
        .route("/overview", get(pages::overview::show))
        .route("/midnight", get(pages::midnight::show))
        .route("/midnight.csv", get(pages::midnight::csv))
        .route("/webhooks", get(pages::webhooks::show).post(pages::webhooks::act))
        .route("/message", get(pages::message::show))
        .route("/help", get(pages::help::show))
        .route("/stay", get(pages::stay::stay))
        .route("/jobs", get(pages::job::list))
        .route("/jobs/{id}", get(pages::job::show).post(pages::job::send))
        .route("/jobs/{id}/lines.csv", get(pages::job::csv))
        .route("/assets/{file}", get(assets::asset))
        .merge(pages::domain::routes())
        .merge(pages::admin::routes())
        .fallback(pages::no_page)
        .layer(CompressionLayer::new())
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, ANSWER_TIMEOUT))
        .layer(from_fn_with_state(app.clone(), guard::guard))
        .with_state(app)
}

/// A number that the process before this one did not have.
fn first_stream(process: &Process) -> u64 {
    let mut bytes = [0; 8];
    process.entropy.fill(&mut bytes);
    // A script reads it as text, a person perhaps in a log: half of the bits are enough.
    u64::from_le_bytes(bytes) >> 32
}

async fn follow_changes(app: App) {
    tokio::select! {
        () = app.hub.run(&app.api) => {}
        () = app.process.stop.soft().cancelled() => {}
    }
}

/// Says in the process's health whether the API answers: nothing here works without it.
async fn watch_the_api(app: App) {
    let Process { health, stop, .. } = &app.process;
    health.expect("api-connection");
    loop {
        // An invalid token: its refusal shows that the API answers.
        let answer = app.api.sessions(None).resolve(proto::v1::ResolveRequest {}).await;
        match answer {
            Err(status) if problem::Problem::from(status.clone()).is_away() => {
                health.bad("api-connection", "the API does not answer");
            }
            _ => health.ok("api-connection"),
        }
        tokio::select! {
            () = tokio::time::sleep(CHECK_INTERVAL) => {}
            () = stop.soft().cancelled() => return,
        }
    }
}
