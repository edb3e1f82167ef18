//! For how long somebody may have a stream who was let in once: a token can be revoked, and a session ends.

use std::time::Duration;

use domain::Action;
use tonic::{Code, Request, Status};
use zeroize::Zeroizing;

use crate::auth::{Authenticator, bearer};

/// How often it is asked whether who has the stream still may.
const ASK_EVERY: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(crate) struct Lasts {
    authenticator: Authenticator,
    /// None of a client certificate.
    token: Option<Zeroizing<String>>,
    action: Action,
}

impl Lasts {
    pub(crate) fn new<T>(authenticator: &Authenticator, request: &Request<T>, action: Action) -> Self {
        let token = bearer(request).map(|token| Zeroizing::new(token.to_owned()));
        Self { authenticator: authenticator.clone(), token, action }
    }

    /// Whether its principal may still do that. Errors: no longer, or nobody can say.
    pub(crate) async fn check(&self) -> Result<(), Status> {
        match &self.token {
            Some(token) => self.authenticator.still_may(token, self.action).await,
            None => Ok(()),
        }
    }

    /// Completes once the principal may no longer.
    pub(crate) async fn until_it_ends(self) -> Status {
        loop {
            tokio::time::sleep(ASK_EVERY).await;
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
