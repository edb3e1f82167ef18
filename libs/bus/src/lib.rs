//! The Bus and Handler traits, and the contract suite every backend passes.
