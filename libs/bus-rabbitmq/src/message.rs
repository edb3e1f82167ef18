//! The format of our AMQP messages: the event in protobuf as the body, the trace in a header.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

const CONTENT_TYPE: &str = "application/x-protobuf";
const PERSISTENT: u8 = 2;
/// W3C Trace Context, section 3.2.
const TRACE_PARENT: &str = "traceparent";
/// Why a message is dead, and where it was. A message that the broker moved there by itself has `x-death` instead.
const REASON: &str = "x-reason";
const QUEUE: &str = "x-queue";

pub(crate) fn properties(id: &str, kind: &str, trace_parent: Option<&str>) -> BasicProperties {
    let mut headers = FieldTable::default();
    if let Some(trace_parent) = trace_parent {
        headers.insert(TRACE_PARENT.into(), AMQPValue::LongString(trace_parent.into()));
    }
    BasicProperties::default()
        .with_content_type(CONTENT_TYPE.into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(id.into())
        .with_type(kind.into())
        .with_headers(headers)
}

/// The properties of a message that is set aside.
pub(crate) fn dead(of: &BasicProperties, queue: &str, reason: &str) -> BasicProperties {
    let mut headers = of.headers().clone().unwrap_or_default();
    headers.insert(REASON.into(), AMQPValue::LongString(reason.into()));
    headers.insert(QUEUE.into(), AMQPValue::LongString(queue.into()));
    of.clone().with_headers(headers).with_delivery_mode(PERSISTENT)
}

pub(crate) fn trace_parent(properties: &BasicProperties) -> Option<String> {
    match properties.headers().as_ref()?.inner().get(TRACE_PARENT)? {
        AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).ok(),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}
