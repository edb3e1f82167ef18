//! A collector of traces: takes OTLP over gRPC and keeps it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// A running collector; ends with the test's runtime.
#[derive(Clone, Default)]
pub struct Collector {
    received: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    endpoint: String,
}

impl Collector {
    /// Starts it.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let collector = Self {
            endpoint: format!("http://{}", listener.local_addr().expect("an address")),
            ..Self::default()
        };
        let service = TraceServiceServer::new(collector.clone());
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener)));
        collector
    }

    /// What `telemetry.otlp_endpoint` is to be.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Every span so far, with the name of the service that sent it.
    pub fn spans(&self) -> Vec<(String, Span)> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let mut spans = Vec::new();
        for of_service in received.iter().flat_map(|request| &request.resource_spans) {
            let attributes = of_service.resource.iter().flat_map(|resource| &resource.attributes);
            let service = attributes
                .filter(|attribute| attribute.key == "service.name")
                .find_map(|attribute| match attribute.value.as_ref()?.value.as_ref()? {
                    Value::StringValue(name) => Some(name.clone()),
                    _ => None,
                })
                .unwrap_or_default();
            for scope in &of_service.scope_spans {
                spans.extend(scope.spans.iter().map(|span| (service.clone(), span.clone())));
            }
        }
        spans
    }

    /// The services that have a span in one trace.
    pub fn services_of(&self, trace_id: &[u8]) -> BTreeSet<String> {
        let spans = self.spans().into_iter();
        spans.filter(|(_, span)| span.trace_id == trace_id).map(|(service, _)| service).collect()
    }

    /// All that was received, as text to be searched.
    pub fn text(&self) -> String {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{received:?}")
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}
