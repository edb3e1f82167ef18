//! Signing in with an OpenID provider, from the page and back to it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod browser;

use std::sync::Arc;

use bus_embedded::EmbeddedBus;
use domain::{Clock, Role};
use jiff::{SignedDuration, Timestamp};
use reqwest::{StatusCode, Url};
use runtime::config::{ApiOidc, ConsoleOidc, OidcRole};
use runtime::testing::{ManualClock, open_store};
use runtime::{Config, Context, Health, Listen, Listeners, RoleName, Stop, SystemEntropy};
use sandbox::{Oidc, OidcOptions, OidcPerson, ProviderTrouble, TokenFlaw};
use seal::SealingKeys;
use tempfile::TempDir;

use browser::{Browser, Page};

const SESSION: &str = "ssl-manager";
const SIGN_IN: &str = "ssl-manager-sign-in";

/// An API, a console and a provider, by one clock.
struct Scene {
    provider: Oidc,
    clock: Arc<ManualClock>,
    base: Url,
    context: Context,
    _folder: TempDir,
}

async fn scene() -> Scene {
    scene_with(OidcOptions::default(), |_, _| {}).await
}

async fn scene_with(options: OidcOptions, change: impl FnOnce(&mut Config, &TempDir)) -> Scene {
    let clock = Arc::new(ManualClock::new(Timestamp::from_second(1_800_000_000).unwrap()));
    let time = clock.clone();
    let options = OidcOptions { clock: Arc::new(move || time.now()), ..options };
    let provider = Oidc::start(options).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let listeners = Listeners::default();
    let loopback = "127.0.0.1:0".parse().unwrap();
    let api = listeners.bind(Listen::Api, loopback).await.unwrap();
    let page = listeners.bind(Listen::Console, loopback).await.unwrap();

    let mut config = Config::default();
    config.api.listen = api;
    config.api.oidc = Some(ApiOidc {
        issuer_url: provider.issuer_url(),
        client_id: "ssl-manager".to_owned(),
        roles: vec![OidcRole { value: "support".to_owned(), role: Role::Support }],
        ..ApiOidc::default()
    });
    config.console.public_url = format!("http://{page}");
    config.console.oidc = Some(ConsoleOidc {
        issuer_url: provider.issuer_url(),
        client_id: "ssl-manager".to_owned(),
        label: "Sign in with Example".to_owned(),
        ..ConsoleOidc::default()
    });
    change(&mut config, &folder);
    config.validate(&[RoleName::Console]).unwrap();

    let store = open_store(&folder.path().join("page.db"), clock.clone()).await.unwrap();
    let context = Context {
        config: Arc::new(config),
        bus: Arc::new(EmbeddedBus::new(store.clone(), clock.clone())),
        store,
        clock: clock.clone(),
        entropy: Arc::new(SystemEntropy),
        sealing_keys: Some(Arc::new(SealingKeys::load_or_create(&folder.path().join("key")).unwrap())),
        stop: Stop::default(),
        health: Health::default(),
        reload: runtime::Reload::default(),
        listeners: Arc::new(listeners),
    };
    tokio::spawn(api::run(context.clone()));
    tokio::spawn(console::run(context.process()));
    Scene { provider, clock, base: Url::parse(&format!("http://{page}")).unwrap(), context, _folder: folder }
}

impl Scene {
    fn at(&self, path: &str) -> Url {
        self.base.join(path).unwrap()
    }

    /// From the page to the provider, which sends back at once: where to.
    async fn leave(&self, browser: &mut Browser, to: &str) -> Url {
        let mut address = self.at("/sign-in/oidc");
        address.query_pairs_mut().append_pair("to", to);
        let left = browser.follow(&address).await;
        assert_eq!(left.status, StatusCode::SEE_OTHER, "{}", left.body);
        let at_provider = left.location.unwrap();
        assert!(at_provider.as_str().starts_with(&self.provider.issuer_url()));
        let back = browser.arrive(&at_provider).await.location.unwrap();
        assert!(back.as_str().starts_with(self.base.as_str()));
        back
    }

    /// The whole way.
    async fn sign_in(&self, browser: &mut Browser, to: &str) -> Page {
        let back = self.leave(browser, to).await;
        browser.arrive(&back).await
    }

    async fn is_signed_in(&self, browser: &mut Browser) -> bool {
        browser.follow(&self.at("/")).await.status == StatusCode::OK
    }
}

fn with_query(address: &Url, name: &str, value: Option<&str>) -> Url {
    let mut changed = address.clone();
    let kept: Vec<(String, String)> =
        address.query_pairs().into_owned().filter(|(key, _)| key != name).collect();
    let mut query = changed.query_pairs_mut();
    query.clear().extend_pairs(kept);
    if let Some(value) = value {
        query.append_pair(name, value);
    }
    drop(query);
    changed
}

