//! Domains, list, changes, history.

use std::sync::Arc;

use domain::{Activity, HistoryEntry, HistoryKind, Live, Reason, Source, Status, WorkKind};

use super::{add, at, certificate, is_conflict, name, schedule, update, work, write};
use crate::{ListFilter, ListQuery, Page, Place, Search, Store};

/// Every column comes back as it was, microseconds and reasons included, and the status is derived.
pub async fn a_domain_comes_back_as_it_was(store: Arc<dyn Store>) {
    let mut domain = add(&*store, "shop").await;
    assert_eq!((domain.version, domain.recorded), (1, Status::Pending));
    let kept = certificate("shop", at(500), Source::C4);
    let mut tx = store.begin("certificate").await.expect("a transaction");
    tx.insert_certificate(&kept).await.expect("stored");
    tx.commit().await.expect("committed");
    domain.facts.live = Some(Live { certificate: kept.id(), not_after: at(500) });
    domain.facts.block = Some(Reason::NotPointed { target: "cdn \"x\"".into(), found: "ünïcode\n".into() });
    domain.facts.upload_failing = Some(Reason::UploadFailed { detail: "quota".into() });
    domain.waiting = Some(Reason::CaLimited { until: at(7) });
    domain.activity = Activity::WaitingForBudget;
    domain.upload_revision = 41;
    let stored = update(&*store, &domain, at(10)).await;
    domain.version = 2;
    domain.recorded = Status::Emergency;
    assert_eq!(stored, domain);
    let view = store.domain(&name("shop")).await.expect("read").expect("there");
    assert_eq!(view.domain, domain);
    assert_eq!(view.certificate, Some(kept.summary));
    assert_eq!(store.domain(&name("other")).await.expect("read"), None);
}

/// Rows that are written together come back as they were, in the order of their names, with their work; what they append is
/// in order; and one that is there already keeps all of them out.
pub async fn rows_are_written_together(store: Arc<dyn Store>) {
    let reason = |detail: &str| Some(Reason::UploadFailed { detail: detail.to_owned() });
    let mut whole = domain::Domain::added(name("b"), at(1));
    whole.facts.unknown_to_c4 = true;
    whole.facts.upload_failing = reason("quota \"x\"");
    whole.facts.block = reason("ünïcode\n");
    whole.waiting = Some(Reason::CaLimited { until: at(7) });
    whole.facts.missing = Some(domain::Missing { first_at: at(2), last_at: at(3), answers: 2 });
    whole.invalid_challenges.count = 3;
    "192.0.2.1".clone_into(&mut whole.invalid_challenges.dns);
    whole.activity = Activity::WaitingForBudget;
    whole.upload_revision = 41;
    let plain = domain::Domain::added(name("a"), at(1));
    let rows = [whole, plain.clone()];
    let due = [work("b", WorkKind::Issue, Some(at(5))), work("a", WorkKind::Upload, None)];
    write(&*store, async |tx| {
        tx.insert_domains(&rows, at(1)).await?;
        tx.schedule_all(&due).await?;
        for message in ["first", "second"] {
            tx.append_history(&HistoryEntry {
                name: name("a"),
                at: at(1),
                kind: HistoryKind::Added,
                actor: "test".to_owned(),
                status_from: None,
                status_to: Status::Pending,
                message: message.to_owned(),
                certificate_sha256: None,
            })
            .await?;
        }
        Ok(())
    })
    .await;

    for (mut row, due) in rows.into_iter().zip(due) {
        row.version = 1;
        row.recorded = row.status(at(1));
        let view = store.domain(&row.name).await.expect("read").expect("there");
        assert_eq!(view.domain, row);
        assert_eq!(store.work(&row.name).await.expect("read"), [due]);
    }
    let said = store.history(&name("a"), 10).await.expect("read");
    let said: Vec<&str> = said.iter().map(|entry| entry.message.as_str()).collect();
    assert_eq!(said, ["second", "first"]);

    let mut tx = store.begin("read").await.expect("a transaction");
    let asked = [name("b"), name("never"), name("a"), name("b")];
    let read = tx.domains(&asked).await.expect("read");
    let names: Vec<_> = read.into_iter().map(|domain| domain.name).collect();
    assert_eq!(names, [name("a"), name("b")]);
    let late = [domain::Domain::added(name("c"), at(9)), plain];
    assert!(is_conflict(tx.insert_domains(&late, at(9)).await));
    drop(tx);
    assert_eq!(store.domain(&name("c")).await.expect("read"), None);
}

