//! DNS queries without the resolver library, which rejects an answer with one record that it cannot decode, and always
//! requests a check of signatures.
//!
//! An answer is read record by record: names, and the data as bytes, except for CNAME records. An unreadable record
//! ends it. A truncated datagram is requested again over TCP. The effort is bounded: no message has more than 65,535
//! bytes.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::proto::op::{Edns, Message, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{CNAME, NULL};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_resolver::proto::serialize::binary::{BinDecodable, BinDecoder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::lookup::{Answer, AskError, code, could_not_ask, servfail};

/// Maximum datagram size that works everywhere.
const MAX_DATAGRAM: u16 = 1232;
/// Datagrams that are read for one question before it counts as unanswered.
const MAX_DATAGRAMS: usize = 16;

/// The flags of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueryMode {
    /// Without flags.
    Plain,
    /// Signatures are not checked (the CD bit of RFC 4035 section 3.2.2).
    Unchecked,
    /// The same, and the nameserver answers only from its cache.
    Cached,
}

/// Queries nameservers, one after the other, beginning with the one that answered last.
pub(crate) struct Direct {
    servers: Vec<SocketAddr>,
    timeout: Duration,
    attempts: usize,
    /// Index of the nameserver that answered last.
    first: AtomicUsize,
}

/// The answer of a nameserver.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) code: ResponseCode,
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
}

impl Direct {
    pub(crate) fn new(servers: Vec<SocketAddr>, timeout: Duration, attempts: usize) -> Self {
        Self { servers, timeout, attempts, first: AtomicUsize::new(0) }
    }

    /// The answer to an ordinary question.
    pub(crate) async fn ask(&self, name: &Name, kind: RecordType) -> Result<Answer, AskError> {
        let reply = self.reply(name, kind, QueryMode::Plain).await.map_err(|what| {
            let error = could_not_ask(name, kind, &what);
            AskError::NoAnswer(error)
        })?;
        match reply.code {
            ResponseCode::NoError if reply.answers.is_empty() => Ok(Answer::NoRecord),
            ResponseCode::NoError => Ok(Answer::Records(reply.answers)),
            ResponseCode::NXDomain => Ok(Answer::NoName),
            ResponseCode::ServFail => Err(AskError::NoAnswer(servfail(name, kind))),
            other => Err(AskError::NoAnswer(could_not_ask(name, kind, &code(other)))),
        }
    }

    /// The first answer that is no failure; else the last failure. Errors: what happened, where no answer came at all.
    pub(crate) async fn reply(&self, name: &Name, kind: RecordType, way: QueryMode) -> Result<Reply, String> {
        let mut last = Err("no nameserver is known".to_owned());
        let servers = self.servers.iter().enumerate().cycle();
        let servers = servers.skip(self.first.load(Ordering::Relaxed)).take(self.servers.len());
        for _ in 0..self.attempts.max(1) {
            for (index, server) in servers.clone() {
                let asked = tokio::time::timeout(self.timeout, exchange(*server, name, kind, way)).await;
                last = match asked.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
                    Ok(reply) if is_final(reply.code) => {
                        self.first.store(index, Ordering::Relaxed);
                        return Ok(reply);
                    }
                    // That it failed says more than that another one stayed silent.
                    Err(_) if last.is_ok() => last,
                    other => other,
                };
            }
        }
        last
    }
}

fn is_final(code: ResponseCode) -> bool {
    matches!(code, ResponseCode::NoError | ResponseCode::NXDomain)
}

async fn exchange(
    server: SocketAddr,
    name: &Name,
    kind: RecordType,
    way: QueryMode,
) -> Result<Reply, String> {
    let mut question = Message::query();
    question.metadata.recursion_desired = way != QueryMode::Cached;
    question.metadata.checking_disabled = way != QueryMode::Plain;
    question.add_query(Query::query(name.clone(), kind));
    let mut edns = Edns::new();
    edns.set_max_payload(MAX_DATAGRAM);
    question.edns = Some(edns);
    let wire = question.to_vec().map_err(|error| error.to_string())?;
    let datagram = by_udp(server, &wire).await?;
    // A datagram that cannot be read may be one that was cut.
    if let Some(reply) = read(&datagram, &wire) {
        return Ok(reply);
    }
    let message = by_tcp(server, &wire).await?;
    read(&message, &wire).ok_or_else(|| "an answer that cannot be read".to_owned())
}

async fn by_udp(server: SocketAddr, question: &[u8]) -> Result<Vec<u8>, String> {
    let any: SocketAddr =
        if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let failed = |error: std::io::Error| error.to_string();
    let socket = UdpSocket::bind(any).await.map_err(failed)?;
    socket.connect(server).await.map_err(failed)?;
    socket.send(question).await.map_err(failed)?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    for _ in 0..MAX_DATAGRAMS {
        let length = socket.recv(&mut buffer).await.map_err(failed)?;
        if buffer[..length].starts_with(&question[..2]) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
    Err("answers to other questions".to_owned())
}

async fn by_tcp(server: SocketAddr, question: &[u8]) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(server).await.map_err(failed)?;
    let length = u16::try_from(question.len()).map_err(|error| error.to_string())?;
    stream.write_all(&[&length.to_be_bytes(), question].concat()).await.map_err(failed)?;
    let length = stream.read_u16().await.map_err(failed)?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await.map_err(failed)?;
    Ok(message)
}

