//! An order at a CA, as far as an issuance needs it: place or resume, answer, poll, finalize, download.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::DomainName;
use instant_acme::{
    Account, AuthorizationStatus, ChallengeStatus, ChallengeType, Identifier, NewOrder, Order, OrderStatus,
};

use crate::ca::Ca;
use crate::transport::{OrderJournal, Transport};
use crate::{AccountKey, AcmeError, RenewalId};

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

/// Why an order became invalid: the problem's type without its prefix, and the CA's own words, shortened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of a problem, RFC 8555 section 6.7")]
pub enum WhyInvalid {
    /// The CA looked at the challenge and did not like what it saw.
    Challenge { problem: String, detail: String },
    /// Something about the order itself.
    Order { problem: String, detail: String },
    /// The CA does not say. Orders that ran out look like this.
    Unexplained,
}

/// What has to be served for the CA to find (RFC 8555 section 8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengeResponse {
    /// The token in the path.
    pub token: String,
    /// What to answer there.
    pub key_authorization: String,
    /// Whether the CA was already told to look.
    pub answered: bool,
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
        let inner = session.account.new_order(&order).await?;
        Ok(AcmeOrder { inner, retry_after: session.retry_after })
    }

    /// Goes on with an order from its URL.
    pub async fn resume(self: &Arc<Self>, account: &AccountKey, url: &str) -> Result<AcmeOrder, AcmeError> {
        let session = self.session(account, None).await?;
        let inner = session.account.order(url.to_owned()).await?;
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
        Ok(self.progress())
    }

    /// What the last answer asked us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        *self.retry_after.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The HTTP-01 challenge of the one authorization that is still wanting; none if there is none.
    pub async fn challenge(&mut self) -> Result<Option<ChallengeResponse>, AcmeError> {
        let mut authorizations = self.inner.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let challenge = authorization
                .challenge(ChallengeType::Http01)
                .ok_or_else(|| AcmeError::Nonsense("an authorization without an http-01 challenge".into()))?;
            if !is_token(&challenge.token) {
                return Err(AcmeError::Nonsense("a token that is not base64url of 128 bits or more".into()));
            }
            return Ok(Some(ChallengeResponse {
                token: challenge.token.clone(),
                key_authorization: challenge.key_authorization().as_str().to_owned(),
                answered: challenge.status != ChallengeStatus::Pending,
            }));
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
        let of_the_order = self.inner.state().error.as_ref().map(AcmeError::words);
        let mut authorizations = self.inner.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let authorization = authorization?;
            if let Some(found) =
                authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref())
            {
                let (problem, detail) = AcmeError::words(found);
                return Ok(WhyInvalid::Challenge { problem, detail });
            }
        }
        Ok(of_the_order
            .map_or(WhyInvalid::Unexplained, |(problem, detail)| WhyInvalid::Order { problem, detail }))
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

fn is_token(token: &str) -> bool {
    TOKEN_LENGTHS.contains(&token.len())
        && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
