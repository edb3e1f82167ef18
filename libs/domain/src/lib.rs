//! Names, facts, statuses, reasons, transitions, ids and the clock: the rules, without any I/O.
