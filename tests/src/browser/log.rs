//! What the browser complains about.

use serde_json::{Value, json};

use super::Browser;

impl Browser {
    /// Complaints since they were last read: errors of scripts, what the content security policy blocked, answers that
    /// are errors.
    pub async fn problems(&self) -> Vec<String> {
        let log = self.session.post("/se/log", json!({ "type": "browser" })).await;
        let log = log.expect("the browser's log");
        let entries = log.as_array().into_iter().flatten();
        // A policy that only reports is a warning.
        entries
            .filter(|entry| entry["level"] == "SEVERE" || entry["source"] == "security")
            .map(told)
            .collect()
    }

    /// Panics if there are any.
    pub async fn assert_no_problems(&self) {
        let problems = self.problems().await;
        assert!(problems.is_empty(), "the browser complains:\n{}", problems.join("\n"));
    }
}

fn told(entry: &Value) -> String {
    let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    format!("{}: {}", text("source"), text("message"))
}
