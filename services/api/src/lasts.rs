//! How long an admitted stream may last: a token can be revoked, and a session ends.

use std::time::Duration;

use domain::Action;
use tonic::{Code, Request, Status};
use zeroize::Zeroizing;

use crate::auth::{Authenticator, bearer};

/// How often the rights of a stream's principal are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a client may take to read an answer of a stream before the stream ends.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(crate) struct StreamRights {
    authenticator: Authenticator,
    /// None of a client certificate.
    token: Option<Zeroizing<String>>,
    action: Action,
}

impl StreamRights {
    pub(crate) fn new<T>(authenticator: &Authenticator, request: &Request<T>, action: Action) -> Self {
        let token = bearer(request).map(|token| Zeroizing::new(token.to_owned()));
        Self { authenticator: authenticator.clone(), token, action }
    }

    /// Whether its principal may still do that. Errors: no longer, or it cannot be checked.
    pub(crate) async fn check(&self) -> Result<(), Status> {
        match &self.token {
            Some(token) => self.authenticator.still_may(token, self.action).await,
            None => Ok(()),
        }
    }

    /// Completes once the principal may no longer.
    pub(crate) async fn until_it_ends(self) -> Status {
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            match self.check().await {
                Err(problem) if matches!(problem.code(), Code::Unauthenticated | Code::PermissionDenied) => {
                    return problem;
                }
                // A store that is away says nothing about the token.
                Ok(()) | Err(_) => {}
            }
        }
    }
}
