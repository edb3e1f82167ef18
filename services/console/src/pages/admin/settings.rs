//! The settings of the API's process, by section.

use askama::Template;
use axum::response::Response;
use proto::v1;

use super::require;
use crate::page::Frame;
use crate::problem::{Problem, html};

struct Section {
    name: String,
    settings: Vec<v1::Setting>,
}

#[derive(Template)]
#[template(path = "admin/settings.html")]
struct SettingsPage {
    frame: Frame,
    sections: Vec<Section>,
}

/// Answers `/admin/settings`.
pub(super) async fn show(frame: Frame) -> Result<Response, Problem> {
    require(&frame)?;
    let answer = frame.administration().get_settings(v1::GetSettingsRequest {}).await?.into_inner();
    let mut sections: Vec<Section> = Vec::new();
    for setting in answer.settings {
        let name = setting.key.split('.').next().unwrap_or_default();
        match sections.last_mut().filter(|section| section.name == name) {
            Some(section) => section.settings.push(setting),
            None => sections.push(Section { name: name.to_owned(), settings: vec![setting] }),
        }
    }
    Ok(html(&SettingsPage { frame, sections }))
}
