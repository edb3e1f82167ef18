//! Leads the sample domains through the demo, as a client of the API.

use std::sync::Arc;

use proto::v1;
use proto::v1::domains_client::DomainsClient;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use super::cast::{CAST, Fate, Row};
use super::clock::DemoClock;
use super::world::DemoWorld;

pub(super) struct Driver<'a> {
    client: DomainsClient<Channel>,
    bearer: MetadataValue<Ascii>,
    world: &'a DemoWorld,
    clock: Arc<DemoClock>,
    added: usize,
    caught_up: bool,
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
        Ok(Self { client: DomainsClient::new(channel), bearer, world, clock, added: 0, caught_up: false })
    }

    /// Whether every sample domain was added.
    pub(super) fn everything_added(&self) -> bool {
        self.added == CAST.len()
    }

    /// Does what is next, and looks at every sample domain.
    pub(super) async fn step(&mut self) -> anyhow::Result<Vec<Row>> {
        let rows = self.rows().await?;
        let old_customer_is_live = rows
            .iter()
            .filter(|row| row.fate == Fate::Left)
            .all(|row| row.domain.as_ref().is_some_and(|domain| domain.status() == v1::Status::Success));
        if self.added == 0 {
            self.add_next().await?;
        } else if !self.caught_up && old_customer_is_live {
            self.world.two_hours_later();
            self.clock.catch_up();
            self.caught_up = true;
        } else if self.caught_up && !self.everything_added() {
            self.add_next().await?;
        }
        Ok(rows)
    }

    async fn add_next(&mut self) -> anyhow::Result<()> {
        let request = v1::AddDomainRequest { name: CAST[self.added].name.to_owned() };
        let request = self.signed(request);
        self.client.add_domain(request).await?;
        self.added += 1;
        Ok(())
    }

    async fn rows(&mut self) -> anyhow::Result<Vec<Row>> {
        let request = self.signed(v1::ListDomainsRequest { page_size: 100, ..Default::default() });
        let listed = self.client.list_domains(request).await?.into_inner().domains;
        let mut rows = Vec::new();
        for sample in CAST {
            let domain = listed.iter().find(|domain| domain.name == sample.name).cloned();
            let served = if domain.is_some() { self.world.served(sample.name).await } else { None };
            rows.push(Row { name: sample.name, fate: sample.fate, wanted: sample.wanted, domain, served });
        }
        Ok(rows)
    }

    fn signed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.bearer.clone());
        request
    }
}
