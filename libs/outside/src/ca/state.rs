//! What the CA knows.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};

use super::CaOptions;
use super::control::{Behaviour, ValidationResult};
use super::issue::Authority;
use super::problem::Problem;

/// Nonces that are remembered; older ones are refused.
const MOST_NONCES: usize = 100_000;
pub(crate) const ORDER_LIFE: SignedDuration = SignedDuration::from_hours(7 * 24);

#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) id: String,
    /// Uncompressed P-256 point.
    pub(crate) key: Vec<u8>,
    pub(crate) thumbprint: String,
    pub(crate) contact: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrderStatus {
    Pending,
    Ready,
    Processing,
    Valid,
    Invalid,
}

#[derive(Clone)]
pub(crate) struct OrderRecord {
    pub(crate) account: String,
    pub(crate) name: String,
    pub(crate) status: OrderStatus,
    pub(crate) authorization: String,
    pub(crate) profile: Option<String>,
    pub(crate) replaces: Option<String>,
    pub(crate) expires: Timestamp,
    pub(crate) error: Option<Problem>,
    pub(crate) certificate: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthorizationStatus {
    Pending,
    /// The challenge was answered and is being looked at.
    Processing,
    Valid,
    Invalid,
}

#[derive(Clone)]
pub(crate) struct AuthorizationRecord {
    pub(crate) account: String,
    pub(crate) name: String,
    pub(crate) token: String,
    pub(crate) status: AuthorizationStatus,
    pub(crate) error: Option<Problem>,
    pub(crate) expires: Timestamp,
    /// Orders that wait for it.
    pub(crate) orders: Vec<String>,
}

#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) nonces: HashSet<String>,
    pub(crate) nonce_order: VecDeque<String>,
    pub(crate) accounts: HashMap<String, Account>,
    pub(crate) accounts_by_thumbprint: HashMap<String, String>,
    pub(crate) orders: HashMap<String, OrderRecord>,
    pub(crate) authorizations: HashMap<String, AuthorizationRecord>,
    /// The usable authorization of (account, name).
    pub(crate) usable: HashMap<(String, String), String>,
    pub(crate) certificates: HashMap<String, String>,
    /// ARI ids of certificates that an order replaced.
    pub(crate) replaced: HashSet<String>,
    /// Validity of issued certificates by ARI id.
    pub(crate) issued: HashMap<String, (Timestamp, Timestamp)>,
    pub(crate) orders_by_name: HashMap<String, u64>,
}

pub(crate) struct CaState {
    pub(crate) options: CaOptions,
    pub(crate) base: String,
    pub(crate) authority: Authority,
    pub(crate) requests: AtomicU64,
    pub(crate) certificates_issued: AtomicU64,
    tables: Mutex<Tables>,
    behaviour: Mutex<Behaviour>,
}

impl CaState {
    pub(crate) fn new(options: CaOptions, base: String, authority: Authority) -> Self {
        let behaviour = Mutex::new(Behaviour::new(options.lifetime));
        Self {
            options,
            base,
            authority,
            requests: AtomicU64::new(0),
            certificates_issued: AtomicU64::new(0),
            tables: Mutex::default(),
            behaviour,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.options.clock)()
    }

    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn behaviour(&self) -> MutexGuard<'_, Behaviour> {
        self.behaviour.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A nonce that is good for one request (RFC 8555 section 6.5).
    pub(crate) fn new_nonce(&self) -> String {
        let nonce = random_token();
        let mut tables = self.tables();
        if tables.nonce_order.len() >= MOST_NONCES
            && let Some(oldest) = tables.nonce_order.pop_front()
        {
            tables.nonces.remove(&oldest);
        }
        tables.nonce_order.push_back(nonce.clone());
        tables.nonces.insert(nonce.clone());
        nonce
    }

    /// Uses a nonce up; false if it is not one of ours, was used, or is to be refused.
    pub(crate) fn use_nonce(&self, nonce: &str) -> bool {
        let known = self.tables().nonces.remove(nonce);
        known && !self.behaviour().rejects_this_nonce()
    }

    /// What happens when the CA looks at a challenge of that name.
    pub(crate) fn validation(&self, name: &str) -> ValidationResult {
        self.behaviour()
            .validation
            .get(name)
            .cloned()
            .unwrap_or(ValidationResult::Real)
    }

    pub(crate) fn finalize_delay(&self) -> Duration {
        self.behaviour().delay
    }

    /// The CA has looked: the authorization and the orders that wait for it move on.
    pub(crate) fn validated(&self, id: &str, result: Result<(), Problem>) {
        let mut tables = self.tables();
        let Some(authorization) = tables.authorizations.get_mut(id) else {
            return;
        };
        if authorization.status != AuthorizationStatus::Processing {
            return;
        }
        let next = match &result {
            Ok(()) => (AuthorizationStatus::Valid, OrderStatus::Ready),
            Err(_) => (AuthorizationStatus::Invalid, OrderStatus::Invalid),
        };
        authorization.status = next.0;
        authorization.error = result.err();
        let orders = authorization.orders.clone();
        let usable_key = (authorization.account.clone(), authorization.name.clone());
        if next.0 == AuthorizationStatus::Invalid {
            tables.usable.remove(&usable_key);
        }
        for order in orders {
            if let Some(order) = tables.orders.get_mut(&order)
                && order.status == OrderStatus::Pending
            {
                order.status = next.1;
            }
        }
    }

    pub(crate) fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::SeqCst);
    }
}

/// 256 random bits in base64url.
pub(crate) fn random_token() -> String {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).expect("the operating system has random bytes");
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
