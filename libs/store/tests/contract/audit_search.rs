//! Searching the audit log.

use store::{AuditEntry, AuditSearch, Store};

use crate::kit::{Case, at, write};

fn line(actor: &str, call: &str, subject: &str, outcome: &str, second: i64) -> AuditEntry {
    AuditEntry {
        at: at(second),
        actor: actor.to_owned(),
        peer: "local".to_owned(),
        call: call.to_owned(),
        subject: subject.to_owned(),
        outcome: outcome.to_owned(),
        detail: String::new(),
        request_id: String::new(),
    }
}

async fn filled(store: &Store) {
    let lines = [
        line("user:ann", "AddDomain", "shop.example.com", "OK", 1),
        line("token:dashboard", "AddDomain", "100%_shop*.example.com", "NAME_BAD_CHARACTER", 2),
        line("user:bob", "CreateToken", "dash_board", "OK", 3),
        line("user:ann", "DeleteDomain", "shop.example.com", "OK", 3),
        line("user:ann", "DeleteDomain", "shopXexample.com", "DOMAIN_NOT_FOUND", 4),
    ];
    write(store, async |tx| {
        for line in lines {
            tx.append_audit(line);
        }
        Ok(())
    })
    .await;
}

/// The seconds of the lines that fit.
async fn found(store: &Store, search: AuditSearch) -> Vec<i64> {
    let page = store.search_audit(&search, None, 100).await.unwrap();
    assert_eq!(page.looked_back_to, None, "the log was looked at to its end");
    page.lines.iter().map(|line| line.entry.at.duration_since(at(0)).as_secs()).collect()
}

/// Each condition narrows, text is taken as it stands, and a time span includes its begin and not its end.
pub async fn a_search_takes_text_as_it_stands(store: Case) {
    filled(&store).await;
    let any = AuditSearch::default;
    let text = |text: &str| text.to_owned();
    assert_eq!(found(&store, any()).await, [4, 3, 3, 2, 1]);
    assert_eq!(found(&store, AuditSearch { actor: text("ann"), ..any() }).await, [4, 3, 1]);
    assert_eq!(found(&store, AuditSearch { call: text("Add"), ..any() }).await, [0_i64; 0]);
    assert_eq!(found(&store, AuditSearch { call: text("AddDomain"), ..any() }).await, [2, 1]);
    assert_eq!(found(&store, AuditSearch { outcome: text("OK"), ..any() }).await, [3, 3, 1]);
    assert_eq!(found(&store, AuditSearch { not_outcome: text("OK"), ..any() }).await, [4, 2]);
    for (subject, seconds) in [
        ("shop.example", &[3, 1][..]),
        ("%", &[2]),
        ("100%_", &[2]),
        ("_", &[3, 2]),
        ("*", &[2]),
        ("sh%p", &[]),
        ("shop_example", &[]),
        ("SHOP", &[]),
        ("' OR 1=1 --", &[]),
    ] {
        assert_eq!(
            found(&store, AuditSearch { subject: text(subject), ..any() }).await,
            seconds,
            "{subject}"
        );
    }
    let span = AuditSearch { from: Some(at(2)), until: Some(at(4)), ..any() };
    assert_eq!(found(&store, span.clone()).await, [3, 3, 2]);
    assert_eq!(found(&store, AuditSearch { actor: text("ann"), ..span }).await, [3]);
}

/// Pages follow each other without a gap, also between lines of one moment; a search that has looked at its share says where
/// it stopped.
pub async fn a_search_goes_on_where_it_stopped(store: Case) {
    filled(&store).await;
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = store.search_audit(&AuditSearch::default(), after, 2).await.unwrap();
        seen.extend(page.lines.iter().map(|line| line.entry.call.clone()));
        after = page.looked_back_to;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["DeleteDomain", "DeleteDomain", "CreateToken", "AddDomain", "AddDomain"]);

    let dashboard = AuditSearch { actor: "dashboard".to_owned(), ..AuditSearch::default() };
    let first = store.search_audit_within(&dashboard, None, 10, 3).await.unwrap();
    assert!(first.lines.is_empty(), "{first:?}");
    let second = store.search_audit_within(&dashboard, first.looked_back_to, 10, 3).await.unwrap();
    assert_eq!((second.lines.len(), second.looked_back_to), (1, None));
    assert_eq!(second.lines[0].sequence, None, "not chained yet");
}