/// A message that answers that question, whole; none otherwise.
fn read(message: &[u8], question: &[u8]) -> Option<Reply> {
    let &[id1, id2, flags1, flags2, queries1, queries2, answers1, answers2, authorities1, authorities2, ..] =
        message
    else {
        return None;
    };
    let is_answer = flags1 & 0b1000_0000 != 0 && question.starts_with(&[id1, id2]);
    let is_cut = flags1 & 0b0000_0010 != 0;
    if !is_answer || is_cut {
        return None;
    }
    let code = ResponseCode::from(0, flags2 & 0b1111);
    let count = |high, low| u16::from_be_bytes([high, low]);
    let mut decoder = BinDecoder::new(message);
    decoder.read_slice(12).ok()?;
    // The id has only sixteen bits and could be guessed; the question has to be ours, too.
    let mut asked = BinDecoder::new(question);
    asked.read_slice(12).ok()?;
    let asked = Query::read(&mut asked).ok()?;
    let answered = (0..count(queries1, queries2)).map(|_| Query::read(&mut decoder).ok());
    if answered.collect::<Option<Vec<_>>>()? != [asked] {
        return None;
    }
    let mut records = |count| {
        let all = (0..count).map(|_| record(&mut decoder)).collect::<Option<Vec<_>>>()?;
        let is_internet = |record: &Record| record.dns_class == DNSClass::IN;
        Some(all.into_iter().filter(is_internet).collect::<Vec<_>>())
    };
    let answers = records(count(answers1, answers2))?;
    let authorities = records(count(authorities1, authorities2))?;
    Some(Reply { code, answers, authorities })
}

/// One record.
fn record(decoder: &mut BinDecoder<'_>) -> Option<Record> {
    let name = Name::read(decoder).ok()?;
    let kind = RecordType::from(decoder.read_u16().ok()?.unverified());
    let class = DNSClass::from(decoder.read_u16().ok()?.unverified());
    let ttl = decoder.read_u32().ok()?.unverified();
    let length = usize::from(decoder.read_u16().ok()?.unverified());
    let start = u16::try_from(decoder.index()).ok()?;
    let bytes = decoder.read_slice(length).ok()?.unverified();
    // A name in the data may be compressed, so it is read within the message.
    let target = || Name::read(&mut decoder.clone(start)).ok();
    let data = match kind {
        RecordType::CNAME => RData::CNAME(CNAME(target()?)),
        RecordType::NS => RData::NS(hickory_resolver::proto::rr::rdata::NS(target()?)),
        // What has no data has no place in a NULL.
        _ if bytes.is_empty() => RData::Update0(kind),
        _ => RData::Unknown { code: kind, rdata: NULL::with(bytes.to_vec()) },
    };
    let mut record = Record::from_rdata(name, ttl, data);
    record.dns_class = class;
    Some(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Message {
        let mut question = Message::query();
        question.add_query(Query::query(Name::from_ascii("shop.example.com.").unwrap(), RecordType::CAA));
        question
    }

    fn answer(question: &Message) -> Vec<u8> {
        let [name, target] =
            ["shop.example.com.", "b.example.com."].map(|name| Name::from_ascii(name).unwrap());
        let caa =
            RData::Unknown { code: RecordType::CAA, rdata: NULL::with(b"\0\x05issueca.example".to_vec()) };
        let mut answer = question.clone().into_response();
        answer.add_answers([
            Record::from_rdata(name, 60, RData::CNAME(CNAME(target.clone()))),
            Record::from_rdata(target.clone(), 60, caa),
            Record::from_rdata(target, 60, RData::Update0(RecordType::CAA)),
        ]);
        answer.to_vec().unwrap()
    }

    #[test]
    fn an_answer_is_read_whole_or_not_at_all() {
        let question = question();
        let (question, answer) = (question.to_vec().unwrap(), answer(&question));
        let reply = read(&answer, &question).unwrap();
        assert_eq!((reply.code, reply.answers.len()), (ResponseCode::NoError, 3));
        for length in 0..answer.len() {
            assert!(read(&answer[..length], &question).is_none(), "{length} bytes");
        }
        let [mut other, mut cut] = [answer.clone(), answer.clone()];
        other[0] ^= 1;
        cut[2] |= 0b10;
        for wrong in [other, cut, question.clone()] {
            assert!(read(&wrong, &question).is_none());
        }
    }

    /// Panics would show here: every byte of an answer is hostile.
    #[test]
    fn no_bytes_are_too_wrong_to_be_read() {
        let question = question();
        let (question, answer) = (question.to_vec().unwrap(), answer(&question));
        for index in 2..answer.len() {
            for value in 0..=u8::MAX {
                let mut wrong = answer.clone();
                wrong[index] = value;
                let records = read(&wrong, &question).map_or(0, |reply| reply.answers.len());
                assert!(records <= 3);
            }
        }
    }
}
