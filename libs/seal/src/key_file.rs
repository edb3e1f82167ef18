//! The sealing-key file: one 32-byte key in base64 per line, the first is current; blank lines and lines that begin
//! with `#` are ignored.
//!
//! It is created by writing a temporary file and linking it to its name, which fails if the name is taken: of two
//! processes that start at once one wins and both use its key. A rename would let the second overwrite a key that the
//! first has already sealed with.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize, Zeroizing};

use crate::SealingKeys;
use crate::file_keys::FileKeys;
use crate::wrapping::KEY_BYTES;

const MAX_FILE_BYTES: u64 = 64 * 1024;
const TEXT_BYTES: usize = KEY_BYTES.div_ceil(3) * 4;

/// Why the sealing-key file cannot be used. None of it shows what is in the file.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// There is no such file.
    #[error("there is no sealing-key file {path}: make one with `openssl rand -base64 32` and chmod 600")]
    Missing {
        /// Which file.
        path: PathBuf,
    },
    /// It is there and cannot be read.
    #[error("cannot read the sealing-key file {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be created.
    #[error("cannot create the sealing-key file {path}: {source}")]
    Create {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than its owner can read it.
    #[error(
        "the sealing-key file {path} is open to others than its owner (mode {mode:04o}): run chmod 600 {path}"
    )]
    Permissions {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is not a regular file, or far too large for one.
    #[error("{path} is not a sealing-key file: expected at most 64 KiB of text with one key per line")]
    NotAKeyFile {
        /// Which file.
        path: PathBuf,
    },
    /// A line is not a key.
    #[error("the sealing-key file {path}, line {line}: not a 32-byte key in base64 (44 characters)")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
    /// It has no key.
    #[error("the sealing-key file {path} has no key: add a line made with `openssl rand -base64 32`")]
    Empty {
        /// Which file.
        path: PathBuf,
    },
    /// The cryptography library did not take the keys.
    #[error("the keys of the sealing-key file {path} cannot be used")]
    Unusable {
        /// Which file.
        path: PathBuf,
    },
}

impl SealingKeys {
    /// Reads the sealing-key file.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let text = read(path)?;
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            keys.push(parse(line).ok_or_else(|| KeyFileError::Line { path: path.into(), line: index + 1 })?);
        }
        let (current, older) = keys.split_first().ok_or_else(|| KeyFileError::Empty { path: path.into() })?;
        FileKeys::from_bytes(current, older)
            .map(Self::new)
            .map_err(|_| KeyFileError::Unusable { path: path.into() })
    }

    /// Reads the sealing-key file; makes one with a fresh key first if there is none.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyFileError> {
        match Self::load(path) {
            Err(KeyFileError::Missing { .. }) => {
                create(path).map_err(|source| KeyFileError::Create { path: path.into(), source })?;
                Self::load(path)
            }
            other => other,
        }
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let failed = |source| KeyFileError::Read { path: path.into(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(KeyFileError::Missing { path: path.into() });
        }
        other => other.map_err(failed)?,
    };
    // Asked of the open file, so that what is checked is what is read.
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
        return Err(KeyFileError::NotAKeyFile { path: path.into() });
    }
    let mode = metadata.permissions().mode() & 0o777;
    if text_file::is_open_to_others(&metadata) {
        return Err(KeyFileError::Permissions { path: path.into(), mode });
    }
    text_file::from_reader(file, MAX_FILE_BYTES).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge => {
            KeyFileError::NotAKeyFile { path: path.into() }
        }
        _ => failed(error),
    })
}

fn parse(line: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    if line.len() != TEXT_BYTES {
        return None;
    }
    let bytes = Zeroizing::new(STANDARD.decode(line).ok()?);
    Some(Zeroizing::new(bytes.as_slice().try_into().ok()?))
}

fn create(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;

    let temporary = TemporaryFile(temporary_path(path)?);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary.0)?;
    let mut line = fresh_line()?;
    let written = file.write_all(line.as_bytes());
    line.zeroize();
    written?;
    file.sync_all()?;
    match fs::hard_link(&temporary.0, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        // What is sealed from here on is lost without this key: its name must survive a power cut, too.
        Ok(()) => File::open(directory)?.sync_all(),
    }
}

fn fresh_line() -> io::Result<Zeroizing<String>> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    rand::fill(key.as_mut_slice()).map_err(io::Error::other)?;
    let mut line = Zeroizing::new(String::with_capacity(TEXT_BYTES + 1));
    STANDARD.encode_string(key.as_slice(), &mut line);
    line.push('\n');
    Ok(line)
}

