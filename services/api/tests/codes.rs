//! The codes by which clients decide whether to try again, and lists that come in pages.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use std::time::Duration;

use domain::Role;
use proto::v1;
use runtime::testing::open_store;
use served::{served, signed};
use tonic::{Code, Status};
use tonic_types::StatusExt;

const NAME: &str = "shop.example.com";

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

#[tokio::test]
async fn a_history_has_pages() {
    let mut served = served().await;
    let token = served.token(Role::Support, |_| {}).await;
    let add = v1::AddDomainRequest { name: NAME.to_owned(), ..Default::default() };
    served.client.add_domain(signed(add, &token)).await.unwrap();
    for _ in 0..4 {
        let recheck = v1::RecheckDomainRequest { name: NAME.to_owned() };
        served.client.recheck_domain(signed(recheck, &token)).await.unwrap();
    }
    let ask = |name: &str, page_size, page_token: &str| v1::GetHistoryRequest {
        name: name.to_owned(),
        page_size,
        page_token: page_token.to_owned(),
    };
    let whole = served.client.get_history(signed(ask(NAME, 0, ""), &token)).await.unwrap().into_inner();
    assert!(whole.entries.len() >= 5 && whole.next_page_token.is_empty(), "{whole:?}");
    let (mut paged, mut page_token) = (Vec::new(), String::new());
    let mut last_token = String::new();
    loop {
        let request = signed(ask(NAME, 2, &page_token), &token);
        let page = served.client.get_history(request).await.unwrap().into_inner();
        paged.extend(page.entries);
        if page.next_page_token.is_empty() {
            break;
        }
        page_token = page.next_page_token;
        last_token.clone_from(&page_token);
    }
    assert_eq!(paged, whole.entries);
    for (request, code, told) in [
        (ask("never.example.com", 0, ""), Code::NotFound, "DOMAIN_NOT_FOUND"),
        (ask("other.example.com", 0, &last_token), Code::InvalidArgument, "PAGE_TOKEN_INVALID"),
        (ask(NAME, 0, "nonsense"), Code::InvalidArgument, "PAGE_TOKEN_INVALID"),
        (ask(NAME, 1001, ""), Code::InvalidArgument, "PAGE_SIZE_INVALID"),
    ] {
        let refused = served.client.get_history(signed(request, &token)).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (code, told));
    }
}

/// Somebody else writes for longer than anybody waits; a full or read-only disk is the same to a client.
#[tokio::test]
async fn a_database_that_takes_no_writes_is_unavailable() {
    let mut served = served().await;
    let token = served.token(Role::Support, |_| {}).await;
    let path = served.folder.path().join("rpc.db");
    let other = open_store(&path, served.context.clock.clone()).await.unwrap();
    let held = other.begin("hold").await.unwrap();
    let add = || v1::AddDomainRequest { name: NAME.to_owned(), ..Default::default() };
    let refused = served.client.add_domain(signed(add(), &token)).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "STORE_UNAVAILABLE"));
    assert!(refused.message().contains("try again"), "{refused:?}");
    let delay = refused.get_error_details().retry_info().and_then(|info| info.retry_delay);
    assert!(delay.is_some_and(|delay| delay <= Duration::from_secs(5)), "{delay:?}");
    drop(held);
    served.client.add_domain(signed(add(), &token)).await.unwrap();
}

#[tokio::test]
async fn what_stays_as_it_is_is_not_unavailable() {
    let mut served = served().await;
    let token = served.token(Role::Support, |_| {}).await;
    let check = v1::CheckDomainRequest { name: NAME.to_owned() };
    let refused = served.client.check_domain(signed(check, &token)).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "CHECK_UNAVAILABLE"));
}
