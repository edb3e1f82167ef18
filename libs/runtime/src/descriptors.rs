//! File descriptors: each connection is one, and so is each file of the database.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept for the database, the broker, CAs, C4, DNS and domains that are rehearsed.
const RESERVE: usize = 384;
/// Where the system names no limit.
const UNLIMITED: u64 = 1 << 20;

/// Raises the soft limit of this process to the hard one. Where that is not allowed the limit stays.
pub fn raise_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => tracing::debug!(?current, ?maximum, "the limit of open files was raised"),
        Err(error) => tracing::warn!(?current, %error, "the limit of open files stays"),
    }
}

/// How many files this process may open.
pub(crate) fn descriptors() -> usize {
    let current = getrlimit(Resource::Nofile).current.unwrap_or(UNLIMITED).min(UNLIMITED);
    usize::try_from(current).unwrap_or(usize::MAX)
}

/// Connections of each of so many ports, if all of them are full and the reserve is left alone.
pub(crate) fn share(descriptors: usize, ports: usize) -> usize {
    let reserve = RESERVE.min(descriptors / 2);
    ((descriptors - reserve) / ports.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_share_what_the_reserve_leaves() {
        assert_eq!(share(1024, 4), 160);
        assert_eq!(share(20_000, 4), 4904);
        assert_eq!(share(100, 4), 12, "half is reserve where there is little");
        assert_eq!(share(0, 0), 1);
    }
}
