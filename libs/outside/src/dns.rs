//! A nameserver that answers what a test has it answer: like a recursive resolver, with the whole CNAME chain.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use hickory_proto::op::{Header, HeaderCounts, Metadata, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CAA, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo, Server};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Mutex as AsyncMutex;

use crate::SandboxError;

const TTL: u32 = 1;
const LONGEST_CHAIN: usize = 10;
const TCP_TIMEOUT: Duration = Duration::from_secs(5);
const TCP_BUFFER: usize = 64 * 1024;

/// Where it listens.
#[derive(Clone, Debug)]
pub struct DnsOptions {
    /// UDP and TCP.
    pub listen: SocketAddr,
}

impl Default for DnsOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        }
    }
}

#[derive(Default)]
struct Zone {
    records: HashMap<String, Vec<RData>>,
    servfail: HashSet<String>,
    silent: HashSet<String>,
    default_a: Option<Ipv4Addr>,
}

/// What it answers.
#[derive(Clone, Default)]
pub struct DnsControl {
    zone: Arc<Mutex<Zone>>,
    queries: Arc<AtomicU64>,
}

/// A running nameserver.
pub struct Dns {
    address: SocketAddr,
    control: DnsControl,
    server: Arc<AsyncMutex<Server<Handler>>>,
}

