//! Traces of events, so that one trace covers everything from the call to the upload.

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The current span as a `traceparent` (W3C Trace Context, section 3.2); none if tracing is off.
pub fn trace_parent() -> Option<String> {
    let context = Span::current().context();
    let span = context.span();
    let current = span.span_context();
    current.is_valid().then(|| {
        let flags = current.trace_flags().to_u8();
        format!("00-{}-{}-{flags:02x}", current.trace_id(), current.span_id())
    })
}

/// Makes `span` a part of the trace of a `traceparent`, with a link to the sending span. An invalid value is ignored,
/// because tracing must not cause failures.
pub fn continue_trace(span: &Span, trace_parent: Option<&str>) {
    let Some(remote) = trace_parent.and_then(parse) else {
        return;
    };
    span.add_link(remote.clone());
    let context = opentelemetry::Context::new().with_remote_span_context(remote);
    // An error means that tracing is off.
    let _ = span.set_parent(context);
}

fn parse(trace_parent: &str) -> Option<SpanContext> {
    let mut parts = trace_parent.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if version.len() != 2 || version == "ff" || trace.len() != 32 || span.len() != 16 || flags.len() != 2 {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::NONE,
    );
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_and_nonsense_is_not() {
        let sent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let read = parse(sent).expect("a good one");
        assert_eq!(read.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(read.span_id().to_string(), "b7ad6b7169203331");
        assert!(read.is_sampled() && read.is_remote());
        for bad in [
            "",
            "00",
            "00-0-0-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-zz",
            "00-\u{e9}af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn without_telemetry_there_is_no_trace() {
        assert_eq!(trace_parent(), None);
        continue_trace(&Span::current(), Some("nonsense"));
    }
}
