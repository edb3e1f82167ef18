//! The service `sslmanager.v1.Administration`: administration tasks without a shell.
//!
//! Each call writes an entry to the audit log: a change in its own transaction, a read before its answer. Rows of
//! people and tokens are written with their MACs, and a row with a wrong MAC is never signed again. The guards
//! (`users.rs`) are checked in the transaction that makes the change, with all rows of people locked.

mod audit_log;
mod export;
mod sessions;
mod settings;
mod tokens;
mod users;
mod verify;

use std::pin::Pin;
use std::sync::Arc;

use audit::Caller;
use domain::{Action, Role, Roles};
use futures::Stream;
use jiff::Timestamp;
use proto::v1;
use proto::v1::administration_server::Administration;
use runtime::Context;
use seal::SealingKeys;
use store::SessionRecord;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use crate::audited::note_failure;
use crate::auth::Authenticator;
use crate::error::{from_store, invalid};

/// The stream of a method with several answers.
pub(crate) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send + 'static>>;

pub(crate) struct AdministrationService {
    context: Context,
    authenticator: Authenticator,
    keys: Arc<SealingKeys>,
    /// A verification reads the whole log, so only one runs at a time.
    verifications: Arc<Semaphore>,
}

/// The authorised caller of a request.
pub(crate) struct Administrator {
    caller: Caller,
    /// The caller's session; none for a token or client certificate.
    session: Option<SessionRecord>,
}

impl Administrator {
    /// Whether that is the caller's own name.
    fn is_called(&self, name: &str) -> bool {
        self.session.as_ref().is_some_and(|session| session.user == name)
    }
}

impl AdministrationService {
    pub(crate) fn new(context: &Context, authenticator: Authenticator, keys: Arc<SealingKeys>) -> Self {
        let verifications = Arc::new(Semaphore::new(1));
        Self { context: context.clone(), authenticator, keys, verifications }
    }

    fn now(&self) -> Timestamp {
        self.context.clock.now()
    }

    /// Authorises the sender of a request. Errors: no valid token, or a role that does not permit it, which is noted
    /// in the audit log.
    async fn enter<T>(
        &self,
        call: &'static str,
        subject: &str,
        request: &Request<T>,
    ) -> Result<Administrator, Status> {
        let principal = self.authenticator.principal(request).await?;
        let caller = principal.caller(request, call);
        if let Err(denied) = principal.require(Action::Administer) {
            note_failure(&self.context.store, &*self.context.clock, &caller, subject, &denied).await;
            return Err(denied);
        }
        Ok(Administrator { caller, session: principal.session })
    }

    /// Returns the result of a call, and writes an entry to the audit log if it failed.
    async fn told<R>(
        &self,
        by: &Administrator,
        subject: &str,
        result: Result<R, Status>,
    ) -> Result<Response<R>, Status> {
        if let Err(status) = &result {
            note_failure(&self.context.store, &*self.context.clock, &by.caller, subject, status).await;
        }
        result.map(Response::new)
    }

    /// Writes the entry of a call that only reads.
    async fn note(&self, by: &Administrator, subject: &str, detail: &str) -> Result<(), Status> {
        let noted = async {
            let mut tx = self.context.store.begin("audit_read").await?;
            tx.append_audit(by.caller.line(self.now(), subject, audit::OK, detail));
            tx.commit().await
        };
        noted.await.map_err(|problem| from_store(&problem))
    }
}

fn roles_of(words: &[String]) -> Result<Roles, Status> {
    let roles: Result<Vec<Role>, String> = words.iter().map(|word| word.parse()).collect();
    let roles = roles.map_err(|sentence| invalid("ROLES_INVALID", sentence))?;
    Roles::of(roles).ok_or_else(|| invalid("ROLES_INVALID", "at least one role is needed"))
}

fn words_of(roles: Roles) -> Vec<String> {
    roles.iter().map(|role| role.to_string()).collect()
}

#[tonic::async_trait]
impl Administration for AdministrationService {
    async fn list_users(
        &self,
        request: Request<v1::ListUsersRequest>,
    ) -> Result<Response<v1::ListUsersResponse>, Status> {
        let by = self.enter("ListUsers", "", &request).await?;
        let users = self.users(&by).await;
        self.told(&by, "", users).await
    }

    async fn create_user(
        &self,
        request: Request<v1::CreateUserRequest>,
    ) -> Result<Response<v1::CreateUserResponse>, Status> {
        let by = self.enter("CreateUser", &request.get_ref().name, &request).await?;
        let asked = request.into_inner();
        let created = self.add_user(&by, &asked).await;
        self.told(&by, &asked.name, created).await
    }

