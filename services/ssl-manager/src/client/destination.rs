//! Where a download goes: a file, standard output, or what a path leads to that is no plain file.
//!
//! A plain file is written beside and renamed, so that there is never half a key, and never one with another mode.
//! Nothing else is renamed over: a device or a pipe is written to and stays what it is.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::dispatch::CommandError;
use crate::output::write_out;

/// Standard output, as arguments name it.
const STDOUT: &str = "-";
/// The same, as systems name it. It may lead to a plain file, which must not be renamed over.
const STDOUT_DEVICES: [&str; 3] = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

/// Where a download goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Destination {
    Stdout,
    /// A plain file, or one that is not there yet.
    File(PathBuf),
    /// A pipe or a character device.
    Stream(PathBuf),
}

impl Destination {
    /// Looks at what is there, before anything is downloaded. Errors: it is nothing that can be written to.
    pub(super) fn of(path: &Path) -> Result<Self, CommandError> {
        if path == Path::new(STDOUT) || STDOUT_DEVICES.iter().any(|device| path == Path::new(device)) {
            return Ok(Self::Stdout);
        }
        let refused = |what: &str| {
            let sentence =
                format!("cannot write {}: it is {what}; name a file, or - for stdout", path.display());
            Err(CommandError::usage(sentence))
        };
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return match fs::symlink_metadata(path) {
                    Ok(_) => refused("a symbolic link to nothing"),
                    Err(_) => Ok(Self::File(path.to_owned())),
                };
            }
            Err(error) => return Err(failed(path, &error)),
        };
        let kind = metadata.file_type();
        if kind.is_file() {
            // A link to a file stays one.
            let file = fs::canonicalize(path).map_err(|error| failed(path, &error))?;
            return Ok(Self::File(file));
        }
        if kind.is_fifo() || kind.is_char_device() {
            return Ok(Self::Stream(path.to_owned()));
        }
        if kind.is_dir() {
            return refused("a folder");
        }
        refused(if kind.is_block_device() { "a disk" } else { "a socket" })
    }

    /// Writes it. `mode`: of a file that is made.
    pub(super) fn write(&self, content: &[u8], mode: u32) -> Result<(), CommandError> {
        match self {
            Self::Stdout => write_out(content),
            Self::File(path) => replace(path, content, mode).map_err(|error| failed(path, &error)),
            Self::Stream(path) => {
                let opened = OpenOptions::new().write(true).open(path);
                opened.and_then(|mut stream| stream.write_all(content)).map_err(|error| failed(path, &error))
            }
        }
    }
}

fn failed(path: &Path, error: &io::Error) -> CommandError {
    CommandError::new("FAILED", format!("cannot write {}: {error}", path.display()))
}

/// Writes beside the file and renames.
fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = Path::new(&beside);
    let result = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(beside)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(beside, path));
    if result.is_err() {
        // What could not be written may not be there either; the first error is the one to tell.
        let _ = fs::remove_file(beside);
    }
    result
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::Command;

    use super::*;

    /// A device of the test's own, with the numbers of `/dev/null`; false where devices cannot be made. Never a real one:
    /// when this code is broken, a test as root replaces what it writes to.
    fn made_device(path: &Path) -> bool {
        let made = Command::new("mknod").arg(path).args(["c", "1", "3"]).output();
        made.expect("mknod").status.success()
    }

    #[test]
    fn only_a_plain_file_or_nothing_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "old").expect("written");
        symlink(at("file"), at("link")).expect("linked");
        symlink(at("nothing"), at("dangling")).expect("linked");
        let made = Command::new("mkfifo").arg(at("pipe")).status().expect("mkfifo");
        assert!(made.success());
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("a socket");

        assert_eq!(Destination::of(&at("new")).expect("new"), Destination::File(at("new")));
        let file = fs::canonicalize(at("file")).expect("there");
        for plain in ["file", "link"] {
            assert_eq!(Destination::of(&at(plain)).expect(plain), Destination::File(file.clone()));
        }
        let streams = if made_device(&at("device")) { &["pipe", "device"][..] } else { &["pipe"] };
        for stream in streams {
            assert_eq!(Destination::of(&at(stream)).expect("a stream"), Destination::Stream(at(stream)));
        }
        for stdout in ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
            assert_eq!(Destination::of(Path::new(stdout)).expect(stdout), Destination::Stdout);
        }
        for (refused, why) in [
            (folder.path().to_owned(), "it is a folder"),
            (at("dangling"), "it is a symbolic link to nothing"),
            (at("socket"), "it is a socket"),
            (at("file/below"), "Not a directory"),
        ] {
            let failure = format!("{:?}", Destination::of(&refused).expect_err("refused"));
            assert!(failure.contains(why), "{failure}");
        }
    }

    #[test]
    fn a_file_gets_its_mode_and_all_else_stays_what_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "old").expect("written");
        symlink(at("file"), at("link")).expect("linked");
        let write = |name: &str| Destination::of(&at(name)).and_then(|to| to.write(b"key", 0o600));
        write("link").expect("written");
        write("new").expect("written");
        assert!(fs::symlink_metadata(at("link")).expect("there").is_symlink(), "the link stays");
        for name in ["file", "new"] {
            assert_eq!(fs::read(at(name)).expect("there"), b"key");
            let mode = fs::metadata(at(name)).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let has_device = made_device(&at("device"));
        if has_device {
            write("device").expect("written");
            assert!(
                fs::metadata(at("device")).expect("there").file_type().is_char_device(),
                "the device stays"
            );
        }

        Command::new("mkfifo").arg(at("pipe")).status().expect("mkfifo");
        let pipe = at("pipe");
        let reader = std::thread::spawn(move || fs::read(pipe).expect("read"));
        write("pipe").expect("written");
        assert_eq!(reader.join().expect("read"), b"key");
        assert!(fs::metadata(at("pipe")).expect("there").file_type().is_fifo(), "the pipe stays");
        let left = fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(left, 4 + usize::from(has_device), "nothing temporary stays");
    }
}
