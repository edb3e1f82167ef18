//! Accounts that leave and come back, against the sandbox's CA.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;

use domain::{Domain, DomainName, Order, OrderId, OrderState};
use jiff::Timestamp;
use runtime::testing::{open_store, order_key};
use sandbox::{CaOptions, Endpoint};
use tempfile::TempDir;

use super::*;

struct Kit {
    ca: sandbox::Ca,
    settings: AcmeIssuer,
    folder: TempDir,
}

impl Kit {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = sandbox::Ca::start(CaOptions::default()).await.unwrap();
        let root = folder.path().join("root.pem");
        std::fs::write(&root, ca.api_root_pem()).unwrap();
        let settings = AcmeIssuer {
            name: "sandbox".to_owned(),
            directory_url: ca.directory_url(),
            root_certificate_file: root,
            ..AcmeIssuer::default()
        };
        Self { ca, settings, folder }
    }

    /// A machine with a database and a sealing key of its own.
    async fn desk(&self, name: &str) -> Desk {
        let path = self.folder.path().join(format!("{name}.db"));
        let store = open_store(&path, Arc::new(SystemClock)).await.unwrap();
        let keys = SealingKeys::load_or_create(&self.folder.path().join(format!("{name}.key"))).unwrap();
        Desk { store, keys: Arc::new(keys) }
    }

    /// One with an account that the CA knows.
    async fn registered(&self, name: &str) -> Desk {
        let desk = self.desk(name).await;
        let ca = desk.ca(&self.settings).unwrap();
        acme::ensure_account(&ca, &desk.store, &desk.keys, &SystemEntropy).await.unwrap();
        desk
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn export(&self, desk: &Desk, name: &str) -> PathBuf {
        let file = self.file(name);
        desk.export(&self.settings, &file).await.unwrap();
        file
    }
}

impl Desk {
    async fn only(&self) -> Account {
        let accounts = self.store.accounts().await.unwrap();
        assert_eq!(accounts.len(), 1);
        accounts.into_iter().next().unwrap()
    }

    async fn audited(&self) -> Vec<(String, String)> {
        let lines = self.store.audit(None, 100).await.unwrap();
        lines.into_iter().map(|line| (line.call, line.detail)).collect()
    }

    async fn order(&self, account: AccountId) {
        let name = DomainName::parse("shop.example.com").unwrap();
        let order = Order {
            id: OrderId::new(&SystemClock, &SystemEntropy),
            name: name.clone(),
            revision: 1,
            account,
            created_at: Timestamp::UNIX_EPOCH,
            state: OrderState::Created { key: order_key() },
        };
        let mut tx = self.store.begin("order").await.unwrap();
        tx.insert_domain(&Domain::added(name, Timestamp::UNIX_EPOCH)).await.unwrap();
        tx.insert_order(&order).await.unwrap();
        tx.commit().await.unwrap();
    }
}

fn code<T>(result: Result<T, CommandError>) -> String {
    match result {
        Ok(_) => "OK".to_owned(),
        Err(failure) => format!("{failure:?}").split('"').nth(1).unwrap_or_default().to_owned(),
    }
}

#[tokio::test]
async fn an_account_moves_to_another_machine() {
    let kit = Kit::new().await;
    let first = kit.registered("first").await;
    let file = kit.export(&first, "account.json").await;
    let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert_eq!(first.audited().await, [("ExportAccount".to_owned(), "with its private key".to_owned())]);
    let again = first.export(&kit.settings, &file).await;
    assert_eq!(code(again), "FAILED", "nothing is overwritten");
    assert_eq!(first.audited().await.len(), 1, "and no key left");

    let second = kit.desk("second").await;
    second.import(&kit.settings, &file, false).await.unwrap();
    let (one, other) = (first.only().await, second.only().await);
    assert_eq!(one.url, other.url);
    assert_ne!(one.id, other.id);
    assert_eq!(second.audited().await[0].0, "ImportAccount");
    let again = second.import(&kit.settings, &file, false).await.unwrap();
    assert_eq!(again, "the account is there already");
    // It is used from there on: its key is changed, and the CA follows.
    second.roll_over(&kit.settings).await.unwrap();
    assert_eq!(
        second.audited().await[..2],
        [("RolloverAccount", "new key in use"), ("RolloverAccount", "new key stored")]
            .map(|(call, detail)| (call.to_owned(), detail.to_owned()))
    );
    let stale = kit.desk("third").await.import(&kit.settings, &file, false).await;
    assert_eq!(code(stale), "UNKNOWN_ACCOUNT", "the file has the old key");
    // The first machine gets the new key by a file, in place of its own.
    let newer = kit.export(&second, "newer.json").await;
    assert_eq!(code(first.import(&kit.settings, &newer, false).await), "ALREADY_EXISTS");
    first.import(&kit.settings, &newer, true).await.unwrap();
    assert_eq!(first.only().await.id, one.id, "it is the same account");
    first.roll_over(&kit.settings).await.unwrap();
}

