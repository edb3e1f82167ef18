//! Configuration, telemetry, health and shutdown: each role's start and stop, once.
