//! What each database role, as `roles.sql` makes it, can do with its own password: with SQL, on a real PostgreSQL, beside a
//! running API. Every attack is refused, found by `audit verify`, or without effect; `docs/SECURITY.md` says which.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "database_roles/administrator.rs"]
mod administrator;
#[path = "database_roles/attacks.rs"]
mod attacks;
#[path = "database_roles/earlier_rows.rs"]
mod earlier_rows;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use audit::{Caller, Signer};
use bus_embedded::EmbeddedBus;
use domain::{
    AccountId, CertificateId, CertificateSummary, Clock, Domain, DomainName, Live, Order, OrderId, OrderKey,
    OrderState, Role, Source, Trust,
};
use jiff::SignedDuration;
use proto::v1;
use proto::v1::domains_client::DomainsClient;
use proto::v1::sessions_client::SessionsClient;
use rcgen::{CertificateParams, KeyPair};
use runtime::{Config, Context, Health, Listen, Listeners, Stop, SystemClock, SystemEntropy};
use seal::{Binding, SealingKeys};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use store::{Account, Certificate, SessionRecord, Store, TokenRecord, User};
use tempfile::TempDir;
use tests::Postgres;
use tonic::transport::Channel;
use tonic::{Request, Status};

const ROLES: [&str; 6] = [
    "ssl_manager_api",
    "ssl_manager_issuer",
    "ssl_manager_scheduler",
    "ssl_manager_uploader",
    "ssl_manager_responder",
    "ssl_manager_notifier",
];
/// How the table in the document begins.
const HEAD: &str = "| with the password of | impersonate a principal | get a key | swap sealed keys and names | change or cut the audit log |";
const PASSWORD: &str = "correct horse battery";
const NOT_ALLOWED: &str = "42501";

/// What came of an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Refused,
    Found,
    WithoutEffect,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Found => "found",
            Self::WithoutEffect => "without effect",
        }
    }
}

/// A database with everything in it that an attacker could want, and what they know.
struct Prize {
    postgres: &'static Postgres,
    template: String,
    keys: Arc<SealingKeys>,
    /// The tokens that the attacker has: of a viewer, and of sessions and tokens that are still to be forged.
    viewer: String,
    own_session: String,
    forged_token: String,
    forged_session: String,
    admin: String,
    /// Of an admin, and revoked.
    revoked: String,
    /// The rows of admins as they were before one became a viewer and the other was deleted.
    earlier: Vec<User>,
    /// PKCS #8 of `shop.example.com`.
    shop_key: Vec<u8>,
    account_key: Vec<u8>,
    _folder: TempDir,
}

fn name(label: &str) -> DomainName {
    DomainName::parse(&format!("{label}.example.com")).unwrap()
}

fn open(url: &str) -> Arc<Store> {
    Arc::new(Store::open_server(url, 4, Arc::new(SystemClock), Arc::new(SystemEntropy)).unwrap())
}

fn hex_of(text: &str) -> String {
    format!("'\\x{}'::bytea", hex::encode(api::hash_token(text)))
}

impl Prize {
    async fn new() -> Self {
        let postgres = Postgres::shared().await;
        let template = postgres.database();
        let folder = tempfile::tempdir().unwrap();
        let text = |prefix: &str| api::new_token(&SystemEntropy).replacen("slm_", prefix, 1);
        let mut prize = Self {
            postgres,
            keys: Arc::new(SealingKeys::load_or_create(&folder.path().join("key")).unwrap()),
            viewer: text("slm_"),
            own_session: text("sls_"),
            forged_token: text("slm_"),
            forged_session: text("sls_"),
            admin: text("slm_"),
            revoked: text("slm_"),
            earlier: Vec::new(),
            shop_key: Vec::new(),
            account_key: KeyPair::generate().unwrap().serialize_der(),
            template,
            _folder: folder,
        };
        let store = open(&postgres.superuser_url(&prize.template));
        store.migrate().await.unwrap();
        postgres.psql(&prize.template, include_str!("../../deploy/postgres/roles.sql")).unwrap();
        prize.people(&store).await;
        prize.shop_key = prize.certified(&store, "shop").await;
        prize.certified(&store, "evil").await;
        prize.account(&store).await;
        prize.audit(&store).await;
        store.close().await;
        prize
    }

