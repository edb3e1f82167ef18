//! Tokens of programs.

use jiff::SignedDuration;
use proto::{to_timestamp, v1};
use store::{StoreError, TokenRecord};
use tonic::{Code, Status};

use super::{AdministrationService, Administrator, roles_of, words_of};
use crate::auth::{hash_token, new_token};
use crate::error::{error, from_seal, from_store, invalid};
use crate::names::check_token_name;
use crate::names::named;
use crate::signed::{check_token, sign_token};

const MAX_DAYS: u32 = 3650;

impl AdministrationService {
    pub(super) async fn tokens(&self, by: &Administrator) -> Result<v1::ListTokensResponse, Status> {
        let stored = self.context.store.tokens().await.map_err(|problem| from_store(&problem))?;
        self.note(by, "", "").await?;
        let mut tokens = Vec::with_capacity(stored.len());
        for token in &stored {
            tokens.push(self.shown_token(token).await);
        }
        Ok(v1::ListTokensResponse { tokens })
    }

    async fn shown_token(&self, token: &TokenRecord) -> v1::Token {
        v1::Token {
            name: token.name.clone(),
            roles: words_of(token.roles),
            created_at: Some(to_timestamp(token.created_at)),
            expires_at: token.expires_at.map(to_timestamp),
            last_used_at: token.last_used_at.map(to_timestamp),
            revoked_at: token.revoked_at.map(to_timestamp),
            is_authentic: check_token(&self.keys, token).await.is_ok(),
        }
    }

    pub(super) async fn make_token(
        &self,
        by: &Administrator,
        asked: &v1::CreateTokenRequest,
    ) -> Result<v1::CreateTokenResponse, Status> {
        check_token_name(&asked.name).map_err(|sentence| invalid("TOKEN_NAME_INVALID", sentence))?;
        let roles = roles_of(&asked.roles)?;
        if asked.expires_in_days > MAX_DAYS {
            let sentence = format!("expires_in_days is 1 to {MAX_DAYS}, or 0 for a token that does not end");
            return Err(invalid("EXPIRY_INVALID", sentence));
        }
        let now = self.now();
        let lasts = SignedDuration::from_hours(24 * i64::from(asked.expires_in_days));
        let text = new_token(&*self.context.entropy);
        let mut token = TokenRecord {
            name: asked.name.clone(),
            hash: hash_token(&text),
            roles,
            created_at: now,
            expires_at: (asked.expires_in_days > 0).then(|| now + lasts),
            last_used_at: None,
            revoked_at: None,
            mac: Vec::new(),
        };
        sign_token(&self.keys, &mut token).await.map_err(|problem| from_seal(&problem))?;
        let stored: Result<(), StoreError> = async {
            let mut tx = self.context.store.begin("create_token").await?;
            tx.insert_token(&token).await?;
            tx.append_audit(by.caller.line(now, &token.name, audit::OK, &roles.to_string()));
            tx.commit().await
        }
        .await;
        stored.map_err(|problem| match problem {
            StoreError::Conflict { .. } => {
                let sentence = format!("there is or was a token named {:?}: choose another name", asked.name);
                error(Code::AlreadyExists, "TOKEN_EXISTS", sentence)
            }
            problem => from_store(&problem),
        })?;
        let token = Some(self.shown_token(&token).await);
        Ok(v1::CreateTokenResponse { token, text: text.to_string() })
    }

    pub(super) async fn revoke(
        &self,
        by: &Administrator,
        name: &str,
    ) -> Result<v1::RevokeTokenResponse, Status> {
        let revoked: Result<bool, StoreError> = async {
            let mut tx = self.context.store.begin("revoke_token").await?;
            if !tx.revoke_token(name).await? {
                return Ok(false);
            }
            tx.append_audit(by.caller.line(self.now(), name, audit::OK, ""));
            tx.commit().await?;
            Ok(true)
        }
        .await;
        if !revoked.map_err(|problem| from_store(&problem))? {
            let sentence =
                format!("there is no token named {} that is not revoked: see ListTokens", named(name));
            return Err(error(Code::NotFound, "TOKEN_NOT_FOUND", sentence));
        }
        let token = self.context.store.token_named(name).await.map_err(|problem| from_store(&problem))?;
        let token = match &token {
            Some(token) => Some(self.shown_token(token).await),
            None => None,
        };
        Ok(v1::RevokeTokenResponse { token })
    }
}