fn assert_trouble(page: &Page, status: StatusCode, sentence: &str) {
    assert_eq!(page.status, status, "{}", page.body);
    assert!(page.body.contains(sentence), "{}", page.body);
    assert!(page.body.contains("action=\"/sign-in\""), "the form is there");
}

#[tokio::test]
async fn a_person_signs_in_at_the_provider_and_lands_where_they_wanted_to() {
    let scene = scene().await;
    let mut browser = Browser::new();
    let page = browser.follow(&scene.at("/sign-in?to=/%3Fq%3Dshop")).await;
    assert!(page.body.contains("Sign in with Example"), "{}", page.body);
    assert!(page.body.contains("/sign-in/oidc?to=%2F%3Fq%3Dshop"), "{}", page.body);

    let back = scene.leave(&mut browser, "/?q=shop").await;
    let kept = &browser.cookie(SIGN_IN).unwrap().whole;
    for mark in ["; Path=/sign-in;", "; HttpOnly;", "; SameSite=Lax", "; Max-Age=600"] {
        assert!(kept.contains(mark), "{kept}");
    }
    let entered = browser.arrive(&back).await;
    assert_eq!(entered.status, StatusCode::OK);
    assert!(
        entered.body.contains("http-equiv=\"refresh\"") && entered.body.contains("url=/?q=shop"),
        "a page that goes on by itself: {}",
        entered.body
    );
    let session = &browser.cookie(SESSION).unwrap().whole;
    assert!(session.contains("SameSite=Strict") && session.contains("HttpOnly"), "{session}");
    assert!(browser.cookie(SIGN_IN).is_none(), "nothing is left of the way");
    let list = browser.follow(&scene.at("/?q=shop")).await;
    assert!(list.body.contains("oidc:ann@example.net"), "{}", list.body);
    let lines = scene.context.store.audit(None, 10).await.unwrap();
    assert_eq!(lines[0].actor, "user:oidc:ann@example.net");
}

#[tokio::test]
async fn the_request_to_the_provider_carries_what_it_must_and_never_twice() {
    let scene = scene().await;
    let ask = async || {
        let mut browser = Browser::new();
        let left = browser.follow(&scene.at("/sign-in/oidc")).await.location.unwrap();
        let verifier = browser.cookie(SIGN_IN).unwrap().value.clone();
        let asked: std::collections::BTreeMap<String, String> = left.query_pairs().into_owned().collect();
        (asked, verifier)
    };
    let ((one, kept), (other, _)) = (ask().await, ask().await);
    let same = |name: &str| (one[name].as_str(), other[name].as_str());
    assert_eq!(same("response_type"), ("code", "code"));
    assert_eq!(same("code_challenge_method"), ("S256", "S256"));
    assert_eq!(one["scope"], "openid email profile");
    assert_eq!(one["redirect_uri"], scene.at("/sign-in/oidc/callback").as_str());
    for name in ["state", "nonce", "code_challenge"] {
        let (one, other) = same(name);
        assert!(one.len() >= 43 && one != other, "{name}: {one} {other}");
    }
    let verifier = kept.rsplit('.').nth(1).unwrap();
    assert!(verifier.len() >= 43 && !one.values().any(|value| value == verifier), "no verifier");
}

#[tokio::test]
async fn a_state_that_is_not_this_browsers_signs_nobody_in() {
    let scene = scene().await;
    let unknown = "was not started in this browser";
    let mut browser = Browser::new();
    let back = scene.leave(&mut browser, "/").await;
    for (what, address) in [
        ("forged", with_query(&back, "state", Some(&"x".repeat(43)))),
        ("empty", with_query(&back, "state", Some(""))),
        ("none", with_query(&back, "state", None)),
    ] {
        let page = browser.arrive(&address).await;
        assert_trouble(&page, StatusCode::BAD_REQUEST, unknown);
        assert!(browser.cookie(SESSION).is_none(), "{what}");
    }
    // Whoever is sent to the answer that is meant for somebody else.
    let mut other = Browser::new();
    assert_trouble(&other.arrive(&back).await, StatusCode::BAD_REQUEST, unknown);
    scene.leave(&mut other, "/").await;
    assert_trouble(&other.arrive(&back).await, StatusCode::BAD_REQUEST, unknown);
    assert_eq!(scene.provider.control().exchanges(), 0, "no code was shown to anybody");
    // None of it kept the one whose answer it is from signing in.
    browser.arrive(&back).await;
    assert!(scene.is_signed_in(&mut browser).await);
}

