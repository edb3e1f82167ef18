//! Somebody writes to the database: rows that say more than SSL Manager wrote make nobody anybody.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use std::sync::Arc;

use domain::{Role, Roles};
use jiff::SignedDuration;
use proto::v1;
use proto::v1::sessions_client::SessionsClient;
use runtime::config::{ApiOidc, OidcRole};
use runtime::{Context, SystemEntropy};
use seal::SealingKeys;
use store::{SessionRecord, TokenRecord, User};
use tonic::{Code, Status};

use served::{Served, has_reason, served, served_with, signed};

const PASSWORD: &str = "correct horse battery";

fn keys(served: &Served) -> Arc<SealingKeys> {
    served.context.require_sealing_keys().unwrap()
}

async fn read(served: &Served, token: &str) -> Result<(), Status> {
    let request = signed(v1::GetSummaryRequest {}, token);
    served.client.clone().get_summary(request).await.map(drop)
}

async fn is_nobody(served: &Served, token: &str, what: &str) {
    let refused = read(served, token).await.err().unwrap_or_else(|| panic!("{what} got in"));
    assert_eq!(refused.code(), Code::Unauthenticated, "{what}: {refused}");
    assert!(has_reason(&refused, "TOKEN_INVALID"), "{what}: {refused:?}");
}

fn token(context: &Context, text: &str) -> TokenRecord {
    TokenRecord {
        name: format!("t-{}", &text[4..12]),
        hash: api::hash_token(text),
        roles: Role::Viewer.into(),
        created_at: context.clock.now(),
        expires_at: Some(context.clock.now() + SignedDuration::from_hours(1)),
        last_used_at: None,
        revoked_at: None,
        mac: Vec::new(),
    }
}

fn session(context: &Context, text: &str, user: &str, roles: Roles) -> SessionRecord {
    let now = context.clock.now();
    SessionRecord {
        hash: api::hash_token(text),
        user: user.to_owned(),
        roles,
        created_at: now,
        used_at: now,
        expires_at: now + SignedDuration::from_hours(1),
        mac: Vec::new(),
    }
}

fn session_text() -> String {
    api::new_token(&SystemEntropy).replacen("slm_", "sls_", 1)
}

