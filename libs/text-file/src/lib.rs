//! Reads text files from any system: UTF-8 or UTF-16, with or without a byte-order mark.
//!
//! Many of them hold a secret, so every buffer is wiped, and none grows: growing would leave copies behind.
//! `str::lines` and `str::trim` handle lines that end with CR LF.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

const BYTE_ORDER_MARK: char = '\u{feff}';
/// Bytes in which UTF-16 shows without a mark: of each code unit of ASCII one byte is zero.
const UTF_16_SAMPLE: usize = 64;

/// Reads a text file, without its byte-order mark.
///
/// Errors: those of the file; `FileTooLarge` over `max_bytes`, however fast it grows; `InvalidData` if it is no text.
pub fn read(path: &Path, max_bytes: u64) -> io::Result<Zeroizing<String>> {
    from_reader(File::open(path)?, max_bytes)
}

/// Whether others than the owner can read or change a file. Kubernetes hands secrets out as root's files that a group of
/// the pod may read; that much is allowed.
pub fn is_open_to_others(metadata: &Metadata) -> bool {
    is_open(metadata.uid(), metadata.permissions().mode())
}

/// What is wrong with the mode of a file that holds a secret, and what to do. A pipe or a device is no file.
pub fn open_to_others(path: &Path, metadata: &Metadata) -> Option<String> {
    (metadata.is_file() && is_open_to_others(metadata)).then(|| {
        format!(
            "{0} is open to others than its owner (mode {1:04o}): run chmod 600 {0}, or set keys.open_secret_files",
            path.display(),
            metadata.permissions().mode() & 0o777
        )
    })
}

fn is_open(owner: u32, mode: u32) -> bool {
    const ROOT: u32 = 0;
    let others = if owner == ROOT { 0o037 } else { 0o077 };
    mode & others != 0
}

/// The same of what is open already.
pub fn from_reader(reader: impl Read, max_bytes: u64) -> io::Result<Zeroizing<String>> {
    let bytes = read_bytes(reader, max_bytes)?;
    decode(&bytes)
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "it is not a text file (UTF-8 or UTF-16)"))
}

/// Reads at most `max_bytes`. Errors: `FileTooLarge` if there is more.
pub fn read_bytes(reader: impl Read, max_bytes: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut reader = reader.take(max_bytes.saturating_add(1));
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    loop {
        if bytes.len() == bytes.capacity() {
            // Grown by hand, so that the smaller buffer is wiped.
            let mut larger = Zeroizing::new(Vec::with_capacity(bytes.capacity() * 4));
            larger.extend_from_slice(&bytes);
            bytes = larger;
        }
        let room = (bytes.capacity() - bytes.len()) as u64;
        if (&mut reader).take(room).read_to_end(&mut bytes)? == 0 {
            break;
        }
    }
    if bytes.len() as u64 > max_bytes {
        let sentence = format!("it has over {max_bytes} bytes, which is more than such a file has");
        return Err(io::Error::new(ErrorKind::FileTooLarge, sentence));
    }
    Ok(bytes)
}

/// The text of the bytes, without a byte-order mark. None if they are neither UTF-8 nor UTF-16.
pub fn decode(bytes: &[u8]) -> Option<Zeroizing<String>> {
    let mut is_text = true;
    let text = decode_with(bytes, &mut |c| {
        is_text = false;
        c
    });
    is_text.then_some(text)
}

/// The same, with U+FFFD for what is neither.
pub fn decode_lossy(bytes: &[u8]) -> Zeroizing<String> {
    decode_with(bytes, &mut |c| c)
}

/// Calls `replaced` with what takes the place of bytes that are no text.
fn decode_with(bytes: &[u8], replaced: &mut dyn FnMut(char) -> char) -> Zeroizing<String> {
    // U+FFFD takes three bytes for one that is no text.
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 3));
    if let Some(unit) = utf_16(bytes) {
        let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        for decoded in char::decode_utf16(units) {
            text.push(decoded.unwrap_or_else(|_| replaced(char::REPLACEMENT_CHARACTER)));
        }
    } else {
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            if !chunk.invalid().is_empty() {
                text.push(replaced(char::REPLACEMENT_CHARACTER));
            }
        }
    }
    if text.starts_with(BYTE_ORDER_MARK) {
        text.drain(..BYTE_ORDER_MARK.len_utf8());
    }
    text
}

/// How two bytes become a code unit, if the bytes are UTF-16: by the byte-order mark, or by where the zeros are.
fn utf_16(bytes: &[u8]) -> Option<fn([u8; 2]) -> u16> {
    match bytes {
        [0xff, 0xfe, ..] => return Some(u16::from_le_bytes),
        [0xfe, 0xff, ..] => return Some(u16::from_be_bytes),
        _ => {}
    }
    let sample = &bytes[..bytes.len().min(UTF_16_SAMPLE) / 2 * 2];
    let zeros = |parity: usize| sample.iter().skip(parity).step_by(2).all(|byte| *byte == 0);
    match (sample.is_empty(), zeros(0), zeros(1)) {
        (false, false, true) => Some(u16::from_le_bytes),
        (false, true, false) => Some(u16::from_be_bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_roots_file_may_be_read_by_its_group() {
        for (owner, mode, open) in [
            (1000, 0o600, false),
            (1000, 0o440, true),
            (0, 0o440, false),
            (0, 0o640, false),
            (0, 0o660, true),
            (0, 0o444, true),
        ] {
            assert_eq!(is_open(owner, mode), open, "{owner} {mode:o}");
        }
    }

    #[test]
    fn every_encoding_becomes_text() {
        let text = "geheim é\r\n";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let latin = "ASCII in UTF-16";
        let latin_little: Vec<u8> = latin.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (bytes, expected) in [
            (text.as_bytes().to_vec(), text),
            (["\u{feff}".as_bytes(), text.as_bytes()].concat(), text),
            ([&[0xff, 0xfe], &little[..]].concat(), text),
            ([&[0xfe, 0xff], &big[..]].concat(), text),
            (latin_little, latin),
            (vec![], ""),
        ] {
            assert_eq!(**decode(&bytes).unwrap(), *expected, "{bytes:?}");
            assert_eq!(**decode_lossy(&bytes), *expected, "{bytes:?}");
        }
        assert!(decode(b"M\xfcller").is_none() && decode(&[0xff, 0xfe, 0x00, 0xd8]).is_none());
        assert_eq!(**decode_lossy(b"M\xfcller"), *"M\u{fffd}ller");
        assert!(decode_lossy(&[0xff; 1000]).capacity() <= 3000, "it did not grow");
    }

    #[test]
    fn what_is_too_large_or_no_text_is_told() {
        let read = |bytes: &[u8]| from_reader(bytes, 10_000).map(|text| text.len());
        assert_eq!(read(&[b'a'; 10_000]).unwrap(), 10_000);
        assert!(read(&[b'a'; 10_001]).unwrap_err().to_string().contains("over 10000 bytes"));
        assert!(from_reader(io::repeat(b'a'), 10_000).is_err(), "it never ends");
        assert!(read(b"\xe9").unwrap_err().to_string().contains("not a text file"));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "\u{feff}secret\r\n").unwrap();
        assert_eq!(super::read(file.path(), 100).unwrap().trim(), "secret");
    }
}
