//! Whole lives of names in steps, alone and many at the same time: what is written together is what each writes alone.

use std::sync::Arc;

use domain::{
    Activity, CertificateId, Domain, EventKind, HistoryKind, Lease, Order, OrderState, Source, Work, WorkKind,
};
use jiff::Timestamp;
use store::{
    Account, Certificate, Challenge, Counted, Entry, LastStep, LedgerOf, OrderWrite, Renewal, Step, Store,
    Write,
};
use tokio::sync::Barrier;

use crate::kit::{Case, add_account, add_due, at, certificate, name, order, row, work};

const MANY: usize = 24;

fn key_of(order: &Order) -> CertificateId {
    match &order.state {
        OrderState::Placed { key, .. } => key.certificate,
        other => panic!("{other:?}"),
    }
}

fn told(step: Step, message: &str) -> Step {
    step.told(Some(Entry::new(HistoryKind::Generated, "issuer", message)))
}

fn of_order(step: Step, write: OrderWrite) -> Step {
    step.and(Write::Order(write))
}

async fn lease_of(store: &Store, label: &str, kind: WorkKind) -> (Domain, Lease) {
    let lease = store.claim(kind, &name(label), at(30)).await.unwrap().unwrap();
    (row(store, label).await, lease)
}

/// The steps of an issuance and of an upload, each when all others have come to it too.
async fn live(store: &Store, label: &str, account: &Account, together: &Barrier) {
    let (domain, lease) = lease_of(store, label, WorkKind::Issue).await;
    together.wait().await;
    let rehearsal = told(Step::new("rehearsal", &lease, &domain), "rehearsed");
    let rehearsal = of_order(rehearsal, OrderWrite::PutProbe("token".to_owned(), label.to_owned()));
    store.commit(&rehearsal).await.unwrap();

    together.wait().await;
    let created = order(label, account);
    let waiting = domain.clone().doing(Activity::WaitingForCa, None).unwrap();
    let step = told(Step::new("created", &lease, &domain).becomes(waiting), "created");
    let step = of_order(step, OrderWrite::Insert(Box::new(created.clone())));
    let domain = store.commit(&of_order(step, OrderWrite::DropProbe)).await.unwrap();

    together.wait().await;
    let url = format!("https://ca.example/order/{label}");
    let placed = Order { state: created.state.clone().placed(url).unwrap(), ..created.clone() };
    let challenge = Challenge {
        host: name(label),
        token: label.to_owned(),
        key_authorization: format!("{label}.thumbprint"),
        order: placed.id,
        created_at: at(0),
    };
    let step = of_order(
        Step::new("placed", &lease, &domain),
        OrderWrite::Update(Box::new(placed.clone()), "created"),
    );
    let step =
        of_order(step, OrderWrite::PutChallenge(challenge)).and(Write::Publish(EventKind::ChallengeReady));
    store.commit(&step).await.unwrap();

    together.wait().await;
    let issued = issue(&lease, &domain, &placed);
    let _ = store.end(&issued).await.unwrap();
    upload(store, label, key_of(&placed), together).await;
}

fn issue(lease: &Lease, domain: &Domain, placed: &Order) -> LastStep {
    let delivered = certificate("any", at(500), Source::C4);
    let mut summary = delivered.summary.clone();
    summary.id = key_of(placed);
    let delivered = Certificate { summary, name: placed.name.clone(), sealed_key: None, ..delivered };
    let issued = Order { state: placed.state.clone().issued().unwrap(), ..placed.clone() };
    let ledger = LedgerOf { issuer: "ca".to_owned(), limits: domain::budget::Limits::default() };
    let id = delivered.id();
    let step = of_order(
        Step::new("issued", lease, domain),
        OrderWrite::InsertIssued(Box::new(delivered), placed.id),
    );
    let step = of_order(step, OrderWrite::Update(Box::new(issued), "placed"));
    let step = of_order(step, OrderWrite::DropChallenges(placed.id));
    let step =
        of_order(of_order(step, OrderWrite::SpendLater(placed.id)), OrderWrite::Spend(placed.id, ledger));
    let upload = Work { certificate: Some(id), ..due(&placed.name, WorkKind::Upload) };
    told(step.becomes(domain.clone().doing(Activity::Idle, None).unwrap()), "issued")
        .and(Write::Schedule(upload))
        .and(Write::ScheduleIfNone(due(&placed.name, WorkKind::Revoke)))
        .and(Write::CountDay(Counted::Issued))
        .and(Write::Publish(EventKind::CertIssued { certificate: id }))
        .done()
}

