//! The operations on an order at a CA that an issuance needs: place or resume, answer, poll, finalize, download.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::DomainName;
use instant_acme::{
    Account, AuthorizationState, AuthorizationStatus, ChallengeStatus, ChallengeType, Identifier, NewOrder,
    Order, OrderStatus,
};

use crate::ca::Ca;
use crate::lenient::resolve;
use crate::transport::{OrderJournal, Transport};
use crate::{AccountKey, AcmeError, Problem, RenewalId};

/// Tokens are base64url of at least 128 bits (RFC 8555 section 8.3); what is longer than this is not stored.
const TOKEN_LENGTHS: std::ops::RangeInclusive<usize> = 22..=128;

/// Where an order stands at the CA (RFC 8555 section 7.1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderProgress {
    /// Authorizations are wanting.
    Pending,
    /// It can be finalized.
    Ready,
    /// The CA is making the certificate.
    Processing,
    /// The certificate can be downloaded.
    Valid,
    /// It will never become one.
    Invalid,
}

/// Why an order became invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyInvalid {
    /// The CA looked at the challenge and did not like what it saw.
    Challenge(Problem),
    /// Something about the order itself.
    Order(Problem),
    /// The CA does not say. Orders that ran out look like this.
    Unexplained,
}

/// The challenge response that has to be served (RFC 8555 section 8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengeResponse {
    /// The token in the path.
    pub token: String,
    /// The body of the response.
    pub key_authorization: String,
    /// Whether the CA was already told to look.
    pub answered: bool,
}

/// The challenges to complete before an order can be finalized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing more.
    Done,
    /// This response.
    Wanted(ChallengeResponse),
    /// The CA validated it already, and it failed.
    Invalid(Problem),
    /// The CA offers no HTTP-01 challenge for this name.
    NotOffered,
}

/// An order that the CA took.
pub struct AcmeOrder {
    inner: Order,
    retry_after: Arc<Mutex<Option<Duration>>>,
}

/// Our account at the CA, for one piece of work.
pub(crate) struct Session {
    pub(crate) account: Account,
    retry_after: Arc<Mutex<Option<Duration>>>,
}

impl Ca {
    /// Places an order for one name, which may replace a certificate (RFC 9773 section 5). `journal` has stored its URL
    /// before this returns, also if this fails after it.
    pub async fn place(
        self: &Arc<Self>,
        account: &AccountKey,
        name: &DomainName,
        replaces: Option<&RenewalId>,
        journal: Arc<dyn OrderJournal>,
    ) -> Result<AcmeOrder, AcmeError> {
        let session = self.session(account, Some(journal)).await?;
        let identifiers = [Identifier::Dns(name.to_string())];
        let mut order = NewOrder::new(&identifiers);
        if let Some(profile) = &self.options.profile {
            order = order.profile(profile);
        }
        if let Some(RenewalId(replaced)) = replaces {
            order = order.replaces(replaced.clone());
        }
        let mut inner = session.account.new_order(&order).await?;
        one_authorization(&mut inner)?;
        Ok(AcmeOrder { inner, retry_after: session.retry_after })
    }

    /// Goes on with an order from its URL, which may be stored as a CA gave it: as a relative reference.
    pub async fn resume(self: &Arc<Self>, account: &AccountKey, url: &str) -> Result<AcmeOrder, AcmeError> {
        let url = resolve(self.directory_url(), url).unwrap_or_else(|| url.to_owned());
        let session = self.session(account, None).await?;
        let mut inner = session.account.order(url).await?;
        one_authorization(&mut inner)?;
        Ok(AcmeOrder { inner, retry_after: session.retry_after })
    }

    pub(crate) async fn session(
        self: &Arc<Self>,
        account: &AccountKey,
        journal: Option<Arc<dyn OrderJournal>>,
    ) -> Result<Session, AcmeError> {
        let retry_after = Arc::<Mutex<Option<Duration>>>::default();
        let transport = Transport { ca: self.clone(), journal, retry_after: retry_after.clone() };
        let account = Account::builder_with_http(Box::new(transport))
            .from_credentials(account.credentials(self.directory_url())?)
            .await?;
        Ok(Session { account, retry_after })
    }
}

/// An order for one name has one authorization (RFC 8555 section 7.1.3): each of many would be asked for, and answered.
fn one_authorization(order: &mut Order) -> Result<(), AcmeError> {
    let state = order.state();
    let count = state.authorizations.len();
    // Once there is nothing to prove, some CAs leave them away.
    if count == 1 || (count == 0 && state.status != OrderStatus::Pending) {
        return Ok(());
    }
    Err(AcmeError::Nonsense(format!("an order with {count} authorizations for one name")))
}