#[tokio::test]
async fn another_account_takes_the_place_of_one_without_orders_under_way() {
    let kit = Kit::new().await;
    let (first, second) = (kit.registered("first").await, kit.registered("second").await);
    let file = kit.export(&first, "account.json").await;
    let before = second.only().await;
    second.order(before.id).await;
    assert_eq!(code(second.import(&kit.settings, &file, true).await), "LIVE_ORDERS");
    assert_eq!(second.only().await, before, "nothing changed");
    let mut tx = second.store.begin("done").await.unwrap();
    let name = DomainName::parse("shop.example.com").unwrap();
    let mut order = tx.live_order(&name).await.unwrap().unwrap();
    order.state = order.state.failed().unwrap();
    tx.update_order(&order, "created").await.unwrap();
    tx.commit().await.unwrap();

    second.import(&kit.settings, &file, true).await.unwrap();
    let row = second.row(&kit.settings).await.unwrap().unwrap();
    assert_eq!(row.url, first.only().await.url);
    let accounts = second.store.accounts().await.unwrap();
    let retired = accounts.iter().find(|account| account.id == before.id).unwrap();
    assert!(retired.issuer.starts_with("sandbox (until "), "{}", retired.issuer);
    assert_eq!(retired.url, before.url);
}

#[tokio::test]
async fn a_file_that_is_not_the_accounts_is_refused() {
    let kit = Kit::new().await;
    let desk = kit.registered("first").await;
    let file = kit.export(&desk, "account.json").await;
    let good: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let p256 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let other = kit.desk("other").await;
    for (member, value, expected) in [
        ("private_key_pem", p384.serialize_pem(), "FAILED"),
        ("private_key_pem", "no key".to_owned(), "FAILED"),
        ("private_key_pem", p256.serialize_pem(), "UNKNOWN_ACCOUNT"),
        ("url", "https://ca.example/account/9".to_owned(), "OTHER_ACCOUNT"),
        ("directory_url", "https://ca.example/".to_owned(), "OTHER_DIRECTORY"),
    ] {
        let mut changed = good.clone();
        changed[member] = value.into();
        let path = kit.file("changed.json");
        std::fs::write(&path, changed.to_string()).unwrap();
        let refused = other.import(&kit.settings, &path, false).await;
        assert_eq!(code(refused), expected, "{member}");
    }
    std::fs::write(kit.file("no.json"), "{}").unwrap();
    let refused = other.import(&kit.settings, &kit.file("no.json"), false).await;
    assert_eq!(code(refused), "NOT_AN_ACCOUNT");
    assert!(other.store.accounts().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_key_that_is_being_changed_is_not_exported_and_no_rotation_forgets_it() {
    let kit = Kit::new().await;
    let desk = kit.registered("first").await;
    kit.ca.control().drop_answer(Endpoint::KeyChange);
    assert_eq!(code(desk.roll_over(&kit.settings).await), "CA");
    let file = kit.file("account.json");
    assert_eq!(code(desk.export(&kit.settings, &file).await), "ROLLOVER_PENDING");
    assert!(!file.exists());
    // The sealing key changes in between: what it wraps next is both keys.
    let pending = desk.store.sealed_keys(store::SealedPlace::PendingAccounts, None, 10).await.unwrap();
    assert_eq!(pending.len(), 1);
    desk.roll_over(&kit.settings).await.unwrap();
    kit.export(&desk, "account.json").await;
}
