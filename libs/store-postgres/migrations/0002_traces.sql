-- The trace an event belongs to (W3C trace context, `traceparent`).
ALTER TABLE messages ADD COLUMN trace_parent text;
