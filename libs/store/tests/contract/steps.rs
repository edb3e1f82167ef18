//! Steps: all of one or nothing, under a lease, and decided again where the domain changed meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};

use domain::{Activity, Cause, Domain, EventKind, HistoryKind, Lease, Work, WorkKind};
use store::{Decision, Entry, LastStep, Refusal, Step, StoreError, Write};

use crate::kit::{Case, add_due, at, certificate, insert_certificate, is_lost, row, schedule, update, work};

async fn leased(store: &Case, label: &str) -> (Domain, Lease) {
    let due = add_due(store, label, WorkKind::Upload).await;
    let lease = store.claim(WorkKind::Upload, &due.name, at(30)).await.unwrap().unwrap();
    (row(store, label).await, lease)
}

fn uploading(domain: &Domain) -> Domain {
    domain.clone().doing(Activity::Uploading, None).unwrap()
}

async fn refused<D: Decision>(store: &Case, step: D) -> Refusal {
    match step.commit(store).await {
        Ok(_) => panic!("it was not refused"),
        Err(refusal) => refusal,
    }
}

/// Everything that a step says is there afterwards, and its answer is the domain as it is stored.
pub async fn a_step_is_written_whole(store: Case) {
    let (domain, lease) = leased(&store, "shop").await;
    let stored = certificate("shop", at(5000), domain::Source::C4);
    insert_certificate(&store, &stored).await;
    schedule(&store, &work("shop", WorkKind::Revoke, None)).await;
    let renewal = Work { cause: Cause::Renewal, ..work("shop", WorkKind::Issue, Some(at(900))) };
    let other = Work { cause: Cause::OperatorRecheck, ..renewal.clone() };
    let entry = Entry::new(HistoryKind::CertificateUploaded, "test", "said once");
    let step = Step::new("test", &lease, &domain)
        .becomes(uploading(&domain))
        .told(Some(entry))
        .and(Write::Uploaded(stored.id()))
        .and(Write::ServedByEdges(stored.id(), 6))
        .and(Write::Schedule(renewal.clone()))
        .and(Write::ScheduleIfNone(other))
        .and(Write::DueNow(WorkKind::Revoke))
        .and(Write::DueNow(WorkKind::Remove))
        .and(Write::Publish(EventKind::CertUploaded { certificate: stored.id() }));

    let answer = store.at(5).commit(&step).await.unwrap();

    assert_eq!(answer, row(&store, "shop").await);
    assert_eq!(answer.activity, Activity::Uploading);
    let uploaded = store.certificate(&domain.name, stored.id()).await.unwrap().unwrap();
    assert_eq!(uploaded.uploaded_at, Some(at(5)));
    let rows = store.work(&domain.name).await.unwrap();
    let due = |kind| rows.iter().find(|row| row.kind == kind).cloned();
    assert_eq!(due(WorkKind::Issue), Some(renewal), "what was there first stays");
    assert_eq!(due(WorkKind::Revoke).unwrap().due_at, Some(at(5)));
    assert_eq!(due(WorkKind::Remove), None);
    assert_eq!(due(WorkKind::Upload), Some(lease.work.clone()), "it keeps its lease");
    store.renew(&lease, at(60)).await.unwrap();
    let taken = store.take_messages(&EventKind::WORDS, 9, at(60)).await.unwrap();
    let mut kinds: Vec<_> = taken.iter().map(|message| message.event.kind.as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["cert-uploaded", "revocation-requested"]);
    let history = store.history(&domain.name, 9).await.unwrap();
    assert_eq!(history[0].message, "said once");
}

/// What a worker holds goes on as it is; other work of that kind is replaced, and its worker is told. Work that is not
/// wanted goes.
pub async fn a_step_leaves_what_a_worker_holds(store: Case) {
    let (domain, lease) = leased(&store, "shop").await;
    let later = work("shop", WorkKind::Issue, Some(at(900)));
    let now = Work { cause: Cause::Renewal, due_at: Some(at(5)), ..later.clone() };
    let ordered = || Step::new("test", &lease, &domain).and(Write::ScheduleIfFree(now.clone()));
    let due = async || {
        let rows = store.work(&domain.name).await.unwrap();
        rows.into_iter().find(|row| row.kind == WorkKind::Issue)
    };
    store.at(5).commit(&ordered()).await.unwrap();
    assert_eq!(due().await, Some(now.clone()), "there was none");
    schedule(&store, &later).await;
    store.at(5).commit(&ordered()).await.unwrap();
    assert_eq!(due().await, Some(now.clone()));
    let taken = store.take_messages(&EventKind::WORDS, 9, at(60)).await.unwrap();
    assert_eq!(taken.len(), 2, "its worker is told");
    let held = Work { cause: Cause::OperatorRecheck, ..now.clone() };
    schedule(&store, &held).await;
    let others = store.claim(WorkKind::Issue, &domain.name, at(30)).await.unwrap().unwrap();
    store.commit(&ordered()).await.unwrap();
    assert_eq!(due().await, Some(held));
    store.renew(&others, at(60)).await.unwrap();

    let asking = Work { cause: Cause::RenewalInfo, ..now.clone() };
    schedule(&store, &asking).await;
    let asked = store.claim(WorkKind::Issue, &domain.name, at(30)).await.unwrap().unwrap();
    store.commit(&ordered()).await.unwrap();
    assert_eq!(due().await, Some(now.clone()), "a question about the renewal would only put it off");
    assert!(store.renew(&asked, at(60)).await.unwrap_err().is_lease_lost());
    store.commit(&Step::new("test", &lease, &domain).and(Write::Cancel(WorkKind::Issue))).await.unwrap();
    assert_eq!(due().await, None);
}

