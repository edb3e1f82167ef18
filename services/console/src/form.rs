//! Reads a submitted form within bounds, and only if it has its session's CSRF value.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use http::StatusCode;
use http_body_util::BodyExt;
use runtime::Shares;
use url::form_urlencoded;
use zeroize::Zeroizing;

use crate::csrf;
use crate::problem::Problem;
use crate::session::Person;
use crate::strangers::{Strangers, busy};

const MEGABYTE: usize = 1024 * 1024;
/// Maximum bytes of a form of a signed-in person.
const MAX_BYTES: usize = 256 * 1024;
/// A list of names is long; of a certificate or key that is far too long the page says so beside its field.
const MAX_LARGE_BYTES: usize = 12 * MEGABYTE;
const MAX_STRANGERS_BYTES: usize = 8 * 1024;
/// What a person sends beyond that is read on and thrown away up to here: a browser that is answered while it still sends
/// shows that the connection broke, and not the answer.
const MAX_READ_BYTES: usize = 128 * MEGABYTE;
const TIMEOUT: Duration = Duration::from_secs(30);
const STRANGERS_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of forms that are on their way, all and one person's.
const BUDGET: usize = 32 * MEGABYTE;
const BUDGET_PER_PERSON: usize = 13 * MEGABYTE;

static BYTES: LazyLock<Arc<Shares<String>>> = LazyLock::new(|| Shares::new(BUDGET, BUDGET_PER_PERSON));

/// The fields of a form, in order; names may come more than once. No `Debug`: there may be a password or a key in it.
pub(crate) struct Form(Vec<(String, Zeroizing<String>)>);

impl Form {
    /// Reads a form of a signed-in person.
    pub(crate) async fn of(person: &Person, body: Body) -> Result<Self, Problem> {
        Self::of_person(person, body, MAX_BYTES).await
    }

    /// Reads a form with a field that may be long.
    pub(crate) async fn large_of(person: &Person, body: Body) -> Result<Self, Problem> {
        Self::of_person(person, body, MAX_LARGE_BYTES).await
    }

    async fn of_person(person: &Person, body: Body, most: usize) -> Result<Self, Problem> {
        let mut share = BYTES.take(&person.name, 0).map_err(|_| busy())?;
        let limits = Limits { kept: most, read: MAX_READ_BYTES, within: TIMEOUT };
        let form = Self::read(body, limits, |length| share.grow(length).map_err(|_| busy())).await?;
        if !csrf::fits(&person.token, form.get("csrf")) {
            tracing::warn!(person = person.name, "a form that is not of this session was refused");
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "FORM_NOT_OURS",
                "This form does not belong to your session. Open the page again and send it from there.",
            ));
        }
        Ok(form)
    }

    /// Reads a form before the sign-in.
    pub(crate) async fn of_stranger(strangers: &Strangers, body: Body) -> Result<Self, Problem> {
        let _share = strangers.body()?;
        let limits =
            Limits { kept: MAX_STRANGERS_BYTES, read: MAX_STRANGERS_BYTES, within: STRANGERS_TIMEOUT };
        Self::read(body, limits, |_| Ok(())).await
    }

    async fn read(
        body: Body,
        limits: Limits,
        lend: impl FnMut(usize) -> Result<(), Problem>,
    ) -> Result<Self, Problem> {
        if body.size_hint().lower() > limits.read as u64 {
            return Err(too_large(limits.kept));
        }
        let bytes = tokio::time::timeout(limits.within, whole(body, limits, lend)).await;
        let bytes = bytes.map_err(|_| {
            let sentence = "The form did not arrive in time. Send it again.";
            Problem::new(StatusCode::REQUEST_TIMEOUT, "FORM_TOO_SLOW", sentence)
        })??;
        let fields = form_urlencoded::parse(&bytes);
        Ok(Self(
            fields.map(|(name, value)| (name.into_owned(), Zeroizing::new(value.into_owned()))).collect(),
        ))
    }

    /// The value of a field; empty where there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(field, _)| field == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// Whether a box is ticked.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        !self.get(name).is_empty()
    }

    /// Every value of a field.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let found = self.0.iter().filter(move |(field, _)| field == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What is taken of a form: so many bytes are kept, so many read at all, within that time.
#[derive(Clone, Copy)]
struct Limits {
    kept: usize,
    read: usize,
    within: Duration,
}

/// All bytes of a body. Errors: there are more than are kept.
async fn whole(
    mut body: Body,
    limits: Limits,
    mut lend: impl FnMut(usize) -> Result<(), Problem>,
) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let mut bytes = Zeroizing::new(Vec::new());
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            let sentence = "The form did not arrive completely. Send it again.";
            Problem::new(StatusCode::BAD_REQUEST, "FORM_CUT", sentence)
        })?;
        let Ok(data) = frame.into_data() else { continue };
        total += data.len();
        if total <= limits.kept {
            lend(data.len())?;
            bytes.extend_from_slice(&data);
        } else if total > limits.read {
            break;
        }
    }
    if total > limits.kept {
        return Err(too_large(limits.kept));
    }
    Ok(bytes)
}

fn too_large(most: usize) -> Problem {
    let room =
        if most < MEGABYTE { format!("{} KB", most / 1024) } else { format!("{} MB", most / MEGABYTE) };
    let sentence = format!("That is too much at once. Send at most {room}.");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "FORM_TOO_LARGE", sentence)
}

/// The pairs of a query; the last of a name counts, except where a page wants all of them.
pub(crate) fn query(text: Option<&str>) -> HashMap<String, String> {
    form_urlencoded::parse(text.unwrap_or_default().as_bytes()).into_owned().collect()
}