fn due(name: &domain::DomainName, kind: WorkKind) -> Work {
    Work { name: name.clone(), ..work("any", kind, Some(at(0))) }
}

async fn upload(store: &Store, label: &str, certificate: CertificateId, together: &Barrier) {
    let (domain, lease) = lease_of(store, label, WorkKind::Upload).await;
    together.wait().await;
    let renewal = Renewal { at: at(400), window: None };
    let step = told(Step::new("uploaded", &lease, &domain), "uploaded")
        .and(Write::Uploaded(certificate))
        .and(Write::DecideMidnight)
        .and(Write::Cancel(WorkKind::Revoke))
        .and(Write::ScheduleIfFree(due(&domain.name, WorkKind::Issue)));
    store.commit(&step).await.unwrap();

    together.wait().await;
    let again = Work { due_at: Some(at(900)), certificate: Some(certificate), ..lease.work.clone() };
    let step = Step::new("compared", &lease, &domain)
        .and(Write::ServedByEdges(certificate, 6))
        .and(Write::SetRenewal(certificate, renewal))
        .and(Write::DueNow(WorkKind::Issue));
    let _ = store.end(&step.then(again)).await.unwrap();
}

/// What a life has left behind, without what differs by name.
#[derive(Debug, PartialEq)]
struct Left {
    domain: (Activity, i64, domain::Status),
    work: Vec<(WorkKind, Option<Timestamp>)>,
    certificate: (Option<Vec<u8>>, Option<Timestamp>, Option<Renewal>),
    edges: u32,
    history: Vec<(String, Timestamp)>,
    answers: usize,
}

async fn left(store: &Store, label: &str) -> Left {
    let name = name(label);
    let domain = row(store, label).await;
    let work = store.work(&name).await.unwrap().into_iter().map(|work| (work.kind, work.due_at)).collect();
    let record = store.certificates(&name, None, 2).await.unwrap().remove(0);
    let certificate = store.certificate(&name, record.summary.id).await.unwrap().unwrap();
    assert!(store.live_order(&name).await.unwrap().is_none(), "{label}");
    let history = store.history(&name, 20).await.unwrap();
    Left {
        domain: (domain.activity, domain.version, domain.recorded),
        work,
        certificate: (certificate.sealed_key, certificate.uploaded_at, certificate.renewal),
        edges: store.domain(&name).await.unwrap().unwrap().edges,
        history: history.into_iter().map(|entry| (entry.message, entry.at)).collect(),
        answers: store.challenges(&name).await.unwrap().len(),
    }
}

pub async fn what_is_written_together_is_what_each_writes_alone(store: Case) {
    let account = add_account(&store).await;
    add_due(&store, "alone", WorkKind::Issue).await;
    Box::pin(live(&store, "alone", &account, &Barrier::new(1))).await;
    let alone = left(&store, "alone").await;
    assert_eq!(alone.history.len(), 4);
    assert_eq!(alone.work.len(), 2);
    assert_eq!(alone.certificate.0.as_deref(), Some([0, 1, 255].as_slice()));

    let together = Arc::new(Barrier::new(MANY));
    let labels: Vec<String> = (0..MANY).map(|number| format!("d{number}")).collect();
    for label in &labels {
        add_due(&store, label, WorkKind::Issue).await;
    }
    let lives = labels.iter().cloned().map(|label| {
        let (store, account, together) = (store.clone(), account.clone(), together.clone());
        tokio::spawn(async move { Box::pin(live(&store, &label, &account, &together)).await })
    });
    for life in lives.collect::<Vec<_>>() {
        life.await.unwrap();
    }
    for label in labels {
        assert_eq!(left(&store, &label).await, alone, "{label}");
    }
    let overview = store.overview(at(0)).await.unwrap();
    let issued: u64 = overview.issued.iter().map(|(_, times)| *times).sum();
    assert_eq!(issued, MANY as u64 + 1, "counted once each");
}
