//! Signatures of every kind, and keys that must not be used.

use aws_lc_rs::digest;
use serde_json::{Value, json};

use super::*;
use crate::testing::{TestKey, encode, key_set, object};

const NO_SIGNATURE: Refusal = Refusal::Claims("its signature is not right");

fn verify(keys: &Value, token: &str) -> Result<(), Refusal> {
    key_set(keys).verify(&Jws::parse(token).unwrap())
}

/// The JWK with other members; null takes one away.
fn with(jwk: &Value, members: &Value) -> Value {
    let mut changed = object(jwk);
    changed.extend(object(members));
    changed.retain(|_, value| !value.is_null());
    changed.into()
}

#[test]
fn every_algorithm_is_verified_by_its_key_and_no_other_one() {
    for algorithm in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"] {
        let (key, other) = (TestKey::for_algorithm(algorithm, "a"), TestKey::for_algorithm(algorithm, "a"));
        let token = key.id_token(algorithm, &json!({ "sub": "ann" }));
        assert_eq!(verify(&json!([key.jwk()]), &token), Ok(()), "{algorithm}");
        assert_eq!(verify(&json!([other.jwk()]), &token), Err(NO_SIGNATURE), "{algorithm}");
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (header, _) = signed.split_once('.').unwrap();
        let forged = format!("{header}.{}.{signature}", encode(r#"{"sub":"eve"}"#));
        assert_eq!(verify(&json!([key.jwk()]), &forged), Err(NO_SIGNATURE), "{algorithm}");
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        for wrong in [&bytes[..bytes.len() - 1], &[], &[&bytes[..], &[0]].concat()] {
            let token = format!("{signed}.{}", encode(wrong));
            assert_eq!(verify(&json!([key.jwk()]), &token), Err(NO_SIGNATURE), "{algorithm}");
        }
        bytes.fill(0);
        let token = format!("{signed}.{}", encode(bytes));
        assert_eq!(verify(&json!([key.jwk()]), &token), Err(NO_SIGNATURE), "{algorithm}");
    }
}

#[test]
fn the_key_decides_which_algorithm_it_is_for() {
    let key = TestKey::for_algorithm("RS256", "a");
    let token = key.id_token("PS256", &json!({}));
    let jwk = key.jwk();
    for (members, wanted) in [
        (json!({}), Ok(())),
        (json!({ "alg": "PS256", "use": "sig" }), Ok(())),
        (json!({ "alg": "RS256" }), Err(Refusal::UnknownKey)),
        (json!({ "alg": "RSA-OAEP" }), Err(Refusal::UnknownKey)),
        (json!({ "alg": "none" }), Err(Refusal::UnknownKey)),
        (json!({ "alg": "HS256" }), Err(Refusal::UnknownKey)),
        (json!({ "alg": 1 }), Err(Refusal::UnknownKey)),
        (json!({ "use": "enc" }), Err(Refusal::UnknownKey)),
        (json!({ "use": ["sig"] }), Err(Refusal::UnknownKey)),
        (json!({ "kty": "EC", "crv": "P-256" }), Err(Refusal::UnknownKey)),
        (json!({ "kty": "oct", "k": "c2VjcmV0" }), Err(Refusal::UnknownKey)),
    ] {
        assert_eq!(verify(&json!([with(&jwk, &members)]), &token), wanted, "{members}");
    }
    // A token that names the algorithm of another kind of key.
    let es256 = TestKey::for_algorithm("ES256", "a").id_token("ES256", &json!({}));
    assert_eq!(verify(&json!([jwk]), &es256), Err(Refusal::UnknownKey));
    let p384 = TestKey::for_algorithm("ES384", "a");
    assert_eq!(verify(&json!([p384.jwk()]), &es256), Err(Refusal::UnknownKey));
}

#[test]
fn a_key_goes_by_its_name_and_must_be_the_only_one_without() {
    let (one, two) = (TestKey::for_algorithm("ES256", "one"), TestKey::for_algorithm("ES256", "two"));
    let both = json!([one.jwk(), two.jwk()]);
    assert_eq!(verify(&both, &two.id_token("ES256", &json!({}))), Ok(()));
    let header = |kid: Value| json!({ "alg": "ES256", "kid": kid });
    let named_after_another = two.token(&header(json!("one")), &json!({}));
    assert_eq!(verify(&both, &named_after_another), Err(NO_SIGNATURE));
    for unknown in ["three", "ONE", "one ", ""] {
        let token = two.token(&header(json!(unknown)), &json!({}));
        assert_eq!(verify(&both, &token), Err(Refusal::UnknownKey), "{unknown:?}");
    }
    let without_name = two.token(&header(Value::Null), &json!({}));
    assert_eq!(verify(&json!([two.jwk()]), &without_name), Ok(()));
    let several = Refusal::Claims("it does not say which of several keys it is signed with");
    assert_eq!(verify(&both, &without_name), Err(several.clone()));
    // The same name twice: a provider that cannot be understood.
    let twice = json!([two.jwk(), with(&one.jwk(), &json!({ "kid": "two" }))]);
    assert_eq!(verify(&twice, &two.id_token("ES256", &json!({}))), Err(several));
    // A token with a name is not for a key without one.
    let nameless = json!([with(&two.jwk(), &json!({ "kid": null }))]);
    assert_eq!(verify(&nameless, &two.id_token("ES256", &json!({}))), Err(Refusal::UnknownKey));
}

#[test]
fn keys_with_unknown_null_or_wrong_members_do_not_spoil_the_set() {
    let key = TestKey::for_algorithm("RS256", "a");
    let token = key.id_token("RS256", &json!({}));
    let mut jwk = key.jwk();
    for name in ["alg", "use", "x5c", "x5t", "crv"] {
        jwk[name] = Value::Null;
    }
    jwk["of_2030"] = json!({ "n": 1 });
    jwk["key_ops"] = json!(["verify"]);
    let others = json!([
        null,
        1,
        "a key",
        {},
        { "kty": null, "kid": "a" },
        { "kty": "RSA", "kid": "a" },
        { "kty": "RSA", "kid": "a", "n": null, "e": null },
        { "kty": "RSA", "kid": "a", "n": "", "e": "" },
        { "kty": "RSA", "kid": "a", "n": "+/==", "e": "AQAB" },
        { "kty": "RSA", "kid": "a", "n": 17, "e": 3 },
        { "kty": "AKP", "kid": "a", "alg": "ML-DSA-44", "pub": "AA" },
        { "kty": "EC", "crv": "P-521", "kid": "a", "x": "AA", "y": "AA" },
        { "kty": "EC", "crv": "P-256", "kid": "a", "x": "AA", "y": "AA" },
        { "kty": "OKP", "crv": "X25519", "kid": "a", "x": "AA" },
        { "kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "AA" },
        jwk,
    ]);
    assert_eq!(verify(&others, &token), Ok(()));
    for no_set in [json!({}), json!({ "keys": null }), json!({ "keys": {} }), json!({ "keys": "a" })] {
        assert!(KeySet::from_json(&object(&no_set)).is_none(), "{no_set}");
    }
    let empty = KeySet::from_json(&object(&json!({ "keys": [], "of_2030": 1 }))).unwrap();
    assert_eq!(empty.verify(&Jws::parse(&token).unwrap()), Err(Refusal::UnknownKey));
}

#[test]
fn a_point_that_is_not_on_the_curve_verifies_nothing() {
    let key = TestKey::for_algorithm("ES256", "a");
    let token = key.id_token("ES256", &json!({}));
    for x in [vec![0; 32], vec![0xff; 32]] {
        let off = with(&key.jwk(), &json!({ "x": encode(x) }));
        assert_eq!(verify(&json!([off]), &token), Err(NO_SIGNATURE));
    }
}

#[test]
fn a_modulus_may_begin_with_a_zero() {
    let key = TestKey::for_algorithm("RS256", "a");
    let token = key.id_token("RS256", &json!({}));
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(key.jwk()["n"].as_str().unwrap()).unwrap();
    let padded = with(&key.jwk(), &json!({ "n": encode([&[0], &bytes[..]].concat()), "e": "AAEAAQ" }));
    assert_eq!(verify(&json!([padded]), &token), Ok(()));
}

/// Before the digest in a signature by PKCS #1 (RFC 8017 section 9.2).
const SHA256_PREFIX: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0x04, 0x20,
];

/// Made with openssl: a key of that many bits, its modulus, and its RS256 signature of `{"alg":"RS256","kid":"a"}.{}`.
const SHORT_KEYS: [(&str, &str); 2] = [
    (include_str!("short/1024.n"), include_str!("short/1024.signature")),
    (include_str!("short/2047.n"), include_str!("short/2047.signature")),
];

#[test]
fn a_key_that_can_be_broken_is_not_used() {
    let signed = format!("{}.{}", encode(r#"{"alg":"RS256","kid":"a"}"#), encode("{}"));
    for (modulus, signature) in SHORT_KEYS {
        let token = format!("{signed}.{}", signature.trim());
        for zeros in [vec![], vec![0; 200]] {
            let modulus = BASE64_URL_SAFE_NO_PAD.decode(modulus.trim()).unwrap();
            let modulus = encode([zeros, modulus].concat());
            let jwk = json!({ "kty": "RSA", "kid": "a", "n": modulus, "e": "AQAB" });
            let wanted = Refusal::Claims("it is signed with an RSA key of less than 2048 bits");
            assert_eq!(verify(&json!([jwk]), &token), Err(wanted));
        }
    }
    // Nor one with exponent 1, with which every text is its own signature.
    let digest = digest::digest(&digest::SHA256, signed.as_bytes());
    let signature = [&[0, 1], &[0xff; 202][..], &[0], &SHA256_PREFIX, digest.as_ref()].concat();
    assert_eq!(signature.len(), 256);
    let token = format!("{signed}.{}", encode(signature));
    let mut jwk = TestKey::for_algorithm("RS256", "a").jwk();
    jwk["e"] = "AQ".into();
    assert_eq!(verify(&json!([jwk]), &token), Err(NO_SIGNATURE));
}
