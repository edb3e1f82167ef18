//! People sign in with an ID token of an OpenID provider.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::Role;
use jiff::{SignedDuration, Timestamp};
use proto::v1;
use proto::v1::sessions_client::SessionsClient;
use runtime::SystemEntropy;
use runtime::config::{ApiOidc, OidcRole};
use runtime::testing::ManualClock;
use sandbox::{Oidc, OidcAlgorithm, OidcOptions, OidcPerson, ProviderTrouble, TokenFlaw};
use store::User;
use tonic::{Code, Status};

use served::{Served, has_reason, served, served_at, signed};

const NONCE: &str = "nonce-of-the-browser";

/// A provider and an API that believes it, by one clock.
struct Scene {
    provider: Oidc,
    served: Served,
    clock: Arc<ManualClock>,
}

async fn scene() -> Scene {
    scene_with(OidcOptions::default(), |_| {}).await
}

async fn scene_with(options: OidcOptions, change: impl FnOnce(&mut ApiOidc)) -> Scene {
    let clock = Arc::new(ManualClock::new(Timestamp::from_second(1_800_000_000).unwrap()));
    let provider = provider(options, &clock).await;
    let mut settings = settings(&provider);
    change(&mut settings);
    let served = served_at(clock.clone(), |config| config.api.oidc = Some(settings)).await;
    Scene { provider, served, clock }
}

async fn provider(options: OidcOptions, clock: &Arc<ManualClock>) -> Oidc {
    let time = clock.clone();
    let options = OidcOptions { clock: Arc::new(move || domain::Clock::now(&*time)), ..options };
    Oidc::start(options).await.unwrap()
}

fn settings(provider: &Oidc) -> ApiOidc {
    let role = |value: &str, role| OidcRole { value: value.to_owned(), role };
    ApiOidc {
        issuer_url: provider.issuer_url(),
        client_id: "ssl-manager".to_owned(),
        roles: vec![
            role("support", Role::Support),
            role("admins", Role::Admin),
            role("readers", Role::KeyReader),
            role("lookers", Role::Viewer),
        ],
        ..ApiOidc::default()
    }
}

type SignedIn = Result<v1::SignInWithIdTokenResponse, Status>;

async fn present(served: &Served, id_token: &str, nonce: &str) -> SignedIn {
    let request = v1::SignInWithIdTokenRequest { id_token: id_token.to_owned(), nonce: nonce.to_owned() };
    let mut client = SessionsClient::new(served.channel.clone());
    client.sign_in_with_id_token(request).await.map(tonic::Response::into_inner)
}

impl Scene {
    fn token(&self) -> String {
        self.provider.control().id_token(NONCE).unwrap()
    }

    async fn sign_in(&self) -> SignedIn {
        present(&self.served, &self.token(), NONCE).await
    }

    async fn refused(&self, what: &str) {
        assert_failed(self.sign_in().await, what);
    }

    async fn resolve(&self, token: &str) -> Result<v1::Session, Status> {
        let mut client = SessionsClient::new(self.served.channel.clone());
        let answer = client.resolve(signed(v1::ResolveRequest {}, token)).await?;
        Ok(answer.into_inner().session.unwrap())
    }
}

fn assert_failed(answer: SignedIn, what: &str) {
    let refused = answer.err().unwrap_or_else(|| panic!("{what} signed in"));
    let words = "the sign-in was not accepted: sign in again, or ask who runs SSL Manager whether you may";
    assert_eq!((refused.code(), refused.message()), (Code::Unauthenticated, words), "{what}");
    assert!(has_reason(&refused, "SIGN_IN_FAILED"), "{what}");
}

fn assert_unavailable(answer: SignedIn, what: &str) {
    let refused = answer.err().unwrap_or_else(|| panic!("{what}: signed in"));
    assert_eq!(refused.code(), Code::Unavailable, "{what}: {refused:?}");
    assert!(has_reason(&refused, "OIDC_UNAVAILABLE"), "{what}");
}

