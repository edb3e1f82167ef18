//! Page tokens: the place where the page before ended, or the one after begins, bound to the filter and order it was made
//! with. Opaque and versioned, so that they can change.

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

/// A token of a page after or before a place, good for what was `asked`; none for pages that need no place.
pub(crate) fn encode(asked: &str, page: &Page) -> Option<String> {
    let (direction, place) = match page {
        Page::After(place) => (AFTER, place),
        Page::Before(place) => (BEFORE, place),
        Page::First | Page::Last => return None,
    };
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&mark_of(asked));
    bytes.push(direction);
    bytes.extend_from_slice(&place.attention.to_be_bytes());
    bytes.extend_from_slice(&place.at.map_or(NEVER, Timestamp::as_microsecond).to_be_bytes());
    bytes.extend_from_slice(place.name.as_bytes());
    Some(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// Which page a token is of; none if it is not one of ours, or of another filter or order.
pub(crate) fn decode(asked: &str, token: &str) -> Option<Page> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
    let (version, rest) = bytes.split_first()?;
    let (mark, rest) = rest.split_first_chunk::<MARK_BYTES>()?;
    if *version != VERSION || *mark != mark_of(asked) {
        return None;
    }
    let (direction, rest) = rest.split_first()?;
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
        let place = |at| Place {
            attention: 3,
            at,
            name: "shop.example.com".to_owned(),
        };
        let at = Timestamp::from_microsecond(1_800_000_000_123_456).ok();
        for page in [
            Page::After(place(None)),
            Page::Before(place(at)),
            Page::After(place(at)),
        ] {
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
