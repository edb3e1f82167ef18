//! Domains, list, changes, history.

use domain::{
    Activity, AheadAtC4, Cause, Domain, HistoryEntry, HistoryKind, Live, Missing, Reason, Source, Status,
    Trust, Work, WorkKind,
};
use store::{ListFilter, ListQuery, Page, Place, Search};

use crate::kit::{
    Case, add, at, attempt, certificate, committing, insert_certificate, is_conflict, live, name, row,
    schedule, update, with_facts, work, write,
};

/// Every column comes back as it was, microseconds and reasons included, and the status is derived.
pub async fn a_domain_comes_back_as_it_was(store: Case) {
    let mut domain = add(&store, "shop").await;
    assert_eq!((domain.version, domain.recorded), (1, Status::Pending));
    let mut kept = certificate("shop", at(500), Source::C4);
    kept.summary.trust = Some(Trust::IntermediateMissing);
    insert_certificate(&store, &kept).await;
    domain = with_facts(domain, |facts| {
        facts.live = Some(Live { certificate: kept.id(), not_after: at(500) });
        facts.block = Some(Reason::NotPointed {
            target: "cdn \"x\"".into(),
            addresses: Vec::new(),
            found: domain::Found::NoName,
            proxy: None,
        });
        facts.upload_failing = Some(Reason::UploadFailed { detail: "quota".into() });
    });
    domain.waiting = Some(Reason::CaLimited {
        until: at(7),
        issuer: "ca".into(),
        limit: "new orders per account".into(),
        seconds_per_place: 36,
    });
    domain.activity = Activity::WaitingForBudget;
    domain.upload_revision = 41;
    domain.ahead_at_c4 = Some(AheadAtC4 { sha256: None, found_at: at(6), revision: 1 });
    let stored = update(store.at(10), &domain).await;
    domain.version = 2;
    domain.recorded = Status::Emergency;
    assert_eq!(stored, domain);
    let view = store.domain(&name("shop")).await.unwrap().unwrap();
    assert_eq!(view.domain, domain);
    assert_eq!(view.certificate, Some(kept.summary));
    assert_eq!(store.domain(&name("other")).await.unwrap(), None);
}

/// Rows that are written together come back as they were, in the order of their names, with their work; history comes in
/// the order in which it was appended. If one of the names has a row already, none is written.
pub async fn rows_are_written_together(store: Case) {
    let reason = |detail: &str| Some(Reason::UploadFailed { detail: detail.to_owned() });
    let mut whole = with_facts(Domain::added(name("b"), at(1)), |facts| {
        facts.unknown_to_c4 = true;
        facts.upload_failing = reason("quota \"x\"");
        facts.block = reason("ünïcode\n");
        facts.missing = Some(Missing { first_at: at(2), last_at: at(3), answers: 2 });
        facts.dns_failing_since = Some(at(4));
    });
    whole.waiting = Some(Reason::CaLimited {
        until: at(7),
        issuer: "ca".into(),
        limit: "new orders per account".into(),
        seconds_per_place: 36,
    });
    whole.invalid_challenges.count = 3;
    "192.0.2.1".clone_into(&mut whole.invalid_challenges.dns);
    whole.activity = Activity::WaitingForBudget;
    whole.upload_revision = 41;
    whole.ahead_at_c4 = Some(AheadAtC4 { sha256: Some("aa".into()), found_at: at(6), revision: 2 });
    let plain = Domain::added(name("a"), at(1));
    let rows = [whole, plain.clone()];
    let due = [work("b", WorkKind::Issue, Some(at(5))), work("a", WorkKind::Upload, None)];
    write(store.at(1), async |tx| {
        tx.insert_domains(&rows).await?;
        tx.schedule_all(&due).await?;
        for message in ["first", "second"] {
            tx.append_history(HistoryEntry {
                name: name("a"),
                at: at(1),
                kind: HistoryKind::Added,
                actor: "test".to_owned(),
                status_from: None,
                status_to: Status::Pending,
                message: message.to_owned(),
                certificate_sha256: None,
            });
        }
        Ok(())
    })
    .await;

    for (mut row, due) in rows.into_iter().zip(due) {
        row.version = 1;
        row.recorded = row.status(at(1));
        let view = store.domain(&row.name).await.unwrap().unwrap();
        assert_eq!(view.domain, row);
        assert_eq!(store.work(&row.name).await.unwrap(), [due]);
    }
    let said = store.history(&name("a"), 10).await.unwrap();
    let said: Vec<&str> = said.iter().map(|entry| entry.message.as_str()).collect();
    assert_eq!(said, ["second", "first"]);

    let asked = [name("b"), name("never"), name("a"), name("b")];
    let read = write(&store, async |tx| tx.domains(&asked).await).await;
    let names: Vec<_> = read.into_iter().map(|domain| domain.name).collect();
    assert_eq!(names, [name("a"), name("b")]);
    let late = [Domain::added(name("c"), at(9)), plain];
    assert!(is_conflict(committing(&store, async |tx| tx.insert_domains(&late).await).await));
    assert_eq!(store.domain(&name("c")).await.unwrap(), None);
}

