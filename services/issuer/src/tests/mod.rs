//! Issuances against the sandbox's CA, C4 and DNS, on a real store and a clock that the test moves.

mod kit;

mod budget;
mod keys;
mod renewals;
mod rests;
mod revocations;
mod rollovers;
