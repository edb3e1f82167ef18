//! The Store trait: what the system remembers, and the contract suite every backend passes.