/// Of two writers that read the same row, the second is told.
pub async fn a_write_on_an_old_version_is_a_conflict(store: Arc<dyn Store>) {
    let read = add(&*store, "shop").await;
    update(&*store, &read, at(1)).await;
    let mut tx = store.begin("late").await.expect("a transaction");
    assert!(is_conflict(tx.update_domain(&read, at(2)).await));
    drop(tx);
    let mut tx = store.begin("again").await.expect("a transaction");
    assert!(is_conflict(tx.insert_domain(&read, at(2)).await));
}

/// A transaction that does not commit changes nothing.
pub async fn what_is_dropped_leaves_nothing(store: Arc<dyn Store>) {
    let mut tx = store.begin("dropped").await.expect("a transaction");
    tx.insert_domain(&domain::Domain::added(name("ghost"), at(0)), at(0)).await.expect("inserted");
    drop(tx);
    assert_eq!(store.domain(&name("ghost")).await.expect("read"), None);
    assert_eq!(store.position().await.expect("read"), 0);
}

/// Pages in order of name, by text and by status, without the deleted.
pub async fn the_list_pages_filters_and_hides_the_deleted(store: Arc<dyn Store>) {
    for label in ["c", "a", "shop-b", "gone", "shop-d"] {
        add(&*store, label).await;
    }
    let gone = store.domain(&name("gone")).await.expect("read").expect("there").domain;
    update(&*store, &gone.delete(at(1)).expect("listed"), at(1)).await;
    let blocked = store.domain(&name("shop-d")).await.expect("read").expect("there").domain;
    update(&*store, &blocked.blocked(Reason::UnknownToC4).expect("listed"), at(1)).await;
    let list = async |query: ListQuery| -> Vec<String> {
        let views = store.domains(&query).await.expect("listed");
        views
            .iter()
            .map(|view| view.domain.name.as_str().trim_end_matches(".example.com").to_owned())
            .collect()
    };
    let page = ListQuery { limit: 2, ..ListQuery::default() };
    assert_eq!(list(page.clone()).await, ["a", "c"]);
    let after = Place { attention: 0, at: None, name: "c.example.com".into() };
    let next = ListQuery { page: Page::After(after), ..page.clone() };
    assert_eq!(list(next).await, ["shop-b", "shop-d"]);
    let with = |search: Option<&str>, statuses: &[Status]| ListQuery {
        filter: ListFilter {
            search: search.map(|part| Search::Part(part.to_owned())),
            statuses: statuses.to_vec(),
            ..ListFilter::default()
        },
        limit: 10,
        ..ListQuery::default()
    };
    assert_eq!(list(with(Some("hop-"), &[])).await, ["shop-b", "shop-d"]);
    assert_eq!(list(with(Some("%"), &[])).await, [] as [&str; 0]);
    assert_eq!(list(with(None, &[Status::Failure])).await, ["shop-d"]);
    let both = [Status::Failure, Status::Pending];
    assert_eq!(list(with(None, &both)).await, ["a", "c", "shop-b", "shop-d"]);
}

/// Each domain's latest change, in order, after a position.
pub async fn changes_are_the_latest_of_each_domain_and_resume(store: Arc<dyn Store>) {
    let first = add(&*store, "a").await;
    add(&*store, "b").await;
    let first = update(&*store, &first, at(1)).await;
    let names = async |after: i64| -> Vec<(i64, String)> {
        let changes = store.changes(after, None, 10).await.expect("read");
        changes.iter().map(|change| (change.position, change.view.domain.name.to_string())).collect()
    };
    let all = names(0).await;
    assert_eq!(
        all.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>(),
        ["b.example.com", "a.example.com"]
    );
    assert_eq!(store.position().await.expect("read"), all[1].0);
    assert_eq!(names(all[0].0).await, all[1..]);
    assert_eq!(names(all[1].0).await, []);
    update(&*store, &first.delete(at(2)).expect("listed"), at(2)).await;
    let deleted = store.changes(all[1].0, Some(&name("a")), 10).await.expect("read");
    assert_eq!((deleted.len(), deleted[0].view.domain.deleted_at), (1, Some(at(2))));
    assert_eq!(deleted[0].at, at(2));
    assert_eq!(store.changes(0, Some(&name("b")), 10).await.expect("read").len(), 1);
}

