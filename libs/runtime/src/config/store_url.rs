//! Parses `store.url` leniently: prefixes of other tools, unescaped passwords, and options.
//!
//! Everything else is refused with its own error text, because a partly understood URL might select another database.

use std::path::PathBuf;

use super::StoreSettings;

const WRITE: &str = "write sqlite://PATH or postgres://USER:PASSWORD@HOST:5432/DATABASE";
/// Supported options of a PostgreSQL connection, with libpq's names.
const POSTGRES_OPTIONS: [&str; 13] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];
const HEX_DIGITS: &[u8; 16] = b"0123456789ABCDEF";
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// The database of a store's URL.
#[derive(Clone, PartialEq, Eq)]
pub enum StorePlace {
    /// An SQLite file.
    File(PathBuf),
    /// A URL of PostgreSQL, with everything escaped. It may hold a password, so this has no `Debug`.
    Server(String),
}

impl StoreSettings {
    /// Where the store is. Errors: a sentence part that says what is wrong, without the password.
    pub fn place(&self) -> Result<StorePlace, String> {
        place(self.url.as_str().trim())
    }
}

fn place(url: &str) -> Result<StorePlace, String> {
    let url = url.strip_prefix("jdbc:").unwrap_or(url);
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err(without_scheme(url));
    };
    // SQLAlchemy writes its driver there.
    let (scheme, _driver) = scheme.split_once('+').unwrap_or((scheme, ""));
    match scheme {
        "sqlite" => sqlite(rest.strip_prefix("//").unwrap_or(rest)),
        "postgres" | "postgresql" => match rest.strip_prefix("//") {
            Some(rest) => postgres(rest),
            None => Err(format!("has no // after {scheme}: {WRITE}")),
        },
        "file" | "sqlite3" => Err(format!("has the scheme {scheme:?}: write sqlite://PATH")),
        "pgsql" | "psql" | "pg" | "postgre" => {
            Err(format!("has the scheme {scheme:?}: write postgres://USER:PASSWORD@HOST:5432/DATABASE"))
        }
        "mysql" | "mariadb" | "sqlserver" | "oracle" | "mongodb" => {
            Err(format!("names {scheme}, which is not supported: {WRITE}"))
        }
        _ => Err(without_scheme(url)),
    }
}

/// A text without a scheme may contain secrets, so only a path is repeated.
fn without_scheme(url: &str) -> String {
    let is_path = !url.is_empty() && !url.contains(['@', '=', ':', '?']);
    match (is_path, url.contains('=')) {
        (true, _) => format!("has no scheme: did you mean sqlite://{url}?"),
        (false, true) => format!("is a list of keys and values, not a URL: {WRITE}"),
        (false, false) => WRITE.to_owned(),
    }
}

fn sqlite(rest: &str) -> Result<StorePlace, String> {
    let (path, options) = rest.split_once('?').unwrap_or((rest, ""));
    for (option, value) in pairs(options) {
        // A new file is created, and no cache is shared, whatever the URL says.
        if !matches!((option, value), ("mode", "rwc") | ("cache", "private")) {
            return Err(format!("has the option {option:?}, which SQLite does not take here: leave it out"));
        }
    }
    match path {
        "" => Err("a path is missing after sqlite://".to_owned()),
        ":memory:" | "/:memory:" => {
            Err("names a database in memory, which would end with the process: write sqlite://PATH"
                .to_owned())
        }
        path if path.ends_with('/') => Err("names a folder: add the name of the file".to_owned()),
        path => Ok(StorePlace::File(PathBuf::from(path))),
    }
}

fn postgres(rest: &str) -> Result<StorePlace, String> {
    let (user_info, place) = match end_of_user_info(rest) {
        Some(end) => (Some(&rest[..end]), &rest[end + 1..]),
        None => (None, rest),
    };
    let (place, options) = place.split_once('?').unwrap_or((place, ""));
    if place.contains('#') {
        return Err("has a # in it: write %23 where a name has one".to_owned());
    }
    let authority = place.split('/').next().unwrap_or_default();
    check_authority(authority)?;
    let mut known = Vec::new();
    for (option, value) in pairs(options) {
        known.push(postgres_option(option, value)?);
    }
    let mut url = "postgres://".to_owned();
    if let Some(user_info) = user_info {
        let (user, password) = user_info.split_once(':').map_or((user_info, None), |(u, p)| (u, Some(p)));
        url += &escaped(user);
        if let Some(password) = password {
            url.push(':');
            url += &escaped(password);
        }
        url.push('@');
    }
    url += place;
    if !known.is_empty() {
        url.push('?');
        url += &known.join("&");
    }
    Ok(StorePlace::Server(url))
}

/// Where name and password end. Both may hold an `@`, and so may an option: the last `@` counts that a host follows and that
/// is in no option.
fn end_of_user_info(rest: &str) -> Option<usize> {
    let leads_to_host = |at: usize| {
        let host = rest[at + 1..].split(['/', '?']).next().unwrap_or_default();
        host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:[]%".contains(c))
    };
    let is_in_option = |at: usize| {
        let option = rest[..at].rsplit_once('?').and_then(|(_, options)| options.split_once('='));
        option.is_some_and(|(option, _)| POSTGRES_OPTIONS.contains(&option))
    };
    let ends = rest.rmatch_indices('@').map(|(at, _)| at);
    ends.into_iter().find(|at| leads_to_host(*at) && !is_in_option(*at))
}

