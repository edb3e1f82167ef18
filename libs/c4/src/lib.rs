//! The client of C4, the CDN's configuration system.
