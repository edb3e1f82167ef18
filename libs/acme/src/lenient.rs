//! Rewrites the CA's JSON for instant-acme: only the members that we use, in the types that they should have.
//!
//! RFC 8555 section 7.1 lets servers add members, and real ones also write `null`, leave out what is empty, or give
//! relative references for URLs (RFC 9110 section 10.2.2). instant-acme refuses some of that, and each refused answer
//! loses an order. So each answer is rebuilt from its usable members. Why not our own lenient types: instant-acme
//! parses the answers itself.

use bytes::Bytes;
use reqwest::Url;
use serde_json::{Map, Value, json};

use crate::AcmeError;
use crate::problem::is_problem;

/// Challenges and authorizations after which the rest is not read.
const MAX_LISTED: usize = 100;

/// A directory (RFC 8555 section 7.1.1).
pub(crate) fn directory(url: &str, body: &[u8]) -> Result<Bytes, AcmeError> {
    let Some(members) = object(body) else {
        return Err(AcmeError::Nonsense("the directory is no JSON object".to_owned()));
    };
    let mut directory = Map::new();
    for (resource, is_needed) in [
        ("newNonce", true),
        ("newAccount", true),
        ("newOrder", true),
        ("revokeCert", false),
        ("keyChange", false),
        ("renewalInfo", false),
    ] {
        match members.get(resource).and_then(|member| reference(url, member)) {
            Some(resolved) => drop(directory.insert(resource.to_owned(), resolved)),
            None if is_needed => return Err(AcmeError::Nonsense(format!("the directory has no {resource}"))),
            None => {}
        }
    }
    let meta = members.get("meta").and_then(|meta| meta.get("caaIdentities"));
    let identities: Value = meta
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice)
        .iter()
        .filter(|identity| identity.is_string())
        .cloned()
        .collect();
    directory.insert("meta".to_owned(), json!({ "caaIdentities": identities }));
    Ok(Value::Object(directory).to_string().into())
}

/// The body of a successful answer from `url`: an order, an authorization, a challenge or an account; what is none of
/// these is left as it is. Errors: the body is a problem document, under whatever status it came.
pub(crate) fn body(url: &str, body: Bytes) -> Result<Bytes, Map<String, Value>> {
    let Some(members) = object(&body) else {
        return Ok(body);
    };
    if is_problem(&members) {
        return Err(members);
    }
    let canonical = if members.contains_key("challenges") || members.contains_key("identifier") {
        authorization(url, &members)
    } else if members.contains_key("finalize") || members.contains_key("authorizations") {
        order(url, &members)
    } else if members.contains_key("token") {
        challenge(url, &members)
    } else {
        return Ok(body);
    };
    Ok(canonical.to_string().into())
}

/// RFC 8555 section 7.1.3.
fn order(url: &str, members: &Map<String, Value>) -> Value {
    let listed = members.get("authorizations").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let authorizations: Value =
        listed.iter().take(MAX_LISTED).filter_map(|member| reference(url, member)).collect();
    let text = |member: &str| members.get(member).and_then(Value::as_str);
    let url_of = |member: &str| members.get(member).and_then(|member| reference(url, member));
    let mut order = json!({
        "status": status(text("status")),
        "authorizations": authorizations,
        "finalize": url_of("finalize").unwrap_or_else(|| "".into()),
        "certificate": url_of("certificate"),
        "error": members.get("error").and_then(problem),
    });
    for member in ["replaces", "profile"] {
        if let Some(text) = text(member) {
            order[member] = text.into();
        }
    }
    order
}

/// RFC 8555 section 7.1.4.
fn authorization(url: &str, members: &Map<String, Value>) -> Value {
    let listed = members.get("challenges").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let listed = listed.iter().take(MAX_LISTED).filter_map(Value::as_object);
    let challenges: Value = listed.map(|members| challenge(url, members)).collect();
    let name = members.get("identifier").and_then(|identifier| identifier.get("value"));
    json!({
        // That it is for our name is not looked at: the order is, and the certificate is checked.
        "identifier": { "type": "dns", "value": name.and_then(Value::as_str).unwrap_or_default() },
        "status": status(members.get("status").and_then(Value::as_str)),
        "challenges": challenges,
    })
}

/// RFC 8555 section 7.1.5.
fn challenge(url: &str, members: &Map<String, Value>) -> Value {
    let text = |member: &str| members.get(member).and_then(Value::as_str);
    let own_url = members.get("url").and_then(|member| reference(url, member));
    json!({
        "type": text("type").unwrap_or_default(),
        "url": own_url.unwrap_or_else(|| url.into()),
        "token": text("token").unwrap_or_default(),
        "status": status(Some(text("status").unwrap_or("pending"))),
        "error": members.get("error").and_then(problem),
    })
}

/// Missing and unknown values are not guessed; instant-acme reports that it cannot read them.
fn status(word: Option<&str>) -> Value {
    word.map(|word| word.trim().to_ascii_lowercase()).into()
}

