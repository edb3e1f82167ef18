//! A client of the API, for what the client commands are too slow for.

use std::error::Error as _;
use std::time::Duration;

use proto::v1::domains_client::DomainsClient;
use tonic::Code;

use crate::wait_for;

const ADDED_WITHIN: Duration = Duration::from_secs(90);

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

    /// Adds a domain; again where the API says that a retry helps, as its clients do.
    pub async fn add(&self, name: &str) {
        wait_for(&format!("{name} on the list"), ADDED_WITHIN, || async {
            let request =
                self.request(proto::v1::AddDomainRequest { name: name.to_owned(), ..Default::default() });
            let mut client = DomainsClient::new(self.channel.clone());
            match client.add_domain(request).await {
                Ok(_) => Ok(()),
                // With a source it is the connection's error, not an answer.
                Err(status)
                    if matches!(status.code(), Code::Unavailable | Code::ResourceExhausted)
                        || status.source().is_some() =>
                {
                    Err(status.to_string())
                }
                Err(status) => panic!("{name} is not added: {status}"),
            }
        })
        .await;
    }

    /// Every change from here on.
    pub async fn watch(&self) -> tonic::Streaming<proto::v1::WatchDomainsResponse> {
        let request = self.request(proto::v1::WatchDomainsRequest::default());
        let mut client = DomainsClient::new(self.channel.clone());
        client.watch_domains(request).await.expect("a stream").into_inner()
    }
}
