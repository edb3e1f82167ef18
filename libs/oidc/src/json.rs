//! Members of foreign JSON objects: null counts as absent.

use serde_json::{Map, Value};

/// The member of that name; none if it is null.
pub(crate) fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !value.is_null())
}

/// The text of that name; none if it is something else.
pub(crate) fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str)
}

/// The text of that name, which may be absent. Outer none: it is there and is no text.
#[expect(clippy::option_option, reason = "absent and wrong are two answers, and neither is an error yet")]
pub(crate) fn optional_text<'a>(object: &'a Map<String, Value>, name: &str) -> Option<Option<&'a str>> {
    member(object, name).map_or(Some(None), |value| value.as_str().map(Some))
}
