//! Limits for browsers before the sign-in, and the address of a browser.
//!
//! A session's cookie that the API recently accepted is admitted at once; any other one waits in a short queue until
//! the API has checked it. Sign-ins have a queue of their own, and a body of a few KiB that must come within seconds.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use http::{HeaderMap, StatusCode};
use ipnet::IpNet;
use runtime::{Config, Full, Health, KnownTokens, Peer, Queue, Seldom, Share, Shares, Source, Turn};

use crate::api::Token;
use crate::problem::Problem;

/// Forms of strangers that are on their way, and those of one source.
const BODIES: usize = 256;
const BODIES_PER_SOURCE: usize = 64;
/// Sign-ins that the API is asked for at once, that wait for it, and those of one source.
const SIGN_INS: usize = 8;
const SIGN_INS_WAITING: usize = 128;
const SIGN_INS_PER_SOURCE: usize = 32;
const SIGN_IN_TIMEOUT: Duration = Duration::from_secs(5);
/// Unknown sessions that the API is asked for at once, that wait for it, and those of one source.
const LOOKUPS: usize = 32;
const LOOKUPS_WAITING: usize = 1024;
const LOOKUPS_PER_SOURCE: usize = 256;
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Browser {
    pub(crate) address: IpAddr,
    /// Whether many browsers have that address.
    is_shared: bool,
}

tokio::task_local! {
    /// The browser whose request this task answers.
    pub(crate) static BROWSER: Browser;
}

pub(crate) struct Strangers {
    trusted_proxies: Vec<IpNet>,
    shared_sources: Vec<IpNet>,
    health: Health,
    bodies: Arc<Shares<Source>>,
    sign_ins: Queue<Source>,
    lookups: Queue<Source>,
    known: KnownTokens,
    refusals: Seldom,
}

impl Strangers {
    pub(crate) fn new(config: &Config, health: Health) -> Self {
        Self {
            trusted_proxies: config.console.trusted_proxies.clone(),
            shared_sources: config.connections.shared_sources.clone(),
            health,
            bodies: Shares::new(BODIES, BODIES_PER_SOURCE),
            sign_ins: Queue::new(SIGN_INS, SIGN_INS_WAITING, SIGN_INS_PER_SOURCE, SIGN_IN_TIMEOUT),
            lookups: Queue::new(LOOKUPS, LOOKUPS_WAITING, LOOKUPS_PER_SOURCE, LOOKUP_TIMEOUT),
            known: KnownTokens::default(),
            refusals: Seldom::default(),
        }
    }

    /// Whose request it is. Of a proxy that is trusted, the address that it names last.
    pub(crate) fn browser(&self, peer: &Peer, headers: &HeaderMap) -> Browser {
        let peer = peer.address.ip().to_canonical();
        let is_trusted = contains(&self.trusted_proxies, peer);
        let told = headers.get_all("x-forwarded-for").iter().next_back().filter(|_| is_trusted);
        let told = told.and_then(|told| told.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
        let address = told.map_or(peer, |told: IpAddr| told.to_canonical());
        Browser { address, is_shared: contains(&self.shared_sources, address) }
    }

    /// A slot for one form before the sign-in.
    pub(crate) fn body(&self) -> Result<Share<Source>, Problem> {
        let (source, is_shared) = here();
        let share = self.bodies.take_one(&source, is_shared);
        share.map_err(|full| self.refused("forms", full, source))
    }

    /// A turn to ask the API for a sign-in.
    pub(crate) async fn sign_in(&self) -> Result<Turn, Problem> {
        let (source, is_shared) = here();
        let turn = self.sign_ins.turn(&source, is_shared).await;
        turn.map_err(|full| self.refused("sign-ins", full, source))
    }

    /// A turn to ask the API whose token it is; none is needed for one that was good lately.
    pub(crate) async fn lookup(&self, token: &Token) -> Result<Option<Turn>, Problem> {
        if self.known.contains(&hash(token)) {
            return Ok(None);
        }
        let (source, is_shared) = here();
        let turn = self.lookups.turn(&source, is_shared).await;
        turn.map(Some).map_err(|full| self.refused("sessions", full, source))
    }

    /// Remembers whether it was good.
    pub(crate) fn learn(&self, token: &Token, is_good: bool) {
        if is_good {
            self.known.remember(hash(token));
        } else {
            self.known.forget(&hash(token));
        }
    }

    fn refused(&self, limit: &'static str, full: Full, source: Source) -> Problem {
        metrics::counter!("ssl_manager_pages_refused_total", "limit" => limit).increment(1);
        if full == Full::Total {
            self.health
                .crowded("console-strangers", format!("no more {limit} of browsers without a known session"));
        }
        if let Some(withheld) = self.refusals.pass() {
            tracing::warn!(limit, %source, withheld, "pages are refused");
        }
        busy()
    }
}

/// Too much at once.
pub(crate) fn busy() -> Problem {
    let sentence = "Too much at once. Try again in a few seconds.";
    let mut problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "OVERLOADED", sentence);
    problem.retry_after = Some(Duration::from_secs(2));
    problem
}

fn contains(nets: &[IpNet], address: IpAddr) -> bool {
    nets.iter().any(|net| net.contains(&address))
}

/// The source of the browser whose request this is, and whether it stands for many.
fn here() -> (Source, bool) {
    let browser = BROWSER.try_with(|browser| *browser);
    let nowhere = Browser { address: IpAddr::from([0, 0, 0, 0]), is_shared: false };
    let browser = browser.unwrap_or(nowhere);
    (Source::of(browser.address), browser.is_shared)
}

fn hash(token: &Token) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, token.expose().as_bytes()).as_ref());
    hash
}