impl AcmeOrder {
    /// Where it stands, as of the last answer.
    pub fn progress(&mut self) -> OrderProgress {
        match self.inner.state().status {
            OrderStatus::Pending => OrderProgress::Pending,
            OrderStatus::Ready => OrderProgress::Ready,
            OrderStatus::Processing => OrderProgress::Processing,
            OrderStatus::Valid => OrderProgress::Valid,
            OrderStatus::Invalid => OrderProgress::Invalid,
        }
    }

    /// Asks the CA where it stands.
    pub async fn refresh(&mut self) -> Result<OrderProgress, AcmeError> {
        self.inner.refresh().await?;
        one_authorization(&mut self.inner)?;
        Ok(self.progress())
    }

    /// The wait that the last answer asked for.
    pub fn retry_after(&self) -> Option<Duration> {
        *self.retry_after.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The HTTP-01 challenge of the one authorization that is still wanting.
    pub async fn challenge(&mut self) -> Result<Proof, AcmeError> {
        let mut authorizations = self.inner.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if let Some(problem) = invalid(&authorization) {
                return Ok(Proof::Invalid(problem));
            }
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let Some(challenge) = authorization.challenge(ChallengeType::Http01) else {
                return Ok(Proof::NotOffered);
            };
            if !is_token(&challenge.token) {
                return Err(AcmeError::Nonsense("a token that is not base64url of 128 bits or more".into()));
            }
            return Ok(Proof::Wanted(ChallengeResponse {
                token: challenge.token.clone(),
                key_authorization: challenge.key_authorization().as_str().to_owned(),
                answered: challenge.status != ChallengeStatus::Pending,
            }));
        }
        Ok(Proof::Done)
    }

    /// Asks for the authorizations again and returns the problem of a challenge that is invalid. Some CAs leave the order,
    /// and even the authorization, pending then.
    pub async fn invalid_challenge(&mut self) -> Result<Option<Problem>, AcmeError> {
        let mut authorizations = self.inner.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            authorization.refresh().await?;
            if let Some(problem) = invalid(&authorization) {
                return Ok(Some(problem));
            }
        }
        Ok(None)
    }

    /// Tells the CA to look at the challenge now (RFC 8555 section 7.5.1); or once more, where it looked before and came
    /// to no result (section 8.2).
    pub async fn answer(&mut self) -> Result<(), AcmeError> {
        let mut authorizations = self.inner.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            if let Some(mut challenge) = authorization.challenge(ChallengeType::Http01)
                && matches!(challenge.status, ChallengeStatus::Pending | ChallengeStatus::Processing)
            {
                challenge.set_ready().await?;
            }
        }
        Ok(())
    }

    /// Why it is invalid: the challenge's own problem where there is one, else the order's.
    pub async fn why_invalid(&mut self) -> Result<WhyInvalid, AcmeError> {
        let of_the_order = self.inner.state().error.as_ref().map(Problem::of_inner);
        let mut authorizations = self.inner.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let authorization = authorization?;
            if let Some(found) =
                authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref())
            {
                return Ok(WhyInvalid::Challenge(Problem::of_inner(found)));
            }
        }
        Ok(of_the_order.map_or(WhyInvalid::Unexplained, WhyInvalid::Order))
    }

    /// Sends the certificate signing request (RFC 8555 section 7.4).
    pub async fn finalize(&mut self, csr: &[u8]) -> Result<OrderProgress, AcmeError> {
        self.inner.finalize_csr(csr).await?;
        Ok(self.progress())
    }

    /// Downloads the chain of a valid order, PEM, unchecked.
    pub async fn certificate(&mut self) -> Result<String, AcmeError> {
        let chain = self.inner.certificate().await?;
        chain.ok_or_else(|| AcmeError::Nonsense("a valid order without a certificate".into()))
    }
}

/// The problem of an authorization that has failed, or that cannot succeed any more because its challenge has.
fn invalid(authorization: &AuthorizationState) -> Option<Problem> {
    let mut challenges = authorization.challenges.iter();
    let failed = challenges.find(|challenge| {
        challenge.status == ChallengeStatus::Invalid && challenge.r#type == ChallengeType::Http01
    });
    let is_over = authorization.status == AuthorizationStatus::Invalid;
    let has_failed = is_over || (failed.is_some() && authorization.status == AuthorizationStatus::Pending);
    has_failed.then(|| {
        let problem = failed.and_then(|challenge| challenge.error.as_ref()).map(Problem::of_inner);
        problem.unwrap_or_else(Problem::default_of_a_challenge)
    })
}

fn is_token(token: &str) -> bool {
    TOKEN_LENGTHS.contains(&token.len())
        && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
