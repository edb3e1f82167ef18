//! What the support team waits for at a million domains: the list's page, how heavy it is, and how soon five hundred open
//! pages show a change.

use std::sync::Arc;
use std::time::Instant;

use domain::{Clock, Role};
use reqwest::header::{ACCEPT_ENCODING, COOKIE, SET_COOKIE};
use runtime::{Config, Health, Listen, Listeners, Process, Stop, SystemClock, SystemEntropy};
use seal::SealingKeys;
use store::{Store, User};
use tokio::sync::Barrier;

use crate::list::times;
use crate::report::Report;

const VIEWERS: usize = 500;
const CHANGES: usize = 20;
const PASSWORD: &str = "correct horse battery staple";

/// A console beside an API, and somebody who is signed in.
pub(crate) struct Page {
    address: String,
    cookie: String,
    client: reqwest::Client,
    stop: Stop,
}

impl Page {
    pub(crate) async fn start(endpoint: &str, store: &Arc<Store>, keys: &SealingKeys) -> Self {
        let mut config = Config::default();
        endpoint.clone_into(&mut config.console.api.url);
        let listeners = Listeners::default();
        let listen = listeners.bind(Listen::Console, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let stop = Stop::default();
        let process = Process {
            config: Arc::new(config),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            stop: stop.clone(),
            health: Health::default(),
            reload: runtime::Reload::default(),
            listeners: Arc::new(listeners),
        };
        tokio::spawn(console::run(process));
        let mut user = User {
            name: "bench".to_owned(),
            roles: Role::Support.into(),
            password_hash: Some(api::hash_password(PASSWORD, &SystemEntropy).unwrap()),
            created_at: SystemClock.now(),
            mac: Vec::new(),
        };
        api::signed::sign_user(keys, &mut user).await.unwrap();
        let mut tx = store.begin("user").await.unwrap();
        tx.insert_user(&user).await.unwrap();
        tx.commit().await.unwrap();
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let address = format!("http://{listen}");
        let signed_in = client
            .post(format!("{address}/sign-in"))
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("name=bench&to=%2F&password={}", PASSWORD.replace(' ', "+")))
            .send()
            .await
            .unwrap();
        let cookie = signed_in.headers()[SET_COOKIE].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self { address, cookie, client, stop }
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        let request = self.client.get(format!("{}{path}", self.address));
        let answer = request.header(COOKIE, &self.cookie).header(ACCEPT_ENCODING, "br").send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer
    }

    /// The times of pages and what a first view weighs; `change` changes one domain of that name.
    pub(crate) async fn measure(self, report: &mut Report, change: impl AsyncFn(String)) {
        for (what, path) in [
            ("page: the list", "/"),
            ("page: the list by name", "/?order=name"),
            ("page: Failure", "/?status=Failure"),
            ("page: a search", "/?q=customer-0012"),
        ] {
            times(report, what, 200, async |_| {
                let started = Instant::now();
                self.get(path).await.bytes().await.unwrap();
                started.elapsed()
            })
            .await;
        }
        self.weigh(report).await;
        self.viewers(report, change).await;
        self.stop.stop().await;
    }

    async fn weigh(&self, report: &mut Report) {
        let html = self.get("/").await.bytes().await.unwrap();
        let plain = self.client.get(&self.address).header(COOKIE, &self.cookie);
        let text = plain.send().await.unwrap().text().await.unwrap();
        let mut all = html.len();
        let addresses = text.split('"').filter(|part| part.starts_with("/assets/"));
        for address in addresses.collect::<std::collections::BTreeSet<_>>() {
            all += self.get(address).await.bytes().await.unwrap().len();
        }
        report.row(
            "page: a first view, compressed",
            &format!("{:.1} KiB, {:.1} KiB of it the list", all as f64 / 1024.0, html.len() as f64 / 1024.0),
        );
    }

    /// Every viewer has the same name on the screen, which changes again and again.
    async fn viewers(&self, report: &mut Report, change: impl AsyncFn(String)) {
        let page = self.get("/").await.bytes().await.unwrap();
        drop(page);
        let everybody = Arc::new(Barrier::new(VIEWERS + 1));
        for _ in 0..VIEWERS {
            let names: Vec<String> =
                (0..CHANGES).map(|number| format!("&on=seen{number}.example.com")).collect();
            let mut stream = self.get(&format!("/events?{}", names.concat().trim_start_matches('&'))).await;
            let everybody = everybody.clone();
            tokio::spawn(async move {
                everybody.wait().await;
                let mut text = String::new();
                for number in 0..CHANGES {
                    let name = format!("seen{number}.example.com");
                    while !text.contains(&name) {
                        let Some(chunk) = stream.chunk().await.unwrap() else {
                            return;
                        };
                        text.push_str(&String::from_utf8_lossy(&chunk));
                    }
                    everybody.wait().await;
                }
            });
        }
        everybody.wait().await;
        let mut until_all_saw = Vec::new();
        for number in 0..CHANGES {
            let started = Instant::now();
            change(format!("seen{number}.example.com")).await;
            everybody.wait().await;
            until_all_saw.push(started.elapsed());
        }
        report.times(&format!("page: until {VIEWERS} open pages showed a change"), until_all_saw);
    }
}