/// One that breaks a rule of the database half-way leaves nothing of itself, and nobody hears of it.
pub async fn a_step_that_fails_half_way_leaves_nothing(store: Case) {
    let (domain, lease) = leased(&store, "shop").await;
    let never_stored = certificate("shop", at(5000), domain::Source::C4).id();
    let last = Step::new("test", &lease, &domain)
        .becomes(uploading(&domain))
        .and(Write::Schedule(work("shop", WorkKind::Issue, None)))
        .and(Write::Publish(EventKind::CertUploaded { certificate: never_stored }))
        .and(Write::Uploaded(never_stored))
        .done();
    let refusal = refused(&store, last).await;
    assert!(matches!(refusal, Refusal::Store(StoreError::Conflict { .. })), "{refusal:?}");
    assert_eq!(row(&store, "shop").await, domain);
    assert_eq!(store.work(&domain.name).await.unwrap(), std::slice::from_ref(&lease.work));
    assert_eq!(store.take_messages(&EventKind::WORDS, 9, at(60)).await.unwrap(), []);
    store.renew(&lease, at(60)).await.unwrap();
}

/// A lease that was lost, and one of another revision, change nothing; nor does a step whose work would become another's.
pub async fn a_step_counts_only_under_its_lease(store: Case) {
    let (domain, lease) = leased(&store, "shop").await;
    let others = Work { kind: WorkKind::Issue, ..lease.work.clone() };
    let refusal = refused(&store, Step::new("test", &lease, &domain).then(others)).await;
    assert!(matches!(refusal, Refusal::Store(StoreError::Conflict { .. })), "{refusal:?}");
    schedule(&store, &lease.work).await;
    let again = store.claim(WorkKind::Upload, &domain.name, at(30)).await.unwrap().unwrap();
    let step = Step::new("test", &lease, &domain).becomes(uploading(&domain));
    for refusal in [
        refused(&store, step.clone()).await,
        refused(&store, step.done()).await,
        refused(&store, LastStep::dropped(&lease)).await,
        refused(&store, LastStep::postponed(&lease, lease.work.clone())).await,
    ] {
        assert!(is_lost::<()>(Err(refusal.into())));
    }
    assert_eq!(row(&store, "shop").await, domain);
    let _ = store.end(&LastStep::dropped(&again)).await.unwrap();
    assert_eq!(store.work(&domain.name).await.unwrap(), []);
}

/// It decides again from the fresh row until that stays as it was read.
pub async fn a_changed_domain_is_decided_about_again(store: Case) {
    let (read, lease) = leased(&store, "shop").await;
    let waiting = read.clone().doing(Activity::WaitingForBudget, None).unwrap();
    let changed = update(&store, &waiting).await;
    let refusal = refused(&store, Step::new("test", &lease, &read).done()).await;
    assert!(matches!(refusal, Refusal::Changed(fresh) if *fresh == changed));
    let decisions = AtomicUsize::new(0);
    let decide = |domain: &Domain| {
        decisions.fetch_add(1, Ordering::Relaxed);
        let after = domain.uploading();
        Ok::<_, StoreError>(Step::new("test", &lease, domain).becomes(after))
    };
    let stored = store.decide(read, decide).await.unwrap();
    assert_eq!(decisions.load(Ordering::Relaxed), 2);
    assert_eq!((stored.upload_revision, stored.activity), (1, Activity::WaitingForBudget));
    let never = |domain: &Domain| {
        let mut stale = domain.clone();
        stale.version -= 1;
        Ok::<_, StoreError>(Step::new("test", &lease, &stale))
    };
    let busy = store.decide(stored, never).await.unwrap_err();
    assert!(matches!(busy, StoreError::Conflict { .. }), "{busy}");
}
