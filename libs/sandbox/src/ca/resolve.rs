//! The lookup for a validation: an A record, by one UDP query per CNAME that the nameserver does not follow.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::net::{UdpSocket, lookup_host};

use super::problem::Problem;
use super::validation::dns_problem;
use crate::random;

const MAX_CNAMES: usize = 10;
const MAX_ANSWER_BYTES: usize = 4096;

pub(super) async fn resolve(nameserver: Option<SocketAddr>, name: &str) -> Result<IpAddr, Problem> {
    match nameserver {
        Some(nameserver) => ask_along(nameserver, name).await.map(IpAddr::V4),
        None => ask_system(name).await,
    }
}

async fn ask_system(name: &str) -> Result<IpAddr, Problem> {
    let failed = || {
        dns_problem(format!(
            "DNS problem: NXDOMAIN looking up A for {name} - check that a DNS record exists for this domain"
        ))
    };
    let found: Vec<_> =
        lookup_host((name, 0)).await.map_err(|_| failed())?.map(|address| address.ip()).collect();
    found.iter().find(|address| address.is_ipv4()).or(found.first()).copied().ok_or_else(failed)
}

async fn ask_along(nameserver: SocketAddr, name: &str) -> Result<Ipv4Addr, Problem> {
    let not_a_name = |_| dns_problem(format!("DNS problem: {name} is no name"));
    let mut asked = Name::from_ascii(format!("{name}.")).map_err(not_a_name)?;
    for _ in 0..MAX_CNAMES {
        let answer = ask(nameserver, &asked).await.map_err(|error| {
            dns_problem(format!("DNS problem: networking error looking up A for {name}: {error}"))
        })?;
        let code = answer.metadata.response_code;
        let advice = match code {
            ResponseCode::NoError => None,
            ResponseCode::NXDomain => {
                Some("NXDOMAIN looking up A for {} - check that a DNS record exists for this domain")
            }
            ResponseCode::ServFail => {
                Some("SERVFAIL looking up A for {} - the domain's nameservers may be malfunctioning")
            }
            _ => Some("the nameserver refused looking up A for {}"),
        };
        if let Some(advice) = advice {
            return Err(dns_problem(format!("DNS problem: {}", advice.replace("{}", name))));
        }
        match read(&answer, &asked) {
            Resolution::Address(address) => return Ok(address),
            Resolution::Alias(target) => asked = target,
            Resolution::Nothing => break,
        }
    }
    Err(dns_problem(format!("no valid A records found for {name}")))
}

enum Resolution {
    Address(Ipv4Addr),
    Alias(Name),
    Nothing,
}

/// Follows the CNAMEs within an answer.
fn read(answer: &Message, asked: &Name) -> Resolution {
    let mut name = asked.clone();
    for _ in 0..MAX_CNAMES {
        let of_name =
            || answer.answers.iter().filter(|record| record.name == name).map(|record| &record.data);
        if let Some(address) =
            of_name().find_map(|data| if let RData::A(a) = data { Some(a.0) } else { None })
        {
            return Resolution::Address(address);
        }
        let target =
            of_name().find_map(|data| if let RData::CNAME(to) = data { Some(to.0.clone()) } else { None });
        match target {
            Some(target) => name = target,
            None => break,
        }
    }
    if name == *asked { Resolution::Nothing } else { Resolution::Alias(name) }
}

async fn ask(nameserver: SocketAddr, name: &Name) -> std::io::Result<Message> {
    let mut query = Message::query();
    query.metadata.id = u16::from_be_bytes(random::bytes());
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(name.clone(), RecordType::A));
    let wildcard: SocketAddr = if nameserver.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(wildcard).await?;
    socket.connect(nameserver).await?;
    socket.send(&query.to_vec().map_err(std::io::Error::other)?).await?;
    let mut buffer = [0; MAX_ANSWER_BYTES];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Ok(answer) = Message::from_vec(&buffer[..length])
            && answer.metadata.id == query.metadata.id
        {
            return Ok(answer);
        }
    }
}
