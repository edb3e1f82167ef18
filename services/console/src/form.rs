//! What a form sent: read within bounds, and only if it carries its session's own value.

use std::collections::HashMap;

use axum::body::Body;
use http::StatusCode;
use http_body_util::BodyExt;
use url::form_urlencoded;
use zeroize::Zeroizing;

use crate::csrf;
use crate::problem::Problem;
use crate::session::Person;

/// A paste of 10 MB gets a sentence of its own further in; what is beyond that is cut off here.
const MOST_BYTES: usize = 12 * 1024 * 1024;
/// Nobody pastes that by mistake: the connection is closed.
const MOST_READ_BYTES: usize = 128 * 1024 * 1024;

/// The fields of a form, in order; names may come more than once. No `Debug`: there may be a password or a key in it.
pub(crate) struct Form(Vec<(String, Zeroizing<String>)>);

impl Form {
    /// Reads a form of somebody who is signed in.
    pub(crate) async fn of(person: &Person, body: Body) -> Result<Self, Problem> {
        let form = Self::read(body).await?;
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

    /// Reads a form of somebody who is not signed in yet.
    pub(crate) async fn read(body: Body) -> Result<Self, Problem> {
        let bytes = bytes_of(body).await?;
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

/// The bytes of a form. What is too large is read on and thrown away: a browser that is answered while it still sends
/// shows that the connection broke, and not the answer.
async fn bytes_of(mut body: Body) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let mut bytes = Zeroizing::new(Vec::new());
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            let sentence = "The form did not arrive whole. Send it again.";
            Problem::new(StatusCode::BAD_REQUEST, "FORM_CUT", sentence)
        })?;
        let Ok(data) = frame.into_data() else { continue };
        total += data.len();
        if total <= MOST_BYTES {
            bytes.extend_from_slice(&data);
        } else if total > MOST_READ_BYTES {
            break;
        }
    }
    if total > MOST_BYTES {
        let sentence = "That is too much at once. Send at most 12 MB.";
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "FORM_TOO_LARGE", sentence));
    }
    Ok(bytes)
}

/// The pairs of a query; the last of a name counts, except where a page wants all of them.
pub(crate) fn query(text: Option<&str>) -> HashMap<String, String> {
    form_urlencoded::parse(text.unwrap_or_default().as_bytes()).into_owned().collect()
}
