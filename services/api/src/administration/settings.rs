//! The settings of this process.

use proto::v1;
use tonic::Status;

use super::{AdministrationService, Administrator};
use crate::error::internal;

impl AdministrationService {
    pub(super) async fn settings(&self, by: &Administrator) -> Result<v1::GetSettingsResponse, Status> {
        let settings = self.context.config.read_settings().map_err(|problem| internal(&problem))?;
        self.note(by, "", "").await?;
        let setting = |setting: runtime::config::Setting| v1::Setting {
            key: setting.key,
            value: setting.value.to_string(),
            origin: setting.origin,
        };
        Ok(v1::GetSettingsResponse { settings: settings.into_iter().map(setting).collect() })
    }
}
