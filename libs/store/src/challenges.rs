//! Answers of the challenge path: challenge responses of orders, and probes of rehearsals.

use domain::{DomainName, OrderId};
use jiff::Timestamp;

use crate::record::columns;
use crate::{Result, Store, Tx};

/// A challenge response (RFC 8555 section 8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The host that the CA requests.
    pub host: DomainName,
    /// The token in the path.
    pub token: String,
    /// The response body.
    pub key_authorization: String,
    /// The order it belongs to.
    pub order: OrderId,
    /// When it was stored.
    pub created_at: Timestamp,
}

columns!(Challenge in "challenges": host, token, key_authorization, order as "order_id", created_at);

/// The origin of a probe: probes of different origins do not replace each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeOf {
    /// An order's preflight.
    Order,
    /// A check requested by a person or program.
    Check,
}

/// A row of `probes`.
struct Probe {
    host: DomainName,
    of: String,
    token: String,
    answer: String,
}

columns!(Probe in "probes": host, of as "asker", token, answer);

impl ProbeOf {
    /// The word of the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Check => "check",
        }
    }
}

impl Store {
    /// Returns the key authorization stored for exactly this host and token (RFC 8555 section 8.3).
    pub async fn key_authorization(&self, host: &DomainName, token: &str) -> Result<Option<String>> {
        let text = "SELECT key_authorization FROM challenges WHERE host = $1 AND token = $2
            UNION ALL SELECT answer FROM probes WHERE host = $1 AND token = $2
            LIMIT 1";
        let mut reader = self.reader().await?;
        let mut db = reader.db();
        let query = db.query("key_authorization", text).bind(host).bind(token);
        Ok(query.optional::<(String,)>().await?.map(|(answer,)| answer))
    }

    /// Returns every challenge response stored for a host.
    pub async fn challenges(&self, host: &DomainName) -> Result<Vec<Challenge>> {
        let mut reader = self.reader().await?;
        reader.db().select::<Challenge>("challenges", "WHERE host = $1").bind(host).all().await
    }
}

impl Tx {
    /// Stores a challenge response; replaces one with the same host and token.
    pub async fn put_challenge(&mut self, challenge: &Challenge) -> Result<()> {
        let rest = "ON CONFLICT (host, token) DO UPDATE SET key_authorization = excluded.key_authorization,
            order_id = excluded.order_id, created_at = excluded.created_at";
        self.insert("put_challenge", "", std::slice::from_ref(challenge), &[], rest).await
    }

    /// Deletes the challenge responses of an order.
    pub async fn drop_challenges(&mut self, order: OrderId) -> Result<()> {
        let text = "DELETE FROM challenges {rows} WHERE order_id = $1";
        self.write("drop_challenges", "", text).await?.bind(&order).keep();
        Ok(())
    }

    /// Stores the expected answer for the rehearsal of a host's challenge path, in place of an earlier one of the
    /// same origin; it is served like a challenge response ([`Store::key_authorization`]).
    pub async fn put_probe(
        &mut self,
        host: &DomainName,
        of: ProbeOf,
        token: &str,
        answer: &str,
    ) -> Result<()> {
        let rest = "ON CONFLICT (host, asker) DO UPDATE SET token = excluded.token, answer = excluded.answer";
        let probe = Probe {
            host: host.clone(),
            of: of.as_str().to_owned(),
            token: token.to_owned(),
            answer: answer.to_owned(),
        };
        self.insert("put_probe", "", &[probe], &[], rest).await
    }

    /// Deletes a host's probe of that origin.
    pub async fn drop_probe(&mut self, host: &DomainName, of: ProbeOf) -> Result<()> {
        let text = "DELETE FROM probes {rows} WHERE host = $1 AND asker = $2";
        self.write("drop_probe", "", text).await?.bind(host).bind(of.as_str()).keep();
        Ok(())
    }
}
