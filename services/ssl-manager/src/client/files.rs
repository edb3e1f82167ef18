//! Files with secrets, as arguments name them.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use runtime::Config;
use zeroize::Zeroizing;

use crate::dispatch::CommandError;

/// More than any certificate, key or password has; the server says so in detail.
const MAX_BYTES: u64 = 256 * 1024;

/// The bytes of a certificate or a key, of whatever encoding.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    let bytes = File::open(path).and_then(|file| text_file::read_bytes(file, MAX_BYTES));
    bytes.map_err(|error| cannot(path, &error))
}

/// The password in a file, without the line's end that editors leave. What it may be, the server says.
pub(super) fn password(path: &Path) -> Result<Zeroizing<String>, CommandError> {
    let mut text = text_file::read(path, MAX_BYTES).map_err(|error| cannot(path, &error))?;
    let length = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(length);
    Ok(text)
}

/// The API token in a file. Errors: `USAGE` if others than the file's owner can read it and no setting allows that.
pub(super) fn token(path: &Path, settings: Option<&Path>) -> Result<Zeroizing<String>, CommandError> {
    let failed = |error: &std::io::Error| cannot(path, error);
    let file = File::open(path).map_err(|error| failed(&error))?;
    let metadata = file.metadata().map_err(|error| failed(&error))?;
    if let Some(problem) = text_file::open_to_others(path, &metadata)
        && !Config::read(settings)?.keys.open_secret_files
    {
        return Err(CommandError::usage(format!("--token-file: {problem} = true")));
    }
    text_file::from_reader(file, MAX_BYTES).map_err(|error| failed(&error))
}

fn cannot(path: &Path, error: &std::io::Error) -> CommandError {
    let sentence = format!("cannot read {}: {error}", path.display());
    match error.kind() {
        ErrorKind::FileTooLarge => CommandError::new("TOO_LARGE", sentence),
        _ => CommandError::usage(sentence),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_file_that_others_can_read_is_refused_unless_a_setting_allows_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, settings) = (folder.path().join("token"), folder.path().join("settings.toml"));
        std::fs::write(&path, "slm_secret\n").expect("written");
        std::fs::write(&settings, "[keys]\nopen_secret_files = true\n").expect("written");
        for mode in [0o644, 0o604, 0o602] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("a mode");
            let refused = format!("{:?}", token(&path, None).expect_err("open to others"));
            for told in [
                "exit: 64",
                &format!("(mode {mode:04o})"),
                &format!("run chmod 600 {}", path.display()),
                "or set keys.open_secret_files = true",
            ] {
                assert!(refused.contains(told), "{told} in {refused}");
            }
            assert!(!refused.contains("slm_secret"), "{refused}");
            assert_eq!(token(&path, Some(&settings)).expect("allowed").trim(), "slm_secret");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
        assert_eq!(token(&path, None).expect("its owner's alone").trim(), "slm_secret");
    }

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
