//! The protocol of the W3C that drives browsers: JSON over HTTP. Only what the kit needs of it (ADR 0016).

use std::time::Duration;

use serde_json::{Value, json};

/// The key that marks an element in JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// Longer than the driver itself waits for a page or a script.
const ANSWERS_WITHIN: Duration = Duration::from_mins(2);

/// A session with a browser. An error is what the driver said.
#[derive(Clone)]
pub(super) struct Session {
    http: reqwest::Client,
    url: String,
}

impl Session {
    /// Opens one, and with it the browser.
    pub(super) async fn open(driver: &str, capabilities: Value) -> Result<Self, String> {
        let client = reqwest::Client::builder().no_proxy().timeout(ANSWERS_WITHIN);
        let mut session = Self {
            http: client.build().map_err(|error| error.to_string())?,
            url: format!("{driver}/session"),
        };
        let body = json!({ "capabilities": { "alwaysMatch": capabilities } });
        let opened = session.post("", body).await?;
        let id = opened["sessionId"].as_str().ok_or("a session without an id")?;
        session.url = format!("{driver}/session/{id}");
        Ok(session)
    }

    /// Asks for something.
    pub(super) async fn get(&self, path: &str) -> Result<Value, String> {
        answer(self.http.get(format!("{}{path}", self.url))).await
    }

    /// Has something done.
    pub(super) async fn post(&self, path: &str, body: Value) -> Result<Value, String> {
        answer(self.http.post(format!("{}{path}", self.url)).json(&body)).await
    }

    /// A method of Chromium's own protocol, on the page.
    pub(super) async fn devtools(&self, method: &str, params: Value) -> Result<Value, String> {
        let body = json!({ "cmd": method, "params": params });
        self.post("/goog/cdp/execute", body).await
    }

    /// Runs a script in the page; what it returns.
    pub(super) async fn run(&self, script: &str, arguments: Vec<Value>) -> Result<Value, String> {
        let body = json!({ "script": script, "args": arguments });
        self.post("/execute/sync", body).await
    }

    /// The same with a script that calls its last argument with what it returns.
    pub(super) async fn run_async(&self, script: &str) -> Result<Value, String> {
        let body = json!({ "script": script, "args": [] });
        self.post("/execute/async", body).await
    }

    /// What has the focus: the page's body if nothing has.
    pub(super) async fn active(&self) -> Result<Element, String> {
        let active = self.get("/element/active").await?;
        self.element(&active).ok_or_else(|| format!("no element: {active}"))
    }

    /// The element of an answer.
    pub(super) fn element(&self, answer: &Value) -> Option<Element> {
        Some(Element { session: self.clone(), id: answer[ELEMENT].as_str()?.to_owned() })
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Value, String> {
    let answer = request.send().await.map_err(|error| error.to_string())?;
    let refused = !answer.status().is_success();
    let mut answer: Value = answer.json().await.map_err(|error| error.to_string())?;
    let value = answer["value"].take();
    if refused {
        let said = value["message"].as_str().unwrap_or_default();
        // What follows is the driver's version and stack.
        return Err(said.lines().next().unwrap_or_default().to_owned());
    }
    Ok(value)
}

/// An element of a page that was loaded when it was found.
#[derive(Clone)]
pub struct Element {
    session: Session,
    id: String,
}

impl Element {
    /// Its text, as it can be seen.
    pub async fn text(&self) -> Result<String, String> {
        self.asked("/text").await
    }

    /// Its accessible role and name, as `role "name"`.
    pub async fn description(&self) -> Result<String, String> {
        let role = self.asked("/computedrole").await?;
        let name = self.asked("/computedlabel").await?;
        Ok(format!("{role} \"{name}\""))
    }

    /// Whether it can be used.
    pub async fn is_enabled(&self) -> Result<bool, String> {
        Ok(self.session.get(&self.below("/enabled")).await? == true)
    }

    /// An attribute, if it is there.
    pub async fn attribute(&self, name: &str) -> Result<Option<String>, String> {
        let value = self.session.get(&self.below(&format!("/attribute/{name}"))).await?;
        Ok(value.as_str().map(str::to_owned))
    }

    pub(super) async fn value(&self) -> Result<String, String> {
        self.asked("/property/value").await
    }

    pub(super) async fn tag(&self) -> Result<String, String> {
        self.asked("/name").await
    }

    pub(super) async fn click(&self) -> Result<(), String> {
        self.do_it("/click", json!({})).await
    }

    pub(super) async fn clear(&self) -> Result<(), String> {
        self.do_it("/clear", json!({})).await
    }

    pub(super) async fn send_keys(&self, text: &str) -> Result<(), String> {
        self.do_it("/value", json!({ "text": text })).await
    }

    /// How it stands in JSON: a script that is given it gets the element.
    pub fn to_json(&self) -> Value {
        json!({ ELEMENT: self.id })
    }

    /// Whether that is the same element.
    pub fn is(&self, other: &Self) -> bool {
        self.id == other.id
    }

    fn below(&self, path: &str) -> String {
        format!("/element/{}{path}", self.id)
    }

    async fn asked(&self, path: &str) -> Result<String, String> {
        let value = self.session.get(&self.below(path)).await?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    }

    async fn do_it(&self, path: &str, body: Value) -> Result<(), String> {
        self.session.post(&self.below(path), body).await.map(drop)
    }
}
