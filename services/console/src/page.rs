//! What every page has around its content: title, navigation, who is signed in, the clock.

use axum::extract::FromRequestParts;
use axum::response::Response;
use domain::Action;
use http::request::Parts;
use jiff::Timestamp;

use crate::App;
use crate::form::query;
use crate::session::{self, Person};
use crate::words::{self, Done};
use crate::zone::Zone;

/// The frame of a page for somebody who is signed in.
pub(crate) struct Frame {
    pub(crate) app: App,
    pub(crate) person: Person,
    pub(crate) zone: Zone,
    /// Path and query of this page.
    pub(crate) here: String,
    pub(crate) csrf: String,
    pub(crate) now: Timestamp,
}

impl FromRequestParts<App> for Frame {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let person = Person::from_request_parts(parts, app).await?;
        Ok(Self {
            zone: Zone::of(&parts.headers),
            here: session::here(parts),
            csrf: person.csrf(app),
            now: app.process.clock.now(),
            app: app.clone(),
            person,
        })
    }
}

impl Frame {
    /// As the person who is signed in.
    pub(crate) fn domains(&self) -> crate::api::Domains {
        self.app.api.domains(&self.person.token)
    }

    pub(crate) fn may_operate(&self) -> bool {
        self.person.may(Action::Operate)
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

    /// What was just done, if the address says so.
    pub(crate) fn done(&self) -> Option<Done> {
        let (_, text) = self.here.split_once('?')?;
        words::done(query(Some(text)).get("done")?)
    }
}
