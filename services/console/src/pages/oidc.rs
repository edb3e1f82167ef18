//! Signing in with the OpenID provider: the redirect to it and the callback.
//!
//! It begins with a link, because the page's policy (`form-action 'self'`) blocks a form to another site. The pending
//! sign-in is kept in its own cookie, which is Lax: the provider sends the browser back from another site, and a Strict
//! cookie would not be sent. For the same reason the callback ends with a page that loads the next one from our own
//! site.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::{Clock, Entropy};
use http::{HeaderMap, StatusCode};
use jiff::SignedDuration;
use oidc::{Flow, FlowError, FlowSettings, Http, Pending, Provider};
use proto::v1;
use runtime::config::ConsoleOidc;
use runtime::{Current, Process, RoleError};
use tokio::sync::Semaphore;

use crate::App;
use crate::api::Token;
use crate::form::query;
use crate::pages::sign_in::{once_more, own_path, trouble_page};
use crate::problem::Problem;
use crate::session::{self, with_cookie};
use crate::words;

/// Where the provider sends people back to, below `console.public_url`.
const CALLBACK: &str = "/sign-in/oidc/callback";
/// How long a person may take at the provider.
const TIMEOUT: Duration = Duration::from_mins(10);
/// A page's address that is longer is forgotten: cookies have little room.
const MAX_TO_BYTES: usize = 1024;
/// Maximum number of concurrent code exchanges; any stranger can send us a code.
const MAX_EXCHANGES: usize = 16;

/// The provider of `[console.oidc]`.
pub(crate) struct SignInProvider {
    flow: Flow,
    /// The label of the button.
    pub(crate) label: String,
    exchanges: Semaphore,
    /// Of the cookie. Derived from the client's secret, so that any copy can complete a sign-in that another one
    /// started; a public client has none, and only the copy that started a sign-in can complete it.
    cookie_key: hmac::Key,
}

impl SignInProvider {
    /// What the settings say, made ready, and anew when the client's secret changes. Nothing is asked yet.
    pub(crate) fn new(process: &Process) -> Result<Option<Current<Self>>, RoleError> {
        const SECRET: &str = "console.oidc.client_secret_file";
        let Some(settings) = process.config.console.oidc.clone() else {
            return Ok(None);
        };
        let (config, clock, entropy) =
            (process.config.clone(), process.clock.clone(), process.entropy.clone());
        let kept = process.reload.keep(SECRET, vec![settings.client_secret_file.clone()], move || {
            config.check_secret_file(SECRET, &settings.client_secret_file)?;
            Self::read(&settings, &config.console.public_url, &clock, &*entropy)
        });
        kept.map(Some)
    }

    fn read(
        settings: &ConsoleOidc,
        public_url: &str,
        clock: &Arc<dyn Clock>,
        entropy: &dyn Entropy,
    ) -> Result<Self, RoleError> {
        let http = Http::new(settings.root_certificate_pem()?.as_deref()).map_err(|problem| {
            RoleError::setting("console.oidc.root_certificate_file", problem.to_string())
        })?;
        let provider = Provider::new(&settings.issuer_url, http, clock.clone())
            .map_err(|problem| RoleError::setting("console.oidc.issuer_url", problem.to_string()))?;
        let flow = Flow::new(provider, flow_settings(settings, public_url)?)
            .map_err(|_| RoleError::setting("console.public_url", "is no URL"))?;
        let cookie_key = if let Some(secret) = settings.client_secret()? {
            cookie_key(secret.as_bytes())
        } else {
            let mut random = [0; 32];
            entropy.fill(&mut random);
            cookie_key(&random)
        };
        let exchanges = Semaphore::new(MAX_EXCHANGES);
        Ok(Self { flow, label: settings.label.clone(), exchanges, cookie_key })
    }
}

/// The secret itself only identifies us to the provider.
fn cookie_key(secret: &[u8]) -> hmac::Key {
    let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
    hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&secret, b"ssl-manager sign-in cookie").as_ref())
}

fn flow_settings(settings: &ConsoleOidc, public_url: &str) -> Result<FlowSettings, RoleError> {
    Ok(FlowSettings {
        client_id: settings.client_id.clone(),
        client_secret: settings.client_secret()?.map(|secret| secret.to_string()),
        redirect_url: format!("{public_url}{CALLBACK}"),
        scopes: settings.scopes.clone(),
    })
}

/// Redirects to the provider.
pub(crate) async fn leave(State(app): State<App>, RawQuery(text): RawQuery) -> Result<Response, Problem> {
    let provider = app.provider.as_ref().ok_or_else(Problem::no_page)?.get();
    let to = own_path(query(text.as_deref()).get("to").map_or("/", String::as_str));
    let pending = Pending::new(&*app.process.entropy);
    match provider.flow.address(&pending).await {
        Ok(address) => {
            let until = app.process.clock.now() + SignedDuration::try_from(TIMEOUT).unwrap_or_default();
            let kept = PendingSignIn { pending, until: until.as_second(), to };
            let cookie = app.cookies.sign_in(&kept.to_text(&provider.cookie_key), TIMEOUT);
            Ok(with_cookie(Redirect::to(&address).into_response(), cookie))
        }
        Err(_) => Ok(trouble_page(&app, StatusCode::SERVICE_UNAVAILABLE, words::PROVIDER_AWAY, &to)),
    }
}

