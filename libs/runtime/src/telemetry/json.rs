//! Log lines as JSON objects, one each.
//!
//! Why not the subscriber's own format: for an error it writes only the outermost message and drops the causes. Here an
//! error field `error` has all its causes in `error.sources`. Everything else is as in that format.

use std::error::Error;
use std::fmt;

use domain::Clock as _;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

use crate::SystemClock;

/// Causes of an error that are written. A longer chain is a circle.
const MAX_SOURCES: usize = 16;

/// The format of a line: time, level, message and target, the event's fields, and the spans around it, outermost first.
pub(super) struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        write!(line, r#"{{"timestamp":"{:.6}","level":"{}""#, SystemClock.now(), metadata.level())?;
        if let Some(message) = fields.take("message") {
            write!(line, r#","message":{message}"#)?;
        }
        // What came through the `log` crate names its target in a field.
        let target = fields.take("log.target").unwrap_or_else(|| metadata.target().into());
        write!(line, r#","target":{target}"#)?;
        for (name, value) in &fields.0 {
            write!(line, ",{}:{value}", Value::from(name.as_str()))?;
        }
        let mut spans = Vec::new();
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            let extensions = span.extensions();
            let written = extensions.get::<FormattedFields<N>>();
            let fields = written.and_then(|written| serde_json::from_str(&written.fields).ok());
            let mut fields: Map<String, Value> = fields.unwrap_or_default();
            fields.insert("name".to_owned(), span.name().into());
            spans.push(Value::from(fields));
        }
        if let Some(span) = spans.last() {
            write!(line, r#","span":{span},"spans":{}"#, Value::from(spans.as_slice()))?;
        }
        writeln!(line, "}}")
    }
}

/// An event's fields, in order.
#[derive(Default)]
struct Fields(Vec<(String, Value)>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.push((field.name().to_owned(), value.into()));
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        let index = self.0.iter().position(|(taken, _)| taken == name)?;
        Some(self.0.remove(index).1)
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        self.put(field, error.to_string());
        let mut sources = Vec::new();
        let mut source = error.source();
        while let Some(error) = source.filter(|_| sources.len() < MAX_SOURCES) {
            sources.push(Value::from(error.to_string()));
            source = error.source();
        }
        if !sources.is_empty() {
            self.0.push((format!("{}.sources", field.name()), sources.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, SeekFrom};
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the store did not take a step")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("commit failed in the database")]
    struct Inner(#[source] std::io::Error);

    /// What is written while `log` runs.
    fn written(log: impl FnOnce()) -> Vec<Value> {
        let mut file = tempfile::tempfile().unwrap();
        let layer = tracing_subscriber::fmt()
            .json()
            .event_format(JsonLines)
            .with_writer(Arc::new(file.try_clone().unwrap()));
        tracing::subscriber::with_default(layer.finish(), log);
        let mut text = String::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_string(&mut text).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn an_error_has_its_causes_down_to_the_innermost() {
        let error = Outer(Inner(std::io::Error::other("disk full")));
        let lines = written(|| {
            tracing::warn!(error = &error as &dyn Error, domain = "shop.example.com", "not uploaded");
        });
        assert_eq!(lines[0]["error"], "the store did not take a step");
        assert_eq!(lines[0]["error.sources"], json!(["commit failed in the database", "disk full"]));
        assert_eq!(lines[0]["message"], "not uploaded");
        assert_eq!(lines[0]["level"], "WARN");
        assert_eq!(lines[0]["domain"], "shop.example.com");
        assert_eq!(lines[0]["target"], module_path!());
        let at: jiff::Timestamp = lines[0]["timestamp"].as_str().unwrap().parse().unwrap();
        assert!(at <= SystemClock.now());
    }

    #[test]
    fn values_keep_their_types_and_spans_their_fields() {
        let lines = written(|| {
            let outer = tracing::info_span!("work", domain = "a\"\n\u{1b}b");
            let _outer = outer.enter();
            let inner = tracing::info_span!("step", attempt = 3);
            let _inner = inner.enter();
            tracing::info!(count = 7, ratio = 0.5, is_live = true, below = -1, why = ?Some("x"), "done");
        });
        let line = &lines[0];
        assert_eq!((&line["count"], &line["ratio"]), (&json!(7), &json!(0.5)));
        assert_eq!((&line["is_live"], &line["below"]), (&json!(true), &json!(-1)));
        assert_eq!(line["why"], "Some(\"x\")");
        assert_eq!(line["span"], json!({ "name": "step", "attempt": 3 }));
        assert_eq!(line["spans"][0], json!({ "name": "work", "domain": "a\"\n\u{1b}b" }));
    }

    #[test]
    fn lines_without_anything_are_lines() {
        let lines = written(|| tracing::info!(target: "elsewhere", { only = 1 }, ""));
        assert_eq!((&lines[0]["target"], &lines[0]["only"]), (&json!("elsewhere"), &json!(1)));
        assert_eq!(lines[0].get("error.sources"), None);
    }
}