#[tokio::test]
async fn an_answer_counts_once_and_for_ten_minutes() {
    let scene = scene().await;
    let mut browser = Browser::new();
    let back = scene.leave(&mut browser, "/").await;
    let mut twin = Browser::new();
    scene.leave(&mut twin, "/").await;
    let kept = browser.cookie(SIGN_IN).unwrap().value.clone();
    browser.arrive(&back).await;
    assert!(scene.is_signed_in(&mut browser).await);
    let again = browser.arrive(&back).await;
    assert_trouble(&again, StatusCode::BAD_REQUEST, "was used already");
    assert!(scene.is_signed_in(&mut browser).await, "and the session stays");
    // Even with the cookie of then: the provider takes its code once.
    twin.set_cookie(SIGN_IN, |value| *value = kept);
    let page = twin.arrive(&back).await;
    assert_trouble(&page, StatusCode::UNPROCESSABLE_ENTITY, "was used already");
    assert!(!scene.is_signed_in(&mut twin).await);

    let mut slow = Browser::new();
    let back = scene.leave(&mut slow, "/").await;
    scene.clock.advance(SignedDuration::from_mins(10));
    assert_trouble(&slow.arrive(&back).await, StatusCode::BAD_REQUEST, "ten minutes");
}

#[tokio::test]
async fn a_way_that_leads_elsewhere_ends_at_the_list() {
    let scene = scene().await;
    for to in
        ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/sign-in/oidc"]
    {
        let mut browser = Browser::new();
        let entered = scene.sign_in(&mut browser, to).await;
        assert!(entered.body.contains("url=/\""), "{to}: {}", entered.body);
    }
    // Nor does a cookie that somebody changed.
    let mut browser = Browser::new();
    let back = scene.leave(&mut browser, "/list").await;
    browser.set_cookie(SIGN_IN, |value| {
        // base64url of /list, and of //evil.example
        *value = value.replace("L2xpc3Q", "Ly9ldmlsLmV4YW1wbGU");
    });
    let entered = browser.arrive(&back).await;
    assert_trouble(&entered, StatusCode::BAD_REQUEST, "was not started in this browser");
    let mut browser = Browser::new();
    let back = scene.leave(&mut browser, &format!("/?q={}", "x".repeat(5000))).await;
    assert!(browser.cookie(SIGN_IN).unwrap().whole.len() < 4096);
    assert!(browser.arrive(&back).await.body.contains("url=/\""));
}

#[tokio::test]
async fn what_the_provider_says_no_to_is_said_plainly() {
    let scene = scene().await;
    let control = scene.provider.control();
    for (error, sentence) in [
        ("access_denied", "The sign-in was cancelled at the provider."),
        ("server_error", "The provider did not sign you in."),
        ("<script>alert(1)</script>", "The provider did not sign you in."),
    ] {
        control.deny(Some(error));
        let mut browser = Browser::new();
        let page = scene.sign_in(&mut browser, "/?q=shop").await;
        assert_trouble(&page, StatusCode::UNPROCESSABLE_ENTITY, sentence);
        assert!(!page.body.contains("alert(1)"));
        assert!(page.body.contains("value=\"/?q=shop\""), "the way is kept: {}", page.body);
        assert!(browser.cookie(SIGN_IN).is_none());
    }
    control.deny(None);
    let mut browser = Browser::new();
    let back = scene.leave(&mut browser, "/").await;
    let elsewhere = with_query(&back, "iss", Some("https://elsewhere.example"));
    let page = browser.arrive(&elsewhere).await;
    assert_trouble(&page, StatusCode::UNPROCESSABLE_ENTITY, "was not started in this browser");
    assert_eq!(control.exchanges(), 0, "another provider's code is shown to nobody");
}

#[tokio::test]
async fn whom_the_api_does_not_take_has_no_session() {
    let scene = scene().await;
    let control = scene.provider.control();
    control.sign_in_as(OidcPerson::new("eve@example.net", &["staff"]));
    let mut browser = Browser::new();
    let page = scene.sign_in(&mut browser, "/").await;
    assert_trouble(&page, StatusCode::FORBIDDEN, "you may not sign in here");
    assert!(browser.cookie(SESSION).is_none());
    control.sign_in_as(OidcPerson::new("ann@example.net", &["support"]));
    control.flaw(Some(TokenFlaw::Nonce));
    let page = scene.sign_in(&mut browser, "/").await;
    assert_trouble(&page, StatusCode::FORBIDDEN, "you may not sign in here");
    assert!(browser.cookie(SESSION).is_none());
}

#[tokio::test]
async fn while_the_provider_is_away_the_form_is_there() {
    let scene = scene().await;
    let control = scene.provider.control();
    control.trouble(Some(ProviderTrouble::Down));
    let mut browser = Browser::new();
    let page = browser.follow(&scene.at("/sign-in/oidc")).await;
    assert_trouble(&page, StatusCode::SERVICE_UNAVAILABLE, "provider does not answer");
    control.trouble(None);
    scene.clock.advance(SignedDuration::from_secs(6));
    let back = scene.leave(&mut browser, "/").await;
    control.trouble(Some(ProviderTrouble::Down));
    let page = browser.arrive(&back).await;
    assert_trouble(&page, StatusCode::SERVICE_UNAVAILABLE, "provider does not answer");
    control.trouble(None);
    scene.sign_in(&mut browser, "/").await;
    assert!(scene.is_signed_in(&mut browser).await);
}

