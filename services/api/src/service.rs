//! The service `sslmanager.v1.Domains`: checks the caller and the request, then runs a command or reads.

use std::sync::Arc;

use audit::Caller;
use domain::{Action, DomainName};
use proto::v1;
use proto::v1::domains_server::Domains;
use runtime::Context;
use seal::SealingKeys;
use store::DomainView;
use tonic::{Request, Response, Status, Streaming};

use crate::auth::Authenticator;
use crate::batch::BatchStream;
use crate::check::Checker;
use crate::commands::{Addition, Commands};
use crate::error::{bad_name, from_store, invalid, not_found};
use crate::labels;
use crate::lasts::StreamRights;
use crate::overview::OverviewCache;
use crate::paste::Paste;
use crate::summary;
use crate::watch::{ChangeStream, WatchFilter, Watcher};

const MAX_PAGE: u32 = 1000;

pub(crate) struct DomainsService {
    pub(crate) context: Context,
    pub(crate) commands: Commands,
    pub(crate) authenticator: Authenticator,
    pub(crate) keys: Arc<SealingKeys>,
    /// None where the settings say nothing of C4.
    pub(crate) checker: Option<Checker>,
    pub(crate) overview: OverviewCache,
}

impl DomainsService {
    /// A domain as it is answered.
    pub(crate) fn shown(&self, view: &DomainView) -> v1::Domain {
        crate::message::of_domain(view, self.context.clock.now())
    }
}

pub(crate) fn name(text: &str) -> Result<DomainName, Status> {
    DomainName::parse(text).map_err(|problem| bad_name(&problem))
}

pub(crate) fn page_size(asked: i32, default: u32) -> Result<u32, Status> {
    match u32::try_from(asked) {
        Ok(0) => Ok(default),
        Ok(size) if size <= MAX_PAGE => Ok(size),
        _ => Err(invalid(
            "PAGE_SIZE_INVALID",
            format!("page_size must be 1 to {MAX_PAGE}, or 0 for {default}"),
        )),
    }
}

#[tonic::async_trait]
impl Domains for DomainsService {
    async fn add_domain(
        &self,
        request: Request<v1::AddDomainRequest>,
    ) -> Result<Response<v1::AddDomainResponse>, Status> {
        let add = async |by: &Caller, asked: v1::AddDomainRequest| {
            let labels = labels::of_added(&asked.customer_ref, asked.labels)?;
            let addition = Addition { name: name(&asked.name)?, labels };
            let (view, created) = self.commands.add(addition, by).await?;
            Ok(Response::new(v1::AddDomainResponse { domain: Some(self.shown(&view)), created }))
        };
        self.audited("AddDomain", Action::Operate, request, |asked| &asked.name, add).await
    }

    async fn generate_certificate(
        &self,
        request: Request<v1::GenerateCertificateRequest>,
    ) -> Result<Response<v1::GenerateCertificateResponse>, Status> {
        let generate = async |by: &Caller, asked: v1::GenerateCertificateRequest| {
            let labels = labels::of_added(&asked.customer_ref, asked.labels)?;
            let addition = Addition { name: name(&asked.name)?, labels };
            let view = self.commands.generate(addition, asked.force, by).await?;
            Ok(Response::new(v1::GenerateCertificateResponse { domain: Some(self.shown(&view)) }))
        };
        self.audited("GenerateCertificate", Action::Operate, request, |asked| &asked.name, generate).await
    }

    async fn import_certificate(
        &self,
        request: Request<v1::ImportCertificateRequest>,
    ) -> Result<Response<v1::ImportCertificateResponse>, Status> {
        let import = async |by: &Caller, asked: v1::ImportCertificateRequest| {
            let name = name(&asked.name)?;
            let (certificate, warnings) = self.pasted(&name, Paste::read(asked)?).await?;
            let pasted = Some(v1::Certificate::from(&certificate.summary));
            let view = self.commands.import(certificate, by).await?;
            let domain = Some(self.shown(&view));
            Ok(Response::new(v1::ImportCertificateResponse { domain, warnings, certificate: pasted }))
        };
        Box::pin(self.audited("ImportCertificate", Action::Operate, request, |asked| &asked.name, import))
            .await
    }

    async fn set_domain_labels(
        &self,
        request: Request<v1::SetDomainLabelsRequest>,
    ) -> Result<Response<v1::SetDomainLabelsResponse>, Status> {
        self.set_labels(request).await
    }

    async fn rollback_certificate(
        &self,
        request: Request<v1::RollbackCertificateRequest>,
    ) -> Result<Response<v1::RollbackCertificateResponse>, Status> {
        let roll_back = async |by: &Caller, asked: v1::RollbackCertificateRequest| {
            let view = self.commands.roll_back(&name(&asked.name)?, by).await?;
            Ok(Response::new(v1::RollbackCertificateResponse { domain: Some(self.shown(&view)) }))
        };
        self.audited("RollbackCertificate", Action::Operate, request, |asked| &asked.name, roll_back).await
    }

    async fn get_summary(
        &self,
        request: Request<v1::GetSummaryRequest>,
    ) -> Result<Response<v1::GetSummaryResponse>, Status> {
        self.authenticator.authorize(&request, Action::Read).await?;
        let summary = summary::read(&self.context).await;
        Ok(Response::new(summary.map_err(|problem| from_store(&problem))?))
    }

