//! Rotations on a real store, under keys that are numbers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use domain::{
    AccountId, CertificateId, CertificateSummary, Domain, DomainName, EndpointId, EndpointState, NoticeKind,
    Order, OrderId, OrderKey, OrderState, Role, Source, WebhookFormat,
};
use jiff::{SignedDuration, Timestamp};
use runtime::testing::open_store;
use runtime::{SystemClock, SystemEntropy};
use seal::{DataKey, KeyId, KeyWrapping, WebhookTarget, Wrapped};
use store::{Account, Certificate, Endpoint, SessionRecord, TokenRecord, User};
use tempfile::TempDir;

use super::*;

const OLD: u8 = 1;
const NEW: u8 = 2;
const STRANGE: u8 = 3;
const PUBLIC: [u8; 32] = [9; 32];

/// What else goes on in the store: once per data key that is wrapped.
#[async_trait]
trait Meanwhile: Send + Sync + 'static {
    async fn goes_on(&self, count: usize);
}

struct Nothing;

#[async_trait]
impl Meanwhile for Nothing {
    async fn goes_on(&self, _: usize) {}
}

/// Sealing keys whose wrapped form says which they are.
struct Lines<M> {
    current: u8,
    older: Vec<u8>,
    wrapped: AtomicUsize,
    meanwhile: M,
}

#[async_trait]
impl<M: Meanwhile> KeyWrapping for Lines<M> {
    fn current_key_id(&self) -> KeyId {
        KeyId::of(&[self.current])
    }

    async fn wrap(&self, bound_to: &str, data_key: &DataKey) -> Result<Wrapped, SealError> {
        self.meanwhile.goes_on(self.wrapped.fetch_add(1, Ordering::SeqCst) + 1).await;
        Ok(Wrapped {
            key_id: self.current_key_id(),
            bytes: [data_key.as_bytes(), bound_to.as_bytes()].concat(),
        })
    }

    async fn mac(&self, key_id: KeyId, message: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut lines = self.older.iter().chain([&self.current]);
        let line = lines.find(|line| KeyId::of(&[**line]) == key_id).ok_or(SealError::UnknownKey(key_id))?;
        Ok([&[*line], message].concat())
    }

    async fn unwrap(&self, bound_to: &str, wrapped: &Wrapped) -> Result<DataKey, SealError> {
        let mut lines = self.older.iter().chain([&self.current]);
        if !lines.any(|line| KeyId::of(&[*line]) == wrapped.key_id) {
            return Err(SealError::UnknownKey(wrapped.key_id));
        }
        match wrapped.bytes.split_at(32) {
            (key, rest) if rest == bound_to.as_bytes() => DataKey::from_bytes(key),
            _ => Err(SealError::NotAuthentic),
        }
    }
}

fn lines(current: u8, older: &[u8]) -> SealingKeys {
    lines_while(current, older, Nothing)
}

fn lines_while(current: u8, older: &[u8], meanwhile: impl Meanwhile) -> SealingKeys {
    SealingKeys::new(Lines { current, older: older.to_vec(), wrapped: AtomicUsize::new(0), meanwhile })
}

#[derive(Clone)]
struct Kit {
    store: Arc<Store>,
    _folder: Arc<TempDir>,
}