#[tokio::test]
async fn a_client_with_a_secret_shows_it_and_a_wrong_one_is_the_operators_to_mend() {
    for (secret, is_right) in [("s3cret/+ &", true), ("another", false)] {
        let options = OidcOptions { client_secret: Some("s3cret/+ &".to_owned()), ..OidcOptions::default() };
        let scene = scene_with(options, |config, folder| {
            let file = folder.path().join("secret");
            std::fs::write(&file, format!("{secret}\n")).unwrap();
            std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            config.console.oidc.as_mut().unwrap().client_secret_file = file;
        })
        .await;
        let mut browser = Browser::new();
        let page = scene.sign_in(&mut browser, "/").await;
        if is_right {
            assert!(scene.is_signed_in(&mut browser).await);
        } else {
            assert_trouble(&page, StatusCode::BAD_GATEWAY, "ask an administrator");
        }
    }
}

#[tokio::test]
async fn over_https_the_cookies_are_secure_and_without_a_provider_there_is_no_button() {
    let scene = scene_with(OidcOptions::default(), |config, _| {
        config.console.public_url = config.console.public_url.replace("http://", "https://");
    })
    .await;
    let mut browser = Browser::new();
    browser.follow(&scene.at("/sign-in/oidc")).await;
    let cookie = browser.cookie("__Secure-ssl-manager-sign-in").unwrap();
    assert!(cookie.whole.contains("; Secure"), "{}", cookie.whole);

    let scene = scene_with(OidcOptions::default(), |config, _| config.console.oidc = None).await;
    let mut browser = Browser::new();
    let page = browser.follow(&scene.at("/sign-in")).await;
    assert!(!page.body.contains("/sign-in/oidc"), "{}", page.body);
    for path in ["/sign-in/oidc", "/sign-in/oidc/callback?code=a&state=b"] {
        assert_eq!(browser.follow(&scene.at(path)).await.status, StatusCode::NOT_FOUND);
    }
}

#[test]
fn settings_that_cannot_lead_back_are_refused() {
    let mut config = Config::default();
    config.console.oidc = Some(ConsoleOidc {
        issuer_url: "http://id.example.net".to_owned(),
        client_secret_file: "/nowhere".into(),
        label: String::new(),
        scopes: vec!["a b".to_owned()],
        ..ConsoleOidc::default()
    });
    let said = config.validate(&[RoleName::Console]).unwrap_err().to_string();
    for setting in [
        "console.public_url",
        "console.oidc.issuer_url",
        "console.oidc.client_id",
        "console.oidc.client_secret_file",
        "console.oidc.label",
        "console.oidc.scopes",
    ] {
        assert!(said.contains(setting), "{setting}: {said}");
    }
}

/// Whoever can plant a cookie, such as from a neighbouring host, makes one up with a state, nonce and verifier of their own.
#[tokio::test]
async fn a_code_is_exchanged_only_for_a_state_that_we_gave() {
    let scene = scene().await;
    let mut browser = Browser::new();
    let back = scene.leave(&mut browser, "/").await;
    let ours = browser.cookie(SIGN_IN).unwrap().value.clone();
    let parts: Vec<&str> = ours.split('.').collect();
    assert_eq!(parts.len(), 6, "until, where to, state, nonce, verifier, MAC: {ours}");
    let made_up = "x".repeat(43);
    let with = |place: usize, part: &str| {
        let mut parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
        part.clone_into(&mut parts[place]);
        parts.join(".")
    };
    let own_state = with_query(&back, "state", Some(&made_up));
    for (what, cookie, address) in [
        ("without a MAC", parts[..5].join("."), &back),
        ("an empty MAC", with(5, ""), &back),
        ("another state", with(2, &made_up), &own_state),
        ("another nonce", with(3, &made_up), &back),
        ("another verifier", with(4, &made_up), &back),
        ("for ever", with(0, "999999999999"), &back),
        ("another MAC", with(5, &made_up), &back),
    ] {
        browser.set_cookie(SIGN_IN, |value| *value = cookie);
        let page = browser.arrive(address).await;
        assert_trouble(&page, StatusCode::BAD_REQUEST, "was not started in this browser");
        assert!(browser.cookie(SESSION).is_none(), "{what}");
    }
    assert_eq!(scene.provider.control().exchanges(), 0, "no code went to the provider");
    browser.set_cookie(SIGN_IN, |value| *value = ours);
    browser.arrive(&back).await;
    assert!(scene.is_signed_in(&mut browser).await);
}
