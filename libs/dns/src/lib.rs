//! Looks up what the preflight asks of DNS.
