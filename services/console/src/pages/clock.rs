//! The time zone of the page: a preference of the browser, kept in a cookie.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};

use crate::App;
use crate::form::Form;
use crate::page::Frame;
use crate::pages::sign_in::own_path;
use crate::problem::Problem;
use crate::session::with_cookie;
use crate::zone::Choice;

pub(crate) async fn set(State(app): State<App>, frame: Frame, body: Body) -> Result<Response, Problem> {
    let form = Form::of(&frame.person, body).await?;
    let choice = Choice::of(form.get("clock")).unwrap_or(Choice::Mine);
    let back = Redirect::to(&own_path(form.get("to"))).into_response();
    Ok(with_cookie(back, app.cookies.preference("clock", choice.word())))
}
