//! Files with secrets, as arguments name them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use crate::dispatch::Failure;

/// More than any certificate, key or password has; the server says so in detail.
const MOST_BYTES: u64 = 256 * 1024;

/// A text file, as far as it is one and not a mistake.
pub(super) fn read(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let cannot = |error: std::io::Error| Failure::usage(format!("cannot read {}: {error}", path.display()));
    let file = File::open(path).map_err(cannot)?;
    // Room for all of it from the start: growing would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(MOST_BYTES as usize + 1));
    file.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(cannot)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(Failure::new(
            "TOO_LARGE",
            format!("{} is over {MOST_BYTES} bytes: that is no certificate, key or password", path.display()),
        ));
    }
    Ok(text)
}
