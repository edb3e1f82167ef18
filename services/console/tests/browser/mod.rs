//! What a browser does with addresses and cookies, as far as signing in depends on it: cookies by path, and `SameSite`.

use std::collections::BTreeMap;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};

/// A browser with an empty cookie jar for one host.
pub(crate) struct Browser {
    client: Client,
    /// By name and path.
    cookies: BTreeMap<(String, String), Cookie>,
}

pub(crate) struct Cookie {
    pub(crate) value: String,
    /// As it came, for tests that look at how it is marked.
    pub(crate) whole: String,
    is_strict: bool,
}

/// An answer, read to its end.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) location: Option<Url>,
    pub(crate) body: String,
}

impl Browser {
    pub(crate) fn new() -> Self {
        Self {
            client: Client::builder().redirect(Policy::none()).no_proxy().build().unwrap(),
            cookies: BTreeMap::new(),
        }
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<&Cookie> {
        let mut found = self.cookies.iter();
        found.find(|((cookie, _), _)| cookie == name).map(|(_, cookie)| cookie)
    }

    pub(crate) fn set_cookie(&mut self, name: &str, change: impl FnOnce(&mut String)) {
        let mut found = self.cookies.iter_mut();
        let cookie = found.find(|((cookie, _), _)| cookie == name).unwrap().1;
        change(&mut cookie.value);
    }

    /// Follows a link of our own site.
    pub(crate) async fn follow(&mut self, address: &Url) -> Page {
        self.get(address, "same-origin").await
    }

    /// Comes from another site: by a link there, or sent on by it.
    pub(crate) async fn arrive(&mut self, address: &Url) -> Page {
        self.get(address, "cross-site").await
    }

    async fn get(&mut self, address: &Url, site: &str) -> Page {
        let is_sent = |path: &str| address.path() == path || path == "/" || is_below(address.path(), path);
        let sent: Vec<String> = self
            .cookies
            .iter()
            .filter(|((_, path), cookie)| is_sent(path) && !(cookie.is_strict && site == "cross-site"))
            .map(|((name, _), cookie)| format!("{name}={}", cookie.value))
            .collect();
        let request = self
            .client
            .get(address.clone())
            .header("sec-fetch-site", site)
            .header("sec-fetch-mode", "navigate");
        let answer = request.header(COOKIE, sent.join("; ")).send().await.unwrap();
        self.keep(&answer);
        let location = answer.headers().get(LOCATION);
        Page {
            status: answer.status(),
            location: location.map(|to| address.join(to.to_str().unwrap()).unwrap()),
            body: answer.text().await.unwrap(),
        }
    }

    fn keep(&mut self, answer: &Response) {
        for header in answer.headers().get_all(SET_COOKIE) {
            let whole = header.to_str().unwrap();
            let mut parts = whole.split("; ");
            let (name, value) = parts.next().unwrap().split_once('=').unwrap();
            let attributes: Vec<&str> = parts.collect();
            let path = attributes.iter().find_map(|part| part.strip_prefix("Path="));
            let key = (name.to_owned(), path.unwrap_or("/").to_owned());
            if attributes.contains(&"Max-Age=0") {
                self.cookies.remove(&key);
                continue;
            }
            let cookie = Cookie {
                value: value.to_owned(),
                whole: whole.to_owned(),
                is_strict: attributes.contains(&"SameSite=Strict"),
            };
            self.cookies.insert(key, cookie);
        }
    }
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}
