//! What an ID token must say, and whom it is about then.

use domain::Role;
use runtime::testing::ManualClock;
use serde_json::{Value, json};

use super::*;
use crate::http::Http;
use crate::testing::{TestKey, encode, key_set, object};

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://id.example.net";
const NONCE: &str = "the-nonce";
const NOT_NOW: Refusal = Refusal::Claims("it has ended, or was not issued just now");

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

fn id_tokens() -> IdTokens {
    let clock = Arc::new(ManualClock::new(now()));
    let provider = Provider::new(ISSUER, Http::new(None).unwrap(), clock.clone()).unwrap();
    let settings = Settings {
        client_id: "ssl-manager".to_owned(),
        name_claim: "email".to_owned(),
        roles_claim: "groups".to_owned(),
        roles: vec![RoleOf { value: "support".to_owned(), role: Role::Support }],
    };
    IdTokens::new(provider, settings, clock)
}

/// A good token's claims, with others; null takes one away.
fn claims(others: &Value) -> Value {
    let mut claims = object(&json!({
        "iss": ISSUER,
        "sub": "subject-of-ann",
        "aud": "ssl-manager",
        "iat": NOW,
        "exp": NOW + 300,
        "nonce": NONCE,
        "email": "ann@example.net",
        "email_verified": true,
        "groups": ["support"],
    }));
    claims.extend(object(others));
    claims.retain(|_, value| !value.is_null());
    claims.into()
}

fn believe(claims: &Value) -> Result<Vouched, Refusal> {
    let key = TestKey::for_algorithm("ES256", "a");
    let token = key.id_token("ES256", claims);
    id_tokens().believe(&key_set(&json!([key.jwk()])), &Jws::parse(&token).unwrap(), NONCE, now())
}

#[test]
fn a_good_token_says_who_signs_in() {
    let vouched = believe(&claims(&json!({}))).unwrap();
    assert_eq!((vouched.name.as_str(), vouched.roles), ("ann@example.net", Role::Support.into()));
    assert_eq!(vouched.subject, "subject-of-ann");
    assert_eq!(vouched.forget_after, now() + SignedDuration::from_mins(12));
    // Null is absent, and what we do not know does not matter.
    let key = TestKey::for_algorithm("ES256", "a");
    let mut odd = claims(&json!({ "address": 1, "auth_time": "yesterday", "of_2030": {} }));
    for name in ["azp", "nbf", "acr", "at_hash"] {
        odd[name] = Value::Null;
    }
    let token = key.id_token("ES256", &odd);
    let keys = key_set(&json!([key.jwk()]));
    let believed = id_tokens().believe(&keys, &Jws::parse(&token).unwrap(), NONCE, now());
    assert_eq!(believed.unwrap().name, "ann@example.net");
}

#[test]
fn a_claim_that_is_missing_or_of_another_type_is_refused() {
    for name in ["iss", "sub", "aud", "iat", "exp", "nonce", "email", "email_verified", "groups"] {
        for wrong in [Value::Null, json!({}), json!([[]]), json!(""), json!(-1), json!(false), json!(1e300)] {
            assert!(believe(&claims(&json!({ name: wrong }))).is_err(), "{name}: {wrong}");
        }
    }
}

#[test]
fn a_token_for_somebody_else_is_refused() {
    let audience = Refusal::Claims("it is for another audience, too, or only");
    for (wrong, refusal) in [
        (json!({ "aud": "another" }), audience.clone()),
        (json!({ "aud": "SSL-manager" }), audience.clone()),
        (json!({ "aud": [] }), audience.clone()),
        (json!({ "aud": ["another"] }), audience.clone()),
        (json!({ "aud": ["ssl-manager", "another"] }), audience.clone()),
        (json!({ "aud": ["ssl-manager", 1] }), audience.clone()),
        // Not even where the provider says that it is ours.
        (json!({ "aud": ["ssl-manager", "another"], "azp": "ssl-manager" }), audience),
        (json!({ "azp": "another" }), Refusal::Claims("it is for another authorized party")),
        (json!({ "azp": ["ssl-manager"] }), Refusal::Claims("it is for another authorized party")),
        (json!({ "iss": "https://id.example.net/" }), Refusal::Claims("it is of another issuer")),
        (json!({ "iss": "https://ID.example.net" }), Refusal::Claims("it is of another issuer")),
        (json!({ "nonce": "the-nonce " }), Refusal::Claims("its nonce is not the one that was sent")),
        (json!({ "nonce": "another" }), Refusal::Claims("its nonce is not the one that was sent")),
    ] {
        assert_eq!(believe(&claims(&wrong)), Err(refusal), "{wrong}");
    }
    for good in [json!({ "aud": ["ssl-manager"] }), json!({ "azp": "ssl-manager" })] {
        assert!(believe(&claims(&good)).is_ok(), "{good}");
    }
}

