//! Leads the sample domains through a year and to where they stay, as a client of the API.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use domain::Clock;
use proto::v1;
use proto::v1::domains_client::DomainsClient;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use super::cast::{ACTS, CAST, Fate, Row, Sample};
use super::clock::DemoClock;
use super::world::{DemoWorld, pasted};

const DAY: Duration = Duration::from_hours(24);

pub(super) struct Driver<'a> {
    client: DomainsClient<Channel>,
    bearer: MetadataValue<Ascii>,
    world: &'a DemoWorld,
    clock: Arc<DemoClock>,
    /// How many of [`ACTS`] have begun.
    acts: usize,
    added: HashSet<&'static str>,
    /// The domain may continue: it was where it should be.
    settled: HashSet<&'static str>,
}

impl<'a> Driver<'a> {
    pub(super) async fn connect(
        endpoint: &str,
        token: &str,
        world: &'a DemoWorld,
        clock: Arc<DemoClock>,
    ) -> anyhow::Result<Self> {
        let channel = Endpoint::from_shared(endpoint.to_owned())?.connect().await?;
        let bearer = format!("Bearer {token}").parse()?;
        let client = DomainsClient::new(channel);
        let (added, settled) = (HashSet::new(), HashSet::new());
        Ok(Self { client, bearer, world, clock, acts: 0, added, settled })
    }

    /// So many days ago it is, as long as that is another day than today.
    pub(super) fn days_ago(&self) -> Option<i64> {
        self.acts.checked_sub(1).map(|act| ACTS[act]).filter(|days| *days > 0)
    }

    /// Whether every sample domain has been where it should be.
    pub(super) fn has_settled(&self) -> bool {
        self.settled.len() == CAST.len()
    }

    /// Whether that one has been.
    pub(super) fn was_settled(&self, name: &str) -> bool {
        self.settled.contains(name)
    }

    /// Does what is next, and looks at every sample domain.
    pub(super) async fn step(&mut self) -> anyhow::Result<Vec<Row>> {
        let rows = self.rows().await?;
        if self.acts < ACTS.len() {
            if rows.iter().all(|row| self.rests(row)) {
                self.next_act().await?;
            }
            return Ok(rows);
        }
        for row in rows.iter().filter(|row| row.has_settled()) {
            if self.settled.insert(row.name) {
                self.world.strange_for(row.fate, false);
            }
        }
        let next = CAST.iter().find(|sample| !self.settled.contains(sample.name));
        if let Some(alone) = next.filter(|next| next.fate.comes_alone() && !self.added.contains(next.name)) {
            self.world.strange_for(alone.fate, true);
            self.add(alone).await?;
        }
        Ok(rows)
    }

    /// Whether time may pass for a domain: nothing is due or under way.
    fn rests(&self, row: &Row) -> bool {
        let Some(domain) = &row.domain else { return !self.added.contains(row.name) };
        let next = domain.next_attempt_at.as_ref().and_then(proto::from_timestamp);
        match next {
            Some(at) => at > self.clock.now(),
            None => domain.status() != v1::Status::Pending,
        }
    }

    async fn next_act(&mut self) -> anyhow::Result<()> {
        let days_ago = ACTS[self.acts];
        self.acts += 1;
        self.world.turn(days_ago);
        self.clock.go_to(days_ago);
        for sample in CAST.iter().filter(|sample| sample.since == days_ago && !sample.fate.comes_alone()) {
            self.add(sample).await?;
        }
        Ok(())
    }

    async fn add(&mut self, sample: &Sample) -> anyhow::Result<()> {
        self.added.insert(sample.name);
        let name = sample.name.to_owned();
        let lifetime = match sample.fate {
            Fate::PastedEnds => 44 * DAY,
            Fate::PastedEnded => 40 * DAY,
            _ => {
                let request = self.signed(v1::AddDomainRequest { name, ..Default::default() });
                self.client.add_domain(request).await?;
                return Ok(());
            }
        };
        let (certificate_pem, private_key_pem) = pasted(sample.name, &self.clock, lifetime)?;
        let pasted =
            v1::ImportCertificateRequest { name, certificate_pem, private_key_pem, ..Default::default() };
        let request = self.signed(pasted);
        self.client.import_certificate(request).await?;
        Ok(())
    }

    async fn rows(&mut self) -> anyhow::Result<Vec<Row>> {
        let request = self.signed(v1::ListDomainsRequest { page_size: 1000, ..Default::default() });
        let listed = self.client.list_domains(request).await?.into_inner().domains;
        let is_over = self.acts == ACTS.len();
        let mut rows = Vec::new();
        for sample in CAST {
            let domain = listed.iter().find(|domain| domain.name == sample.name).cloned();
            let is_asked = is_over && domain.is_some() && !self.settled.contains(sample.name);
            let served = if is_asked { self.world.served(sample.name).await } else { None };
            rows.push(Row { name: sample.name, fate: sample.fate, domain, served });
        }
        Ok(rows)
    }

    fn signed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.bearer.clone());
        request
    }
}
