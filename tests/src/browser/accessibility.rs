//! axe-core, run inside the page: rules of WCAG 2.2 A and AA, and its best practices.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::Ordering;

use serde_json::Value;

use super::Browser;

const AXE: &str = "browser/node_modules/axe-core/axe.min.js";

const RUN: &str = "const done = arguments[0];
    const values = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
    const options = {
        runOnly: { type: 'tag', values },
        resultTypes: ['violations'],
        preload: false,
    };
    axe.run(document, options).then(done, (error) => done({ error: '' + error }));";

impl Browser {
    /// What axe finds wrong with the page, each with the elements it found it at.
    pub async fn violations(&self) -> Vec<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(AXE);
        let axe = std::fs::read_to_string(&path).unwrap_or_else(|error| {
            panic!("{} ({error}): `make install` installs what is missing", path.display())
        });
        // axe waits for timers, which run only with scripts; those of a page that was loaded without stay off.
        let scripting = self.scripting.load(Ordering::Relaxed);
        self.scripting(true).await;
        self.script(&axe, vec![]).await;
        let result = self.session.run_async(RUN).await.expect("axe runs");
        self.scripting(scripting).await;
        let violations = result["violations"].as_array().unwrap_or_else(|| panic!("axe says {result}"));
        violations.iter().map(told).collect()
    }

    /// Panics with what axe finds wrong.
    pub async fn assert_accessible(&self, page: &str) {
        let violations = self.violations().await;
        assert!(violations.is_empty(), "{page}:\n{}", violations.join("\n"));
    }
}

fn told(violation: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut told = format!("{}: {}", text(&violation["id"]), text(&violation["help"]));
    for node in violation["nodes"].as_array().into_iter().flatten() {
        let why = text(&node["failureSummary"]).replace('\n', " ");
        // Writing to a String cannot fail.
        let _ = write!(told, "\n  {}: {why}", text(&node["html"]));
    }
    told
}
