//! A client of the API, for what the client commands are too slow for.

use proto::v1::domains_client::DomainsClient;

/// A client of the API.
#[derive(Clone)]
pub struct Client {
    channel: tonic::transport::Channel,
    bearer: String,
}

impl Client {
    pub(crate) async fn connect(endpoint: String, token: &str) -> Self {
        let endpoint = tonic::transport::Endpoint::from_shared(endpoint).expect("a URL");
        Self {
            channel: endpoint.connect().await.expect("the API answers"),
            bearer: format!("Bearer {token}"),
        }
    }

    fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let bearer = self.bearer.parse().expect("a header");
        request.metadata_mut().insert("authorization", bearer);
        request
    }

    /// Adds a domain.
    pub async fn add(&self, name: &str) {
        let request = self.request(proto::v1::AddDomainRequest { name: name.to_owned() });
        let mut client = DomainsClient::new(self.channel.clone());
        client.add_domain(request).await.expect("added");
    }

    /// Every change from here on.
    pub async fn watch(&self) -> tonic::Streaming<proto::v1::WatchDomainsResponse> {
        let request = self.request(proto::v1::WatchDomainsRequest::default());
        let mut client = DomainsClient::new(self.channel.clone());
        client.watch_domains(request).await.expect("a stream").into_inner()
    }
}