#[tokio::test]
async fn a_person_signs_in_with_an_id_token_under_a_name_that_is_nobody_elses() {
    let scene = scene().await;
    let begun = scene.sign_in().await.unwrap();
    let session = scene.resolve(&begun.token).await.unwrap();
    assert_eq!((session.name.as_str(), session.roles[0].as_str()), ("oidc:ann@example.net", "support"));
    let add = v1::AddDomainRequest { name: "a.example.com".into(), ..Default::default() };
    let mut domains = scene.served.client.clone();
    domains.add_domain(signed(add, &begun.token)).await.unwrap();

    let lines = scene.served.context.store.audit(None, 10).await.unwrap();
    let said: Vec<(&str, &str, &str)> =
        lines.iter().map(|line| (line.actor.as_str(), line.call.as_str(), line.detail.as_str())).collect();
    assert_eq!(said[0].0, "user:oidc:ann@example.net");
    assert_eq!(
        said[1],
        ("user:oidc:ann@example.net", "SignInWithIdToken", "support; subject subject-of-ann@example.net")
    );
}

#[tokio::test]
async fn the_provider_may_sign_with_an_elliptic_curve_and_show_a_root_of_its_own() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_second(1_800_000_000).unwrap()));
    let options = OidcOptions { tls: true, algorithm: OidcAlgorithm::Es256, ..OidcOptions::default() };
    let provider = provider(options, &clock).await;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.pem");
    std::fs::write(&root, provider.root_pem().unwrap()).unwrap();
    for (root, is_trusted) in [(root, true), (std::path::PathBuf::new(), false)] {
        let mut settings = settings(&provider);
        settings.root_certificate_file = root;
        let served = served_at(clock.clone(), |config| config.api.oidc = Some(settings)).await;
        let token = provider.control().id_token(NONCE).unwrap();
        let answer = present(&served, &token, NONCE).await;
        if is_trusted {
            answer.unwrap();
        } else {
            assert_unavailable(answer, "an unknown root");
        }
    }
}

#[tokio::test]
async fn a_token_with_a_flaw_signs_nobody_in_and_every_flaw_looks_the_same() {
    let scene = scene().await;
    let control = scene.provider.control();
    for flaw in [
        TokenFlaw::Nonce,
        TokenFlaw::NoNonce,
        TokenFlaw::Audience,
        TokenFlaw::TwoAudiences,
        TokenFlaw::AuthorizedParty,
        TokenFlaw::Issuer,
        TokenFlaw::Expired,
        TokenFlaw::IssuedLongAgo,
        TokenFlaw::IssuedAhead,
        TokenFlaw::NotYet,
        TokenFlaw::Unsigned,
        TokenFlaw::MacOfPublicKey,
        TokenFlaw::MacOfSecret,
        TokenFlaw::UnknownKey,
        TokenFlaw::ForeignKey,
        TokenFlaw::Payload,
        TokenFlaw::Critical,
    ] {
        control.flaw(Some(flaw));
        scene.refused(&format!("{flaw:?}")).await;
    }
    control.flaw(None);
    assert!(
        scene.served.context.store.audit(None, 10).await.unwrap().is_empty(),
        "nobody outside fills the database"
    );
    scene.sign_in().await.unwrap();
}

