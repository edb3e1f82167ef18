//! What settings name rather than hold: files with secrets and roots, read when a role starts.

use std::path::Path;

use zeroize::Zeroizing;

use super::{ApiOidc, C4, ConsoleOidc};
use crate::RoleError;

impl C4 {
    /// The bearer token, from the setting or its file.
    pub fn bearer_token(&self) -> Result<Zeroizing<String>, RoleError> {
        if !self.token.is_empty() {
            return Ok(Zeroizing::new(self.token.expose().to_owned()));
        }
        let text = Zeroizing::new(read("c4.token_file", &self.token_file)?);
        let token = std::str::from_utf8(&text).map(str::trim).unwrap_or_default();
        if token.is_empty() {
            return Err(RoleError::setting("c4.token_file", "holds no token"));
        }
        Ok(Zeroizing::new(token.to_owned()))
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
        let text = Zeroizing::new(read(setting, path)?);
        let secret = std::str::from_utf8(&text).map(str::trim).unwrap_or_default();
        if secret.is_empty() {
            return Err(RoleError::setting(setting, "holds no secret"));
        }
        Ok(Some(Zeroizing::new(secret.to_owned())))
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

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, RoleError> {
    std::fs::read(path)
        .map_err(|error| RoleError::setting(setting, format!("cannot read {}: {error}", path.display())))
}