    async fn user(&self, name: &str, role: Role) -> User {
        let mut user = User {
            name: name.to_owned(),
            roles: role.into(),
            password_hash: Some(api::hash_password(&format!("{name} {PASSWORD}"), &SystemEntropy).unwrap()),
            created_at: SystemClock.now(),
            mac: Vec::new(),
        };
        api::signed::sign_user(&self.keys, &mut user).await.unwrap();
        user
    }

    async fn people(&mut self, store: &Store) {
        let now = SystemClock.now();
        let mut tx = store.begin("people").await.unwrap();
        for (name, text, role, revoked_at) in [
            ("viewer", &self.viewer, Role::Viewer, None),
            ("admin", &self.admin, Role::Admin, None),
            ("revoked", &self.revoked, Role::Admin, Some(now)),
        ] {
            let mut token = TokenRecord {
                name: name.to_owned(),
                hash: api::hash_token(text),
                roles: role.into(),
                created_at: now,
                expires_at: None,
                last_used_at: None,
                revoked_at,
                mac: Vec::new(),
            };
            api::signed::sign_token(&self.keys, &mut token).await.unwrap();
            tx.insert_token(&token).await.unwrap();
        }
        for name in ["eve", "boss", "gone"] {
            let user = self.user(name, Role::Admin).await;
            tx.insert_user(&user).await.unwrap();
            self.earlier.extend((name != "boss").then_some(user));
        }
        let mut eve = User { roles: Role::Viewer.into(), ..self.earlier[0].clone() };
        api::signed::sign_user(&self.keys, &mut eve).await.unwrap();
        assert!(tx.update_user(&eve).await.unwrap());
        assert!(tx.remove_user("gone").await.unwrap());
        let mut session = SessionRecord {
            hash: api::hash_token(&self.own_session),
            user: "eve".to_owned(),
            roles: Role::Viewer.into(),
            created_at: now,
            used_at: now,
            expires_at: now + SignedDuration::from_hours(8),
            mac: Vec::new(),
        };
        api::signed::sign_session(&self.keys, &mut session, false).await.unwrap();
        tx.insert_session(&session).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// A domain with a live certificate; its key.
    async fn certified(&self, store: &Store, label: &str) -> Vec<u8> {
        let (name, now) = (name(label), SystemClock.now());
        let key = KeyPair::generate().unwrap();
        let chain_pem = CertificateParams::new([name.to_string()]).unwrap().self_signed(&key).unwrap().pem();
        let id = CertificateId::new(&SystemClock, &SystemEntropy);
        let public_key = x509::leaf_public_key_sha256(&chain_pem).unwrap();
        let sealed =
            self.keys.seal(&Binding::certificate(id, &name), &public_key, &key.serialize_der()).await;
        let not_after = now + SignedDuration::from_hours(24 * 90);
        let certificate = Certificate {
            summary: CertificateSummary {
                id,
                sha256: hex::encode(public_key),
                serial: "01".to_owned(),
                issuer: "CN=Test".to_owned(),
                not_before: now,
                not_after,
                source: Source::Text,
                trust: Some(Trust::Private),
            },
            name: name.clone(),
            revision: 1,
            chain_pem,
            sealed_key: Some(sealed.unwrap()),
            created_at: now,
            uploaded_at: None,
            account: None,
            renewal: None,
            revoked_at: None,
            withdrawn: false,
        };
        let mut tx = store.begin("certified").await.unwrap();
        tx.insert_domain(&Domain::added(name, now)).await.unwrap();
        tx.insert_certificate(&certificate).await.unwrap();
        let domain = tx.domain(&certificate.name).await.unwrap().unwrap();
        tx.update_domain(&domain.uploaded(Live { certificate: id, not_after }).unwrap()).await.unwrap();
        tx.commit().await.unwrap();
        key.serialize_der()
    }

    /// Our account at a CA, and an order that has a key.
    async fn account(&self, store: &Store) {
        let now = SystemClock.now();
        let id = AccountId::new(&SystemClock, &SystemEntropy);
        let directory = "https://ca.example.net/directory";
        let sealed =
            self.keys.seal(&Binding::account(id, directory), &[1; 32], &self.account_key).await.unwrap();
        let certificate = CertificateId::new(&SystemClock, &SystemEntropy);
        let binding = Binding::certificate(certificate, &name("evil"));
        let sealed_key = self.keys.seal(&binding, &[2; 32], b"the key of an order").await.unwrap();
        let mut tx = store.begin("account").await.unwrap();
        tx.insert_account(&Account {
            id,
            issuer: "ca".to_owned(),
            directory_url: directory.to_owned(),
            sealed_key: sealed,
            url: None,
            created_at: now,
            pending_key: None,
        })
        .await
        .unwrap();
        tx.insert_order(&Order {
            id: OrderId::new(&SystemClock, &SystemEntropy),
            name: name("evil"),
            revision: 1,
            account: id,
            created_at: now,
            state: OrderState::Placed {
                url: "https://ca.example.net/order/1".to_owned(),
                key: OrderKey { certificate, sealed: sealed_key, csr: vec![48] },
            },
        })
        .await
        .unwrap();
        tx.commit().await.unwrap();
    }

    /// Five lines, chained, their end signed.
    async fn audit(&self, store: &Store) {
        let now = SystemClock.now();
        let mut signer = Signer::default();
        signer.sign(store, &self.keys, now).await.unwrap();
        for index in 1..=5 {
            let caller = Caller {
                actor: "token:admin".to_owned(),
                peer: "192.0.2.1:4711".to_owned(),
                call: "AddDomain",
                request_id: String::new(),
            };
            let mut tx = store.begin("line").await.unwrap();
            tx.append_audit(caller.line(now, &format!("d{index}"), audit::OK, ""));
            tx.commit().await.unwrap();
        }
        audit::seal(store).await.unwrap();
        assert!(signer.sign(store, &self.keys, now).await.unwrap());
    }

    async fn as_role(&self, role: &str, database: &str) -> PgConnection {
        let password = self.postgres.role_password(role);
        PgConnection::connect(&self.postgres.url(role, &password, database)).await.unwrap()
    }

    /// A copy that an attack may spoil.
    fn copy(&self) -> String {
        let copy = self.postgres.database();
        self.postgres.psql("postgres", &format!("DROP DATABASE {copy}")).unwrap();
        let make = format!("CREATE DATABASE {copy} TEMPLATE {}", self.template);
        // A connection that was closed a moment ago may still be seen.
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname =";
        for _ in 0..100 {
            self.postgres.psql("postgres", &format!("{end} '{}'", self.template)).unwrap();
            if self.postgres.psql("postgres", &make).is_ok() {
                return copy;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("{make}");
    }

    async fn attack(&self, role: &str, goal: Goal, sql: &str) -> Outcome {
        // On a copy that is thrown away where the role may do it at all.
        let mut connection = self.as_role(role, &self.template).await;
        let tried =
            sqlx::raw_sql(AssertSqlSafe(format!("BEGIN; {sql}; ROLLBACK"))).execute(&mut connection).await;
        connection.close().await.unwrap();
        if let Err(error) = tried {
            let code = error.as_database_error().and_then(|error| error.code().map(Cow::into_owned));
            assert_eq!(code.as_deref(), Some(NOT_ALLOWED), "{role}: {sql}: {error}");
            return Outcome::Refused;
        }
        let database = self.copy();
        let mut connection = self.as_role(role, &database).await;
        if sql.starts_with("SELECT") {
            let keys: Vec<(Option<Vec<u8>>,)> =
                sqlx::query_as(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await.unwrap();
            assert!(!keys.is_empty(), "{role}: {sql}");
            for (key,) in keys {
                let key = key.unwrap_or_default();
                for secret in [&self.shop_key, &self.account_key] {
                    assert!(!key.windows(32).any(|window| window == &secret[secret.len() - 32..]));
                }
            }
            return Outcome::WithoutEffect;
        }
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        match goal {
            Goal::Audit => self.is_found(&database, role, sql).await,
            _ => self.has_no_effect(&database, role, sql).await,
        }
        if goal == Goal::Audit { Outcome::Found } else { Outcome::WithoutEffect }
    }

    async fn is_found(&self, database: &str, role: &str, sql: &str) {
        let store = open(&self.postgres.superuser_url(database));
        let report = audit::verify(&store, &[], Ok(&self.keys)).await.unwrap();
        assert!(!report.broken.is_empty(), "{role} is not found: {sql}");
        store.close().await;
    }

    /// By an API on that database: nobody of the attacker's is more than they were, and no key of another comes out.
    async fn has_no_effect(&self, database: &str, role: &str, sql: &str) {
        let (channel, stop) = self.serve(database).await;
        let tokens =
            [&self.viewer, &self.own_session, &self.forged_token, &self.forged_session, &self.revoked];
        for token in tokens {
            let got = download(&channel, token, "shop").await;
            assert!(got.is_err(), "{role} got the key: {sql}");
        }
        for (user, first) in [("forged", PASSWORD), ("boss", PASSWORD), ("eve", "eve"), ("gone", "gone")] {
            let request = v1::SignInRequest {
                name: user.to_owned(),
                password: format!("{first} {PASSWORD}"),
                ..Default::default()
            };
            let begun = SessionsClient::new(channel.clone()).sign_in(request).await;
            let is_admin = begun.is_ok_and(|begun| {
                begun.into_inner().session.unwrap().roles.iter().any(|role| role == "admin")
            });
            assert!(!is_admin, "{role} is {user}: {sql}");
        }
        // Who may take keys out gets those of the name, or none.
        for label in ["shop", "evil"] {
            if let Ok(answer) = download(&channel, &self.admin, label).await {
                let key = x509::private_key_pem(&self.shop_key);
                assert_eq!(answer.private_key_pem == *key, label == "shop", "{role}, {label}: {sql}");
                let account = x509::private_key_pem(&self.account_key);
                assert_ne!(answer.private_key_pem, *account, "{role}: {sql}");
            }
        }
        assert!(stop.stop().await);
    }

    /// An API with its own database role.
    async fn serve(&self, database: &str) -> (Channel, Stop) {
        let password = self.postgres.role_password("ssl_manager_api");
        let store = open(&self.postgres.url("ssl_manager_api", &password, database));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let listeners = Listeners::default();
        let address = listeners.bind(Listen::Api, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let stop = Stop::default();
        let context = Context {
            config: Arc::new(Config::default()),
            bus: Arc::new(EmbeddedBus::new(store.clone(), clock.clone())),
            store,
            clock,
            entropy: Arc::new(SystemEntropy),
            sealing_keys: Some(self.keys.clone()),
            stop: stop.clone(),
            health: Health::default(),
            reload: runtime::Reload::default(),
            listeners: Arc::new(listeners),
        };
        tokio::spawn(api::run(context));
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        (channel, stop)
    }
}

async fn download(
    channel: &Channel,
    token: &str,
    label: &str,
) -> Result<v1::DownloadCertificateResponse, Status> {
    let mut request = Request::new(v1::DownloadCertificateRequest {
        name: name(label).to_string(),
        include_private_key: true,
        reason: "test".to_owned(),
        ..v1::DownloadCertificateRequest::default()
    });
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    DomainsClient::new(channel.clone()).download_certificate(request).await.map(tonic::Response::into_inner)
}

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    BecomeSomebody,
    GetKey,
    Swap,
    Audit,
}

const GOALS: [Goal; 4] = [Goal::BecomeSomebody, Goal::GetKey, Goal::Swap, Goal::Audit];

/// The rows of the table in the document: role, then a cell per goal.
fn documented() -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/SECURITY.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().skip_while(|line| *line != HEAD).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_each_database_role_can_do_is_refused_found_or_without_effect() {
    let prize = Prize::new().await;
    // Nobody attacked yet: what is looked for can be had, by the one who may.
    let untouched = prize.copy();
    let (channel, stop) = prize.serve(&untouched).await;
    let key = download(&channel, &prize.admin, "shop").await.unwrap().private_key_pem;
    assert_eq!(key, *x509::private_key_pem(&prize.shop_key));
    assert!(stop.stop().await);

    let mut measured = Vec::new();
    for role in ROLES {
        let mut row = vec![role.to_owned()];
        for goal in GOALS {
            let mut outcomes = BTreeSet::new();
            for sql in prize.attacks(goal) {
                outcomes.insert(prize.attack(role, goal, &sql).await);
            }
            let words: Vec<&str> = outcomes.into_iter().map(Outcome::as_str).collect();
            row.push(words.join(", "));
        }
        measured.push(row);
    }
    assert_eq!(documented(), measured, "docs/SECURITY.md says otherwise");
}
