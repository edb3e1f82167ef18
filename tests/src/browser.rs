//! A headless Chromium with a profile of its own, and what a test asks of a page.
//!
//! - Every helper that looks for something waits for it; none sleeps.
//! - Things are found as a person finds them, by accessible role and name ([`Browser::find`]) or by a field's label
//!   ([`Browser::field`]): a page whose names are wrong fails its tests. Not by CSS selector, which says how a page is
//!   made and not what it offers.
//! - What the browser complains about is kept: [`Browser::assert_no_problems`] fails on errors of scripts and on
//!   whatever the content security policy blocked.

mod accessibility;
mod find;
mod input;
mod log;
mod view;
mod webdriver;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

pub use input::Key;
pub use view::{Size, Theme};
pub use webdriver::Element;

use self::webdriver::Session;
use crate::server::Owner;
use crate::{Subprocess, free_port, wait_for};

/// How long a page may take to show something: two cores run everything else, too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    // Screenshots look the same on every screen.
    "--hide-scrollbars",
    // A browser on a pipe ends with its driver, however that one ends.
    "--remote-debugging-pipe",
];

/// A browser and its driver; both end when it is dropped.
pub struct Browser {
    session: Session,
    scripting: AtomicBool,
    driver: Subprocess,
    folder: TempDir,
}

impl Browser {
    /// A browser without cookies, history or cache, with an empty page of [`Size::Desktop`] in the light theme.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let mut command = Owner::ourselves().server(Path::new("chromedriver"), folder.path());
        command.arg(format!("--port={port}"));
        // Where Chromium keeps its crash reports, whatever the profile.
        command.env("HOME", folder.path());
        let mut driver = Subprocess::start_server("chromedriver", folder.path(), &mut command);
        let url = format!("http://127.0.0.1:{port}");
        wait_for("chromedriver", PATIENCE, || {
            driver.assert_alive();
            let answer = reqwest::get(format!("{url}/status"));
            async { answer.await.map(drop).map_err(|error| error.to_string()) }
        })
        .await;
        let session = Session::open(&url, capabilities(folder.path()))
            .await
            .unwrap_or_else(|error| panic!("no browser: {error}\n{}", driver.output()));
        let browser = Self { session, scripting: AtomicBool::new(true), driver, folder };
        browser.theme(Theme::Light).await;
        browser.size(Size::Desktop).await;
        browser
    }

    /// Goes to an address and waits until the page is loaded.
    pub async fn goto(&self, url: &str) {
        self.navigate("/url", json!({ "url": url })).await;
    }

    /// Loads the page again.
    pub async fn reload(&self) {
        self.navigate("/refresh", json!({})).await;
    }

    /// Goes back in the history.
    pub async fn back(&self) {
        self.navigate("/back", json!({})).await;
    }

    async fn navigate(&self, path: &str, body: Value) {
        let done = self.session.post(path, body.clone()).await;
        done.unwrap_or_else(|error| panic!("{path} {body}: {error}"));
    }

    /// The address it is at.
    pub async fn url(&self) -> String {
        self.asked("/url").await
    }

    /// The page's title.
    pub async fn title(&self) -> String {
        self.asked("/title").await
    }

    async fn asked(&self, path: &str) -> String {
        let answer = self.session.get(path).await.expect("a page");
        answer.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until it is at an address with that text in it; returns the address.
    pub async fn at(&self, part: &str) -> String {
        wait_for(&format!("an address with {part}"), PATIENCE, || async {
            let url = self.url().await;
            if url.contains(part) { Ok(url) } else { Err(url) }
        })
        .await
    }

    /// Its cookies as a header would send them, for requests that no page would make.
    pub async fn cookies(&self) -> String {
        let cookies = self.session.get("/cookie").await.expect("cookies");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let pairs: Vec<String> = cookies
            .as_array()
            .into_iter()
            .flatten()
            .map(|cookie| format!("{}={}", text(&cookie["name"]), text(&cookie["value"])))
            .collect();
        pairs.join("; ")
    }

    /// Switches the page's scripts on or off, from the next load on. What the kit itself asks works either way.
    pub async fn scripting(&self, on: bool) {
        self.scripting.store(on, Ordering::Relaxed);
        let disabled = json!({ "value": !on });
        self.devtools("Emulation.setScriptExecutionDisabled", disabled).await;
    }

    /// Waits for a download of that name; returns where it is.
    pub async fn downloaded(&self, name: &str) -> PathBuf {
        let folder = downloads(self.folder.path());
        wait_for(&format!("the download {name}"), PATIENCE, || {
            let path = folder.join(name);
            // Until it is whole, it has another name.
            std::future::ready(if path.exists() { Ok(path) } else { Err(format!("{:?}", names_in(&folder))) })
        })
        .await
    }

    /// A method of Chromium's own protocol, on the page.
    async fn devtools(&self, method: &str, params: Value) -> Value {
        let done = self.session.devtools(method, params).await;
        done.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Panics if the driver is gone.
    pub fn assert_alive(&mut self) {
        self.driver.assert_alive();
    }
}

fn downloads(folder: &Path) -> PathBuf {
    folder.join("downloads")
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn capabilities(folder: &Path) -> Value {
    let mut flags: Vec<String> = FLAGS.iter().map(ToString::to_string).collect();
    flags.push(format!("--user-data-dir={}", folder.join("profile").display()));
    json!({
        "browserName": "chrome",
        "timeouts": { "pageLoad": 60_000, "script": 60_000 },
        "goog:loggingPrefs": { "browser": "ALL" },
        "goog:chromeOptions": {
            "args": flags,
            "prefs": {
                "download.default_directory": downloads(folder),
                "download.prompt_for_download": false,
                "credentials_enable_service": false,
            },
        },
    })
}
