//! The gRPC API and the events, generated from proto/, and their conversions to and from the domain.
