//! People sign in with an ID token of the OpenID provider.
//!
//! They have no row among the users: the provider decides at each sign-in who may sign in with which roles. Their names
//! begin with [`PROVIDER_PREFIX`], so that `ann` at the provider is never confused with the user `ann`. Why no row of
//! users is written: the API's database role would then need the right to write any role for any user.

use std::time::Duration;

use audit::Caller;
use oidc::{Http, IdTokens, Provider, RoleOf, Settings, VerifyError, Vouched};
use proto::v1::SignInWithIdTokenRequest;
use runtime::{Context, RoleError};
use store::{PROVIDER_PREFIX, SessionRecord, StoreError};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use zeroize::Zeroizing;

use crate::error::{error, from_store};
use crate::sessions::{SessionsService, signing_in};

/// What `[api.oidc]` says, made ready. Nothing is asked yet.
pub(crate) fn id_tokens(context: &Context) -> Result<Option<IdTokens>, RoleError> {
    let Some(settings) = &context.config.api.oidc else {
        return Ok(None);
    };
    let root = settings.root_certificate_pem()?;
    let http = Http::new(root.as_deref())
        .map_err(|problem| RoleError::setting("api.oidc.root_certificate_file", problem.to_string()))?;
    let provider = Provider::new(&settings.issuer_url, http, context.clock.clone())
        .map_err(|problem| RoleError::setting("api.oidc.issuer_url", problem.to_string()))?;
    let roles = settings.roles.iter().map(|of| RoleOf { value: of.value.clone(), role: of.role });
    let settings = Settings {
        client_id: settings.client_id.clone(),
        name_claim: settings.name_claim.clone(),
        roles_claim: settings.roles_claim.clone(),
        roles: roles.collect(),
    };
    Ok(Some(IdTokens::new(provider, settings, context.clock.clone())))
}

impl SessionsService {
    /// A new session for the person of the ID token, with its token.
    pub(crate) async fn begin_vouched(
        &self,
        asked: &SignInWithIdTokenRequest,
        peer: String,
    ) -> Result<(Zeroizing<String>, SessionRecord), Status> {
        let id_tokens = self.id_tokens.as_ref().ok_or_else(off)?;
        let vouched = id_tokens.verify(&asked.id_token, &asked.nonce).await;
        let vouched = vouched.map_err(|problem| match problem {
            VerifyError::Refused(why) => {
                self.refused(&peer, &why);
                failed()
            }
            VerifyError::Provider(_) => unavailable(),
        })?;
        let name = format!("{PROVIDER_PREFIX}{}", vouched.name);
        let by = signing_in(&name, peer, "SignInWithIdToken");
        let (token, session) = self.new_session(name, vouched.roles, true).await?;
        let stored = self.store_vouched(&vouched, &session, &by).await;
        if !stored.map_err(|problem| from_store(&problem))? {
            self.refused(&by.peer, &"it was used before");
            return Err(failed());
        }
        Ok((token, session))
    }

    /// Says at a bounded rate that an ID token was refused.
    fn refused(&self, source: &str, why: &dyn std::fmt::Display) {
        if let Some(withheld) = self.refusals.pass() {
            tracing::warn!(%why, source, withheld, "a sign-in with an ID token failed");
        }
    }

    /// Stores the session; false if the ID token was used before.
    async fn store_vouched(
        &self,
        vouched: &Vouched,
        session: &SessionRecord,
        by: &Caller,
    ) -> Result<bool, StoreError> {
        let now = self.context.clock.now();
        let mut tx = self.context.store.begin("sign_in_with_id_token").await?;
        if !tx.use_id_token(&vouched.token_hash, vouched.forget_after).await? {
            return Ok(false);
        }
        tx.insert_provider_session(session).await?;
        // The provider may reassign a name later; its own identifier of a person is permanent.
        let detail = format!("{}; subject {}", session.roles, vouched.subject);
        let line = by.line(now, &session.user, audit::OK, &detail);
        tx.append_audit(line);
        tx.commit().await?;
        Ok(true)
    }
}

fn off() -> Status {
    let sentence = "no OpenID provider is configured: sign in with name and password";
    error(Code::Unimplemented, "OIDC_OFF", sentence)
}

fn failed() -> Status {
    let sentence = "the sign-in was not accepted: sign in again, or ask who runs SSL Manager whether you may";
    error(Code::Unauthenticated, "SIGN_IN_FAILED", sentence)
}

fn unavailable() -> Status {
    let sentence = "the OpenID provider cannot be reached: try again, or sign in with name and password";
    let mut details = ErrorDetails::new();
    details.set_error_info(
        "OIDC_UNAVAILABLE",
        "ssl-manager",
        std::collections::HashMap::<String, String>::new(),
    );
    details.set_retry_info(Some(Duration::from_secs(5)));
    Status::with_error_details(Code::Unavailable, sentence, details)
}