/// Of `error`: a problem with the members that instant-acme knows; a text is taken for the detail.
fn problem(member: &Value) -> Option<Value> {
    let members = match member {
        Value::Object(members) => members,
        Value::String(detail) => return Some(json!({ "detail": detail })),
        _ => return None,
    };
    let text = |members: &Map<String, Value>, member: &str| {
        members.get(member).and_then(Value::as_str).map(str::to_owned)
    };
    let listed = members.get("subproblems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let listed = listed.iter().take(MAX_LISTED).filter_map(Value::as_object);
    let subproblems: Value = listed
        .filter_map(|members| {
            let name = members.get("identifier")?.get("value")?.as_str()?;
            Some(json!({
                "type": text(members, "type"),
                "detail": text(members, "detail"),
                "identifier": { "type": "dns", "value": name },
            }))
        })
        .collect();
    let status = members.get("status").and_then(Value::as_u64).filter(|status| *status <= 999);
    Some(json!({
        "type": text(members, "type"),
        "detail": text(members, "detail").or_else(|| text(members, "title")),
        "status": status,
        "subproblems": subproblems,
    }))
}

/// The URL that a reference in an answer from `base` stands for.
pub(crate) fn resolve(base: &str, reference: &str) -> Option<String> {
    let url = Url::parse(base).ok()?.join(reference.trim()).ok()?;
    Some(url.into())
}

fn reference(base: &str, member: &Value) -> Option<Value> {
    let reference = member.as_str().filter(|text| !text.trim().is_empty())?;
    resolve(base, reference).map(Value::from)
}

fn object(body: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Some(members),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://ca.example/acme/order/7";

    fn read(value: &Value) -> Value {
        let read = body(URL, value.to_string().into()).unwrap();
        serde_json::from_slice(&read).unwrap()
    }

    #[test]
    fn nulls_and_unknown_members_are_left_out_and_references_resolved() {
        let order = read(&json!({
            "status": "Pending", "expires": null, "notBefore": null, "error": null, "certificate": null,
            "authorizations": ["/acme/authz/1", null, "https://ca.example/acme/authz/2"],
            "finalize": "7/finalize", "replaces": null, "profile": null, "identifiers": null, "new": [{}],
        }));
        assert_eq!(
            order,
            json!({
                "status": "pending", "error": null, "certificate": null,
                "authorizations": ["https://ca.example/acme/authz/1", "https://ca.example/acme/authz/2"],
                "finalize": "https://ca.example/acme/order/7/finalize",
            })
        );
    }

    #[test]
    fn a_challenge_that_cannot_be_used_does_not_spoil_the_others() {
        let authorization = read(&json!({
            "identifier": { "type": "dns", "value": "shop.example.com" }, "status": "pending", "wildcard": null,
            "challenges": [
                null, 7, { "type": "new-01" },
                { "type": "http-01", "url": "/c/1", "token": "t", "status": "pending", "error": null, "validated": null },
            ],
        }));
        let challenges = authorization["challenges"].as_array().unwrap();
        assert_eq!(challenges.len(), 2);
        assert_eq!(challenges[1]["url"], "https://ca.example/c/1");
    }

    #[test]
    fn an_error_keeps_its_words_whatever_stands_beside_them() {
        let of = |error: Value| {
            read(&json!({ "status": "invalid", "finalize": "f", "error": error }))["error"].clone()
        };
        let error = of(json!({ "type": "caa", "detail": "no", "status": "400", "subproblems": null }));
        assert_eq!(error, json!({ "type": "caa", "detail": "no", "status": null, "subproblems": [] }));
        assert_eq!(of(json!("in words")), json!({ "detail": "in words" }));
        assert_eq!(of(json!([])), Value::Null);
    }

    #[test]
    fn a_problem_under_success_is_one() {
        let problem =
            json!({ "type": "urn:ietf:params:acme:error:serverInternal", "detail": "no", "status": 500 });
        assert!(body(URL, problem.to_string().into()).is_err());
        let challenge =
            json!({ "type": "http-01", "status": "pending", "token": "t", "detail": "a new member" });
        assert!(body(URL, challenge.to_string().into()).is_ok());
        for other in ["", "-----BEGIN CERTIFICATE-----", "[1]", "{\"contact\":null}"] {
            assert_eq!(body(URL, other.into()), Ok(Bytes::from(other)));
        }
    }

    #[test]
    fn a_directory_needs_three_resources_and_no_more() {
        let of = |value: Value| directory("https://ca.example/acme/directory", value.to_string().as_bytes());
        let full = json!({
            "newNonce": "new-nonce", "newAccount": "/acme/new-account", "newOrder": "https://ca.example/acme/new-order",
            "keyChange": null, "meta": { "caaIdentities": ["ca.example", null], "profiles": null },
        });
        let read: Value = serde_json::from_slice(&of(full.clone()).unwrap()).unwrap();
        assert_eq!(read["newNonce"], "https://ca.example/acme/new-nonce");
        assert_eq!(read["meta"]["caaIdentities"], json!(["ca.example"]));
        for resource in ["newNonce", "newAccount", "newOrder"] {
            let mut less = full.clone();
            less[resource] = Value::Null;
            let error = of(less).unwrap_err().to_string();
            assert!(error.contains(resource), "{error}");
        }
        assert!(directory("https://ca.example", b"<html>").is_err());
    }
}
