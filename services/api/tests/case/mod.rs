//! The commands on a real store, with a clock that the test moves.

use std::sync::Arc;

use api::commands::Commands;
use audit::Caller;
use domain::{
    AccountId, CertificateId, CertificateSummary, Clock, Domain, DomainName, Live, PreExpiry, Source,
    WorkKind,
};
use jiff::SignedDuration;
use runtime::testing::{ManualClock, SeededEntropy, open_store};
use store::{Account, Certificate, Store};
use tempfile::TempDir;

pub(crate) const DAY: SignedDuration = SignedDuration::from_hours(24);

/// One domain, which is not on the list yet, and our account at a CA.
pub(crate) struct Case {
    pub(crate) commands: Commands,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) name: DomainName,
    pub(crate) account: AccountId,
    _folder: TempDir,
}

pub(crate) fn caller(actor: &str, call: &'static str) -> Caller {
    Caller { actor: actor.to_owned(), peer: "192.0.2.1:4711".to_owned(), call, request_id: String::new() }
}

impl Case {
    pub(crate) async fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new("2026-11-23T00:00:00Z".parse().unwrap()));
        let store = open_store(&folder.path().join("case.db"), clock.clone()).await.unwrap();
        let commands = Commands {
            store,
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::new(7)),
            pre_expiry: PreExpiry::DEFAULT,
            line: None,
        };
        let account = Account {
            id: AccountId::new(&*clock, &*commands.entropy),
            issuer: "ca".into(),
            directory_url: "https://ca".into(),
            sealed_key: vec![1],
            url: Some("https://ca/account/1".into()),
            created_at: clock.now(),
            pending_key: None,
        };
        let mut tx = commands.store.begin("account").await.unwrap();
        tx.insert_account(&account).await.unwrap();
        tx.commit().await.unwrap();
        Self {
            commands,
            clock,
            name: DomainName::parse("shop.example.com").unwrap(),
            account: account.id,
            _folder: folder,
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.commands.store
    }

    pub(crate) async fn row(&self) -> Domain {
        let mut tx = self.store().begin("row").await.unwrap();
        tx.domain(&self.name).await.unwrap().unwrap()
    }

    /// A certificate that begins now, with its key, of no revision yet.
    pub(crate) fn certificate(&self, source: Source, lives: SignedDuration) -> Certificate {
        let now = self.clock.now();
        let id = CertificateId::new(&*self.clock, &*self.commands.entropy);
        Certificate {
            summary: CertificateSummary {
                id,
                sha256: format!("{:064x}", id.as_uuid().as_u128()),
                serial: "01".into(),
                issuer: "CN=Test".into(),
                not_before: now,
                not_after: now + lives,
                source,
                trust: None,
            },
            name: self.name.clone(),
            revision: 0,
            chain_pem: String::new(),
            sealed_key: Some(vec![1]),
            created_at: now,
            uploaded_at: None,
            account: (source == Source::C4).then_some(self.account),
            renewal: None,
            revoked_at: None,
            withdrawn: false,
        }
    }

    /// A certificate of 90 days is stored; if `live`, the uploader has made it live.
    pub(crate) async fn stored(&self, source: Source, live: bool) -> Certificate {
        let now = self.clock.now();
        let row = self.row().await;
        let certificate = Certificate {
            revision: row.revision,
            uploaded_at: live.then_some(now),
            ..self.certificate(source, DAY * 90)
        };
        let mut tx = self.store().begin("stored").await.unwrap();
        tx.insert_certificate(&certificate).await.unwrap();
        tx.cancel(&self.name, WorkKind::Issue).await.unwrap();
        if live {
            let live = Live { certificate: certificate.id(), not_after: certificate.summary.not_after };
            tx.update_domain(&row.uploaded(live).unwrap()).await.unwrap();
        }
        tx.commit().await.unwrap();
        certificate
    }
}