impl Kit {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open_store(&folder.path().join("test.db"), Arc::new(SystemClock)).await.unwrap();
        let kit = Self { store, _folder: Arc::new(folder) };
        let mut tx = kit.store.begin("domain").await.unwrap();
        tx.insert_domain(&Domain::added(name(), Timestamp::UNIX_EPOCH)).await.unwrap();
        tx.commit().await.unwrap();
        kit
    }

    /// A certificate whose key says its own id, sealed under a line.
    async fn certificate(&self, id: CertificateId, line: u8) {
        let binding = Binding::certificate(id, &name());
        let sealed = lines(line, &[]).seal(&binding, &PUBLIC, id.to_string().as_bytes()).await.unwrap();
        self.sealed_certificate(id, sealed).await;
    }

    async fn sealed_certificate(&self, id: CertificateId, sealed: Vec<u8>) {
        let certificate = Certificate {
            summary: CertificateSummary {
                id,
                sha256: id.to_string(),
                serial: "01".to_owned(),
                issuer: "CN=Test".to_owned(),
                not_before: Timestamp::UNIX_EPOCH,
                not_after: Timestamp::MAX,
                source: Source::C4,
                trust: None,
            },
            name: name(),
            revision: 1,
            chain_pem: String::new(),
            sealed_key: Some(sealed),
            created_at: Timestamp::UNIX_EPOCH,
            uploaded_at: None,
            account: None,
            renewal: None,
            revoked_at: None,
            withdrawn: false,
        };
        let mut tx = self.store.begin("certificate").await.unwrap();
        tx.insert_certificate(&certificate).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// An account, and an order that has a key.
    async fn order(&self, line: u8) -> Order {
        let keys = lines(line, &[]);
        let account = AccountId::new(&SystemClock, &SystemEntropy);
        let certificate = fresh();
        let binding = Binding::account(account, "https://ca");
        let sealed_account = keys.seal(&binding, &PUBLIC, b"account").await.unwrap();
        let binding = Binding::certificate(certificate, &name());
        let sealed_key = keys.seal(&binding, &PUBLIC, b"order").await.unwrap();
        let order = Order {
            id: OrderId::new(&SystemClock, &SystemEntropy),
            name: name(),
            revision: 1,
            account,
            created_at: Timestamp::UNIX_EPOCH,
            state: OrderState::Placed {
                url: "https://ca/1".to_owned(),
                key: OrderKey { certificate, sealed: sealed_key, csr: vec![48] },
            },
        };
        let mut tx = self.store.begin("order").await.unwrap();
        tx.insert_account(&Account {
            id: account,
            issuer: "ca".to_owned(),
            directory_url: "https://ca".to_owned(),
            sealed_key: sealed_account,
            url: None,
            created_at: Timestamp::UNIX_EPOCH,
            pending_key: None,
        })
        .await
        .unwrap();
        tx.insert_order(&order).await.unwrap();
        tx.commit().await.unwrap();
        order
    }

    /// An endpoint of webhooks whose target is sealed under a line of the notifier's file.
    async fn endpoint(&self, line: u8) -> Endpoint {
        let id = EndpointId::new(&SystemClock, &SystemEntropy);
        let url = "https://hooks.example.net/…".to_owned();
        let target = WebhookTarget::new("https://hooks.example.net/T0/B1", "whsec_a");
        let endpoint = Endpoint {
            id,
            name: "ops".to_owned(),
            sealed_target: target.seal(&lines(line, &[]), (id, &url)).await.unwrap(),
            url,
            kinds: vec![NoticeKind::Emergency],
            labels: BTreeMap::new(),
            format: WebhookFormat::Json,
            digest: true,
            state: EndpointState::Enabled,
            state_reason: String::new(),
            created_at: Timestamp::UNIX_EPOCH,
            created_by: "token:ops".to_owned(),
            failing_since: None,
            refusing_since: None,
            failures: 0,
            retry_at: None,
            last_error: String::new(),
            delivered_at: None,
        };
        let mut tx = self.store.begin("endpoint").await.unwrap();
        tx.add_endpoint(&endpoint).await.unwrap();
        tx.commit().await.unwrap();
        endpoint
    }

    /// How many keys these open.
    async fn opened_by(&self, keys: &SealingKeys) -> usize {
        let mut opened = 0;
        for place in SealedPlace::ALL {
            for key in self.store.sealed_keys(place, None, 1000).await.unwrap() {
                if let Ok(content) = keys.unseal(&binding(&key), &PUBLIC, &key.sealed).await {
                    let expected = match place {
                        SealedPlace::PendingAccounts => "pending",
                        SealedPlace::Accounts => "account",
                        SealedPlace::Orders => "order",
                        SealedPlace::Certificates | SealedPlace::Webhooks => &key.id,
                    };
                    assert_eq!(*content, *expected.as_bytes());
                    opened += 1;
                }
            }
        }
        opened
    }
}

