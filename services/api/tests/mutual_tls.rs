//! Programs that show a client certificate.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use domain::Role;
use proto::v1;
use proto::v1::domains_client::DomainsClient;
use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use runtime::config::{ApiClient, ApiTls};
use tempfile::TempDir;
use tonic::transport::{self, Channel, ClientTlsConfig, Identity};
use tonic::{Code, Request, Status};

use served::{has_reason, serving, signed, token};

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issued(authority: &CertifiedIssuer<'static, KeyPair>, san: SanType) -> (Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = vec![san];
    (params.signed_by(&key, authority).unwrap(), key)
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

struct World {
    authority: CertifiedIssuer<'static, KeyPair>,
    context: runtime::Context,
    address: SocketAddr,
    _folders: [TempDir; 2],
}

/// An API that knows two programs by their certificates.
async fn world(client_certificate_optional: bool) -> World {
    let authority = authority();
    let (certificate, key) = issued(&authority, SanType::DnsName("localhost".try_into().unwrap()));
    let files = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    };
    let client = |name: &str, san: &str, role: Role| ApiClient {
        name: name.to_owned(),
        san: san.to_owned(),
        roles: role.into(),
    };
    let tls = ApiTls {
        certificate_file: write("api.pem", certificate.pem()),
        key_file: write("api.key", key.serialize_pem()),
        client_ca_file: write("ca.pem", authority.pem()),
        client_certificate_optional,
        consoles: vec!["spiffe://cdn.example/console".to_owned()],
        clients: vec![
            client("dashboard", "spiffe://cdn.example/dashboard", Role::Support),
            client("reports", "reports.cdn.example", Role::Viewer),
        ],
    };
    let (context, address, folder) = serving(|config| config.api.tls = Some(tls)).await;
    World { authority, context, address, _folders: [files, folder] }
}

impl World {
    async fn connect(
        &self,
        identity: Option<(Certificate, KeyPair)>,
    ) -> Result<DomainsClient<Channel>, transport::Error> {
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(transport::Certificate::from_pem(self.authority.pem()))
            .domain_name("localhost");
        if let Some((certificate, key)) = identity {
            tls = tls.identity(Identity::from_pem(certificate.pem(), key.serialize_pem()));
        }
        let endpoint = Channel::from_shared(format!("https://{}", self.address)).unwrap().tls_config(tls)?;
        Ok(DomainsClient::new(endpoint.connect().await?))
    }
}

async fn add(client: &mut DomainsClient<Channel>) -> Result<(), Status> {
    let request = v1::AddDomainRequest { name: "a.example.com".into(), ..Default::default() };
    client.add_domain(request).await.map(drop)
}

/// No call was answered: the connection was.
#[track_caller]
fn is_cut(status: &Status) {
    let codes = [Code::Unknown, Code::Unavailable];
    assert!(codes.contains(&status.code()) && status.details().is_empty(), "{status:?}");
}

#[tokio::test]
async fn a_name_in_the_certificate_says_who_it_is_and_what_it_may_do() {
    let world = world(false).await;
    let dashboard = issued(&world.authority, uri("spiffe://cdn.example/dashboard"));
    let mut dashboard = world.connect(Some(dashboard)).await.unwrap();
    add(&mut dashboard).await.unwrap();
    let history = v1::GetHistoryRequest { name: "a.example.com".into(), page_size: 0, ..Default::default() };
    let history = dashboard.get_history(history).await.unwrap().into_inner();
    assert_eq!(history.entries[0].actor, "client:dashboard");

    let reports = issued(&world.authority, SanType::DnsName("reports.cdn.example".try_into().unwrap()));
    let mut reports = world.connect(Some(reports)).await.unwrap();
    reports.get_summary(v1::GetSummaryRequest {}).await.unwrap();
    assert_eq!(add(&mut reports).await.unwrap_err().code(), Code::PermissionDenied);

    // A token goes first: a console with a certificate speaks for the person.
    let viewer = token(&world.context, Role::Viewer, |_| {}).await;
    let request = v1::AddDomainRequest { name: "b.example.com".into(), ..Default::default() };
    let refused = dashboard.add_domain(signed(request, &viewer)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let mut request = Request::new(v1::GetSummaryRequest {});
    request.metadata_mut().insert("authorization", "Bearer slm_wrong".parse().unwrap());
    let refused = dashboard.get_summary(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "a bad token is not made good by a certificate");
}

#[tokio::test]
async fn a_certificate_of_nobody_known_or_of_another_ca_is_nobody() {
    let world = world(false).await;
    for san in ["spiffe://cdn.example/dashboard2", "spiffe://cdn.example/DASHBOARD"] {
        let stranger = issued(&world.authority, uri(san));
        let refused = add(&mut world.connect(Some(stranger)).await.unwrap()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        assert!(has_reason(&refused, "CLIENT_UNKNOWN"));
    }
    // The handshake of TLS 1.3 ends before the server has looked, so it may be the first call that fails.
    let forged = issued(&authority(), uri("spiffe://cdn.example/dashboard"));
    for identity in [Some(forged), None] {
        if let Ok(mut client) = world.connect(identity).await {
            is_cut(&add(&mut client).await.unwrap_err());
        }
    }
}

#[tokio::test]
async fn where_certificates_are_optional_a_token_will_do() {
    let world = world(true).await;
    let mut client = world.connect(None).await.unwrap();
    assert_eq!(add(&mut client).await.unwrap_err().code(), Code::Unauthenticated);
    let support = token(&world.context, Role::Support, |_| {}).await;
    let request = v1::AddDomainRequest { name: "a.example.com".into(), ..Default::default() };
    client.add_domain(signed(request, &support)).await.unwrap();
    let forged = issued(&authority(), uri("spiffe://cdn.example/dashboard"));
    if let Ok(mut client) = world.connect(Some(forged)).await {
        is_cut(&add(&mut client).await.unwrap_err());
    }
}
