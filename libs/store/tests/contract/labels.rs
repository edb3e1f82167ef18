//! Labels and the customer's reference; and the rank of a domain that needs a person.

use std::collections::BTreeMap;

use domain::{DomainName, Facts, HttpsSwitch, Reason, Source};
use store::{ListFilter, ListOrder, ListQuery, Place, Store};

use crate::kit::{Case, add, live, name, update};

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

async fn set(store: &Store, name: &DomainName, pairs: &[(&str, &str)]) {
    let mut tx = store.begin("labels").await.unwrap();
    tx.set_labels(name, &labels(pairs)).await.unwrap();
    assert_eq!(tx.labels(name).await.unwrap(), labels(pairs), "before the commit");
    tx.commit().await.unwrap();
}

/// They come back with the domain, in the list and in its changes; others take their place as a whole.
pub async fn labels_belong_to_a_name_and_are_searched_for(store: Case) {
    let hostile = "<b>=1+1\"'; DROP TABLE domains; --";
    let row = add(&store, "shop").await;
    assert_eq!(store.domain(&row.name).await.unwrap().unwrap().labels, BTreeMap::new());
    set(&store, &row.name, &[("tier", "gold"), ("team", hostile)]).await;
    set(&store, &row.name, &[("tier", "free"), ("team", hostile)]).await;
    let row = update(&store, &row.belongs_to(hostile).unwrap()).await;
    let other = add(&store, "other").await;
    set(&store, &other.name, &[("tier", "gold")]).await;
    let view = store.domain(&row.name).await.unwrap().unwrap();
    assert_eq!(view.labels, labels(&[("tier", "free"), ("team", hostile)]));
    assert_eq!(view.domain.customer_ref, hostile);
    let change = store.changes(0, Some(&row.name), 1).await.unwrap().pop().unwrap();
    assert_eq!(change.view, view);
    for (pairs, found) in [
        (&[("tier", "gold")][..], &["other"][..]),
        (&[("team", hostile)], &["shop"]),
        (&[("team", hostile), ("tier", "gold")], &[]),
        (&[("tier", "")], &[]),
    ] {
        let filter = ListFilter { labels: labels(pairs).into_iter().collect(), ..ListFilter::default() };
        let query = ListQuery { filter, limit: 10, ..ListQuery::default() };
        let views = store.domains(&query).await.unwrap();
        let names: Vec<DomainName> = views.into_iter().map(|view| view.domain.name).collect();
        assert_eq!(names, found.iter().map(|label| name(label)).collect::<Vec<_>>());
    }
}

/// Each combination of what the rank is made of: the order of the database is that of [`Place`].
pub async fn the_rank_of_the_databases_is_that_of_the_program(store: Case) {
    for bits in 0..48_u8 {
        let label = format!("d{bits}");
        let row = add(&store, &label).await;
        let bit = |bit: u8| bits >> bit & 1 == 1;
        let failing = Reason::UploadFailed { detail: "503".to_owned() };
        let facts = Facts {
            unknown_to_c4: bits % 16 == 9,
            upload_failing: (bits % 16 == 7).then_some(failing),
            live: match bits / 16 {
                0 => None,
                ended => Some(live(&store, &label, if ended == 1 { 50 } else { 500 }).await),
            },
            block: bit(0).then(|| Reason::PortMissing { missing: vec![80] }),
            https: [HttpsSwitch::Off, HttpsSwitch::On][usize::from(bit(1))],
            ..Facts::default()
        };
        let source = if bit(2) { Source::Text } else { Source::C4 };
        let mut row = row.with_stored_facts(facts);
        row.source = source;
        update(store.at(100), &row).await;
    }
    let query = ListQuery { order: ListOrder::Attention, limit: 100, ..ListQuery::default() };
    let views = store.domains(&query).await.unwrap();
    assert_eq!(views.len(), 48);
    // Page by page, so that the order is the database's and not that of a page.
    let mut walked = Vec::new();
    let mut page = store::Page::First;
    loop {
        let query = ListQuery { page, limit: 1, ..query.clone() };
        let Some(view) = store.domains(&query).await.unwrap().pop() else { break };
        page = store::Page::After(Place::of(ListOrder::Attention, &view));
        walked.push(view.domain.name);
    }
    let names: Vec<DomainName> = views.into_iter().map(|view| view.domain.name).collect();
    assert_eq!(walked, names);
}
