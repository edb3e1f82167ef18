//! Pasted PEM (RFC 7468): blocks in their order, with any text around them.
//!
//! Why not a library's reader: existing ones skip unknown labels, including that of an encrypted key, stop at the
//! headers of older encrypted keys (RFC 1421), and leave the text of a key in buffers that are not wiped.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// The mark that some editors put at the start of a file.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// One block. It may hold a key, so it is wiped and has no `Debug`.
pub(crate) struct Block<'a> {
    label: &'a str,
    encrypted: bool,
    pub(crate) der: Zeroizing<Vec<u8>>,
}

impl Block<'_> {
    /// The label, without the spaces that editors and people leave at its ends.
    pub(crate) fn label(&self) -> &str {
        self.label.trim()
    }

    pub(crate) fn is_certificate(&self) -> bool {
        // RFC 7468 section 5.1 names the two older labels.
        matches!(self.label(), "CERTIFICATE" | "X509 CERTIFICATE" | "X.509 CERTIFICATE")
    }

    /// Whether it is OpenSSL's own form, in which a certificate is followed by what it is trusted for.
    pub(crate) fn is_trusted_certificate(&self) -> bool {
        self.label() == "TRUSTED CERTIFICATE"
    }

    pub(crate) fn is_private_key(&self) -> bool {
        self.label().ends_with("PRIVATE KEY")
    }

    /// Whether the key needs a password: PKCS #8 says so in its label (RFC 7468 section 11), the older encodings in
    /// a header (RFC 1421 section 4.6.1.1).
    pub(crate) fn is_encrypted(&self) -> bool {
        self.encrypted || self.label() == "ENCRYPTED PRIVATE KEY"
    }
}

impl AsRef<[u8]> for Block<'_> {
    fn as_ref(&self) -> &[u8] {
        &self.der
    }
}

/// A block without its end, an end without its beginning, or something in one that is not base64.
pub(crate) struct MalformedBlock;

/// The blocks of a text. Callers bound the text.
pub(crate) fn read(text: &str) -> Result<Vec<Block<'_>>, MalformedBlock> {
    let mut blocks = Vec::new();
    let mut lines =
        text.lines().map(|line| line.trim_matches(|c: char| c.is_whitespace() || c == BYTE_ORDER_MARK));
    while let Some(line) = lines.find(|line| line.starts_with("-----")) {
        // A line of hyphens is surrounding text; an END here lost its BEGIN when it was copied.
        if line.starts_with("-----BEGIN") {
            let label = boundary(line, "BEGIN").ok_or(MalformedBlock)?;
            blocks.push(block(label, &mut lines)?);
        } else if line.starts_with("-----END") {
            return Err(MalformedBlock);
        }
    }
    Ok(blocks)
}

fn boundary<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    line.strip_prefix("-----")?.strip_prefix(word)?.strip_prefix(' ')?.strip_suffix("-----")
}

fn block<'a>(label: &'a str, lines: &mut impl Iterator<Item = &'a str>) -> Result<Block<'a>, MalformedBlock> {
    let (mut body, mut encrypted) = (Vec::new(), false);
    loop {
        let line = lines.next().ok_or(MalformedBlock)?;
        if boundary(line, "END") == Some(label) {
            break;
        }
        if let Some((header, value)) = line.split_once(':') {
            encrypted |= header == "Proc-Type" && value.contains("ENCRYPTED");
        } else {
            body.push(line);
        }
    }
    let length = body.iter().map(|line| line.len()).sum();
    // Room for all of it from the start: growing would leave copies behind.
    let mut base64 = Zeroizing::new(String::with_capacity(length));
    base64.extend(body);
    let mut der = Zeroizing::new(Vec::with_capacity(length));
    STANDARD.decode_vec(base64.as_bytes(), &mut der).map_err(|_| MalformedBlock)?;
    Ok(Block { label, encrypted, der })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ders(text: &str) -> Option<Vec<Vec<u8>>> {
        let blocks = read(text).ok()?;
        Some(blocks.into_iter().map(|block| block.der.to_vec()).collect())
    }

    #[test]
    fn blocks_are_found_in_whatever_stands_around() {
        let text = "\u{feff}-----BEGIN CERTIFICATE-----\r\n  AAEC\r\n\tAw==  \r\n -----END CERTIFICATE-----\r\n\
                    --------\n0 s:CN = shop.example.com\n-----BEGIN KEY-----\nBAU=\n-----END KEY-----";
        assert_eq!(ders(text), Some(vec![vec![0, 1, 2, 3], vec![4, 5]]));
        assert_eq!(ders("no block at all"), Some(vec![]));
    }

    #[test]
    fn half_a_block_is_malformed() {
        for text in [
            "-----BEGIN A-----\nAAEC\n",
            "-----BEGIN A-----\nAAEC\n-----END B-----",
            "AAEC\n-----END A-----",
            "-----BEGIN A-----\nAAEC\n-----END A----------BEGIN A-----\nAAEC\n-----END A-----",
            "-----BEGIN A----- AAEC -----END A-----",
            "-----BEGIN A-----\nA!EC\n-----END A-----",
            "-----BEGIN A-----\nAAE\n-----END A-----",
        ] {
            assert_eq!(ders(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "(-----BEGIN A-----|-----END A-----|[A-Za-z:= é-]{0,9}|\n){0,20}") {
            let _ = ders(&text);
        }
    }
}
