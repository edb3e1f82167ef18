//! Many names over one stream.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use domain::{DomainName, Role};
use prost::Message;
use proto::v1;
use proto::v1::batch_add_domains_response::Result as Outcome;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use served::{Served, has_reason, send_all, served, signed};

fn asked(name: &str) -> v1::BatchAddDomainsRequest {
    v1::BatchAddDomainsRequest { name: name.to_owned(), ..Default::default() }
}

/// The name as kept and whether it is new, or the reason why not.
fn told(answer: &v1::BatchAddDomainsResponse) -> Result<(String, bool), String> {
    match answer.result.clone().unwrap() {
        Outcome::Added(added) => Ok((added.name, added.created)),
        Outcome::Error(error) => Err(error.reason),
    }
}

async fn is_listed(served: &Served, name: &str) -> bool {
    let name = DomainName::parse(name).unwrap();
    served.context.store.domain(&name).await.unwrap().is_some()
}

#[tokio::test]
async fn each_name_has_its_answer_in_the_order_in_which_it_was_sent() {
    let mut served = served().await;
    let token = served.token(Role::Support, |token| token.name = "bulk".into()).await;
    let names = ["z.example.com", "*.example.com", "a.example.com", "Z.example.com.", "", "b.example.com"];
    let mut request = signed(tokio_stream::iter(names.map(asked)), &token);
    request.metadata_mut().insert("x-request-id", "list-7".parse().unwrap());
    let answers = served.client.batch_add_domains(request).await.unwrap().into_inner();
    let answers: Vec<_> = answers.map(Result::unwrap).collect().await;
    assert_eq!(answers.iter().map(|answer| answer.name.as_str()).collect::<Vec<_>>(), names);
    let ok = |name: &str, created| Ok((format!("{name}.example.com"), created));
    assert_eq!(
        answers.iter().map(told).collect::<Vec<_>>(),
        [
            ok("z", true),
            Err("NAME_IS_WILDCARD".into()),
            ok("a", true),
            ok("z", false),
            Err("NAME_EMPTY".into()),
            ok("b", true)
        ]
    );
    let name = DomainName::parse("a.example.com").unwrap();
    let work = served.context.store.work(&name).await.unwrap();
    assert_eq!(work.len(), 1, "the order of each is due");
    let lines = served.context.store.audit(None, 100).await.unwrap();
    assert_eq!(lines.len(), names.len(), "each name has its line");
    let is_of_this_stream = |line: &store::AuditEntry| {
        let of = (&*line.call, &*line.actor, &*line.request_id);
        of == ("BatchAddDomains", "token:bulk", "list-7")
    };
    assert!(lines.iter().all(is_of_this_stream), "{lines:?}");
}

#[tokio::test]
async fn ten_thousand_names_and_some_twice_all_get_through() {
    let mut served = served().await;
    let token = served.token(Role::Support, |_| {}).await;
    let names: Vec<String> = (0..10_000).map(|number| format!("d{}.example.com", number % 9_000)).collect();
    let request = tokio_stream::iter(names.iter().map(|name| asked(name)).collect::<Vec<_>>());
    let answers = served.client.batch_add_domains(signed(request, &token)).await.unwrap().into_inner();
    let answers: Vec<_> = answers.map(|answer| told(&answer.unwrap()).unwrap()).collect().await;
    assert!(answers.iter().map(|(name, _)| name).eq(&names));
    assert_eq!(answers.iter().filter(|(_, created)| *created).count(), 9_000);
}

#[tokio::test]
async fn what_was_added_before_the_stream_broke_stays_and_is_told() {
    let served = served().await;
    let token = format!("Bearer {}", served.token(Role::Support, |_| {}).await);
    let sent =
        vec![asked("a.example.com").encode_to_vec(), asked("b.example.com").encode_to_vec(), vec![0x0a, 9]];
    let mut answers = send_all(&served.channel, "Domains/BatchAddDomains", sent, Some(&token)).await.unwrap();
    for name in ["a.example.com", "b.example.com"] {
        let answer = answers.message().await.unwrap().unwrap();
        let answer = v1::BatchAddDomainsResponse::decode(answer.as_slice()).unwrap();
        assert_eq!(told(&answer), Ok((name.to_owned(), true)));
        assert!(is_listed(&served, name).await);
    }
    let end = answers.message().await.unwrap_err();
    assert_eq!(end.code(), Code::InvalidArgument);
    assert!(has_reason(&end, "MESSAGE_MALFORMED"), "{end:?}");
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_what_was_answered() {
    let mut served = served().await;
    let token = served.token(Role::Support, |_| {}).await;
    let (sender, names) = mpsc::channel(1);
    sender.send(asked("a.example.com")).await.unwrap();
    let request = signed(ReceiverStream::new(names), &token);
    let mut answers = served.client.batch_add_domains(request).await.unwrap().into_inner();
    let first = answers.message().await.unwrap().unwrap();
    assert_eq!(told(&first), Ok(("a.example.com".into(), true)), "an answer does not wait for the next name");
    drop((answers, sender));
    assert!(is_listed(&served, "a.example.com").await);
}
