//! The outside world in one process: a CA that can misbehave, C4 with an edge, and DNS. Test equipment.