    async fn get_domain(
        &self,
        request: Request<v1::GetDomainRequest>,
    ) -> Result<Response<v1::GetDomainResponse>, Status> {
        self.authenticator.authorize(&request, Action::Read).await?;
        let name = name(&request.get_ref().name)?;
        let view = self.context.store.domain(&name).await.map_err(|problem| from_store(&problem))?;
        let view = view.ok_or_else(|| not_found(&name))?;
        Ok(Response::new(v1::GetDomainResponse { domain: Some(self.shown(&view)) }))
    }

    async fn list_domains(
        &self,
        request: Request<v1::ListDomainsRequest>,
    ) -> Result<Response<v1::ListDomainsResponse>, Status> {
        self.list(request).await.map(Response::new)
    }

    async fn list_certificates(
        &self,
        request: Request<v1::ListCertificatesRequest>,
    ) -> Result<Response<v1::ListCertificatesResponse>, Status> {
        self.certificates(request).await.map(Response::new)
    }

    async fn get_overview(
        &self,
        request: Request<v1::GetOverviewRequest>,
    ) -> Result<Response<v1::GetOverviewResponse>, Status> {
        self.overview(request).await.map(Response::new)
    }

    async fn get_midnight_report(
        &self,
        request: Request<v1::GetMidnightReportRequest>,
    ) -> Result<Response<v1::GetMidnightReportResponse>, Status> {
        self.midnight(request).await.map(Response::new)
    }

    async fn add_domain_note(
        &self,
        request: Request<v1::AddDomainNoteRequest>,
    ) -> Result<Response<v1::AddDomainNoteResponse>, Status> {
        self.add_note(request).await.map(Response::new)
    }

    async fn list_domain_notes(
        &self,
        request: Request<v1::ListDomainNotesRequest>,
    ) -> Result<Response<v1::ListDomainNotesResponse>, Status> {
        self.list_notes(request).await.map(Response::new)
    }

    async fn delete_domain_note(
        &self,
        request: Request<v1::DeleteDomainNoteRequest>,
    ) -> Result<Response<v1::DeleteDomainNoteResponse>, Status> {
        self.delete_note(request).await.map(Response::new)
    }

    async fn check_domain(
        &self,
        request: Request<v1::CheckDomainRequest>,
    ) -> Result<Response<v1::CheckDomainResponse>, Status> {
        self.check(request).await.map(Response::new)
    }

    async fn revoke_certificate(
        &self,
        request: Request<v1::RevokeCertificateRequest>,
    ) -> Result<Response<v1::RevokeCertificateResponse>, Status> {
        self.revoke(request).await.map(Response::new)
    }

    async fn pause_outbound(
        &self,
        request: Request<v1::PauseOutboundRequest>,
    ) -> Result<Response<v1::PauseOutboundResponse>, Status> {
        self.pause(request).await.map(Response::new)
    }

    async fn resume_outbound(
        &self,
        request: Request<v1::ResumeOutboundRequest>,
    ) -> Result<Response<v1::ResumeOutboundResponse>, Status> {
        self.resume(request).await.map(Response::new)
    }

    type BatchAddDomainsStream = BatchStream;

    async fn batch_add_domains(
        &self,
        request: Request<Streaming<v1::BatchAddDomainsRequest>>,
    ) -> Result<Response<Self::BatchAddDomainsStream>, Status> {
        self.batch_add(request).await.map(Response::new)
    }

    async fn get_history(
        &self,
        request: Request<v1::GetHistoryRequest>,
    ) -> Result<Response<v1::GetHistoryResponse>, Status> {
        self.history(request).await.map(Response::new)
    }

    async fn download_certificate(
        &self,
        request: Request<v1::DownloadCertificateRequest>,
    ) -> Result<Response<v1::DownloadCertificateResponse>, Status> {
        self.download(request).await.map(Response::new)
    }

    async fn recheck_domain(
        &self,
        request: Request<v1::RecheckDomainRequest>,
    ) -> Result<Response<v1::RecheckDomainResponse>, Status> {
        let recheck = async |by: &Caller, asked: v1::RecheckDomainRequest| {
            let view = self.commands.recheck(&name(&asked.name)?, by).await?;
            Ok(Response::new(v1::RecheckDomainResponse { domain: Some(self.shown(&view)) }))
        };
        self.audited("RecheckDomain", Action::Operate, request, |asked| &asked.name, recheck).await
    }

    async fn delete_domain(
        &self,
        request: Request<v1::DeleteDomainRequest>,
    ) -> Result<Response<v1::DeleteDomainResponse>, Status> {
        let delete = async |by: &Caller, asked: v1::DeleteDomainRequest| {
            let name = name(&asked.name)?;
            let done = self.commands.delete(&name, asked.remove_from_c4, by).await?;
            let message = done.sentence().to_owned();
            Ok(Response::new(v1::DeleteDomainResponse { name: name.to_string(), message }))
        };
        self.audited("DeleteDomain", Action::Operate, request, |asked| &asked.name, delete).await
    }

    type WatchDomainsStream = ChangeStream;

    async fn watch_domains(
        &self,
        request: Request<v1::WatchDomainsRequest>,
    ) -> Result<Response<Self::WatchDomainsStream>, Status> {
        self.authenticator.authorize(&request, Action::Read).await?;
        let lasts = StreamRights::new(&self.authenticator, &request, Action::Read);
        let asked = request.into_inner();
        let only = if asked.name.is_empty() { None } else { Some(name(&asked.name)?) };
        let filter = WatchFilter::new(&asked)?;
        let watcher = Watcher::new(&self.context, &asked, only, filter).await?;
        Ok(Response::new(watcher.stream(lasts)))
    }
}
