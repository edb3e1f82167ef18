//! What we add to instant-acme: transport, accounts, the order journal.
