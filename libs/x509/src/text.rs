//! The text of a file whose encoding is not known (RFC 7468: what stands outside the blocks does not matter).

use zeroize::Zeroizing;

/// Of the two bytes of a UTF-16 code unit, the ASCII of a block leaves one zero.
const UTF_16_SAMPLE: usize = 64;

/// The bytes as text: UTF-8, or UTF-16 where the bytes show it. What is neither becomes U+FFFD, which is in no block.
/// The text may hold a key, so it is wiped, and its buffer never grows.
pub(crate) fn decode(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 3));
    match utf_16(bytes) {
        Some(unit) => {
            let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
            text.extend(char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)));
        }
        None => {
            for chunk in bytes.utf8_chunks() {
                text.push_str(chunk.valid());
                if !chunk.invalid().is_empty() {
                    text.push(char::REPLACEMENT_CHARACTER);
                }
            }
        }
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
    fn every_encoding_becomes_text() {
        let text = "-----BEGIN é";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for (bytes, expected) in [
            (text.as_bytes().to_vec(), text),
            (little.clone(), text),
            (big.clone(), text),
            ([&[0xff, 0xfe], &little[..]].concat(), "\u{feff}-----BEGIN é"),
            ([&[0xfe, 0xff], &big[..]].concat(), "\u{feff}-----BEGIN é"),
            (b"M\xfcller\n-----".to_vec(), "M\u{fffd}ller\n-----"),
            (vec![], ""),
            (vec![0, 0, 0], "\0\0\0"),
        ] {
            assert_eq!(*decode(&bytes), expected, "{bytes:?}");
        }
        let worst = [0xff; 1000];
        assert!(decode(&worst).capacity() <= 3000, "it did not grow");
    }
}
