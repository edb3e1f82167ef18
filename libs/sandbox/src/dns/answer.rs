//! From queries to answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hickory_proto::op::{Edns, Header, HeaderCounts, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, Record};
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tracing::debug;

use super::records::{DnsAnswer, DnsQuestion, State};

/// Maximum datagram size that works everywhere.
const UDP_PAYLOAD_BYTES: u16 = 1232;

pub(super) struct Answerer(pub(super) Arc<State>);

#[async_trait::async_trait]
impl RequestHandler for Answerer {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        response: R,
    ) -> ResponseInfo {
        self.0.queries.fetch_add(1, Ordering::Relaxed);
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.recursion_available = true;
        let Ok(asked) = request.request_info() else {
            metadata.response_code = ResponseCode::FormErr;
            return send(request, response, metadata, &[], &[]).await;
        };
        if request.metadata.op_code != OpCode::Query {
            metadata.response_code = ResponseCode::NotImp;
            return send(request, response, metadata, &[], &[]).await;
        }
        let name = Name::from(asked.query.name());
        let question = DnsQuestion {
            name: name.clone(),
            kind: asked.query.query_type(),
            is_checked: !request.metadata.checking_disabled,
            is_recursive: request.metadata.recursion_desired,
        };
        let (answers, code) = match self.0.find(&question) {
            DnsAnswer::Delegation(nameservers) => {
                return send(request, response, metadata, &[], &nameservers).await;
            }
            DnsAnswer::Records(records) => (records, ResponseCode::NoError),
            DnsAnswer::NoSuchName(chain) => (chain, ResponseCode::NXDomain),
            DnsAnswer::ServFail => (Vec::new(), ResponseCode::ServFail),
            DnsAnswer::Timeout => return info(metadata),
        };
        metadata.response_code = code;
        let asked_for = answers.iter().any(|record| record.record_type() == asked.query.query_type());
        let soa = if asked_for || code == ResponseCode::ServFail { Vec::new() } else { vec![soa(&name)] };
        send(request, response, metadata, &answers, &soa).await
    }
}

async fn send<R: ResponseHandler>(
    request: &Request,
    mut response: R,
    metadata: Metadata,
    answers: &[Record],
    authorities: &[Record],
) -> ResponseInfo {
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_PAYLOAD_BYTES);
    let mut message = MessageResponseBuilder::from_message_request(request);
    if request.edns.is_some() {
        message.edns(&edns);
    }
    let message = message.build(metadata, answers, authorities, [], []);
    match response.send_response(message).await {
        Ok(info) => info,
        Err(error) => {
            debug!(%error, "the answer could not be sent");
            info(metadata)
        }
    }
}

fn info(metadata: Metadata) -> ResponseInfo {
    ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() })
}

/// Of the zone that the name would be in: what makes a negative answer one (RFC 2308).
fn soa(name: &Name) -> Record {
    let zone = name.trim_to(2);
    let data = SOA::new(zone.clone(), zone.clone(), 1, 3600, 600, 86_400, 0);
    Record::from_rdata(zone, 0, RData::SOA(data))
}
