//! The provider's published configuration (OpenID Connect Discovery 1.0 section 3), as far as we use it.

use serde_json::{Map, Value};
use url::Url;

use crate::http::is_acceptable_url;
use crate::json::{member, text};
use crate::keys::KeySet;

/// Where the configuration is, below the issuer identifier (section 4.1).
const CONFIGURATION: &str = ".well-known/openid-configuration";

/// The provider's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Configuration {
    pub(crate) authorization_endpoint: Url,
    /// Only the code exchange needs it.
    pub(crate) token_endpoint: Option<Url>,
    pub(crate) jwks_uri: Url,
    /// It takes a client secret in the body of a request only (`client_secret_post`).
    pub(crate) takes_secret_in_body_only: bool,
}

/// The provider's endpoints and keys.
#[derive(Debug)]
pub(crate) struct Metadata {
    pub(crate) configuration: Configuration,
    pub(crate) keys: KeySet,
}

/// Where the issuer publishes its configuration.
pub(crate) fn configuration_url(issuer: &str) -> Result<Url, url::ParseError> {
    Url::parse(&format!("{}/{CONFIGURATION}", issuer.strip_suffix('/').unwrap_or(issuer)))
}

impl Configuration {
    /// Reads the configuration of `issuer`; the error says what is wrong with it.
    pub(crate) fn from_json(object: &Map<String, Value>, issuer: &str) -> Result<Self, &'static str> {
        if text(object, "issuer") != Some(issuer) {
            return Err("its configuration is that of another issuer");
        }
        let token_endpoint = match member(object, "token_endpoint") {
            Some(_) => Some(url(object, "token_endpoint").ok_or("its token_endpoint cannot be used")?),
            None => None,
        };
        Ok(Self {
            authorization_endpoint: url(object, "authorization_endpoint")
                .ok_or("its authorization_endpoint cannot be used")?,
            token_endpoint,
            jwks_uri: url(object, "jwks_uri").ok_or("its jwks_uri cannot be used")?,
            takes_secret_in_body_only: takes_secret_in_body_only(object),
        })
    }
}

fn url(object: &Map<String, Value>, name: &str) -> Option<Url> {
    Url::parse(text(object, name)?).ok().filter(is_acceptable_url)
}

/// Without a list, the header is taken (section 3).
fn takes_secret_in_body_only(object: &Map<String, Value>) -> bool {
    let methods = object.get("token_endpoint_auth_methods_supported").and_then(Value::as_array);
    methods.is_some_and(|methods| {
        let has = |method: &str| methods.iter().any(|named| named.as_str() == Some(method));
        has("client_secret_post") && !has("client_secret_basic")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ISSUER: &str = "https://id.example.net/realms/x";

    fn good() -> Value {
        json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://id.example.net/authorize?tenant=1",
            "token_endpoint": "https://id.example.net/token",
            "jwks_uri": "https://keys.example.net/",
        })
    }

    fn read(value: &Value) -> Result<Configuration, &'static str> {
        Configuration::from_json(value.as_object().unwrap(), ISSUER)
    }

    #[test]
    fn the_configuration_is_below_the_issuer() {
        for issuer in [ISSUER.to_owned(), format!("{ISSUER}/")] {
            let url = configuration_url(&issuer).unwrap();
            assert_eq!(url.as_str(), "https://id.example.net/realms/x/.well-known/openid-configuration");
        }
        assert!(configuration_url("id.example.net").is_err());
    }

    #[test]
    fn unknown_and_null_members_do_not_matter() {
        let plain = read(&good()).unwrap();
        let mut odd = good();
        for name in ["userinfo_endpoint", "token_endpoint_auth_methods_supported", "grant_types_supported"] {
            odd[name] = Value::Null;
        }
        odd["request_parameter_supported"] = json!("perhaps");
        odd["of_2030"] = json!([{}]);
        assert_eq!(read(&odd), Ok(plain.clone()));
        odd["token_endpoint"] = Value::Null;
        assert_eq!(read(&odd), Ok(Configuration { token_endpoint: None, ..plain }));
    }

    #[test]
    fn the_issuer_matches_to_the_letter() {
        for other in [
            json!(format!("{ISSUER}/")),
            json!("https://id.example.net/realms/X"),
            json!("https://ID.example.net/realms/x"),
            json!("https://id.example.net:443/realms/x"),
            json!([ISSUER]),
            Value::Null,
        ] {
            let mut value = good();
            value["issuer"] = other.clone();
            assert_eq!(read(&value), Err("its configuration is that of another issuer"), "{other}");
        }
    }

    #[test]
    fn an_endpoint_that_must_not_be_asked_is_refused() {
        for name in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
            for bad in
                [json!("http://id.example.net/"), json!("javascript:alert(1)"), json!("/relative"), json!(1)]
            {
                let mut value = good();
                value[name] = bad.clone();
                assert!(read(&value).is_err_and(|why| why.contains(name)), "{name}: {bad}");
            }
        }
        for name in ["authorization_endpoint", "jwks_uri"] {
            let mut value = good();
            value[name] = Value::Null;
            assert!(read(&value).is_err_and(|why| why.contains(name)), "{name}");
        }
    }

    #[test]
    fn the_secret_goes_into_the_body_only_where_it_must() {
        for (methods, in_body) in [
            (json!(["client_secret_post"]), true),
            (json!(["client_secret_post", "private_key_jwt", 1]), true),
            (json!(["client_secret_post", "client_secret_basic"]), false),
            (json!(["private_key_jwt"]), false),
            (json!([]), false),
            (json!("client_secret_post"), false),
        ] {
            let mut value = good();
            value["token_endpoint_auth_methods_supported"] = methods.clone();
            assert_eq!(read(&value).unwrap().takes_secret_in_body_only, in_body, "{methods}");
        }
    }
}