/// What says Success though it ended is found, once it ended.
pub async fn ended_certificates_are_found(store: Arc<dyn Store>) {
    let domain = add(&*store, "shop").await;
    let kept = certificate("shop", at(100), Source::C4);
    let mut tx = store.begin("live").await.expect("a transaction");
    tx.insert_certificate(&kept).await.expect("stored");
    tx.commit().await.expect("committed");
    let live = Live { certificate: kept.id(), not_after: at(100) };
    let domain = update(&*store, &domain.uploaded(live).expect("listed"), at(1)).await;
    assert_eq!(store.expired(at(99), 10).await.expect("read"), []);
    assert_eq!(store.expired(at(100), 10).await.expect("read"), [name("shop")]);
    let domain = update(&*store, &domain, at(100)).await;
    assert_eq!(domain.recorded, Status::Expired);
    assert_eq!(store.expired(at(100), 10).await.expect("read"), []);
}

/// Newest first, bounded, and the name's for ever.
pub async fn history_is_newest_first_and_survives_a_delete(store: Arc<dyn Store>) {
    let domain = add(&*store, "shop").await;
    let entry = |second: i64, status_from| HistoryEntry {
        name: name("shop"),
        at: at(second),
        kind: HistoryKind::Blocked,
        actor: "issuer".into(),
        status_from,
        status_to: Status::Failure,
        message: format!("at {second}"),
        certificate_sha256: (second == 2).then(|| "ab".into()),
    };
    let mut tx = store.begin("history").await.expect("a transaction");
    for (second, from) in [(1, None), (2, Some(Status::Pending)), (3, Some(Status::Failure))] {
        tx.append_history(&entry(second, from)).await.expect("appended");
    }
    tx.commit().await.expect("committed");
    update(&*store, &domain.delete(at(4)).expect("listed"), at(4)).await;
    let newest = store.history(&name("shop"), 2).await.expect("read");
    assert_eq!(newest, [entry(3, Some(Status::Failure)), entry(2, Some(Status::Pending))]);
    assert_eq!(store.history(&name("nobody"), 2).await.expect("read"), []);
}

/// The view's next attempt is the earliest due work, comparisons aside; and what failed is counted of that.
pub async fn the_next_attempt_is_no_comparison(store: Arc<dyn Store>) {
    add(&*store, "shop").await;
    let mut compare = work("shop", WorkKind::Upload, Some(at(5)));
    compare.cause = domain::Cause::Compare;
    schedule(&*store, &compare).await;
    let next = async || {
        let view = store.domain(&name("shop")).await.expect("read").expect("there");
        (view.next_attempt_at, view.failed_attempts)
    };
    assert_eq!(next().await, (None, 0));
    let issue = work("shop", WorkKind::Issue, Some(at(9)));
    schedule(&*store, &issue).await;
    assert_eq!(next().await, (Some(at(9)), issue.attempts));
}

/// Many tasks that read, then write, in one transaction each: none fails, no update is lost.
pub async fn overlapping_writers_all_get_through(store: Arc<dyn Store>) {
    const WRITERS: i64 = 200;
    add(&*store, "shop").await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut tx = store.begin("increment").await.expect("a transaction");
                let mut domain = tx.domain(&name("shop")).await.expect("read").expect("there");
                domain.upload_revision += 1;
                tx.update_domain(&domain, at(1)).await.expect("updated");
                tx.commit().await.expect("committed");
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("no panic");
    }
    let domain = store.domain(&name("shop")).await.expect("read").expect("there").domain;
    assert_eq!((domain.upload_revision, domain.version), (WRITERS, WRITERS + 1));
}
