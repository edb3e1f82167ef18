//! The console in a browser: a running system in its sandbox world, people with roles, and what every walk through the
//! page needs.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, COOKIE, HeaderName, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::redirect::Policy;
use sandbox::{World, WorldOptions};

use crate::{Browser, Mode, SslManager, Surroundings, wait_for};

const ISSUES_WITHIN: Duration = Duration::from_mins(1);
const SHOWS_WITHIN: Duration = Duration::from_mins(1);
const FORM: &str = "application/x-www-form-urlencoded";

/// A system whose page is looked at.
pub struct Console {
    /// What is outside of it.
    pub world: World,
    /// The system: everything in one process.
    pub manager: SslManager,
}

impl Console {
    /// The password of everybody.
    pub const PASSWORD: &str = "correct horse battery";

    /// Starts both.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// The same with other surroundings.
    pub async fn start_with(change: impl FnOnce(&mut Surroundings)) -> Self {
        let world = World::start(WorldOptions::default()).await.expect("a world");
        let mut surroundings = Surroundings::sandbox(&world);
        change(&mut surroundings);
        let mut manager = SslManager::new(Mode::Embedded, &surroundings).await;
        world.edge.control().set_challenge_upstream(manager.responder());
        manager.start().await;
        Self { world, manager }
    }

    /// The address of a page.
    pub fn address(&self, path: &str) -> String {
        format!("{}{path}", self.manager.console())
    }

    /// Makes a person who is called like their role; twice does no harm.
    pub fn person(&self, role: &str) {
        let file = self.manager.folder().join(format!("password-of-{role}"));
        std::fs::write(&file, Self::PASSWORD).expect("a file");
        let file = file.to_str().expect("a path in UTF-8");
        let create = ["user", "create", "--name", role, "--role", role];
        let made = self.manager.run(&[&create[..], &["--password-file", file]].concat(), "");
        let is_there = made.stderr.starts_with("ALREADY_EXISTS: ");
        assert!(made.code == 0 || is_there, "{}", made.stderr);
    }

    /// A browser of somebody with that role, at the list.
    pub async fn signed_in(&self, role: &str) -> Browser {
        let browser = Browser::start().await;
        self.sign_in(&browser, role).await;
        browser
    }

    /// Signs somebody with that role in, at the list.
    pub async fn sign_in(&self, browser: &Browser, role: &str) {
        self.sign_in_at(&self.manager.console(), browser, role).await;
    }

    /// The same at another console.
    pub async fn sign_in_at(&self, console: &str, browser: &Browser, role: &str) {
        self.person(role);
        browser.goto(&format!("{console}/sign-in")).await;
        browser.send_sign_in(role, Self::PASSWORD).await;
        browser.find("heading", "Domains").await;
    }

    /// Somebody with that role, without a browser.
    pub async fn visitor(&self, role: &str) -> Visitor {
        self.person(role);
        let mut visitor = Visitor::new(self.manager.console(), String::new());
        let fields = [("name", role), ("password", Self::PASSWORD)];
        visitor.cookie = visitor.post("/sign-in", &fields).await.cookie;
        assert!(!visitor.cookie.is_empty(), "{role} is not signed in");
        visitor
    }

    /// Adds domains that point at the CDN, and waits until each is live.
    pub async fn live(&mut self, names: &[&str]) {
        for name in names {
            self.world.point_at_cdn(name);
            let added = self.manager.domain(&["add", name]);
            assert_eq!(added.code, 0, "{}", added.stderr);
        }
        for name in names {
            self.manager.status(name, "Success", ISSUES_WITHIN).await;
        }
    }

    /// A command of a domain that has to work.
    pub fn domain(&self, arguments: &[&str]) {
        let done = self.manager.domain(arguments);
        assert_eq!(done.code, 0, "{arguments:?}: {}", done.stderr);
    }

