//! A nameserver on loopback that answers whatever a test has it answer, by UDP and, what does not fit there, by TCP.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{CNAME, NS};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

/// What to answer to one question.
#[derive(Clone)]
pub(crate) enum Reply {
    Records(Vec<Record>),
    Code(ResponseCode),
    /// The id of the question, then this.
    Raw(Vec<u8>),
    /// A real answer without its last bytes.
    Cut,
    Silence,
}

/// When a zone fails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fails {
    Always,
    /// Unless the question has the CD bit: its signatures are wrong.
    IfChecked,
}

/// What fits into a datagram.
const MAX_DATAGRAM: usize = 1232;

type Rules = HashMap<(String, RecordType), Reply>;

/// What is not set up is NODATA if the name has something else, and NXDOMAIN otherwise.
#[derive(Clone)]
pub(crate) struct Nameserver {
    pub(crate) address: SocketAddr,
    rules: Arc<Mutex<Rules>>,
    failing: Arc<Mutex<HashMap<String, Fails>>>,
    delegations: Arc<Mutex<HashMap<String, Vec<Record>>>>,
    asked: Arc<Mutex<Vec<(String, RecordType)>>>,
}

impl Nameserver {
    pub(crate) async fn start() -> Self {
        let (socket, listener) = loop {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()).await {
                break (socket, listener);
            }
        };
        let server = Self {
            address: socket.local_addr().unwrap(),
            rules: Arc::default(),
            failing: Arc::default(),
            delegations: Arc::default(),
            asked: Arc::default(),
        };
        let by_tcp = server.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let length = stream.read_u16().await.unwrap_or(0);
                let mut question = vec![0; usize::from(length)];
                if stream.read_exact(&mut question).await.is_err() {
                    continue;
                }
                if let Some(reply) = by_tcp.reply(&question).filter(|reply| reply.len() < 65_536) {
                    let length = (reply.len() as u16).to_be_bytes();
                    let _ = stream.write_all(&[&length, reply.as_slice()].concat()).await;
                }
            }
        });
        let serving = server.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
                if let Some(mut reply) = serving.reply(&buffer[..length]) {
                    if reply.len() > MAX_DATAGRAM {
                        reply.truncate(12);
                        // Cut, and with nothing in it.
                        reply[2] |= 0b10;
                        reply[4..].fill(0);
                    }
                    let _ = socket.send_to(&reply, peer).await;
                }
            }
        });
        server
    }

    pub(crate) fn set(&self, name: &str, kind: RecordType, reply: Reply) -> &Self {
        self.rules.lock().unwrap().insert((name.to_owned(), kind), reply);
        self
    }

    pub(crate) fn cname(&self, name: &str, target: &str) -> &Self {
        self.set(name, RecordType::CNAME, Reply::Records(vec![cname(name, target)]))
    }

    pub(crate) fn addresses(&self, name: &str, addresses: &[&str]) -> &Self {
        let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        for kind in [RecordType::A, RecordType::AAAA] {
            let of_kind = addresses.iter().filter(|address| address.is_ipv4() == (kind == RecordType::A));
            let records: Vec<_> = of_kind.map(|address| record(name, (*address).into())).collect();
            if !records.is_empty() {
                self.set(name, kind, Reply::Records(records));
            }
        }
        self
    }

    /// That name and all below it fail.
    pub(crate) fn fail(&self, zone: &str, fails: Fails) -> &Self {
        self.failing.lock().unwrap().insert(zone.to_owned(), fails);
        self
    }

    /// What is known of a zone's nameservers without asking them.
    pub(crate) fn delegate(&self, zone: &str, nameservers: &[&str]) -> &Self {
        let records = nameservers.iter().map(|target| record(zone, RData::NS(NS(full(target))))).collect();
        self.delegations.lock().unwrap().insert(zone.to_owned(), records);
        self
    }

    fn fails(&self, name: &str, is_checked: bool) -> bool {
        let failing = self.failing.lock().unwrap();
        let mut zones = failing.iter().filter(|(zone, _)| {
            name.strip_suffix(zone.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        });
        zones.any(|(_, fails)| is_checked || *fails == Fails::Always)
    }

    pub(crate) fn times_asked(&self, name: &str, kind: RecordType) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| **asked == (name.to_owned(), kind)).count()
    }

    fn reply(&self, question: &[u8]) -> Option<Vec<u8>> {
        let mut message = Message::from_vec(question).ok()?;
        let query = message.queries.first()?.clone();
        let name = query.name().to_ascii().trim_end_matches('.').to_lowercase();
        self.asked.lock().unwrap().push((name.clone(), query.query_type()));
        let rules = self.rules.lock().unwrap();
        let reply = rules.get(&(name.clone(), query.query_type())).cloned().unwrap_or_else(|| {
            let exists = rules.keys().any(|(other, _)| *other == name);
            if exists { Reply::Records(Vec::new()) } else { Reply::Code(ResponseCode::NXDomain) }
        });
        let metadata = message.metadata;
        message.edns = None;
        message = message.into_response();
        let delegation = self.delegations.lock().unwrap().get(&name).cloned();
        if let Some(nameservers) = delegation.filter(|_| !metadata.recursion_desired) {
            message.add_authorities(nameservers);
            return message.to_vec().ok();
        }
        let fails = self.fails(&name, !metadata.checking_disabled);
        match if fails { Reply::Code(ResponseCode::ServFail) } else { reply } {
            Reply::Records(records) => {
                message.add_answers(records);
            }
            Reply::Code(code) => message.metadata.response_code = code,
            Reply::Raw(bytes) => return Some([&question[..2], bytes.as_slice()].concat()),
            Reply::Cut => {
                let whole = message.to_vec().ok()?;
                return Some(whole[..whole.len() - 3].to_vec());
            }
            Reply::Silence => return None,
        }
        message.to_vec().ok()
    }
}

pub(crate) fn cname(name: &str, target: &str) -> Record {
    record(name, RData::CNAME(CNAME(full(target))))
}

pub(crate) fn record(name: &str, data: RData) -> Record {
    Record::from_rdata(full(name), 60, data)
}

fn full(name: &str) -> Name {
    // By bytes, so that a name can have any.
    let mut name = Name::from_labels(name.split('.').map(str::as_bytes)).unwrap();
    name.set_fqdn(true);
    name
}
