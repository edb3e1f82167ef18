//! End-to-end, fault and load tests, and the kit that starts real servers for them.