    async fn set_user_roles(
        &self,
        request: Request<v1::SetUserRolesRequest>,
    ) -> Result<Response<v1::SetUserRolesResponse>, Status> {
        let by = self.enter("SetUserRoles", &request.get_ref().name, &request).await?;
        let asked = request.into_inner();
        let set = self.set_roles(&by, &asked).await;
        self.told(&by, &asked.name, set).await
    }

    async fn reset_password(
        &self,
        request: Request<v1::ResetPasswordRequest>,
    ) -> Result<Response<v1::ResetPasswordResponse>, Status> {
        let by = self.enter("ResetPassword", &request.get_ref().name, &request).await?;
        let asked = request.into_inner();
        let reset = self.reset(&by, &asked.name).await;
        self.told(&by, &asked.name, reset).await
    }

    async fn disable_user(
        &self,
        request: Request<v1::DisableUserRequest>,
    ) -> Result<Response<v1::DisableUserResponse>, Status> {
        let by = self.enter("DisableUser", &request.get_ref().name, &request).await?;
        let asked = request.into_inner();
        let disabled = self.disable(&by, &asked.name).await;
        self.told(&by, &asked.name, disabled).await
    }

    async fn delete_user(
        &self,
        request: Request<v1::DeleteUserRequest>,
    ) -> Result<Response<v1::DeleteUserResponse>, Status> {
        let by = self.enter("DeleteUser", &request.get_ref().name, &request).await?;
        let asked = request.into_inner();
        let deleted = self.delete(&by, &asked.name).await;
        self.told(&by, &asked.name, deleted).await
    }

    async fn list_sessions(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        let by = self.enter("ListSessions", &request.get_ref().user, &request).await?;
        let asked = request.into_inner();
        let sessions = self.sessions(&by, &asked).await;
        self.told(&by, &asked.user, sessions).await
    }

    async fn end_session(
        &self,
        request: Request<v1::EndSessionRequest>,
    ) -> Result<Response<v1::EndSessionResponse>, Status> {
        let by = self.enter("EndSession", &request.get_ref().user, &request).await?;
        let asked = request.into_inner();
        let ended = self.end(&by, &asked).await;
        self.told(&by, &asked.user, ended).await
    }

    async fn list_tokens(
        &self,
        request: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        let by = self.enter("ListTokens", "", &request).await?;
        let tokens = self.tokens(&by).await;
        self.told(&by, "", tokens).await
    }

    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        let by = self.enter("CreateToken", &request.get_ref().name, &request).await?;
        let asked = request.into_inner();
        let created = self.make_token(&by, &asked).await;
        self.told(&by, &asked.name, created).await
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let by = self.enter("RevokeToken", &request.get_ref().name, &request).await?;
        let asked = request.into_inner();
        let revoked = self.revoke(&by, &asked.name).await;
        self.told(&by, &asked.name, revoked).await
    }

    async fn list_audit(
        &self,
        request: Request<v1::ListAuditRequest>,
    ) -> Result<Response<v1::ListAuditResponse>, Status> {
        let by = self.enter("ListAudit", "", &request).await?;
        let listed = self.audit_page(&by, request.into_inner()).await;
        self.told(&by, "", listed).await
    }

    type VerifyAuditStream = Answers<v1::VerifyAuditResponse>;

    async fn verify_audit(
        &self,
        request: Request<v1::VerifyAuditRequest>,
    ) -> Result<Response<Self::VerifyAuditStream>, Status> {
        let by = self.enter("VerifyAudit", "", &request).await?;
        let lasts = crate::lasts::StreamRights::new(&self.authenticator, &request, Action::Administer);
        match self.verification(&by, lasts) {
            Ok(stream) => Ok(Response::new(stream)),
            Err(status) => self.told(&by, "", Err(status)).await,
        }
    }

    type ExportAuditStream = Answers<v1::ExportAuditResponse>;

    async fn export_audit(
        &self,
        request: Request<v1::ExportAuditRequest>,
    ) -> Result<Response<Self::ExportAuditStream>, Status> {
        let by = self.enter("ExportAudit", "", &request).await?;
        let lasts = crate::lasts::StreamRights::new(&self.authenticator, &request, Action::Administer);
        match self.export(&by, request.into_inner(), lasts).await {
            Ok(stream) => Ok(Response::new(stream)),
            Err(status) => self.told(&by, "", Err(status)).await,
        }
    }

    async fn get_settings(
        &self,
        request: Request<v1::GetSettingsRequest>,
    ) -> Result<Response<v1::GetSettingsResponse>, Status> {
        let by = self.enter("GetSettings", "", &request).await?;
        let settings = self.settings(&by).await;
        self.told(&by, "", settings).await
    }
}
