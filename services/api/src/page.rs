//! Page tokens: the key at which the previous page ended or the next one begins, bound to its filter and order. Opaque
//! and versioned, so that their format can change.

use aws_lc_rs::digest;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use store::{Page, Place};

const VERSION: u8 = 2;
const MARK_BYTES: usize = 8;
const AFTER: u8 = 1;
const BEFORE: u8 = 2;
/// Where there is no time.
const NEVER: i64 = i64::MAX;

fn mark_of(asked: &str) -> [u8; MARK_BYTES] {
    let mut mark = [0; MARK_BYTES];
    mark.copy_from_slice(&digest::digest(&digest::SHA256, asked.as_bytes()).as_ref()[..MARK_BYTES]);
    mark
}

/// A token that holds a place, good for what was `asked`.
pub(crate) fn bind(asked: &str, place: &[u8]) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&mark_of(asked));
    bytes.extend_from_slice(place);
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The place that a token holds; none if it is not one of ours, or for something else that was asked.
pub(crate) fn unbind(asked: &str, token: &str) -> Option<Vec<u8>> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
    let (version, rest) = bytes.split_first()?;
    let (mark, place) = rest.split_first_chunk::<MARK_BYTES>()?;
    (*version == VERSION && *mark == mark_of(asked)).then(|| place.to_vec())
}

/// A token of a page of the list after or before a place; none for pages that need no place.
pub(crate) fn encode(asked: &str, page: &Page) -> Option<String> {
    let (direction, place) = match page {
        Page::After(place) => (AFTER, place),
        Page::Before(place) => (BEFORE, place),
        Page::First | Page::Last => return None,
    };
    let mut bytes = vec![direction];
    bytes.extend_from_slice(&place.attention.to_be_bytes());
    bytes.extend_from_slice(&place.at.map_or(NEVER, Timestamp::as_microsecond).to_be_bytes());
    bytes.extend_from_slice(place.name.as_bytes());
    Some(bind(asked, &bytes))
}

/// Which page of the list a token is of; none if it is not one of ours, or of another filter or order.
pub(crate) fn decode(asked: &str, token: &str) -> Option<Page> {
    let bytes = unbind(asked, token)?;
    let (direction, rest) = bytes.split_first()?;
    let (attention, rest) = rest.split_first_chunk()?;
    let (at, name) = rest.split_first_chunk()?;
    let at = match i64::from_be_bytes(*at) {
        NEVER => None,
        at => Some(Timestamp::from_microsecond(at).ok()?),
    };
    let name = std::str::from_utf8(name).ok()?;
    let place = Place {
        attention: i16::from_be_bytes(*attention),
        at,
        // A database refuses text with a zero byte.
        name: (!name.contains('\0')).then(|| name.to_owned())?,
    };
    match *direction {
        AFTER => Some(Page::After(place)),
        BEFORE => Some(Page::Before(place)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_fits_what_was_asked_only() {
        let place = |at| Place { attention: 3, at, name: "shop.example.com".to_owned() };
        let at = Timestamp::from_microsecond(1_800_000_000_123_456).ok();
        for page in [Page::After(place(None)), Page::Before(place(at)), Page::After(place(at))] {
            let token = encode("a", &page).unwrap();
            assert_eq!(decode("a", &token), Some(page));
            assert_eq!(decode("b", &token), None);
            for bad in ["", "AA", "not base64!", "Av8", &token[1..], &token[..20]] {
                assert_eq!(decode("a", bad), None, "{bad}");
            }
        }
        assert_eq!(encode("a", &Page::Last), None);
    }
}
