//! Reads the files with secrets and roots that settings name, when a role starts.

use std::path::Path;

use zeroize::Zeroizing;

use super::{ApiOidc, C4, ConsoleOidc, Notifier};
use crate::RoleError;

/// Far over what any token or password has.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

impl C4 {
    /// The bearer token, from the setting or its file.
    pub fn bearer_token(&self) -> Result<Zeroizing<String>, RoleError> {
        if !self.token.is_empty() {
            return Ok(Zeroizing::new(self.token.expose().to_owned()));
        }
        let token = read_text("c4.token_file", &self.token_file)?;
        if token.is_empty() {
            return Err(RoleError::setting("c4.token_file", "holds no token"));
        }
        Ok(token)
    }

    /// The extra root, if one is configured.
    pub fn root_certificate_pem(&self) -> Result<Option<Vec<u8>>, RoleError> {
        let path = &self.root_certificate_file;
        if path.as_os_str().is_empty() { Ok(None) } else { read("c4.root_certificate_file", path).map(Some) }
    }
}

impl ApiOidc {
    /// The extra root, if one is configured.
    pub fn root_certificate_pem(&self) -> Result<Option<Vec<u8>>, RoleError> {
        let path = &self.root_certificate_file;
        if path.as_os_str().is_empty() {
            Ok(None)
        } else {
            read("api.oidc.root_certificate_file", path).map(Some)
        }
    }
}

impl ConsoleOidc {
    /// The client's secret; none for a public client.
    pub fn client_secret(&self) -> Result<Option<Zeroizing<String>>, RoleError> {
        let (setting, path) = ("console.oidc.client_secret_file", &self.client_secret_file);
        if path.as_os_str().is_empty() {
            return Ok(None);
        }
        let secret = read_text(setting, path)?;
        if secret.is_empty() {
            return Err(RoleError::setting(setting, "holds no secret"));
        }
        Ok(Some(secret))
    }

    /// The extra root, if one is configured.
    pub fn root_certificate_pem(&self) -> Result<Option<Vec<u8>>, RoleError> {
        let path = &self.root_certificate_file;
        if path.as_os_str().is_empty() {
            Ok(None)
        } else {
            read("console.oidc.root_certificate_file", path).map(Some)
        }
    }
}

impl Notifier {
    /// The extra root, if one is configured.
    pub fn root_certificate_pem(&self) -> Result<Option<Vec<u8>>, RoleError> {
        let path = &self.root_certificate_file;
        if path.as_os_str().is_empty() {
            Ok(None)
        } else {
            read("notifier.root_certificate_file", path).map(Some)
        }
    }
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, RoleError> {
    std::fs::read(path)
        .map_err(|error| RoleError::setting(setting, format!("cannot read {}: {error}", path.display())))
}

/// A secret's text, without what an editor put around it.
fn read_text(setting: &'static str, path: &Path) -> Result<Zeroizing<String>, RoleError> {
    let text = text_file::read(path, MAX_SECRET_BYTES)
        .map_err(|error| RoleError::setting(setting, format!("cannot read {}: {error}", path.display())))?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}
