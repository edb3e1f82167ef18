//! Finding things on a page as a person does: by what they are and how they are called.
//!
//! Asks the accessibility tree, as the browser hands it to a screen reader. Its nodes are not the driver's elements;
//! they meet in a property of the page's window.

use serde_json::{Value, json};

use super::{Browser, Element, PATIENCE};
use crate::wait_for;

/// Roles of text: what is looked for is around it.
const TEXT: [&str; 2] = ["StaticText", "InlineTextBox"];

const KEEP: &str = "function() { (window.found ??= []).push(this) }";
const TAKE: &str = "const found = window.found ?? []; delete window.found; return found";
const KEEP_OUTER: &str = "window.outer = arguments[0] ?? document";
const TAKE_OUTER: &str = "(() => { const { outer } = window; delete window.outer; return outer })()";
const ROW: &str = "return arguments[0].closest('tr')";
const FIELDS: &str = "return arguments[0].matches('input, select, textarea')";

impl Browser {
    /// Waits until there is exactly one thing with that role and exactly that name.
    pub async fn find(&self, role: &str, name: &str) -> Element {
        wait_for(&format!("{role} \"{name}\""), PATIENCE, || self.one(None, role, name)).await
    }

    /// The same inside an element.
    pub async fn find_in(&self, outer: &Element, role: &str, name: &str) -> Element {
        wait_for(&format!("{role} \"{name}\""), PATIENCE, || self.one(Some(outer), role, name)).await
    }

    /// Waits for the row of a table whose header has that name: a row itself has none.
    pub async fn row(&self, header: &str) -> Element {
        wait_for(&format!("the row \"{header}\""), PATIENCE, || async {
            let header = self.one(None, "rowheader", header).await?;
            let row = self.session.run(ROW, vec![header.to_json()]).await?;
            self.session.element(&row).ok_or_else(|| "a header outside a row".to_owned())
        })
        .await
    }

    /// Waits until nothing has that role and name.
    pub async fn gone(&self, role: &str, name: &str) {
        wait_for(&format!("the end of {role} \"{name}\""), PATIENCE, || async {
            let found = self.nodes(None, Some(role), Some(name)).await?;
            if found.is_empty() { Ok(()) } else { Err(format!("{} of them", found.len())) }
        })
        .await;
    }

    /// Waits for the field with that label.
    pub async fn field(&self, label: &str) -> Element {
        wait_for(&format!("a field \"{label}\""), PATIENCE, || self.one_field(label)).await
    }

    /// The names of everything of that role, in the page's order; empty where something has none.
    pub async fn names(&self, role: &str) -> Vec<String> {
        self.names_within(None, role).await
    }

    /// The same inside an element.
    pub async fn names_in(&self, outer: &Element, role: &str) -> Vec<String> {
        self.names_within(Some(outer), role).await
    }

    async fn names_within(&self, outer: Option<&Element>, role: &str) -> Vec<String> {
        let nodes = self.nodes(outer, Some(role), None).await.expect("a page");
        let name = |node: &Value| node["name"]["value"].as_str().unwrap_or_default().to_owned();
        nodes.iter().map(name).collect()
    }

    /// The page's text, as it can be seen.
    pub async fn text(&self) -> String {
        self.visible_text().await.expect("a page")
    }

    /// Waits until the page shows that text somewhere.
    pub async fn see(&self, text: &str) {
        wait_for(&format!("the text \"{text}\""), PATIENCE, || async {
            let seen = self.visible_text().await?;
            if seen.contains(text) { Ok(()) } else { Err(seen) }
        })
        .await;
    }

    /// The text of something, once it is there.
    pub async fn text_of(&self, role: &str, name: &str) -> String {
        wait_for(&format!("{role} \"{name}\""), PATIENCE, || async {
            let element = self.one(None, role, name).await?;
            element.text().await
        })
        .await
    }

    /// What has the focus, as `role "name"`.
    pub async fn focused(&self) -> String {
        wait_for("what has the focus", PATIENCE, || async {
            let element = self.session.active().await?;
            element.description().await
        })
        .await
    }

    pub(super) async fn one(
        &self,
        outer: Option<&Element>,
        role: &str,
        name: &str,
    ) -> Result<Element, String> {
        let nodes = self.nodes(outer, Some(role), Some(name)).await?;
        let found = self.elements(&nodes).await?;
        match <[Element; 1]>::try_from(found) {
            Ok([element]) => Ok(element),
            Err(found) => {
                let there = self.nodes(outer, Some(role), None).await?;
                let names: Vec<&Value> = there.iter().map(|node| &node["name"]["value"]).collect();
                Err(format!("{} of them; of that role: {names:?}", found.len()))
            }
        }
    }

    pub(super) async fn one_field(&self, label: &str) -> Result<Element, String> {
        let nodes = self.nodes(None, None, Some(label)).await?;
        let mut fields = Vec::new();
        for element in self.elements(&nodes).await? {
            if self.session.run(FIELDS, vec![element.to_json()]).await? == true {
                fields.push(element);
            }
        }
        match <[Element; 1]>::try_from(fields) {
            Ok([element]) => Ok(element),
            Err(fields) => Err(format!("{} of them", fields.len())),
        }
    }

    async fn visible_text(&self) -> Result<String, String> {
        let text = self.session.run("return document.body.innerText", vec![]).await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// What a screen reader is told of, in the page's order.
    async fn nodes(
        &self,
        outer: Option<&Element>,
        role: Option<&str>,
        name: Option<&str>,
    ) -> Result<Vec<Value>, String> {
        let outer = outer.map_or(Value::Null, Element::to_json);
        self.session.run(KEEP_OUTER, vec![outer]).await?;
        let root = self.session.devtools("Runtime.evaluate", json!({ "expression": TAKE_OUTER })).await?;
        let mut query = json!({ "objectId": root["result"]["objectId"] });
        if let Some(role) = role {
            query["role"] = role.into();
        }
        if let Some(name) = name {
            query["accessibleName"] = name.into();
        }
        let mut answer = self.session.devtools("Accessibility.queryAXTree", query).await?;
        let nodes = match answer["nodes"].take() {
            Value::Array(nodes) => nodes,
            _ => Vec::new(),
        };
        let is_thing = |node: &Value| {
            let role = node["role"]["value"].as_str().unwrap_or_default();
            node["ignored"] != true && !TEXT.contains(&role)
        };
        Ok(nodes.into_iter().filter(is_thing).collect())
    }

    async fn elements(&self, nodes: &[Value]) -> Result<Vec<Element>, String> {
        for node in nodes {
            let id = json!({ "backendNodeId": node["backendDOMNodeId"] });
            let object = self.session.devtools("DOM.resolveNode", id).await?;
            let call = json!({
                "objectId": object["object"]["objectId"],
                "functionDeclaration": KEEP,
            });
            self.session.devtools("Runtime.callFunctionOn", call).await?;
        }
        let found = self.session.run(TAKE, vec![]).await?;
        let found = found.as_array().into_iter().flatten();
        Ok(found.filter_map(|answer| self.session.element(answer)).collect())
    }
}