#[tokio::test]
async fn what_is_no_token_signs_nobody_in() {
    let scene = scene().await;
    let token = scene.token();
    let (head, _) = token.split_once('.').unwrap();
    let claims = |text: &str| format!("{head}.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(text));
    for wrong in [
        String::new(),
        "a".to_owned(),
        "a.b.c".to_owned(),
        "...".to_owned(),
        token.replace('.', ""),
        format!("{token}."),
        claims("{}"),
        claims("[]"),
        claims(r#"{"iss":1e400}"#),
        claims(r#"{"iss":"x","sub":"x","aud":[],"exp":1e300,"iat":-1e300,"nonce":"x"}"#),
        format!("{}{token}", "x".repeat(20_000)),
    ] {
        assert_failed(present(&scene.served, &wrong, NONCE).await, &wrong);
    }
    assert_failed(present(&scene.served, &token, "").await, "no nonce");
    assert_failed(present(&scene.served, &token, "another").await, "another nonce");
    assert_failed(present(&scene.served, &token, &"n".repeat(1000)).await, "an endless nonce");
    present(&scene.served, &token, NONCE).await.unwrap();
}

#[tokio::test]
async fn an_empty_nonce_is_none_even_if_the_token_has_it() {
    let scene = scene().await;
    let token = scene.provider.control().id_token("").unwrap();
    assert_failed(present(&scene.served, &token, "").await, "an empty nonce");
}

#[tokio::test]
async fn a_token_is_good_once_however_its_signature_is_written() {
    let options = OidcOptions { algorithm: OidcAlgorithm::Es256, ..OidcOptions::default() };
    let scene = scene_with(options, |_| {}).await;
    let token = scene.token();
    let twin = with_the_other_signature(&token);
    assert_ne!(token, twin);
    present(&scene.served, &token, NONCE).await.unwrap();
    assert_failed(present(&scene.served, &token, NONCE).await, "the same again");
    assert_failed(present(&scene.served, &twin, NONCE).await, "its twin");
    // The twin is a good token by itself, so it was the memory that refused it.
    let twin = with_the_other_signature(&scene.provider.control().id_token("other").unwrap());
    present(&scene.served, &twin, "other").await.unwrap();
}

/// For an ECDSA signature (r, s), (r, n - s) is one as well.
fn with_the_other_signature(token: &str) -> String {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
        0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut borrow = 0;
    for (digit, of_order) in signature[32..].iter_mut().zip(ORDER).rev() {
        let difference = i32::from(of_order) - i32::from(*digit) - borrow;
        borrow = i32::from(difference < 0);
        *digit = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn a_token_lasts_to_its_end_and_a_minute_more() {
    let scene = scene_with(OidcOptions::default(), |_| {}).await;
    let fresh = scene.token();
    // The provider's clock may be a little ahead of ours or behind; a token lasts for five minutes.
    scene.clock.advance(SignedDuration::from_secs(300 + 59));
    present(&scene.served, &fresh, NONCE).await.unwrap();
    assert_failed(present(&scene.served, &fresh, NONCE).await, "the same again");
    let late = scene.token();
    scene.clock.advance(SignedDuration::from_secs(300 + 60));
    assert_failed(present(&scene.served, &late, NONCE).await, "an ended one");
}

#[tokio::test]
async fn a_verified_address_and_a_role_are_needed_and_the_strongest_role_counts() {
    let scene = scene().await;
    let control = scene.provider.control();
    let ann = |groups: &[&str]| OidcPerson::new("ann@example.net", groups);
    let good = ann(&["support"]);
    for (what, person) in [
        ("not verified", good.clone().with("email_verified", false)),
        ("not said to be verified", good.clone().without("email_verified")),
        ("no address", good.clone().without("email")),
        ("an empty address", good.clone().with("email", "")),
        ("an address with a line", good.clone().with("email", "a\nb@example.net")),
        ("an endless address", good.clone().with("email", "x".repeat(200))),
        ("no groups", ann(&[])),
        ("groups of others", ann(&["staff", "Support", "support "])),
        ("no claim", good.clone().without("groups")),
        ("a number", good.clone().with("groups", 1)),
    ] {
        control.sign_in_as(person);
        scene.refused(what).await;
    }
    for (groups, roles) in [
        (ann(&["staff", "lookers"]), vec!["viewer"]),
        (ann(&["support", "lookers"]), vec!["viewer", "support"]),
        (ann(&["readers", "support"]), vec!["support", "key-reader"]),
        (ann(&["lookers", "admins", "readers"]), vec!["viewer", "key-reader", "admin"]),
        (good.clone().with("groups", "support"), vec!["support"]),
        (good.clone().with("email_verified", "true"), vec!["support"]),
    ] {
        control.sign_in_as(groups);
        let begun = scene.sign_in().await.unwrap();
        assert_eq!(begun.session.unwrap().roles, roles);
    }
}

#[tokio::test]
async fn other_claims_may_name_the_person_and_their_roles() {
    let scene = scene_with(OidcOptions::default(), |settings| {
        "preferred_username".clone_into(&mut settings.name_claim);
        "https://example.net/roles".clone_into(&mut settings.roles_claim);
    })
    .await;
    let person = OidcPerson::new("ann@example.net", &[])
        .without("email_verified")
        .with("preferred_username", "ann")
        .with("https://example.net/roles", "admins");
    scene.provider.control().sign_in_as(person);
    let session = scene.sign_in().await.unwrap().session.unwrap();
    assert_eq!((session.name.as_str(), session.roles[0].as_str()), ("oidc:ann", "admin"));
}

#[tokio::test]
async fn signing_out_everywhere_ends_that_persons_sessions_and_not_those_of_a_namesake() {
    let scene = scene_with(OidcOptions::default(), |settings| {
        "preferred_username".clone_into(&mut settings.name_claim);
    })
    .await;
    let namesake = OidcPerson::new("ann@example.net", &["support"]).with("preferred_username", "ann");
    scene.provider.control().sign_in_as(namesake);
    let store = &scene.served.context.store;
    let password = "correct horse battery";
    let mut user = User {
        name: "ann".to_owned(),
        roles: Role::Viewer.into(),
        password_hash: Some(api::hash_password(password, &SystemEntropy).unwrap()),
        created_at: scene.served.context.clock.now(),
        mac: Vec::new(),
    };
    let keys = scene.served.context.require_sealing_keys().unwrap();
    api::signed::sign_user(&keys, &mut user).await.unwrap();
    let mut tx = store.begin("person").await.unwrap();
    tx.insert_user(&user).await.unwrap();
    tx.commit().await.unwrap();
    let mut client = SessionsClient::new(scene.served.channel.clone());
    let request =
        v1::SignInRequest { name: "ann".to_owned(), password: password.to_owned(), ..Default::default() };
    let by_password = client.sign_in(request).await.unwrap().into_inner().token;
    let one = scene.sign_in().await.unwrap().token;
    scene.clock.advance(SignedDuration::from_secs(1));
    let two = scene.sign_in().await.unwrap().token;

    let request = signed(v1::SignOutEverywhereRequest {}, &one);
    let ended = client.sign_out_everywhere(request).await.unwrap().into_inner().ended;
    assert_eq!(ended, 2);
    assert!(scene.resolve(&one).await.is_err() && scene.resolve(&two).await.is_err());
    assert_eq!(scene.resolve(&by_password).await.unwrap().roles, ["viewer"]);
}

#[tokio::test]
async fn a_new_key_is_fetched_and_made_up_ones_are_not_asked_for_all_the_time() {
    let scene = scene().await;
    let control = scene.provider.control();
    assert_eq!(control.key_fetches(), 0, "nothing is asked before it is needed");
    scene.sign_in().await.unwrap();
    scene.clock.advance(SignedDuration::from_secs(1));
    scene.sign_in().await.unwrap();
    assert_eq!(control.key_fetches(), 1);

    scene.clock.advance(SignedDuration::from_mins(1));
    control.change_key().unwrap();
    scene.sign_in().await.unwrap();
    assert_eq!(control.key_fetches(), 2);

    control.flaw(Some(TokenFlaw::UnknownKey));
    for _ in 0..3 {
        scene.refused("a made up key").await;
    }
    assert_eq!(control.key_fetches(), 2, "it was asked within a minute");
    scene.clock.advance(SignedDuration::from_mins(1));
    for _ in 0..3 {
        scene.refused("a made up key").await;
    }
    assert_eq!(control.key_fetches(), 3);

    // A key that the provider took back goes within the hour, though nobody asks for another one.
    control.flaw(None);
    scene.clock.advance(SignedDuration::from_hours(1));
    scene.sign_in().await.unwrap();
    assert_eq!(control.key_fetches(), 4);
}

#[tokio::test]
async fn a_provider_in_trouble_is_said_to_be_and_left_alone_for_a_moment() {
    let scene = scene().await;
    let control = scene.provider.control();
    for trouble in [
        ProviderTrouble::Down,
        ProviderTrouble::Redirect,
        ProviderTrouble::Endless,
        ProviderTrouble::Nonsense,
        ProviderTrouble::OtherIssuer,
        ProviderTrouble::Silent,
    ] {
        control.trouble(Some(trouble));
        assert_unavailable(scene.sign_in().await, &format!("{trouble:?}"));
        // It is well again, and nobody asks yet.
        control.trouble(None);
        let fetches = control.key_fetches();
        assert_unavailable(scene.sign_in().await, &format!("just after {trouble:?}"));
        assert_eq!(control.key_fetches(), fetches);
        scene.clock.advance(SignedDuration::from_secs(6));
    }
    scene.sign_in().await.unwrap();
    // What is known goes on being used, until it is an hour old.
    control.trouble(Some(ProviderTrouble::Down));
    scene.clock.advance(SignedDuration::from_mins(30));
    scene.sign_in().await.unwrap();
    scene.clock.advance(SignedDuration::from_mins(30));
    assert_unavailable(scene.sign_in().await, "old keys");
}

#[tokio::test]
async fn without_a_provider_there_is_nothing_to_sign_in_with() {
    let served = served().await;
    let refused = present(&served, "a.b.c", NONCE).await.err().unwrap();
    assert_eq!(refused.code(), Code::Unimplemented);
    assert!(has_reason(&refused, "OIDC_OFF"));
}
