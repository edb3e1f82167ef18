//! The gRPC API