fn name() -> DomainName {
    DomainName::parse("shop.example.com").unwrap()
}

fn fresh() -> CertificateId {
    CertificateId::new(&SystemClock, &SystemEntropy)
}

/// An id before all others.
fn first(number: usize) -> CertificateId {
    format!("00000000-0000-7000-8000-{number:012}").parse().unwrap()
}

#[tokio::test]
async fn every_data_key_gets_under_the_first_line_and_once_is_enough() {
    let kit = Kit::new().await;
    kit.order(OLD).await;
    for _ in 0..2 * PAGE + 5 {
        kit.certificate(fresh(), OLD).await;
    }
    kit.certificate(fresh(), NEW).await;
    let keys = lines(NEW, &[OLD]);
    let all = 2 + 2 * PAGE as usize + 6;
    assert_eq!(kit.opened_by(&keys).await, all, "both are read before and meanwhile");
    assert_eq!(kit.opened_by(&lines(NEW, &[])).await, 1);

    let rotated = rotate(&kit.store, &keys, &SealedPlace::ALL).await.unwrap();
    assert_eq!((rotated.rewrapped, rotated.last.older, rotated.last.unopened), (all as u64 - 1, 0, 0));
    rotated.verdict().unwrap();
    assert_eq!(kit.opened_by(&lines(NEW, &[])).await, all);
    assert_eq!(kit.opened_by(&lines(OLD, &[])).await, 0, "the older line is of no use");

    let again = rotate(&kit.store, &keys, &SealedPlace::ALL).await.unwrap();
    assert_eq!((again.rewrapped, again.last.seen), (0, all as u64));
    again.verdict().unwrap();
}

/// At its third key, a certificate is stored where the walk has been, and the order that it has read ends.
struct Others {
    kit: Kit,
    order: Order,
}