/// Of two writers that read the same row, the second one gets a conflict.
pub async fn a_write_on_an_old_version_is_a_conflict(store: Case) {
    let read = add(&store, "shop").await;
    update(store.at(1), &read).await;
    assert!(is_conflict(committing(&store, async |tx| tx.update_domain(&read).await).await));
    assert!(is_conflict(committing(&store, async |tx| tx.insert_domain(&read).await).await));
}

/// A transaction that does not commit changes nothing.
pub async fn a_dropped_transaction_changes_nothing(store: Case) {
    let ghost = Domain::added(name("ghost"), at(0));
    attempt(&store, async |tx| {
        tx.insert_domain(&ghost).await.unwrap();
        assert!(tx.domain(&ghost.name).await.unwrap().is_some());
    })
    .await;
    assert_eq!(store.domain(&name("ghost")).await.unwrap(), None);
    assert_eq!(store.position().await.unwrap(), 0);
}

/// Pages in order of name, by text and by status, without deleted names.
pub async fn the_list_pages_filters_and_hides_the_deleted(store: Case) {
    for label in ["c", "a", "shop-b", "gone", "shop-d"] {
        add(&store, label).await;
    }
    update(store.at(1), &row(&store, "gone").await.delete(at(1)).unwrap()).await;
    let blocked = row(&store, "shop-d").await.blocked(Reason::UnknownToC4).unwrap();
    update(&store, &blocked).await;
    let list = async |query: ListQuery| -> Vec<String> {
        let views = store.domains(&query).await.unwrap();
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
pub async fn changes_are_the_latest_of_each_domain_and_resume(store: Case) {
    let first = add(&store, "a").await;
    add(&store, "b").await;
    let first = update(store.at(1), &first).await;
    let names = async |after: i64| -> Vec<(i64, String)> {
        let changes = store.changes(after, None, 10).await.unwrap();
        changes.iter().map(|change| (change.position, change.view.domain.name.to_string())).collect()
    };
    let all = names(0).await;
    assert_eq!(
        all.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>(),
        ["b.example.com", "a.example.com"]
    );
    assert_eq!(store.position().await.unwrap(), all[1].0);
    assert_eq!(names(all[0].0).await, all[1..]);
    assert_eq!(names(all[1].0).await, []);
    update(store.at(2), &first.delete(at(2)).unwrap()).await;
    let deleted = store.changes(all[1].0, Some(&name("a")), 10).await.unwrap();
    assert_eq!((deleted.len(), deleted[0].view.domain.deleted_at), (1, Some(at(2))));
    assert_eq!(deleted[0].at, at(2));
    assert_eq!(store.changes(0, Some(&name("b")), 10).await.unwrap().len(), 1);
}

/// A domain whose status is still Success is found once its certificate has ended.
pub async fn ended_certificates_are_found(store: Case) {
    let domain = add(&store, "shop").await;
    let live = live(&store, "shop", 100).await;
    let domain = update(store.at(1), &domain.uploaded(live).unwrap()).await;
    assert_eq!(store.at(99).expired(10).await.unwrap(), []);
    assert_eq!(store.at(100).expired(10).await.unwrap(), [name("shop")]);
    let domain = update(&store, &domain).await;
    assert_eq!(domain.recorded, Status::Expired);
    assert_eq!(store.expired(10).await.unwrap(), []);
}

/// History comes newest first, bounded; a delete of the name keeps it.
pub async fn history_is_newest_first_and_survives_a_delete(store: Case) {
    let domain = add(&store, "shop").await;
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
    write(&store, async |tx| {
        for (second, from) in [(1, None), (2, Some(Status::Pending)), (3, Some(Status::Failure))] {
            tx.append_history(entry(second, from));
        }
        Ok(())
    })
    .await;
    update(store.at(4), &domain.delete(at(4)).unwrap()).await;
    let newest = store.history(&name("shop"), 2).await.unwrap();
    assert_eq!(newest, [entry(3, Some(Status::Failure)), entry(2, Some(Status::Pending))]);
    assert_eq!(store.history(&name("never"), 2).await.unwrap(), []);
    let (mut pages, mut before) = (Vec::new(), None);
    loop {
        let (page, next) = store.history_before(&name("shop"), before, 2).await.unwrap();
        pages.extend(page);
        before = next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(pages, store.history(&name("shop"), 1000).await.unwrap());
    assert!(pages.len() > 2, "more than a page");
}

/// The next attempt in the view is the earliest due work that is no comparison; failed attempts are those of such work.
pub async fn the_next_attempt_is_no_comparison(store: Case) {
    add(&store, "shop").await;
    let compare = Work { cause: Cause::Compare, ..work("shop", WorkKind::Upload, Some(at(5))) };
    schedule(&store, &compare).await;
    let next = async || {
        let view = store.domain(&name("shop")).await.unwrap().unwrap();
        (view.next_attempt_at, view.failed_attempts)
    };
    assert_eq!(next().await, (None, 0));
    let issue = work("shop", WorkKind::Issue, Some(at(9)));
    schedule(&store, &issue).await;
    assert_eq!(next().await, (Some(at(9)), issue.attempts));
}

/// Many tasks that read, then write, in one transaction each: none fails, no update is lost.
pub async fn overlapping_writers_all_get_through(store: Case) {
    const WRITERS: i64 = 200;
    add(&store, "shop").await;
    store.at(1);
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut tx = store.begin("increment").await.unwrap();
                let mut domain = tx.domain(&name("shop")).await.unwrap().unwrap();
                domain.upload_revision += 1;
                tx.update_domain(&domain).await.unwrap();
                tx.commit().await.unwrap();
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let domain = row(&store, "shop").await;
    assert_eq!((domain.upload_revision, domain.version), (WRITERS, WRITERS + 1));
}

/// Since when an activity lasts is kept while the row changes otherwise, and begins anew with another activity.
pub async fn an_activity_lasts_since_it_began(store: Case) {
    let since = async || store.domain(&name("shop")).await.unwrap().unwrap().activity_since;
    let added = add(store.at(3), "shop").await;
    assert_eq!(since().await, at(0), "since its creation");
    let checking = update(store.at(5), &added.uploading()).await;
    assert_eq!(since().await, at(0));
    let validating = update(store.at(7), &checking.doing(Activity::Validating, None).unwrap()).await;
    assert_eq!(since().await, at(7));
    let waiting = Some(Reason::UnknownToC4);
    let later = update(store.at(9), &validating.doing(Activity::Validating, waiting).unwrap()).await;
    assert_eq!(since().await, at(7));
    update(store.at(11), &later.doing(Activity::Issued, None).unwrap()).await;
    assert_eq!(since().await, at(11));
}

/// An attempt that ends as the one before it begins no new trouble; another status, an end of the trouble, and a new
/// life of the name do.
pub async fn trouble_lasts_since_it_began(store: Case) {
    let since = async || store.domain(&name("shop")).await.unwrap().unwrap().attention_since();
    let blocked = || Reason::PortMissing { missing: vec![443] };
    let added = add(store.at(1), "shop").await;
    assert_eq!(since().await, None);
    let failing = update(store.at(2), &added.blocked(blocked()).unwrap()).await;
    assert_eq!(since().await, Some(at(2)));
    let trying = failing.clear().unwrap().doing(Activity::Validating, None).unwrap();
    let trying = update(store.at(3), &trying).await;
    assert_eq!(since().await, None, "nothing is to be done during the attempt");
    let failing = update(store.at(4), &trying.blocked(blocked()).unwrap()).await;
    assert_eq!(since().await, Some(at(2)), "it is the trouble of before");
    let unknown = with_facts(failing, |facts| facts.unknown_to_c4 = true);
    let unknown = update(store.at(5), &unknown).await;
    assert_eq!(since().await, Some(at(5)), "this is another one");
    let resting = unknown.clear().unwrap().doing(Activity::Idle, None).unwrap();
    let resting = update(store.at(6), &resting).await;
    let failing = update(store.at(7), &resting.blocked(blocked()).unwrap()).await;
    assert_eq!(since().await, Some(at(7)));
    let gone = update(store.at(8), &failing.delete(at(8)).unwrap()).await;
    let again = update(store.at(9), &gone.added_again(at(9)).unwrap()).await;
    update(store.at(10), &again.blocked(blocked()).unwrap()).await;
    assert_eq!(since().await, Some(at(10)), "of this life");
}

/// Live pasted certificates that end soon, as long as the domain waits for nothing else; never generated ones.
pub async fn pasted_certificates_that_end_are_found_once(store: Case) {
    for (label, source, ends) in [
        ("generated", Source::C4, 50),
        ("late", Source::Text, 60),
        ("soon", Source::Text, 50),
        ("taken-over", Source::Text, 50),
    ] {
        let mut domain = add(&store, label).await;
        domain.source = source;
        // What was pasted over a generated one is not live yet.
        let of = if label == "taken-over" { Source::C4 } else { source };
        let certificate = certificate(label, at(ends), of);
        insert_certificate(&store, &certificate).await;
        let live = Live { certificate: certificate.id(), not_after: at(ends) };
        update(store.at(1), &domain.uploaded(live).unwrap()).await;
    }
    assert_eq!(store.pasted_ending(at(49), 9).await.unwrap(), []);
    assert_eq!(store.pasted_ending(at(50), 9).await.unwrap(), [name("soon")]);
    assert_eq!(store.pasted_ending(at(60), 9).await.unwrap(), [name("soon"), name("late")]);
    assert_eq!(store.pasted_ending(at(60), 1).await.unwrap(), [name("soon")]);
    let reminded = row(&store, "soon").await;
    let reason = Some(Reason::PastedEnds { at: at(50) });
    let reminded = update(store.at(2), &reminded.doing(Activity::Idle, reason.clone()).unwrap()).await;
    assert_eq!(reminded.reason(), reason);
    assert_eq!(store.pasted_ending(at(60), 9).await.unwrap(), [name("late")]);
    update(store.at(2), &row(&store, "late").await.delete(at(2)).unwrap()).await;
    assert_eq!(store.pasted_ending(at(60), 9).await.unwrap(), []);
}
