//! The six statuses, the keys, and the rights of roles. The list shows the first two in place.

use askama::Template;
use axum::response::Response;
use domain::{Action, Role};
use proto::v1;

use crate::page::Frame;
use crate::problem::html;
use crate::row::Badge;
use crate::words;

#[derive(Template)]
#[template(path = "help.html")]
struct HelpPage {
    frame: Frame,
    statuses: [Meaning; 6],
    keys: [(&'static str, &'static str); 6],
    roles: Vec<(Role, String)>,
}

/// A status, its meaning, and the next step.
pub(crate) type Meaning = (Badge, &'static str, &'static str);

/// The six statuses, the most urgent first.
pub(crate) fn statuses() -> [Meaning; 6] {
    let statuses = [
        v1::Status::Emergency,
        v1::Status::Expired,
        v1::Status::Failure,
        v1::Status::Discard,
        v1::Status::Pending,
        v1::Status::Success,
    ];
    statuses.map(|status| {
        let (meaning, next) = words::legend(status);
        (Badge(status), meaning, next)
    })
}

/// Answers `/help`.
pub(crate) async fn show(frame: Frame) -> Response {
    html(&HelpPage {
        frame,
        statuses: statuses(),
        keys: words::KEYS,
        roles: Role::ALL.map(|role| (role, may(role))).to_vec(),
    })
}

fn may(role: Role) -> String {
    let may = Action::ALL.into_iter().filter(|action| role.may(*action)).map(words::may);
    may.collect::<Vec<_>>().join(", ")
}
