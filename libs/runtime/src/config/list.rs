//! Lists in settings: an array, or a text with commas, as in the environment.

use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};

/// Reads a list. Its items are trimmed, and empty ones are left out. Errors: an item that is none of its type.
pub(super) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
    T::Err: Display,
{
    deserializer.deserialize_any(Items(PhantomData))
}

struct Items<T>(PhantomData<T>);

impl<'de, T> Visitor<'de> for Items<T>
where
    T: FromStr,
    T::Err: Display,
{
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of texts, or one text with commas")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
        parse(text.split(','))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut texts: Vec<String> = Vec::new();
        while let Some(text) = items.next_element()? {
            texts.push(text);
        }
        parse(texts.iter().map(String::as_str))
    }
}

fn parse<'a, T, E>(texts: impl Iterator<Item = &'a str>) -> Result<Vec<T>, E>
where
    T: FromStr,
    T::Err: Display,
    E: Error,
{
    let items = texts.map(str::trim).filter(|item| !item.is_empty());
    items.map(|item| item.parse().map_err(|error| E::custom(format!("{item:?}: {error}")))).collect()
}
