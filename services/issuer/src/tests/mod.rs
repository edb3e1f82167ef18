//! Tests of issuances with the sandbox's CA, C4 and DNS, on a real store and a clock that the test moves.

mod kit;

mod bad_input;
mod bindings;
mod budget;
mod delivered;
mod dns;
mod keys;
mod odd;
mod pace;
mod pauses;
mod problems;
mod refusals;
mod renewals;
mod rests;
mod revocations;
mod rollovers;
mod switched_off;