#[test]
fn a_token_counts_in_its_time_give_or_take_a_minute() {
    let not_yet = Refusal::Claims("it does not count yet");
    for (times, refusal) in [
        (json!({ "exp": NOW - 59 }), None),
        (json!({ "exp": NOW - 60 }), Some(NOT_NOW)),
        (json!({ "exp": NOW - 3600 }), Some(NOT_NOW)),
        (json!({ "iat": NOW + 60 }), None),
        (json!({ "iat": NOW + 61, "exp": NOW + 3600 }), Some(NOT_NOW)),
        (json!({ "iat": NOW - 660 }), None),
        (json!({ "iat": NOW - 661 }), Some(NOT_NOW)),
        (json!({ "nbf": NOW + 60 }), None),
        (json!({ "nbf": NOW + 61 }), Some(not_yet)),
        (json!({ "nbf": "soon" }), Some(Refusal::Claims("it lacks its times"))),
        (json!({ "exp": 1e300 }), Some(Refusal::Claims("it lacks its times"))),
        (json!({ "iat": -1e300 }), Some(Refusal::Claims("it lacks its times"))),
        (json!({ "exp": "2027-01-15T08:00:01Z", "iat": NOW as f64 + 0.5 }), None),
        (json!({ "exp": "2027-01-15T07:59:00Z" }), Some(NOT_NOW)),
        (json!({ "exp": "tomorrow" }), Some(Refusal::Claims("it lacks its times"))),
    ] {
        assert_eq!(believe(&claims(&times)).err(), refusal, "{times}");
    }
}

#[test]
fn a_mac_made_with_what_everybody_knows_is_no_signature() {
    let key = TestKey::for_algorithm("RS256", "a");
    let jwk = key.jwk();
    for algorithm in ["HS256", "HS384", "HS512", "none"] {
        let header = json!({ "alg": algorithm, "typ": "JWT", "kid": "a" });
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims(&json!({})).to_string()));
        for secret in [jwk["n"].as_str().unwrap(), &jwk.to_string(), "ssl-manager", ""] {
            let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
            let mac = aws_lc_rs::hmac::sign(&secret, signed.as_bytes());
            for signature in [encode(mac), String::new()] {
                let refusal = Jws::parse(&format!("{signed}.{signature}")).err();
                let wanted = Refusal::Claims("it is signed with no algorithm that is allowed");
                assert_eq!(refusal, Some(wanted), "{algorithm}");
            }
        }
    }
}

#[tokio::test]
async fn what_cannot_be_a_token_is_refused_before_the_provider_is_asked() {
    // There is no provider at that address: whatever asks it fails otherwise.
    let id_tokens = id_tokens();
    let key = TestKey::for_algorithm("ES256", "a");
    let token = key.id_token("ES256", &claims(&json!({})));
    let huge = key.id_token("ES256", &claims(&json!({ "padding": "x".repeat(16 * 1024) })));
    let endless = "n".repeat(513);
    for (token, nonce, refusal) in [
        (huge.as_str(), NONCE, Refusal::NoToken),
        ("", NONCE, Refusal::NoToken),
        (&token[..token.len() / 2], NONCE, Refusal::NoToken),
        (&token, "", Refusal::NoNonce),
        (&token, &endless, Refusal::NoNonce),
    ] {
        let answer = id_tokens.verify(token, nonce).await;
        assert!(matches!(&answer, Err(VerifyError::Refused(why)) if *why == refusal), "{answer:?}");
    }
}

#[test]
fn a_token_that_is_cut_short_is_refused_wherever_it_is_cut() {
    let key = TestKey::for_algorithm("ES256", "a");
    let token = key.id_token("ES256", &claims(&json!({})));
    let keys = key_set(&json!([key.jwk()]));
    for end in 0..token.len() {
        let cut = Jws::parse(&token[..end]).and_then(|cut| id_tokens().believe(&keys, &cut, NONCE, now()));
        assert!(cut.is_err(), "{end}");
    }
    assert!(id_tokens().believe(&keys, &Jws::parse(&token).unwrap(), NONCE, now()).is_ok());
}