fn temporary_path(path: &Path) -> io::Result<PathBuf> {
    let mut random = [0; 8];
    rand::fill(&mut random).map_err(io::Error::other)?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", hex::encode(random)));
    Ok(name.into())
}

/// Removes the temporary name, whatever happened.
struct TemporaryFile(PathBuf);

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // An error here can be ignored: a temporary file that was not linked is never used.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    fn line(byte: u8) -> String {
        STANDARD.encode([byte; KEY_BYTES])
    }

    fn file(directory: &tempfile::TempDir, text: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = directory.path().join("sealing.key");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn id_of(byte: u8) -> crate::KeyId {
        crate::KeyId::of(&[byte; KEY_BYTES])
    }

    #[tokio::test]
    async fn the_first_key_is_current_and_comments_do_not_count() {
        let directory = tempfile::tempdir().unwrap();
        let text = format!("# made by operations\n\n  {}\r\n#{}\n{}\n", line(1), line(9), line(2));
        let keys = SealingKeys::load(&file(&directory, text, 0o600)).unwrap();
        assert_eq!(keys.current_key_id(), id_of(1));
        let binding = crate::Binding::new(crate::Purpose::Account, "id", "name");
        let older = SealingKeys::new(FileKeys::from_bytes(&[2; KEY_BYTES], &[]).unwrap());
        let sealed = older.seal(&binding, &[0; 32], b"key").await.unwrap();
        assert_eq!(*keys.unseal(&binding, &[0; 32], &sealed).await.unwrap(), *b"key");
    }

    fn refused(path: &Path) -> KeyFileError {
        SealingKeys::load(path).err().expect("it is refused")
    }

    #[test]
    fn each_broken_file_has_its_own_sentence_and_shows_nothing_of_the_keys() {
        let directory = tempfile::tempdir().unwrap();
        let short = STANDARD.encode([5; 31]);
        let cases = [
            (String::new(), "has no key"),
            ("# nothing\n".to_owned(), "has no key"),
            (format!("{}\n{short}\n", line(1)), "line 2:"),
            (format!("{}=\n", line(1)), "line 1:"),
            (format!("{}\n", line(1).replace('=', "!")), "line 1:"),
            (format!("{}{}\n", line(1), line(2)), "line 1:"),
            ("x".repeat(70_000), "not a sealing-key file"),
        ];
        for (text, expected) in cases {
            let error = refused(&file(&directory, &text, 0o600)).to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("AQEB") && !error.contains("BQUF") && !error.contains("xxxx"), "{error}");
        }
        let marked = format!("\u{feff}{}\r\n", line(1));
        assert!(
            SealingKeys::load(&file(&directory, &marked, 0o600)).is_ok(),
            "an editor of Windows wrote it"
        );
        let binary = refused(&file(&directory, [0x80, 0x81], 0o600));
        assert!(matches!(binary, KeyFileError::NotAKeyFile { .. }));
        let folder = refused(directory.path());
        assert!(matches!(folder, KeyFileError::NotAKeyFile { .. }), "{folder}");
        let missing = refused(&directory.path().join("none"));
        assert!(missing.to_string().contains("openssl rand -base64 32"), "{missing}");
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        for mode in [0o644, 0o604, 0o660, 0o602] {
            let path = file(&directory, line(1), mode);
            for error in [refused(&path), SealingKeys::load_or_create(&path).err().unwrap()] {
                assert!(error.to_string().contains("run chmod 600"), "{error}");
            }
        }
        for mode in [0o600, 0o400] {
            assert!(SealingKeys::load(&file(&directory, line(1), mode)).is_ok());
        }
    }

    #[test]
    fn a_new_file_is_private_and_used_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data/keys/sealing.key");
        let made = SealingKeys::load_or_create(&path).unwrap();
        let mode_of = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode_of(&path), mode_of(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(SealingKeys::load_or_create(&path).unwrap().current_key_id(), made.current_key_id());
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file stays");

        let blocked = SealingKeys::load_or_create(&path.join("below-a-file")).err().unwrap();
        assert!(blocked.to_string().contains("below-a-file"), "{blocked}");
    }

    #[test]
    fn of_many_starters_one_wins_and_all_use_its_key() {
        let directory = tempfile::tempdir().unwrap();
        for round in 0..20 {
            let path = directory.path().join(format!("{round}/sealing.key"));
            let together = Barrier::new(8);
            let ids: Vec<_> = thread::scope(|scope| {
                let start = || {
                    together.wait();
                    SealingKeys::load_or_create(&path).unwrap().current_key_id()
                };
                let starters: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
                starters.into_iter().map(|starter| starter.join().unwrap()).collect()
            });
            assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        }
    }
}
