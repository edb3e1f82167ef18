//! One query to the nameservers, and its answer.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use domain::{DomainName, one_line};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as Answered, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::system_conf;

use crate::direct::Direct;
use crate::{CouldNotAsk, DnsError, Failed};

const MAX_RECORDS: usize = 64;
const MAX_DETAIL_CHARACTERS: usize = 200;
const MAX_TOLD: usize = 6;

/// An answer that is one.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Records, not all of which need to belong to the question.
    Records(Vec<Record>),
    /// The name exists without such a record.
    NoRecord,
    /// The name does not exist.
    NoName,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum AskError {
    /// The nameserver failed, refused or stayed silent.
    NoAnswer(CouldNotAsk),
    /// It answered more than any honest one would.
    BadAnswer(CouldNotAsk),
}

impl From<AskError> for CouldNotAsk {
    fn from(error: AskError) -> Self {
        match error {
            AskError::NoAnswer(error) | AskError::BadAnswer(error) => error,
        }
    }
}

/// Makes a resolver that caches nothing and reads no hosts file, and what asks the same nameservers without it.
pub(crate) fn resolver(
    nameservers: &[SocketAddr],
    timeout: Duration,
    attempts: usize,
) -> Result<(TokioResolver, Direct), DnsError> {
    let (config, system_options) = if nameservers.is_empty() {
        let system = system_conf::read_system_conf();
        system.map_err(|error| DnsError::SystemNameservers(error.into()))?
    } else {
        let servers = nameservers.iter().copied().map(nameserver).collect();
        (ResolverConfig::from_name_servers(servers), ResolverOpts::default())
    };
    let direct = Direct::new(addresses(&config), timeout, attempts);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    *options = system_options;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = timeout;
    // The library counts the attempts after the first.
    options.attempts = attempts.saturating_sub(1);
    let resolver = builder
        .build()
        .map_err(|error| DnsError::Resolver { nameservers: nameservers.to_vec(), source: error.into() })?;
    Ok((resolver, direct))
}

fn addresses(config: &ResolverConfig) -> Vec<SocketAddr> {
    let servers = config.name_servers().iter();
    let address = |server: &NameServerConfig| {
        let port = server.connections.first().map(|connection| connection.port);
        port.map(|port| SocketAddr::new(server.ip, port))
    };
    servers.filter_map(address).collect()
}

fn nameserver(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

/// The name as it is asked for.
pub(crate) fn fully_qualified(name: &DomainName) -> Result<Name, CouldNotAsk> {
    // With the final dot no search list of the system is tried.
    Name::from_ascii(format!("{name}."))
        .map_err(|error| CouldNotAsk::new(format!("asking DNS for {name}: {error}")))
}

/// Asks for one type of record of one name.
pub(crate) async fn ask(resolver: &TokioResolver, name: &Name, kind: RecordType) -> Result<Answer, AskError> {
    let error = match resolver.lookup(name.clone(), kind).await {
        Ok(lookup) if lookup.answers().len() > MAX_RECORDS => {
            let what = format!("more than {MAX_RECORDS} records");
            return Err(AskError::BadAnswer(could_not_ask(name, kind, &what)));
        }
        Ok(lookup) if lookup.answers().is_empty() => return Ok(Answer::NoRecord),
        Ok(lookup) => return Ok(Answer::Records(lookup.answers().to_vec())),
        Err(error) => error,
    };
    let what = match error {
        NetError::Dns(Answered::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => return Ok(Answer::NoName),
            ResponseCode::NoError => return Ok(Answer::NoRecord),
            ResponseCode::ServFail => return Err(AskError::NoAnswer(servfail(name, kind))),
            other => code(other),
        },
        NetError::Dns(Answered::ResponseCode(ResponseCode::ServFail)) => {
            return Err(AskError::NoAnswer(servfail(name, kind)));
        }
        NetError::Dns(Answered::ResponseCode(response)) => code(response),
        NetError::Timeout => "no answer in time".to_owned(),
        other => other.to_string(),
    };
    Err(AskError::NoAnswer(could_not_ask(name, kind, &what)))
}

/// The one CNAME that `name` has among `records`. Two different ones are not an answer (RFC 2181 section 10.1).
pub(crate) fn cname_of(name: &Name, records: &[Record]) -> Result<Option<Name>, CouldNotAsk> {
    let mut targets =
        records.iter().filter(|record| record.name == *name).filter_map(|record| match &record.data {
            RData::CNAME(target) => Some(&target.0),
            _ => None,
        });
    let first = targets.next();
    if targets.any(|other| Some(other) != first) {
        return Err(could_not_ask(name, RecordType::CNAME, "several CNAME records of one name"));
    }
    Ok(first.cloned())
}

/// The addresses that `name` has among `records`.
pub(crate) fn addresses_of(name: &Name, records: &[Record]) -> impl Iterator<Item = IpAddr> {
    records.iter().filter(|record| record.name == *name).filter_map(|record| match &record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    })
}

/// A name as people write it. Bytes that no host name has are escaped by the library.
pub(crate) fn readable(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    text.strip_suffix('.').filter(|rest| !rest.is_empty()).unwrap_or(&text).to_owned()
}

/// The first few of what was found, as a part of a sentence.
pub(crate) fn list(items: &[impl ToString]) -> String {
    let told: Vec<String> = items.iter().take(MAX_TOLD).map(ToString::to_string).collect();
    let told = told.join(", ");
    match items.len().saturating_sub(MAX_TOLD) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}

/// The nameserver says that it cannot find out.
pub(crate) fn servfail(name: &Name, kind: RecordType) -> CouldNotAsk {
    let error = could_not_ask(name, kind, "the nameserver answered SERVFAIL");
    CouldNotAsk { failed: Some(Failed { name: name.clone(), kind }), ..error }
}

pub(crate) fn code(code: ResponseCode) -> String {
    let word = match code {
        ResponseCode::Refused => "REFUSED".to_owned(),
        other => format!("{other} (response code {})", u16::from(other)),
    };
    format!("the nameserver answered {word}")
}

/// Why a question has no answer, with what a nameserver sent bounded and cleaned.
pub(crate) fn could_not_ask(name: &Name, kind: RecordType, what: &str) -> CouldNotAsk {
    let what = one_line(what, MAX_DETAIL_CHARACTERS);
    CouldNotAsk::new(format!("asking DNS for {kind} of {}: {what}", readable(name)))
}
