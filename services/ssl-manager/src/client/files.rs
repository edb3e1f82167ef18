//! Files with secrets, as arguments name them.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use zeroize::Zeroizing;

use crate::dispatch::Failure;

/// More than any certificate, key or password has; the server says so in detail.
const MAX_BYTES: u64 = 256 * 1024;

/// The bytes of a certificate or a key, of whatever encoding.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let bytes = File::open(path).and_then(|file| text_file::read_bytes(file, MAX_BYTES));
    bytes.map_err(|error| cannot(path, &error))
}

/// The password in a file, without the line's end that editors leave. What it may be, the server says.
pub(super) fn password(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let mut text = text_file::read(path, MAX_BYTES).map_err(|error| cannot(path, &error))?;
    let length = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(length);
    Ok(text)
}

fn cannot(path: &Path, error: &std::io::Error) -> Failure {
    let sentence = format!("cannot read {}: {error}", path.display());
    match error.kind() {
        ErrorKind::FileTooLarge => Failure::new("TOO_LARGE", sentence),
        _ => Failure::usage(sentence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_what_stands_between_mark_and_newline() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for (text, expected) in [
            ("\u{feff}secret-1\r\n", "secret-1"),
            ("secret-1\n", "secret-1"),
            (" with spaces ", " with spaces "),
            ("", ""),
        ] {
            std::fs::write(file.path(), text).expect("written");
            assert_eq!(*password(file.path()).expect("text"), expected, "{text:?}");
        }
        file.as_file().set_len(1 << 30).expect("a gigabyte of nothing");
        let failure = format!("{:?}", password(file.path()).expect_err("too large"));
        assert!(failure.contains("TOO_LARGE") && failure.contains("over 262144 bytes"), "{failure}");
        let nowhere = password(Path::new("/nowhere/file")).expect_err("not there");
        assert!(format!("{nowhere:?}").contains("No such file"), "{nowhere:?}");
    }
}
