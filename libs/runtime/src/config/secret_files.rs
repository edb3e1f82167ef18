//! Refuses files with secrets that users other than their owner can read, as for the sealing-key file.

use std::fs;
use std::path::Path;

use super::Config;
use crate::{RoleError, RoleName};

impl Config {
    /// Looks at every file with a secret that these roles read.
    pub(super) fn check_secret_files(&self, roles: &[RoleName], problem: &mut impl FnMut(&str, String)) {
        if self.keys.open_secret_files {
            return;
        }
        let mut check = |setting: &str, path: &Path| {
            if let Some(what) = open_to_others(path) {
                problem(setting, what);
            }
        };
        let has = |role| roles.contains(&role);
        if let Some(tls) = self.api.tls.as_ref().filter(|_| has(RoleName::Api)) {
            check("api.tls.key_file", &tls.key_file);
        }
        if [RoleName::Api, RoleName::Issuer, RoleName::C4Uploader].into_iter().any(has) {
            check("c4.token_file", &self.c4.token_file);
        }
        if has(RoleName::Issuer) {
            for (index, issuer) in self.acme.issuers.iter().enumerate() {
                check(&format!("acme.issuers.{index}.eab_hmac_key_file"), &issuer.eab_hmac_key_file);
            }
        }
        if has(RoleName::Console) {
            if let Some(tls) = &self.console.tls {
                check("console.tls.key_file", &tls.key_file);
            }
            if let Some(oidc) = &self.console.oidc {
                check("console.oidc.client_secret_file", &oidc.client_secret_file);
            }
            check("console.api.client_key_file", &self.console.api.client_key_file);
        }
    }
}

impl Config {
    /// The same of one file that is read again.
    pub fn check_secret_file(&self, setting: &'static str, path: &Path) -> Result<(), RoleError> {
        let problem = (!self.keys.open_secret_files).then(|| open_to_others(path)).flatten();
        problem.map_or(Ok(()), |what| Err(RoleError::setting(setting, what)))
    }
}

/// The error in the mode of a file; none if the file does not exist, which other checks report.
fn open_to_others(path: &Path) -> Option<String> {
    text_file::open_to_others(path, &fs::metadata(path).ok()?)
}
