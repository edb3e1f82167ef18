//! The Store on SQLite: one file, one process.
