//! Everything that has to do with time.
