//! The encoding of keys that we send to C4 and offer for download (RFC 7468).
//!
//! Why not crate `pem`: it copies the key into buffers that are not wiped.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

const LINE: usize = 64;

/// A PKCS #8 key as PEM, in a buffer that is wiped.
pub fn private_key_pem(pkcs8: &[u8]) -> Zeroizing<String> {
    let characters = pkcs8.len().div_ceil(3) * 4;
    let mut text = Zeroizing::new(String::with_capacity(characters));
    STANDARD.encode_string(pkcs8, &mut text);
    // Room for all of it from the start: growing would leave copies behind.
    let mut pem = Zeroizing::new(String::with_capacity(characters + characters / LINE + 80));
    pem.push_str("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(LINE.min(rest.len()));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_standard() {
        let pem = private_key_pem(&[0; 100]);
        let lines: Vec<&str> = pem.lines().collect();
        assert_eq!(lines[0], "-----BEGIN PRIVATE KEY-----");
        assert_eq!(lines[1..4].iter().map(|line| line.len()).collect::<Vec<_>>(), [64, 64, 8]);
        assert_eq!(lines[4], "-----END PRIVATE KEY-----");
        assert_eq!(STANDARD.decode(lines[1..4].concat()).unwrap(), [0; 100]);
        assert!(pem.len() <= pem.capacity() && pem.capacity() < 300, "it did not grow");
    }
}
