//! What the six statuses mean, the keys, and who may do what: a page, which the script also shows as a dialog.

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
    statuses: [(Badge, &'static str, &'static str); 6],
    keys: [(&'static str, &'static str); 6],
    roles: Vec<(Role, String)>,
}

/// Answers `/help`.
pub(crate) async fn show(frame: Frame) -> Response {
    let statuses = [
        v1::Status::Emergency,
        v1::Status::Expired,
        v1::Status::Failure,
        v1::Status::Discard,
        v1::Status::Pending,
        v1::Status::Success,
    ];
    html(&HelpPage {
        frame,
        statuses: statuses.map(|status| {
            let (meaning, next) = words::legend(status);
            (Badge(status), meaning, next)
        }),
        keys: words::KEYS,
        roles: Role::ALL.map(|role| (role, may(role))).to_vec(),
    })
}

fn may(role: Role) -> String {
    let actions =
        [Action::Read, Action::Operate, Action::ReadKey, Action::Revoke, Action::Pause, Action::Webhooks];
    let may = actions.into_iter().filter(|action| role.may(*action)).map(words::may);
    may.collect::<Vec<_>>().join(", ")
}
