//! An ID token as it is written: a JSON Web Signature in compact form (RFC 7515), not yet verified.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::id_token::Refusal;
use crate::json::{member, optional_text, text};

/// A signature that only the holder of a private key can make (RFC 7518 section 3.1, RFC 8037): no `none`, and no HS256,
/// whose key is known to others too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

const NAMES: [(&str, Algorithm); 9] = [
    ("RS256", Algorithm::Rs256),
    ("RS384", Algorithm::Rs384),
    ("RS512", Algorithm::Rs512),
    ("PS256", Algorithm::Ps256),
    ("PS384", Algorithm::Ps384),
    ("PS512", Algorithm::Ps512),
    ("ES256", Algorithm::Es256),
    ("ES384", Algorithm::Es384),
    ("EdDSA", Algorithm::EdDsa),
];

impl Algorithm {
    /// The algorithm of that name, in exactly these letters.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
    }
}

/// A token in its parts.
pub(crate) struct Jws<'a> {
    pub(crate) algorithm: Algorithm,
    /// `kid`, the name of the key.
    pub(crate) key_id: Option<String>,
    /// `header.payload`, the bytes that are signed.
    pub(crate) signed: &'a str,
    pub(crate) signature: Vec<u8>,
    /// The payload. Nothing in it is to be believed before the signature is.
    pub(crate) claims: Map<String, Value>,
}

impl<'a> Jws<'a> {
    /// Takes a token apart. Errors: `NoToken` if it is no token, `Claims` if its header asks for what we do not have.
    pub(crate) fn parse(token: &'a str) -> Result<Self, Refusal> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::NoToken)?;
        let (header, payload) = signed.split_once('.').ok_or(Refusal::NoToken)?;
        let header = object(header).ok_or(Refusal::NoToken)?;
        let claims = object(payload).ok_or(Refusal::NoToken)?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refusal::NoToken)?;
        check_kind(&header)?;
        let algorithm = text(&header, "alg").and_then(Algorithm::from_name);
        let algorithm = algorithm.ok_or(Refusal::Claims("it is signed with no algorithm that is allowed"))?;
        let key_id = optional_text(&header, "kid").ok_or(Refusal::NoToken)?.map(str::to_owned);
        Ok(Self { algorithm, key_id, signed, signature, claims })
    }
}

/// The JSON object in a part of a token.
fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// Refuses what is no plain ID token by its header (RFC 7515 sections 4.1.9 to 4.1.11).
fn check_kind(header: &Map<String, Value>) -> Result<(), Refusal> {
    if member(header, "crit").is_some() {
        return Err(Refusal::Claims("its header wants something understood that we do not know"));
    }
    let media_type = optional_text(header, "typ").ok_or(Refusal::NoToken)?;
    let is_plain = media_type.is_none_or(|name| {
        let name = name.to_ascii_lowercase();
        matches!(name.strip_prefix("application/").unwrap_or(&name), "jwt" | "jose")
    });
    if !is_plain || member(header, "cty").is_some() {
        return Err(Refusal::Claims("it is another kind of token"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(header: &Value) -> String {
        let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", encode(&header.to_string()), encode("{}"), encode("signature"))
    }

    fn refusal(token: &str) -> Option<Refusal> {
        Jws::parse(token).err()
    }

    #[test]
    fn algorithms_without_a_private_key_are_refused_in_any_letters() {
        for bad in [
            "none", "None", "NONE", "nOnE", "", "HS256", "HS384", "HS512", "rs256", "RS1", "ES512", "ES256K",
            "dir",
        ] {
            let wanted = Some(Refusal::Claims("it is signed with no algorithm that is allowed"));
            assert_eq!(refusal(&token(&json!({ "alg": bad }))), wanted, "{bad}");
        }
        for bad in [json!({}), json!({ "alg": null }), json!({ "alg": 256 }), json!({ "alg": ["RS256"] })] {
            assert!(refusal(&token(&bad)).is_some(), "{bad}");
        }
        for (good, algorithm) in NAMES {
            assert_eq!(Jws::parse(&token(&json!({ "alg": good }))).ok().unwrap().algorithm, algorithm);
        }
    }

    #[test]
    fn other_kinds_of_token_are_refused() {
        for bad in [
            json!({ "crit": ["b64"] }),
            json!({ "crit": [] }),
            json!({ "typ": "at+jwt" }),
            json!({ "typ": "logout+jwt" }),
            json!({ "typ": 1 }),
            json!({ "cty": "JWT" }),
            json!({ "kid": 1 }),
        ] {
            let mut header = bad.clone();
            header["alg"] = "RS256".into();
            assert!(refusal(&token(&header)).is_some(), "{bad}");
        }
        for good in [
            json!({ "typ": "JWT", "kid": "a" }),
            json!({ "typ": "application/jwt" }),
            json!({ "typ": "JOSE" }),
            json!({ "typ": null, "kid": null, "crit": null, "cty": null, "x5t": [], "of_2030": {} }),
        ] {
            let mut header = good.clone();
            header["alg"] = "RS256".into();
            assert_eq!(refusal(&token(&header)), None, "{good}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused_wherever_it_is_cut() {
        let whole = token(&json!({ "alg": "RS256" }));
        assert_eq!(refusal(&whole), None);
        let payload_ends = whole.rfind('.').unwrap();
        for end in 0..=payload_ends {
            assert_eq!(refusal(&whole[..end]), Some(Refusal::NoToken), "{}", &whole[..end]);
        }
        for bad in [
            format!("{whole}."),
            format!("{whole}="),
            format!("{whole}.e30.e30"),
            format!(".{whole}"),
            format!(" {whole}"),
            whole.replace('.', ".."),
            // The last character has bits that belong to no byte: another spelling of the same signature.
            format!("{}.QR", &whole[..payload_ends]),
            whole.replacen("e30", "W10", 1),
            whole.replacen("e30", "bnVsbA", 1),
        ] {
            assert_eq!(refusal(&bad), Some(Refusal::NoToken), "{bad}");
        }
    }
}
