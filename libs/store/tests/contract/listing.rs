//! The list under every status, the words of a search, and watchers of changes.

use std::collections::HashMap;
use std::time::Duration;

use domain::{Domain, Facts, Reason, Status};
use store::{ListFilter, ListQuery, Page, Place, Search, Store};

use crate::kit::{Case, add, at, live, name, update};

const PATIENCE: Duration = Duration::from_secs(30);

/// Adds a name whose stored status is `status`; a live certificate ends at 1000.
async fn add_with(store: &Case, label: &str, status: Status) -> Domain {
    let row = add(store, label).await;
    let mut facts = Facts::default();
    match status {
        Status::Pending => {}
        Status::Failure => facts.block = Some(Reason::UnknownToC4),
        Status::Discard => facts.unknown_to_c4 = true,
        Status::Emergency => facts.upload_failing = Some(Reason::UnknownToC4),
        Status::Success | Status::Expired => {
            let ends = if status == Status::Expired { 1 } else { 1000 };
            facts.live = Some(live(store, label, ends).await);
        }
    }
    let row = update(store.at(2), &row.with_stored_facts(facts)).await;
    assert_eq!(row.recorded, status);
    row
}

/// Pages of these statuses.
fn of(statuses: &[Status], limit: u32) -> ListQuery {
    ListQuery {
        filter: ListFilter { statuses: statuses.to_vec(), ..ListFilter::default() },
        limit,
        ..ListQuery::default()
    }
}

/// The labels of every page of a query, page by page.
async fn pages(store: &Store, mut query: ListQuery) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    loop {
        let page = store.domains(&query).await.unwrap();
        let Some(last) = page.last() else { return pages };
        query.page = Page::After(Place::of(query.order, last));
        let label = |name: &str| name.trim_end_matches(".example.com").to_owned();
        pages.push(page.iter().map(|view| label(view.domain.name.as_str())).collect());
    }
}

/// Under every filter, pages are in order of name, do not overlap, and are complete.
pub async fn a_filtered_list_has_pages_too(store: Case) {
    for status in Status::ALL {
        for letter in ["b", "a"] {
            let label = format!("{letter}-{}", status.as_str().to_lowercase());
            add_with(&store, &label, status).await;
        }
    }
    for status in Status::ALL {
        let query = of(&[status], 10);
        let word = status.as_str().to_lowercase();
        assert_eq!(pages(&store, query).await, [["a", "b"].map(|letter| format!("{letter}-{word}"))]);
    }
    let three = of(&[Status::Success, Status::Failure, Status::Emergency, Status::Failure], 4);
    assert_eq!(
        pages(&store, three.clone()).await,
        [vec!["a-emergency", "a-failure", "a-success", "b-emergency"], vec!["b-failure", "b-success"]]
    );
    let filter = ListFilter { search: Some(Search::Prefix("b-".to_owned())), ..three.filter.clone() };
    assert_eq!(
        pages(&store, ListQuery { filter, ..three }).await,
        [["b-emergency", "b-failure", "b-success"]]
    );
    let (all, unfiltered) = (of(&Status::ALL, 100), of(&[], 100));
    assert_eq!(pages(&store, all).await, pages(&store, unfiltered).await);
}

/// No character of a search is a wildcard.
pub async fn a_search_is_taken_as_it_stands(store: Case) {
    add(&store, "a-b").await;
    for text in ["%", "_", "a_b", "a%", "*", "?", "[a-b]", "\\", "'", "a.b", "___", "%%%"] {
        let text = || text.to_owned();
        for search in [
            Search::Part(text()),
            Search::Prefix(text()),
            Search::Suffix(text()),
            Search::Names(vec![text()]),
        ] {
            for statuses in [&[][..], &[Status::Pending]] {
                let mut query = of(statuses, 10);
                query.filter.search = Some(search.clone());
                assert_eq!(store.domains(&query).await.unwrap(), [], "{search:?}");
                assert_eq!(store.count(&query.filter, 10).await.unwrap(), 0);
            }
        }
    }
}

/// A deleted name does not expire, and the search for ended ones is bounded.
pub async fn only_listed_domains_expire(store: Case) {
    for label in ["a", "b", "c"] {
        add_with(&store, label, Status::Success).await;
    }
    let gone = add_with(&store, "gone", Status::Success).await;
    update(store.at(3), &gone.delete(at(3)).unwrap()).await;
    let mut ended = store.at(1000).expired(10).await.unwrap();
    ended.sort();
    assert_eq!(ended, ["a", "b", "c"].map(name));
    assert_eq!(store.expired(2).await.unwrap().len(), 2);
}

/// A position that becomes visible after a higher one was read would be missed for ever.
pub async fn a_watcher_misses_nothing_while_others_write(store: Case) {
    const UPDATES: i64 = 25;
    let labels = ["a", "b", "c", "d", "e", "f"];
    for label in labels {
        add(&store, label).await;
    }
    store.at(1);
    let writers: Vec<_> = labels
        .into_iter()
        .map(|label| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..UPDATES {
                    let mut tx = store.begin("write").await.unwrap();
                    let mut row = tx.domain(&name(label)).await.unwrap().unwrap();
                    row.upload_revision += 1;
                    tx.update_domain(&row).await.unwrap();
                    tx.commit().await.unwrap();
                }
            })
        })
        .collect();
    let follow = async {
        let mut seen = HashMap::new();
        let mut after = 0;
        while seen.len() < labels.len() || seen.values().any(|count| *count < UPDATES) {
            for change in store.changes(after, None, 4).await.unwrap() {
                assert!(change.position > after, "in order of position");
                after = change.position;
                let row = change.view.domain;
                let before = seen.insert(row.name, row.upload_revision);
                assert!(before < Some(row.upload_revision), "a change is read once");
            }
        }
        assert_eq!(store.position().await.unwrap(), after);
    };
    let followed = tokio::time::timeout(PATIENCE, follow).await;
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(followed.is_ok(), "a change was missed");
}

/// A watcher of one name reads each change once.
pub async fn the_changes_of_one_name_resume(store: Case) {
    for label in ["a", "b", "c"] {
        add(&store, label).await;
    }
    let read = store.changes(0, Some(&name("b")), 10).await.unwrap();
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].view.domain.name, name("b"));
    let again = store.changes(read[0].position, Some(&name("b")), 10).await;
    assert_eq!(again.unwrap(), []);
    assert_eq!(store.changes(0, Some(&name("never")), 10).await.unwrap(), []);
}
