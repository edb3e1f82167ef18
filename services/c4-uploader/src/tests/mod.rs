//! Tests of uploads, comparisons and removals, with the real store and a C4 that breaks on request.

mod fake_c4;
mod kit;

mod backwards;
mod compares;
mod edges;
mod guards;
mod pauses;
mod removes;
mod uploads;