    /// Waits until the edge serves a certificate of which this is true; its SHA-256.
    pub async fn serves(&self, name: &str, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let edge = self.world.edge.https_addr();
        wait_for(what, ISSUES_WITHIN, || async {
            let served = sandbox::served_sha256(edge, name).await;
            let served = served.map_err(|error| error.to_string())?;
            let served = served.ok_or("nothing is served")?;
            if is_it(&served) { Ok(served) } else { Err(served) }
        })
        .await
    }
}

impl Browser {
    /// Fills the form of the sign-in and sends it.
    pub async fn send_sign_in(&self, name: &str, password: &str) {
        self.fill("Name", name).await;
        self.fill("Password", password).await;
        self.click("button", "Sign in").await;
    }

    /// Waits until the row of that name shows a text.
    pub async fn see_in_row(&self, header: &str, text: &str) {
        wait_for(&format!("\"{text}\" for {header}"), SHOWS_WITHIN, || async {
            let row = self.row(header).await;
            let shown = row.text().await?;
            if shown.contains(text) { Ok(()) } else { Err(shown) }
        })
        .await;
    }

    /// Waits until the page does not show a text any more.
    pub async fn see_no_more(&self, text: &str) {
        let script = "return document.body.innerText.includes(arguments[0])";
        wait_for(&format!("the end of \"{text}\""), SHOWS_WITHIN, || async {
            let is_there = self.script(script, vec![text.into()]).await == true;
            if is_there { Err(self.text().await) } else { Ok(()) }
        })
        .await;
    }

    /// Leaves something on the page that is gone once it is loaded again.
    pub async fn mark(&self) {
        self.script("window.mark = true", vec![]).await;
    }

    /// Panics if the browser complained about more than answers that refuse something on purpose.
    pub async fn assert_only_refusals(&self) {
        let mut problems = self.problems().await;
        problems.retain(|problem| !problem.contains("the server responded with a status of 4"));
        assert!(problems.is_empty(), "the browser complains:\n{}", problems.join("\n"));
    }

    /// Whether it is the page on which the mark was left.
    pub async fn is_marked(&self) -> bool {
        self.script("return window.mark === true", vec![]).await == true
    }
}

/// Requests that no page of ours would send, as somebody who is signed in.
pub struct Visitor {
    http: reqwest::Client,
    origin: String,
    /// The session's cookie.
    pub cookie: String,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Where it leads; empty if nowhere.
    pub location: String,
    /// The text.
    pub body: String,
    cookie: String,
}

impl Visitor {
    /// Whoever has that cookie.
    pub fn new(origin: String, cookie: String) -> Self {
        let http = reqwest::Client::builder().redirect(Policy::none()).build();
        Self { http: http.expect("a client"), origin, cookie }
    }

    /// Gets a page.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.http.get(format!("{}{path}", self.origin))).await
    }

    /// Sends a form as one of our own pages would, but with these fields alone.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.post_from(&self.origin, path, fields).await
    }

    /// Sends a form as a page of that origin would.
    pub async fn post_from(&self, origin: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
        let pairs: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let request = self.http.post(format!("{}{path}", self.origin));
        let request = request.header(CONTENT_TYPE, FORM).header(ORIGIN, origin);
        self.send(request.body(pairs.join("&"))).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let answer = request.header(COOKIE, &self.cookie).send().await;
        let answer = answer.expect("the console answers");
        let header = |name: HeaderName| answer.headers().get(name)?.to_str().ok();
        let location = header(LOCATION).unwrap_or_default().to_owned();
        let cookie = header(SET_COOKIE).and_then(|cookie| cookie.split(';').next());
        Reply {
            cookie: cookie.unwrap_or_default().to_owned(),
            status: answer.status().as_u16(),
            location,
            body: answer.text().await.expect("a text"),
        }
    }

    /// The value against forgery that a page's forms carry.
    pub async fn csrf(&self, path: &str) -> String {
        let page = self.get(path).await.body;
        let (_, rest) = page.split_once("name=\"csrf\" value=\"").expect("a form");
        rest.split('"').next().unwrap_or_default().to_owned()
    }
}

/// As a form sends it.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}
