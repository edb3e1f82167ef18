//! Closes the memory of a process that holds keys: it writes no core dump, and no process of the same user may read or
//! trace it.

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

/// Writes no core from now on, however the process ends.
pub(crate) fn write_no_core() {
    if let Err(error) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        tracing::warn!(%error, "a core may be written where the process crashes");
    }
}

/// The same, and lets no process without privileges attach or read `/proc/PID/mem`. Not for commands: a process that is
/// closed like this cannot open its own /dev/stdin.
pub(crate) fn close_to_others() {
    write_no_core();
    if let Err(error) = prctl::set_dumpable(false) {
        tracing::warn!(%error, "other processes of this user may read the memory");
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::resource::getrlimit;

    use super::*;

    #[test]
    fn memory_is_closed() {
        assert!(prctl::get_dumpable().expect("asked"), "or the test shows nothing");
        close_to_others();
        assert_eq!(getrlimit(Resource::RLIMIT_CORE), Ok((0, 0)));
        assert_eq!(prctl::get_dumpable(), Ok(false));
        prctl::set_dumpable(true).expect("for the tests beside this one");
    }
}