fn check_authority(authority: &str) -> Result<(), String> {
    if authority.contains(',') {
        return Err(
            "names several hosts: write one, such as a proxy that knows which is the primary".to_owned()
        );
    }
    let port = match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => port,
        _ => return Ok(()),
    };
    match port.parse::<u16>() {
        Ok(1..) => Ok(()),
        _ => {
            Err("has an invalid port, or a password with a character that must be escaped (%40 for @)"
                .to_owned())
        }
    }
}

fn postgres_option(option: &str, value: &str) -> Result<String, String> {
    match (option, value) {
        // JDBC's.
        ("ssl", "true") => Ok("sslmode=require".to_owned()),
        ("ssl", "false") => Ok("sslmode=disable".to_owned()),
        ("ApplicationName", _) => Ok(format!("application_name={value}")),
        ("sslmode", mode) if !SSL_MODES.contains(&mode) => {
            Err(format!("has sslmode={mode:?}: use {}", SSL_MODES.join(", ")))
        }
        (option, _) if POSTGRES_OPTIONS.contains(&option) => Ok(format!("{option}={value}")),
        (option, _) => {
            Err(format!("has the unknown option {option:?}: known are {}", POSTGRES_OPTIONS.join(", ")))
        }
    }
}

fn pairs(options: &str) -> impl Iterator<Item = (&str, &str)> {
    options.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// A name or password as a URL takes it (RFC 3986 section 3.2.1). What is escaped already stays.
fn escaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut url = String::with_capacity(text.len());
    for (place, byte) in bytes.iter().enumerate() {
        let is_escape = *byte == b'%'
            && bytes.get(place + 1..place + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(byte) || is_escape {
            url.push(char::from(*byte));
        } else {
            let digit = |value: u8| char::from(HEX_DIGITS[usize::from(value)]);
            url.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_understood_is_honoured() {
        for (url, path) in [
            ("sqlite://data/ssl.db", "data/ssl.db"),
            ("sqlite:///var/lib/ssl.db", "/var/lib/ssl.db"),
            ("sqlite:data/ssl.db", "data/ssl.db"),
            ("sqlite:/var/lib/ssl.db", "/var/lib/ssl.db"),
            ("jdbc:sqlite:/var/lib/ssl.db", "/var/lib/ssl.db"),
            ("sqlite://data/ssl.db?mode=rwc", "data/ssl.db"),
            (" sqlite://data/ssl.db\r", "data/ssl.db"),
        ] {
            let found = place(url.trim());
            assert!(found == Ok(StorePlace::File(path.into())), "{url}");
        }
        for (url, server) in [
            ("postgres://u:p@h/db", "postgres://u:p@h/db"),
            ("postgresql://h:5433/db", "postgres://h:5433/db"),
            ("postgres:///db?host=/run/postgresql", "postgres:///db?host=/run/postgresql"),
            ("postgres://u@%2Frun%2Fpostgresql/db", "postgres://u@%2Frun%2Fpostgresql/db"),
            (
                "jdbc:postgresql://h/db?user=u&password=p&ssl=true",
                "postgres://h/db?user=u&password=p&sslmode=require",
            ),
            ("postgresql+asyncpg://u:p@h/db", "postgres://u:p@h/db"),
            ("postgres://u:p@ss/w#rd?%@h:5432/db", "postgres://u:p%40ss%2Fw%23rd%3F%25@h:5432/db"),
            ("postgres://u:p%40ss@h/db", "postgres://u:p%40ss@h/db"),
            ("postgres://u:a:b@[::1]:5432/db", "postgres://u:a%3Ab@[::1]:5432/db"),
            (
                "postgres://u:p@h/db?options=-csearch_path%3Da@b",
                "postgres://u:p@h/db?options=-csearch_path%3Da@b",
            ),
            ("postgres://h/db?sslmode=verify-full", "postgres://h/db?sslmode=verify-full"),
        ] {
            let found = place(url);
            assert!(found == Ok(StorePlace::Server(server.to_owned())), "{url}: {:?}", found.err());
        }
    }

    #[test]
    fn everything_else_has_a_sentence_without_the_password() {
        for (url, told) in [
            ("sqlite://", "a path is missing"),
            ("sqlite::memory:", "in memory"),
            ("sqlite://data/", "names a folder"),
            ("sqlite://data/ssl.db?mode=ro", "the option \"mode\""),
            ("data/ssl.db", "did you mean sqlite://data/ssl.db?"),
            ("/var/lib/ssl.db", "did you mean sqlite:///var/lib/ssl.db?"),
            ("file:data/ssl.db", "write sqlite://PATH"),
            ("", "write sqlite://PATH"),
            ("postgres:h/db", "has no //"),
            ("psql://u:secret@h/db", "write postgres://"),
            ("mysql://u:secret@h/db", "not supported"),
            ("jdbc:mysql://h/db?password=secret", "not supported"),
            ("host=h user=u password=secret", "a list of keys and values"),
            ("host=h password=se:cret", "a list of keys and values"),
            ("postgres://u:secret@h:port/db", "an invalid port"),
            ("postgres://u:secret@h:0/db", "an invalid port"),
            ("postgres://u:secret@h1,h2/db", "several hosts"),
            ("postgres://h1,h2/db", "several hosts"),
            (
                "postgres://u:secret@h/db?connect_timeout=3",
                "the unknown option \"connect_timeout\": known are",
            ),
            ("postgres://u:secret@h/db?sslmode=yes", "use disable, allow, prefer, require"),
            ("postgres://u:secret@h/db#x", "has a #"),
        ] {
            let Err(sentence) = place(url) else { panic!("{url} was taken") };
            assert!(sentence.contains(told), "{url}: {sentence}");
            assert!(!sentence.contains("secret"), "{sentence}");
        }
    }
}