/// Handles the callback from the provider.
pub(crate) async fn come_back(
    State(app): State<App>,
    headers: HeaderMap,
    RawQuery(text): RawQuery,
) -> Result<Response, Problem> {
    let provider = app.provider.as_ref().ok_or_else(Problem::no_page)?.get();
    let answer = query(text.as_deref());
    let said = |name: &str| answer.get(name).map_or("", String::as_str);
    let cookie = session::cookie(&headers, app.cookies.sign_in_name());
    let kept = cookie.and_then(|text| PendingSignIn::from_text(text, &provider.cookie_key));
    let now = app.process.clock.now().as_second();
    let kept = kept.filter(|kept| now < kept.until && kept.pending.is_answered_by(said("state")));
    let Some(kept) = kept else {
        // A foreign answer must not end a sign-in that is under way, so its cookie stays.
        let sentence = words::PROVIDER_ANSWER_UNKNOWN;
        return Ok(trouble_page(&app, StatusCode::BAD_REQUEST, sentence, "/"));
    };
    let entered = match refusal(&provider, &said) {
        Some(sentence) => Err((StatusCode::UNPROCESSABLE_ENTITY, sentence.to_owned())),
        None => enter(&app, &provider, &kept.pending, said("code")).await,
    };
    let response = match entered {
        Ok(token) => with_cookie(once_more(&kept.to), app.cookies.session(token.expose())),
        Err((status, sentence)) => trouble_page(&app, status, &sentence, &kept.to),
    };
    Ok(with_cookie(response, app.cookies.no_sign_in()))
}

/// The message if the provider returned an error, or if another provider answered (RFC 9207).
fn refusal<'a>(provider: &SignInProvider, said: &impl Fn(&str) -> &'a str) -> Option<&'static str> {
    let (error, issuer) = (said("error"), said("iss"));
    if !issuer.is_empty() && !provider.flow.is_from(issuer) {
        tracing::warn!("an answer of another OpenID provider was refused");
        return Some(words::PROVIDER_ANSWER_UNKNOWN);
    }
    match error {
        "" => None,
        "access_denied" => Some(words::PROVIDER_CANCELLED),
        _ => {
            let error: String = error.chars().take(100).collect();
            tracing::warn!(?error, "the OpenID provider returned an error");
            Some(words::PROVIDER_REFUSED)
        }
    }
}

/// A session for a code, or what to say.
async fn enter(
    app: &App,
    provider: &SignInProvider,
    pending: &Pending,
    code: &str,
) -> Result<Token, (StatusCode, String)> {
    let id_token = {
        let permit = provider.exchanges.try_acquire();
        let _permit =
            permit.map_err(|_| (StatusCode::SERVICE_UNAVAILABLE, words::PROVIDER_AWAY.to_owned()))?;
        provider.flow.id_token(pending, code).await
    };
    let id_token = id_token.map_err(|error| {
        tracing::warn!(%error, "a sign-in with the OpenID provider failed");
        let (status, sentence) = match error {
            FlowError::Code => (StatusCode::UNPROCESSABLE_ENTITY, words::PROVIDER_ANSWER_UNKNOWN),
            FlowError::Refused(_) => (StatusCode::BAD_GATEWAY, words::PROVIDER_REFUSED),
            FlowError::Provider(_) => (StatusCode::SERVICE_UNAVAILABLE, words::PROVIDER_AWAY),
        };
        (status, sentence.to_owned())
    })?;
    let request = v1::SignInWithIdTokenRequest { id_token, nonce: pending.nonce.clone() };
    match app.api.sign_in().sign_in_with_id_token(request).await {
        Ok(answer) => Ok(Token::new(answer.into_inner().token)),
        Err(status) => {
            let problem = Problem::from(status);
            Err(match problem.reason.as_str() {
                "SIGN_IN_FAILED" => (StatusCode::FORBIDDEN, words::PROVIDER_NOT_ENOUGH.to_owned()),
                "OIDC_UNAVAILABLE" => (problem.status, words::PROVIDER_AWAY.to_owned()),
                _ => (problem.status, problem.sentence),
            })
        }
    }
}

/// The cookie's content during a sign-in at the provider.
struct PendingSignIn {
    pending: Pending,
    /// The second after which it counts no more, whatever the browser does.
    until: i64,
    /// The page that was requested before the sign-in.
    to: String,
}

impl PendingSignIn {
    fn to_text(&self, key: &hmac::Key) -> String {
        let to = if self.to.len() > MAX_TO_BYTES { "/" } else { &self.to };
        let to = BASE64_URL_SAFE_NO_PAD.encode(to);
        let text = format!("{}.{to}.{}", self.until, self.pending.to_text());
        let mac = BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(key, text.as_bytes()));
        format!("{text}.{mac}")
    }

    /// None of a text that we did not write: a state in it is none that we gave.
    fn from_text(text: &str, key: &hmac::Key) -> Option<Self> {
        let (text, mac) = text.rsplit_once('.')?;
        let mac = BASE64_URL_SAFE_NO_PAD.decode(mac).ok()?;
        hmac::verify(key, text.as_bytes(), &mac).ok()?;
        let mut parts = text.splitn(3, '.');
        let until = parts.next()?.parse().ok()?;
        let to = BASE64_URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
        Some(Self {
            until,
            to: own_path(&String::from_utf8(to).ok()?),
            pending: Pending::from_text(parts.next()?)?,
        })
    }
}
