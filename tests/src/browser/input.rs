//! What a person does with a page: clicks, types, pastes, presses keys.

use std::path::Path;

use serde_json::{Value, json};

use super::{Browser, Element, PATIENCE};
use crate::wait_for;

/// More stops than any page has: a tab order that does not come round fails instead of going on.
const STOPS: usize = 500;

/// Keys that write nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Key {
    /// To the next stop.
    Tab,
    /// Submits, or presses what has the focus.
    Enter,
    /// Closes what opened.
    Escape,
    /// Held with another key.
    Shift,
    /// Held with another key.
    Control,
    /// Up.
    Up,
    /// Down.
    Down,
}

impl From<Key> for char {
    /// The code point that the protocol gave it.
    fn from(key: Key) -> Self {
        match key {
            Key::Tab => '\u{e004}',
            Key::Enter => '\u{e007}',
            Key::Escape => '\u{e00c}',
            Key::Shift => '\u{e008}',
            Key::Control => '\u{e009}',
            Key::Up => '\u{e013}',
            Key::Down => '\u{e015}',
        }
    }
}

impl Browser {
    /// Clicks the one thing with that role and name, once it is there and nothing lies over it.
    pub async fn click(&self, role: &str, name: &str) {
        wait_for(&format!("a click on {role} \"{name}\""), PATIENCE, || async {
            let element = self.one(None, role, name).await?;
            element.click().await
        })
        .await;
    }

    /// The same inside an element.
    pub async fn click_in(&self, outer: &Element, role: &str, name: &str) {
        wait_for(&format!("a click on {role} \"{name}\""), PATIENCE, || async {
            let element = self.one(Some(outer), role, name).await?;
            element.click().await
        })
        .await;
    }

    /// Types a text into a field instead of what is there. A line break submits a one-line field.
    pub async fn fill(&self, label: &str, text: &str) {
        wait_for(&format!("\"{label}\" to type into"), PATIENCE, || async {
            let field = self.one_field(label).await?;
            field.clear().await?;
            field.send_keys(text).await
        })
        .await;
    }

    /// Pastes a text into a field instead of what is there, all at once.
    pub async fn paste(&self, label: &str, text: &str) {
        let field = self.field(label).await;
        field.clear().await.expect("a field that can be written to");
        field.click().await.expect("a field that can be clicked");
        self.devtools("Input.insertText", json!({ "text": text })).await;
    }

    /// Gives a file to a field.
    pub async fn choose_file(&self, label: &str, path: &Path) {
        let field = self.field(label).await;
        let path = path.to_str().expect("a path in UTF-8");
        field.send_keys(path).await.expect("a field for files");
    }

    /// Chooses from a list.
    pub async fn choose(&self, label: &str, option: &str) {
        let list = self.field(label).await;
        let option = self.find_in(&list, "option", option).await;
        option.click().await.expect("an option that can be chosen");
    }

    /// What stands in a field.
    pub async fn value(&self, label: &str) -> String {
        let field = self.field(label).await;
        field.value().await.expect("a field")
    }

    /// Presses a key: a character, or a [`super::Key`].
    pub async fn press(&self, key: impl Into<char>) {
        self.chord(&[key.into()]).await;
    }

    /// Presses keys together, and lets go of them in the other order.
    pub async fn chord(&self, keys: &[char]) {
        let action = |what: &str, key: &char| json!({ "type": what, "value": key });
        let down = keys.iter().map(|key| action("keyDown", key));
        let up = keys.iter().rev().map(|key| action("keyUp", key));
        let actions: Vec<Value> = down.chain(up).collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions });
        let done = self.session.post("/actions", json!({ "actions": [keyboard] })).await;
        done.expect("a page");
    }

    /// What the Tab key stops at, from the top of the page until it comes round, each as `role "name"`.
    pub async fn tab_order(&self) -> Vec<String> {
        let restart = "document.activeElement?.blur(); getSelection().collapse(document.body, 0)";
        self.script(restart, vec![]).await;
        let (mut order, mut seen) = (Vec::new(), Vec::<Element>::new());
        while seen.len() < STOPS {
            self.press(Key::Tab).await;
            let element = self.session.active().await.expect("a page");
            let is_page = element.tag().await.expect("an element") == "body";
            if is_page || seen.iter().any(|before| before.is(&element)) {
                return order;
            }
            order.push(element.description().await.expect("an element"));
            seen.push(element);
        }
        panic!("the tab order does not come round: {order:?}");
    }

    /// What was copied last.
    pub async fn clipboard(&self) -> String {
        let grant = json!({ "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
        self.devtools("Browser.grantPermissions", grant).await;
        let read = "const done = arguments[0];
            navigator.clipboard.readText().then(done, (error) => done('' + error))";
        let text = self.session.run_async(read).await.expect("a page");
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Runs a script in the page. For what a person cannot see, such as whether an element is still the same one.
    pub async fn script(&self, script: &str, arguments: Vec<Value>) -> Value {
        let returned = self.session.run(script, arguments).await;
        returned.unwrap_or_else(|error| panic!("{script}: {error}"))
    }
}