#[async_trait]
impl Meanwhile for Others {
    async fn goes_on(&self, count: usize) {
        match count {
            2 => {
                let ended = Order { state: OrderState::Failed, ..self.order.clone() };
                let mut tx = self.kit.store.begin("ended").await.unwrap();
                tx.update_order(&ended, "placed").await.unwrap();
                tx.commit().await.unwrap();
            }
            3 => {
                self.kit.certificate(first(1), OLD).await;
                self.kit.certificate(first(2), NEW).await;
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn what_others_write_meanwhile_is_neither_lost_nor_left() {
    let kit = Kit::new().await;
    let order = kit.order(OLD).await;
    for _ in 0..=PAGE {
        kit.certificate(fresh(), OLD).await;
    }
    let others = Others { kit: kit.clone(), order };
    let rotated = rotate(&kit.store, &lines_while(NEW, &[OLD], others), &SealedPlace::ALL).await.unwrap();
    rotated.verdict().unwrap();
    let orders = kit.store.sealed_keys(SealedPlace::Orders, None, 10).await.unwrap();
    assert!(orders.is_empty(), "an ended order gets no key back");
    let kept = 1 + PAGE as usize + 1 + 2;
    assert_eq!(kit.opened_by(&lines(NEW, &[])).await, kept);
    assert_eq!(rotated.rewrapped, kept as u64 - 1);
}

/// A process that was not restarted: each time, it seals another key under its own line, where the walk has been.
struct Forgotten(Kit);

#[async_trait]
impl Meanwhile for Forgotten {
    async fn goes_on(&self, count: usize) {
        self.0.certificate(first(100 - count), OLD).await;
    }
}

#[tokio::test]
async fn a_process_that_still_seals_under_an_older_line_is_told_of() {
    let kit = Kit::new().await;
    kit.certificate(fresh(), OLD).await;
    let one_a_walk = lines_while(NEW, &[OLD], Forgotten(kit.clone()));
    let rotated = rotate(&kit.store, &one_a_walk, &SealedPlace::ALL).await.unwrap();
    assert_eq!(rotated.last.older, 1);
    let failure = format!("{:?}", rotated.verdict().unwrap_err());
    assert!(failure.contains("LEFT") && failure.contains("restart"), "{failure}");
}

#[tokio::test]
async fn what_no_line_opens_is_counted_and_named_and_the_rest_is_done() {
    let kit = Kit::new().await;
    kit.certificate(first(1), STRANGE).await;
    let binding = Binding::certificate(first(1), &name());
    let copied = lines(OLD, &[]).seal(&binding, &PUBLIC, b"key").await.unwrap();
    kit.sealed_certificate(first(2), copied).await;
    kit.sealed_certificate(first(3), b"nonsense".to_vec()).await;
    for number in 4..4 + MAX_NAMED {
        kit.certificate(first(number), STRANGE).await;
    }
    kit.certificate(fresh(), OLD).await;
    let keys = lines(NEW, &[OLD]);
    let rotated = rotate(&kit.store, &keys, &SealedPlace::ALL).await.unwrap();
    let unopened = 3 + MAX_NAMED as u64;
    assert_eq!((rotated.rewrapped, rotated.last.older, rotated.last.unopened), (1, 0, unopened));
    let shown = rotated.json(&keys);
    let named = shown["unopened_keys"].as_array().unwrap();
    assert_eq!(named.len(), MAX_NAMED);
    let strange = lines(STRANGE, &[]).current_key_id();
    for (index, sentence) in
        [(0, strange.to_string()), (1, "another id".to_owned()), (2, "not in a known format".to_owned())]
    {
        assert_eq!(named[index]["id"], first(index + 1).to_string());
        let message = named[index]["message"].as_str().unwrap();
        assert!(message.contains(&sentence), "{message}");
    }
    let failure = format!("{:?}", rotated.verdict().unwrap_err());
    for part in ["UNOPENED", &unopened.to_string(), &first(1).to_string(), "exit: 1"] {
        assert!(failure.contains(part), "{failure}");
    }
}

/// The targets of webhooks are under keys of their own: those of the certificates neither open nor wrap them.
#[tokio::test]
async fn targets_of_webhooks_are_wrapped_under_the_notifiers_keys() {
    const OLDER: u8 = 8;
    const NEWER: u8 = 9;
    let kit = Kit::new().await;
    kit.certificate(fresh(), OLD).await;
    let endpoint = kit.endpoint(OLDER).await;
    let mut rotated = rotate(&kit.store, &lines(NEW, &[OLD]), &SealedPlace::ALL).await.unwrap();
    assert_eq!((rotated.rewrapped, rotated.last.unopened), (1, 0), "it is not among them");
    let of_notifier = lines(NEWER, &[OLDER]);
    rotated.add(rotate(&kit.store, &of_notifier, &[SealedPlace::Webhooks]).await.unwrap());
    rotated.verdict().unwrap();
    assert_eq!((rotated.rewrapped, rotated.last.older), (2, 0));
    let stored = kit.store.endpoints().await.unwrap().remove(0);
    assert_ne!(stored.sealed_target, endpoint.sealed_target);
    let row = (stored.id, stored.url.as_str());
    let target = WebhookTarget::unseal(&lines(NEWER, &[]), row, &stored.sealed_target).await.unwrap();
    assert_eq!((target.url.as_str(), target.secret.as_str()), ("https://hooks.example.net/T0/B1", "whsec_a"));
    assert!(WebhookTarget::unseal(&lines(OLDER, &[]), row, &stored.sealed_target).await.is_err());
    let lacking = rotate(&kit.store, &lines(STRANGE, &[]), &[SealedPlace::Webhooks]).await.unwrap();
    rotated.add(lacking);
    let failure = format!("{:?}", rotated.verdict().unwrap_err());
    assert!(failure.contains("UNOPENED") && failure.contains("endpoints"), "{failure}");
}

/// Tokens, users and sessions count after the older line is gone; a forged one is not signed on the way.
#[expect(clippy::too_many_lines, reason = "a story from beginning to end")]
#[tokio::test]
async fn signatures_are_made_anew_and_a_forged_row_gets_none() {
    let kit = Kit::new().await;
    let (old, new) = (lines(OLD, &[]), lines(NEW, &[OLD]));
    let token = |name: &str| TokenRecord {
        name: name.to_owned(),
        hash: [name.as_bytes()[0]; 32],
        roles: Role::Viewer.into(),
        created_at: Timestamp::UNIX_EPOCH,
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
        mac: vec![1; 40],
    };
    let (mut good, mut forged, mut strange) = (token("good"), token("forged"), token("strange"));
    api::signed::sign_token(&old, &mut good).await.unwrap();
    api::signed::sign_token(&old, &mut forged).await.unwrap();
    forged.roles = Role::Admin.into();
    let mut user = User {
        name: "ann".to_owned(),
        roles: Role::Support.into(),
        password_hash: None,
        created_at: Timestamp::UNIX_EPOCH,
        mac: Vec::new(),
    };
    api::signed::sign_user(&old, &mut user).await.unwrap();
    let session = |number: u8, user: &str| SessionRecord {
        hash: [number; 32],
        user: user.to_owned(),
        roles: Role::Support.into(),
        created_at: Timestamp::UNIX_EPOCH,
        used_at: Timestamp::UNIX_EPOCH,
        expires_at: Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1),
        mac: Vec::new(),
    };
    let (mut of_user, mut vouched) = (session(1, "ann"), session(2, "oidc:ann"));
    api::signed::sign_session(&old, &mut of_user, false).await.unwrap();
    api::signed::sign_session(&old, &mut vouched, true).await.unwrap();
    let mut tx = kit.store.begin("rows").await.unwrap();
    tx.insert_token(&good).await.unwrap();
    tx.insert_token(&forged).await.unwrap();
    tx.insert_user(&user).await.unwrap();
    tx.insert_session(&of_user).await.unwrap();
    tx.insert_provider_session(&vouched).await.unwrap();
    tx.commit().await.unwrap();

    let done = signatures::renew(&kit.store, &new).await.unwrap();
    assert_eq!((done.renewed, done.unchecked.len()), (4, 0));
    assert_eq!(done.refused, ["tokens \"forged\""]);
    let alone = lines(NEW, &[]);
    for token in kit.store.tokens().await.unwrap() {
        let counts = api::signed::check_token(&alone, &token).await.is_ok();
        assert_eq!(counts, token.name == "good", "{}", token.name);
    }
    let user = kit.store.user("ann").await.unwrap().unwrap();
    api::signed::check_user(&alone, &user).await.unwrap();
    for stored in kit.store.sessions(&[0; 32], 9).await.unwrap() {
        api::signed::check_session(&alone, &stored).await.unwrap();
    }
    let again = signatures::renew(&kit.store, &new).await.unwrap();
    assert_eq!(again.renewed, 0);

    // What is under a line that is not in the file stops the rotation.
    api::signed::sign_token(&lines(STRANGE, &[]), &mut strange).await.unwrap();
    let mut tx = kit.store.begin("strange").await.unwrap();
    tx.insert_token(&strange).await.unwrap();
    tx.commit().await.unwrap();
    let mut rotated = rotate(&kit.store, &new, &SealedPlace::ALL).await.unwrap();
    rotated.signatures = signatures::renew(&kit.store, &new).await.unwrap();
    let failure = format!("{:?}", rotated.verdict().unwrap_err());
    assert!(failure.contains("UNOPENED") && failure.contains("strange"), "{failure}");
}
