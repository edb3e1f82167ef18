//! The frame of every page: title, navigation, the signed-in person, the clock.

use axum::extract::FromRequestParts;
use axum::response::Response;
use domain::Action;
use http::Method;
use http::request::Parts;
use jiff::Timestamp;
use proto::v1;

use crate::App;
use crate::filter::Filter;
use crate::form::query;
use crate::session::{self, Person, cookie};
use crate::words::{self, Done};
use crate::zone::Zone;

/// The frame of a page for a signed-in person.
pub(crate) struct Frame {
    pub(crate) app: App,
    pub(crate) person: Person,
    pub(crate) zone: Zone,
    /// Path and query of this page.
    pub(crate) here: String,
    pub(crate) csrf: String,
    pub(crate) now: Timestamp,
    /// The list in figures, for the banner that every page has; none if it was not to be had.
    pub(crate) summary: Option<v1::GetSummaryResponse>,
    /// The query of the list that was looked at last, so that the way back leads there.
    list: String,
}

/// The cookie with the query of the list that was looked at last.
pub(crate) const LIST: &str = "list";

impl FromRequestParts<App> for Frame {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let person = Person::from_request_parts(parts, app).await?;
        Ok(Self {
            summary: summary(app, &person, parts).await,
            list: cookie(&parts.headers, LIST).unwrap_or_default().to_owned(),
            zone: Zone::of(&parts.headers),
            here: session::here(parts),
            csrf: person.csrf(app),
            now: app.process.clock.now(),
            app: app.clone(),
            person,
        })
    }
}

/// Files need none, nor does what leads to another page.
async fn summary(app: &App, person: &Person, parts: &Parts) -> Option<v1::GetSummaryResponse> {
    let path = parts.uri.path();
    let is_file = [".csv", ".jsonl", ".pem"].iter().any(|end| path.ends_with(end));
    if parts.method != Method::GET || is_file {
        return None;
    }
    let answer = app.api.domains(&person.token).get_summary(v1::GetSummaryRequest {}).await;
    answer.ok().map(tonic::Response::into_inner)
}

impl Frame {
    /// How many domains have a status.
    pub(crate) fn count(&self, status: v1::Status) -> u64 {
        let counts = self.summary.iter().flat_map(|summary| &summary.statuses);
        counts.filter(|count| count.status() == status).map(|count| count.domains).sum()
    }

    /// How many live domains end soon and do not renew by themselves.
    pub(crate) fn at_risk(&self) -> String {
        words::number(self.summary.as_ref().map_or(0, |summary| summary.at_risk))
    }

    pub(crate) fn emergencies(&self) -> u64 {
        self.count(v1::Status::Emergency)
    }

    /// In front of the title, as long as there is an emergency.
    pub(crate) fn alarm(&self) -> String {
        words::alarm(self.emergencies())
    }

    pub(crate) fn emergency_words(&self) -> String {
        words::emergencies(self.emergencies())
    }

    /// The pauses, one sentence each.
    pub(crate) fn paused(&self) -> Vec<String> {
        let pauses = self.summary.as_ref().map(|summary| summary.pauses.as_slice());
        words::paused(pauses.unwrap_or_default(), &self.zone)
    }

    /// The list as it was looked at last.
    pub(crate) fn list(&self) -> Filter {
        Filter::parse(Some(&self.list))
    }

    /// The way back to it, in words.
    pub(crate) fn list_label(&self) -> &'static str {
        if self.list().is_empty() { "All domains" } else { "Back to the filtered list" }
    }

    pub(crate) fn contact(&self) -> Contact<'_> {
        Contact(&self.app.process.config.console.support_contact)
    }

    /// As the person who is signed in.
    pub(crate) fn domains(&self) -> crate::api::Domains {
        self.app.api.domains(&self.person.token)
    }

    /// The administration, as the person who is signed in.
    pub(crate) fn administration(&self) -> crate::api::Administration {
        self.app.api.administration(&self.person.token)
    }

    pub(crate) fn may_administer(&self) -> bool {
        self.person.may(Action::Administer)
    }

    /// The same for jobs.
    pub(crate) fn jobs(&self) -> crate::api::Jobs {
        self.app.api.jobs(&self.person.token)
    }

    pub(crate) fn may_operate(&self) -> bool {
        self.person.may(Action::Operate)
    }

    pub(crate) fn may_see_webhooks(&self) -> bool {
        self.person.may(Action::Webhooks)
    }

    pub(crate) fn may_read_keys(&self) -> bool {
        self.person.may(Action::ReadKey)
    }

    pub(crate) fn may_revoke(&self) -> bool {
        self.person.may(Action::Revoke)
    }

    /// Whether this page is in that part of the navigation.
    pub(crate) fn is_in(&self, path: &str) -> bool {
        self.here.split('?').next() == Some(path)
    }

    /// Whether this page is that one, or below it.
    pub(crate) fn is_below(&self, path: &str) -> bool {
        let here = self.here.split('?').next().unwrap_or_default();
        here.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The message about the last action, if the address has one.
    pub(crate) fn done(&self) -> Option<Done> {
        let (_, text) = self.here.split_once('?')?;
        words::done(query(Some(text)).get("done")?)
    }
}

/// The configured contact for users who need help.
#[derive(Clone, Copy)]
pub(crate) struct Contact<'a>(pub(crate) &'a str);

impl Contact<'_> {
    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn text(&self) -> &str {
        self.0
    }

    /// Where it leads; empty where it is neither an https address nor one for e-mail.
    pub(crate) fn address(self) -> String {
        let is_one_word = !self.0.contains(char::is_whitespace);
        match self.0 {
            text if text.starts_with("https://") && is_one_word => text.to_owned(),
            text if text.contains('@') && !text.contains(':') && is_one_word => format!("mailto:{text}"),
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_leads_where_it_can() {
        for (text, address) in [
            ("ssl-help@example.net", "mailto:ssl-help@example.net"),
            ("https://help.example.net/ssl", "https://help.example.net/ssl"),
            ("javascript:alert(1)@x", ""),
            ("the night desk, extension 4711", ""),
            ("", ""),
        ] {
            assert_eq!(Contact(text).address(), address, "{text}");
        }
    }
}
