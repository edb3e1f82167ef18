//! Preflight, ACME orders, keys.