impl Dns {
    /// Starts it.
    pub async fn start(options: DnsOptions) -> Result<Self, SandboxError> {
        let (udp, tcp) = bind_both(options.listen).await?;
        let address = udp.local_addr().map_err(|source| SandboxError::Listen {
            address: options.listen,
            source,
        })?;
        let control = DnsControl::default();
        let mut server = Server::new(Handler {
            control: control.clone(),
        });
        server.register_socket(udp);
        server.register_listener(tcp, TCP_TIMEOUT, TCP_BUFFER);
        Ok(Self {
            address,
            control,
            server: Arc::new(AsyncMutex::new(server)),
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// What it answers.
    pub fn control(&self) -> DnsControl {
        self.control.clone()
    }

    /// Stops it.
    pub async fn stop(self) {
        if let Err(error) = self.server.lock().await.shutdown_gracefully().await {
            tracing::debug!(%error, "nameserver stopped with an error");
        }
    }
}

/// One port for UDP and TCP. A free one for the first may be taken for the second: then another is tried.
async fn bind_both(listen: SocketAddr) -> Result<(UdpSocket, TcpListener), SandboxError> {
    let mut tries = if listen.port() == 0 { 20 } else { 1 };
    loop {
        let bound = async {
            let udp = UdpSocket::bind(listen).await?;
            let tcp = TcpListener::bind(udp.local_addr()?).await?;
            Ok((udp, tcp))
        };
        tries -= 1;
        match bound.await {
            Ok(both) => return Ok(both),
            Err(source) if tries == 0 => {
                return Err(SandboxError::Listen {
                    address: listen,
                    source,
                });
            }
            Err(_) => {}
        }
    }
}

impl DnsControl {
    fn zone(&self) -> MutexGuard<'_, Zone> {
        self.zone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replace(&self, name: &str, kind: RecordType, data: impl IntoIterator<Item = RData>) {
        let mut zone = self.zone();
        let records = zone.records.entry(key(name)).or_default();
        records.retain(|record| record.record_type() != kind);
        records.extend(data);
    }

    /// The name's A records.
    pub fn set_a(&self, name: &str, addresses: &[Ipv4Addr]) {
        self.replace(
            name,
            RecordType::A,
            addresses.iter().map(|address| RData::A(A(*address))),
        );
    }

    /// The name's AAAA records.
    pub fn set_aaaa(&self, name: &str, addresses: &[Ipv6Addr]) {
        self.replace(
            name,
            RecordType::AAAA,
            addresses.iter().map(|address| RData::AAAA(AAAA(*address))),
        );
    }

    /// The name's CNAME, in place of all it had.
    pub fn set_cname(&self, name: &str, target: &str) {
        if let Ok(target) = Name::from_ascii(format!("{}.", key(target))) {
            self.zone()
                .records
                .insert(key(name), vec![RData::CNAME(CNAME(target))]);
        }
    }

    /// One CAA `issue` record that allows only this CA.
    pub fn set_caa_issue(&self, name: &str, issuer: &str) {
        if let Ok(issuer) = Name::from_ascii(issuer) {
            self.replace(
                name,
                RecordType::CAA,
                [RData::CAA(CAA::new_issue(false, Some(issuer), Vec::new()))],
            );
        }
    }

    /// The name does not exist any more.
    pub fn remove(&self, name: &str) {
        self.zone().records.remove(&key(name));
    }

    /// Whether questions about the name fail.
    pub fn servfail(&self, name: &str, fails: bool) {
        let mut zone = self.zone();
        if fails {
            zone.servfail.insert(key(name))
        } else {
            zone.servfail.remove(&key(name))
        };
    }

    /// Whether questions about the name get no answer.
    pub fn timeout(&self, name: &str, silent: bool) {
        let mut zone = self.zone();
        if silent {
            zone.silent.insert(key(name))
        } else {
            zone.silent.remove(&key(name))
        };
    }

    /// The address of every name that is not known; none is NXDOMAIN.
    pub fn default_a(&self, address: Option<Ipv4Addr>) {
        self.zone().default_a = address;
    }

    /// Questions so far.
    pub fn queries(&self) -> u64 {
        self.queries.load(Ordering::SeqCst)
    }

    /// The chain and the records of a question, and the code.
    fn answer(&self, asked: &str, kind: RecordType) -> Option<(Vec<Record>, ResponseCode)> {
        let zone = self.zone();
        if zone.silent.contains(asked) {
            return None;
        }
        if zone.servfail.contains(asked) {
            return Some((Vec::new(), ResponseCode::ServFail));
        }
        let mut answers = Vec::new();
        let mut name = asked.to_owned();
        for _ in 0..LONGEST_CHAIN {
            let Ok(owner) = Name::from_ascii(format!("{name}.")) else {
                break;
            };
            let record = |data: &RData| Record::from_rdata(owner.clone(), TTL, data.clone());
            let Some(records) = zone.records.get(&name) else {
                return Some(match zone.default_a {
                    Some(address) if kind == RecordType::A => {
                        answers.push(record(&RData::A(A(address))));
                        (answers, ResponseCode::NoError)
                    }
                    Some(_) => (answers, ResponseCode::NoError),
                    None => (answers, ResponseCode::NXDomain),
                });
            };
            answers.extend(
                records
                    .iter()
                    .filter(|data| data.record_type() == kind)
                    .map(record),
            );
            let Some(RData::CNAME(target)) = records.iter().find(|data| matches!(data, RData::CNAME(_)))
            else {
                break;
            };
            if kind == RecordType::CNAME {
                break;
            }
            answers.push(record(&RData::CNAME(target.clone())));
            name = key(&target.0.to_ascii());
        }
        Some((answers, ResponseCode::NoError))
    }
}

fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

struct Handler {
    control: DnsControl,
}

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response_handle: R,
    ) -> ResponseInfo {
        self.control.queries.fetch_add(1, Ordering::SeqCst);
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.recursion_available = true;
        let nothing_sent = ResponseInfo::from(Header {
            metadata,
            counts: HeaderCounts::default(),
        });
        let Ok(info) = request.request_info() else {
            return nothing_sent;
        };
        // In ASCII: the name's Display would turn punycode into Unicode.
        let asked = key(&Name::from(info.query.name().clone()).to_ascii());
        let Some((answers, code)) = self.control.answer(&asked, info.query.query_type()) else {
            return nothing_sent;
        };
        metadata.response_code = code;
        let response =
            MessageResponseBuilder::from_message_request(request).build(metadata, &answers, [], [], []);
        response_handle
            .send_response(response)
            .await
            .unwrap_or(nothing_sent)
    }
}