async fn insert_token(served: &Served, token: &TokenRecord) {
    let mut tx = served.context.store.begin("attack").await.unwrap();
    tx.insert_token(token).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_token_that_the_database_made_or_changed_is_nobodys() {
    type Change = fn(&mut TokenRecord);
    let served = served().await;
    let keys = keys(&served);
    let attacks: [(&str, Change); 7] = [
        ("without a MAC", |token| token.mac.clear()),
        ("a MAC of zeros", |token| token.mac = vec![0; 40]),
        ("a MAC that is cut", |token| token.mac.truncate(20)),
        ("more roles", |token| token.roles = Role::Admin.into()),
        ("for ever", |token| token.expires_at = None),
        ("for longer", |token| {
            token.expires_at = token.expires_at.map(|at| at + SignedDuration::from_hours(9));
        }),
        ("another's name", |token| token.name = format!("dashboard-{}", token.name)),
    ];
    for (what, attack) in attacks {
        let text = api::new_token(&SystemEntropy);
        let mut row = token(&served.context, &text);
        api::signed::sign_token(&keys, &mut row).await.unwrap();
        let mut forged = row.clone();
        attack(&mut forged);
        if what == "a MAC of zeros" {
            // Of a sealing key that is not there: told as what it could be, too.
            insert_token(&served, &forged).await;
            let refused = read(&served, &text).await.unwrap_err();
            assert!(has_reason(&refused, "SEALING_KEY_MISSING"), "{refused:?}");
            continue;
        }
        insert_token(&served, &forged).await;
        is_nobody(&served, &text, what).await;
    }
    // The MAC of one row under the hash of another token.
    let (good, bad) = (api::new_token(&SystemEntropy), api::new_token(&SystemEntropy));
    let mut row = token(&served.context, &good);
    api::signed::sign_token(&keys, &mut row).await.unwrap();
    insert_token(&served, &row).await;
    read(&served, &good).await.unwrap();
    let copy = TokenRecord { name: "copy".to_owned(), hash: api::hash_token(&bad), ..row };
    insert_token(&served, &copy).await;
    is_nobody(&served, &bad, "a copied MAC").await;
}

/// An INSERT into `sessions` with the API's own database password made an admin, and a private key came out.
#[tokio::test]
async fn a_session_that_the_database_made_is_nobodys() {
    let served = served().await;
    let (store, keys) = (served.context.store.clone(), keys(&served));
    let mut ann = User {
        name: "ann".to_owned(),
        roles: Role::Viewer.into(),
        password_hash: Some("$argon2id$".to_owned()),
        created_at: served.context.clock.now(),
        mac: Vec::new(),
    };
    api::signed::sign_user(&keys, &mut ann).await.unwrap();
    let mut admin = User { name: "admin".to_owned(), roles: Role::Admin.into(), ..ann.clone() };
    api::signed::sign_user(&keys, &mut admin).await.unwrap();
    let (own, texts) = (session_text(), [(); 4].map(|()| session_text()));
    let of = |text: &str, user: &str| session(&served.context, text, user, Role::Admin.into());
    let mut good = of(&own, "ann");
    api::signed::sign_session(&keys, &mut good, false).await.unwrap();
    let mac = good.mac.clone();
    let mut tx = store.begin("attack").await.unwrap();
    tx.insert_user(&ann).await.unwrap();
    tx.insert_user(&admin).await.unwrap();
    tx.insert_session(&good).await.unwrap();
    tx.insert_session(&of(&texts[0], "admin")).await.unwrap();
    tx.insert_session(&SessionRecord { mac: mac.clone(), ..of(&texts[1], "admin") }).await.unwrap();
    tx.insert_provider_session(&SessionRecord { mac: mac.clone(), ..of(&texts[2], "oidc:ann") })
        .await
        .unwrap();
    let longer = served.context.clock.now() + SignedDuration::from_hours(99);
    let longer = SessionRecord { mac, expires_at: longer, ..of(&texts[3], "ann") };
    tx.insert_session(&longer).await.unwrap();
    tx.commit().await.unwrap();
    read(&served, &own).await.unwrap();
    for (text, what) in texts.iter().zip(["without a MAC", "with another's", "a provider's", "a longer one"])
    {
        is_nobody(&served, text, what).await;
    }

    // The person's row gets a role more: then the person is nobody, until it is as it was.
    let mut tx = store.begin("attack").await.unwrap();
    assert!(tx.update_user(&User { roles: Role::Admin.into(), ..ann.clone() }).await.unwrap());
    tx.commit().await.unwrap();
    is_nobody(&served, &own, "a promoted one").await;
    let mut tx = store.begin("back").await.unwrap();
    assert!(tx.update_user(&ann).await.unwrap());
    tx.commit().await.unwrap();
    read(&served, &own).await.unwrap();
}

#[tokio::test]
async fn a_person_whom_the_database_made_or_whose_password_it_set_cannot_sign_in() {
    let served = served().await;
    let (store, keys) = (served.context.store.clone(), keys(&served));
    let password_hash = Some(api::hash_password(PASSWORD, &SystemEntropy).unwrap());
    let mut ann = User {
        name: "ann".to_owned(),
        roles: Role::Admin.into(),
        password_hash: Some(api::hash_password("another password", &SystemEntropy).unwrap()),
        created_at: served.context.clock.now(),
        mac: Vec::new(),
    };
    api::signed::sign_user(&keys, &mut ann).await.unwrap();
    let made = User { name: "eve".to_owned(), password_hash: password_hash.clone(), ..ann.clone() };
    let mut tx = store.begin("attack").await.unwrap();
    tx.insert_user(&User { password_hash, ..ann.clone() }).await.unwrap();
    tx.insert_user(&made).await.unwrap();
    tx.commit().await.unwrap();
    let mut client = SessionsClient::new(served.channel.clone());
    for name in ["ann", "eve"] {
        let request =
            v1::SignInRequest { name: name.to_owned(), password: PASSWORD.to_owned(), ..Default::default() };
        let refused = client.sign_in(request).await.err().unwrap();
        assert!(has_reason(&refused, "SIGN_IN_FAILED"), "{refused:?}");
    }
}

/// A signed session of a provider's person, where there is no provider any more, or one that gives less.
#[tokio::test]
async fn a_providers_session_counts_as_far_as_the_settings_give_its_roles() {
    let both = Roles::of([Role::Support, Role::Admin]).unwrap();
    let with = |given: &[Role]| {
        let given = given.to_vec();
        move |config: &mut runtime::Config| {
            let roles = given.iter().map(|role| OidcRole { value: role.to_string(), role: *role });
            config.api.oidc = (!given.is_empty()).then(|| ApiOidc {
                issuer_url: "http://127.0.0.1:1".to_owned(),
                client_id: "ssl-manager".to_owned(),
                roles: roles.collect(),
                ..ApiOidc::default()
            });
        }
    };
    for (given, counts_as) in [
        (vec![], None),
        (vec![Role::Viewer], None),
        (vec![Role::Support], Some(vec!["support"])),
        (vec![Role::Support, Role::Admin], Some(vec!["support", "admin"])),
    ] {
        let served = served_with(with(&given)).await;
        let text = session_text();
        let mut row = session(&served.context, &text, "oidc:ann", both);
        api::signed::sign_session(&keys(&served), &mut row, true).await.unwrap();
        let mut tx = served.context.store.begin("session").await.unwrap();
        tx.insert_provider_session(&row).await.unwrap();
        tx.commit().await.unwrap();
        let mut client = SessionsClient::new(served.channel.clone());
        let resolved = client.resolve(signed(v1::ResolveRequest {}, &text)).await;
        let roles = resolved.ok().map(|answer| answer.into_inner().session.unwrap().roles);
        assert_eq!(roles, counts_as.map(|roles| roles.into_iter().map(str::to_owned).collect()), "{given:?}");
    }
}

/// The sealing key was changed without a rotation: that is said, and with the old line back everything counts again.
#[tokio::test]
async fn a_sealing_key_that_was_changed_without_rotation_is_told_and_loses_nothing() {
    let served = served().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("old.key");
    let old = SealingKeys::load_or_create(&file).unwrap();
    let text = api::new_token(&SystemEntropy);
    let mut row = token(&served.context, &text);
    api::signed::sign_token(&old, &mut row).await.unwrap();
    insert_token(&served, &row).await;
    let refused = read(&served, &text).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(has_reason(&refused, "SEALING_KEY_MISSING"), "{refused:?}");
    let id = old.current_key_id().to_string();
    assert!(refused.message().contains(&id) && refused.message().contains("add its line"), "{refused}");
    assert_eq!(served.context.store.tokens().await.unwrap(), [row.clone()], "it is there as it was");
    api::signed::check_token(&old, &row).await.unwrap();
}
