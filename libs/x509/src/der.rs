//! A reader of DER elements (X.690 section 10), for the containers that certificates and keys come in.
//!
//! It reads definite lengths and tags of one byte, which is all that PKCS #7, PKCS #8 and PKCS #12 files need. It
//! copies and allocates nothing, so the effort is bounded by the length of the input, whatever a length field claims.

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
/// `[0]`, constructed: an explicit tag, or an implicit one of a constructed type.
pub(crate) const CONTEXT_0: u8 = 0xa0;
/// `[0]`, primitive: an implicit tag of a primitive type.
pub(crate) const CONTEXT_0_PRIMITIVE: u8 = 0x80;

/// Bytes of the longest length that is read.
const MAX_LENGTH_BYTES: usize = 4;

/// One element.
#[derive(Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    /// Tag, length and content.
    pub(crate) whole: &'a [u8],
}

impl<'a> Element<'a> {
    /// The elements inside.
    pub(crate) fn children(&self) -> Elements<'a> {
        Elements(self.content)
    }

    /// The content, if the element has this tag.
    pub(crate) fn expect(&self, tag: u8) -> Option<&'a [u8]> {
        (self.tag == tag).then_some(self.content)
    }
}

/// Elements one after the other. It ends at the first that cannot be read.
#[derive(Clone)]
pub(crate) struct Elements<'a>(pub(crate) &'a [u8]);

impl<'a> Elements<'a> {
    /// The next element's content, if it has this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next()?.expect(tag)
    }

    /// The elements inside the next one, if it has this tag.
    pub(crate) fn enter(&mut self, tag: u8) -> Option<Elements<'a>> {
        self.expect(tag).map(Elements)
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            if bytes.is_empty() || bytes.len() > MAX_LENGTH_BYTES {
                return None;
            }
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        };
        let (content, after) = rest.split_at_checked(length)?;
        let whole = &self.0[..self.0.len() - after.len()];
        self.0 = after;
        Some(Element { tag, content, whole })
    }
}

/// The one SEQUENCE that the bytes are, nothing before and nothing after it.
pub(crate) fn only_sequence(der: &[u8]) -> Option<Element<'_>> {
    let mut elements = Elements(der);
    let first = elements.next()?;
    (first.tag == SEQUENCE && elements.0.is_empty()).then_some(first)
}

/// A small number that is not negative.
pub(crate) fn number(content: &[u8]) -> Option<u32> {
    let digits = content.strip_prefix(&[0]).unwrap_or(content);
    if content.is_empty() || digits.len() > 4 || (digits.len() == content.len() && content[0] >= 0x80) {
        return None;
    }
    Some(digits.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tags(der: &[u8]) -> Vec<(u8, usize)> {
        Elements(der).map(|element| (element.tag, element.content.len())).collect()
    }

    #[test]
    fn elements_end_where_their_bytes_end() {
        assert_eq!(tags(&[0x02, 1, 5, 0x30, 0]), [(0x02, 1), (0x30, 0)]);
        assert_eq!(tags(&[0x04, 0x81, 2, 7, 8]), [(0x04, 2)]);
        for cut in
            [&[0x02][..], &[0x02, 2, 5], &[0x30, 0x80, 0, 0], &[0x04, 0x85, 0, 0, 0, 0, 1, 7], &[0x04, 0xff]]
        {
            assert_eq!(tags(cut), [], "{cut:?}");
        }
        assert!(only_sequence(&[0x30, 0]).is_some() && only_sequence(&[0x30, 0, 0]).is_none());
    }

    #[test]
    fn numbers_are_small_and_not_negative() {
        for (content, expected) in [
            (&[5][..], Some(5)),
            (&[8, 0], Some(2048)),
            (&[0, 0xff, 0xff, 0xff, 0xff], Some(u32::MAX)),
            (&[0x80], None),
            (&[1, 0, 0, 0, 0], None),
            (&[], None),
        ] {
            assert_eq!(number(content), expected, "{content:?}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(der in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = tags(&der);
            let _ = number(&der);
        }
    }
}
