//! The honest limit: a bare loop that asks the same of the world as one issuance does (C4, DNS, CAA, rehearsal, ACME,
//! upload, comparison) and remembers nothing. What we lose against it is what remembering costs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use c4::{C4Client, C4Options, Upload};
use domain::{CertificateId, DomainName, Source};
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder, OrderStatus,
};
use preflight::{Preflight, Verdict};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use runtime::{Config, SystemClock, SystemEntropy};
use sandbox::World;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::answers;

const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Certificates per second of instant-acme alone: no question before, no upload after.
pub(crate) async fn bare(world: &World, names: &[String], in_flight: usize) -> f64 {
    let account = Arc::new(account(world).await);
    rate(names, in_flight, move |name| {
        let account = account.clone();
        async move {
            issue(&account, &name).await;
        }
    })
    .await
}

/// Certificates per second with all that an issuance asks.
pub(crate) async fn with_all_calls(world: &World, names: &[String], in_flight: usize) -> f64 {
    let probes: Arc<Mutex<HashMap<String, String>>> = Arc::default();
    let known = probes.clone();
    let listen = answers::serve(move |path| {
        let token = path.rsplit('/').next()?;
        known.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    })
    .await;
    world.edge.control().set_challenge_upstream(listen);
    let mut config = Config::default();
    config.c4.base_url = world.c4.base_url();
    config.c4.token = world.c4.token().to_owned().into();
    config.cdn.cname_targets = vec![world.cdn_target().to_owned()];
    config.dns.nameservers = vec![world.dns.addr().to_string()];
    config.preflight.http_port = world.edge.http_addr().port();
    config.preflight.allow_private_addresses = true;
    let c4 = C4Client::new(C4Options {
        base_url: world.c4.base_url(),
        token: Zeroizing::new(world.c4.token().to_owned()),
        root_certificate_pem: None,
    });
    let all = Arc::new(All {
        preflight: Preflight::new(&config).unwrap(),
        c4: c4.unwrap(),
        account: account(world).await,
        probes,
    });
    rate(names, in_flight, move |name| {
        let all = all.clone();
        async move { all.issue(&name).await }
    })
    .await
}

async fn rate<F: Future<Output = ()> + Send + 'static>(
    names: &[String],
    in_flight: usize,
    issue: impl Fn(String) -> F,
) -> f64 {
    let permits = Arc::new(Semaphore::new(in_flight));
    let started = Instant::now();
    let mut tasks = Vec::new();
    for name in names {
        let permit = permits.clone().acquire_owned().await.unwrap();
        let work = issue(name.clone());
        tasks.push(tokio::spawn(async move {
            work.await;
            drop(permit);
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    names.len() as f64 / started.elapsed().as_secs_f64()
}

async fn account(world: &World) -> Account {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.pem");
    std::fs::write(&root, world.ca.api_root_pem()).unwrap();
    let new = NewAccount { contact: &[], terms_of_service_agreed: true, only_return_existing: false };
    let builder = Account::builder_with_root(&root).unwrap();
    builder.create(&new, world.ca.directory_url(), None).await.unwrap().0
}

/// The chain and the key.
async fn issue(account: &Account, name: &str) -> (String, KeyPair) {
    let identifiers = [Identifier::Dns(name.to_owned())];
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await.unwrap();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.unwrap();
        if authorization.status == AuthorizationStatus::Pending {
            authorization.challenge(ChallengeType::Http01).unwrap().set_ready().await.unwrap();
        }
    }
    let mut pause = FIRST_PAUSE;
    while order.refresh().await.unwrap().status == OrderStatus::Pending {
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    order.finalize_csr(params.serialize_request(&key).unwrap().der()).await.unwrap();
    loop {
        if let Some(chain) = order.certificate().await.unwrap() {
            return (chain, key);
        }
        tokio::time::sleep(pause).await;
    }
}

struct All {
    preflight: Preflight,
    c4: C4Client,
    account: Account,
    probes: Arc<Mutex<HashMap<String, String>>>,
}

impl All {
    async fn issue(&self, name: &str) {
        let domain: DomainName = name.parse().unwrap();
        let Verdict::Fine(found) = self.preflight.ask(&domain).await else { panic!("{name}: C4 and DNS") };
        assert_eq!(self.preflight.caa(&domain, &found, &[], None).await, Verdict::Fine(()), "{name}: CAA");
        let probe = self.preflight.probe(&SystemEntropy).unwrap();
        let probes = || self.probes.lock().unwrap_or_else(PoisonError::into_inner);
        probes().insert(probe.token.clone(), probe.answer.clone());
        let rehearsed = self.preflight.rehearse(&domain, &probe, &SystemClock).await;
        assert_eq!(rehearsed, Verdict::Fine(()), "{name}: rehearsal");
        probes().remove(&probe.token);

        let (chain, key) = issue(&self.account, name).await;
        let sha256 = tests::sha256_of_leaf(&chain);
        let upload = Upload {
            certificate: CertificateId::new(&SystemClock, &SystemEntropy),
            certificate_pem: &chain,
            private_key_pem: &key.serialize_pem(),
            sha256: &sha256,
            source: Source::C4,
            revision: 1,
        };
        self.c4.put_certificate(&domain, upload).await.unwrap();
        let held = self.c4.domain(&domain).await.unwrap().unwrap().certificate.unwrap();
        assert_eq!(held.sha256, sha256, "{name}");
    }
}
