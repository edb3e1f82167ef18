//! What is around every call: limits, and errors that are typed whoever made them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use domain::Role;
use prost::Message;
use proto::v1;
use tonic::{Code, Status};

use served::{Served, has_reason, send, served, served_with, signed};

async fn bearer(served: &Served) -> String {
    format!("Bearer {}", served.token(Role::Admin, |_| {}).await)
}

#[track_caller]
fn is(refused: &Status, code: Code, reason: &str) {
    assert_eq!(refused.code(), code, "{refused:?}");
    assert!(has_reason(refused, "google.rpc.ErrorInfo") && has_reason(refused, reason), "{refused:?}");
}

#[tokio::test]
async fn what_cannot_be_decoded_is_refused_in_our_words() {
    let served = served().await;
    let token = bearer(&served).await;
    let refused =
        async |method, message| send(&served.channel, method, message, Some(&token)).await.unwrap_err();
    // A field of a type that it does not have, a length beyond the end, text that is not UTF-8.
    for rubbish in [vec![0x0d], vec![0x0a, 0xff], vec![0x0a, 1, 0xff]] {
        is(&refused("Domains/AddDomain", rubbish).await, Code::InvalidArgument, "MESSAGE_MALFORMED");
    }
    let large = v1::AddDomainRequest { name: "x".repeat(13 * 1024 * 1024), ..Default::default() };
    is(
        &refused("Domains/AddDomain", large.encode_to_vec()).await,
        Code::InvalidArgument,
        "MESSAGE_TOO_LARGE",
    );
    is(&refused("Domains/NoSuchCall", Vec::new()).await, Code::Unimplemented, "METHOD_UNKNOWN");
    is(&refused("NoSuchService/Call", Vec::new()).await, Code::Unimplemented, "METHOD_UNKNOWN");
}

#[tokio::test]
async fn a_principal_that_asks_too_often_is_told_when_to_come_back() {
    let mut served = served_with(|config| config.api.requests_per_second = 1).await;
    let (greedy, modest) =
        (served.token(Role::Viewer, |_| {}).await, served.token(Role::Viewer, |_| {}).await);
    let mut refused = None;
    for _ in 0..100 {
        let asked = served.client.get_summary(signed(v1::GetSummaryRequest {}, &greedy)).await;
        refused = asked.err();
        if refused.is_some() {
            break;
        }
    }
    let refused = refused.unwrap();
    is(&refused, Code::ResourceExhausted, "RATE_LIMITED");
    assert!(has_reason(&refused, "google.rpc.RetryInfo"));
    served.client.get_summary(signed(v1::GetSummaryRequest {}, &modest)).await.unwrap();
}
