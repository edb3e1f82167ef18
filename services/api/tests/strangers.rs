//! Strangers at the API: calls without a token, bodies that never end, passwords that are guessed. Each attack really
//! happens, and an admin is served all the while.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::Role;
use http_body::Frame;
use http_body_util::StreamBody;
use jiff::SignedDuration;
use proto::v1;
use proto::v1::domains_client::DomainsClient;
use proto::v1::sessions_client::SessionsClient;
use runtime::testing::ManualClock;
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;
use tower::{Service, ServiceExt};

use served::{Served, has_reason, served, served_at, served_with, signed};

/// Ten times what an answer may take under attack.
const ANSWERED_TIMEOUT: Duration = Duration::from_secs(10);
const ATTACK: Duration = Duration::from_secs(5);
/// Refusals after which the attack counts as one.
const ENOUGH: usize = 1_000;
const PASSWORD: &str = "correct horse battery";

/// A connection from another address of this machine.
async fn from(served: &Served, host: u8) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{}", served.address)).unwrap();
    endpoint.local_address(Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, host)))).connect().await.unwrap()
}

/// A call whose body begins with these bytes and then goes on for ever without another one.
async fn unfinished(
    mut channel: Channel,
    method: &str,
    begins: Vec<u8>,
    token: Option<&str>,
) -> Option<Status> {
    let first = tokio_stream::once(Ok::<_, std::io::Error>(Frame::data(Bytes::from(begins))));
    let body = Body::new(StreamBody::new(first.chain(tokio_stream::pending())));
    let mut request = http::Request::post(format!("http://localhost{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let answer = channel.ready().await.ok()?.call(request.body(body).unwrap()).await.ok()?;
    Status::from_header_map(answer.headers())
}

/// The beginning of a message that says it has so many bytes.
fn begins(says: u32, sent: usize) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend(says.to_be_bytes());
    bytes.resize(5 + sent, b'x');
    bytes
}

/// An admin's calls; how long each of them took.
async fn admin_works(served: &Served, token: &str, until: Instant) -> Vec<Duration> {
    let mut client = DomainsClient::new(from(served, 1).await);
    let mut took = Vec::new();
    while Instant::now() < until || took.len() < 10 {
        let begun = Instant::now();
        let name = format!("d{}.example.com", took.len());
        client.add_domain(signed(v1::AddDomainRequest { name, ..Default::default() }, token)).await.unwrap();
        client.list_domains(signed(v1::ListDomainsRequest::default(), token)).await.unwrap();
        took.push(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(took.iter().all(|took| *took < ANSWERED_TIMEOUT), "{took:?}");
    took
}

/// Sends the same over and over from one source; returns the refusals while an admin worked.
async fn under_attack(
    served: &Served,
    method: &'static str,
    body: fn() -> Vec<u8>,
    token: Option<&'static str>,
) -> Vec<Status> {
    let admin = served.token(Role::Admin, |_| {}).await;
    let until = Instant::now() + ATTACK;
    // A busy machine takes longer for as many.
    let at_the_latest = until + ATTACK * 9;
    let answers = Arc::new(AtomicUsize::new(0));
    let mut attackers = JoinSet::new();
    for _ in 0..5 {
        let channel = from(served, 2).await;
        for _ in 0..205 {
            let (channel, answers) = (channel.clone(), answers.clone());
            attackers.spawn(async move {
                let mut refused = Vec::new();
                while Instant::now() < until || answers.load(Ordering::Relaxed) <= ENOUGH {
                    let one = unfinished(channel.clone(), method, body(), token);
                    match tokio::time::timeout_at(at_the_latest.into(), one).await {
                        Ok(Some(status)) => {
                            answers.fetch_add(1, Ordering::Relaxed);
                            refused.push(status);
                        }
                        Ok(None) => {}
                        Err(_) => break,
                    }
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                refused
            });
        }
    }
    admin_works(served, &admin, until).await;
    attackers.join_all().await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_calls_without_a_token_hold_nothing() {
    let served = served().await;
    let refused = under_attack(&served, "/sslmanager.v1.Domains/AddDomain", || begins(64, 0), None).await;
    assert!(refused.len() > ENOUGH, "{}", refused.len());
    assert!(refused.iter().all(|status| status.code() == Code::Unauthenticated), "{:?}", refused[0]);
}

/// What a call without a principal may begin: a sign-in.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_unfinished_sign_ins_keep_nobody_else_out() {
    let served = served().await;
    served.person("ann", PASSWORD).await;
    let other = async {
        let mut client = SessionsClient::new(from(&served, 3).await);
        let mut beat = tokio::time::interval(ATTACK / 4);
        for _ in 0..4 {
            beat.tick().await;
            let request =
                v1::SignInRequest { name: "ann".into(), password: PASSWORD.into(), ..Default::default() };
            client.sign_in(request).await.unwrap();
        }
    };
    let method = "/sslmanager.v1.Sessions/SignIn";
    let attack = under_attack(&served, method, || begins(8000, 4000), None);
    let (refused, ()) = tokio::join!(attack, other);
    let busy = refused.iter().filter(|status| has_reason(status, "OVERLOADED")).count();
    assert!(busy > 1000, "{busy} of {}", refused.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_large_messages_with_bad_tokens_are_not_read() {
    let served = served().await;
    let method = "/sslmanager.v1.Domains/ImportCertificate";
    let before = resident();
    let refused = under_attack(&served, method, || begins(150_000, 140_000), Some("slm_nobodys")).await;
    assert!(refused.len() > ENOUGH / 2, "{}", refused.len());
    assert!(
        refused.iter().all(|status| [Code::Unauthenticated, Code::Unavailable].contains(&status.code())),
        "{:?}",
        refused[0]
    );
    // The attackers are in this process, too: each of them has its message.
    let grown = resident().saturating_sub(before);
    assert!(grown < 1_000, "{grown} MiB");
}

/// MiB of this process in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// With a good token, too, unfinished messages are bounded: in number, in bytes and in time.
#[tokio::test(flavor = "multi_thread")]
async fn a_principal_has_a_share_of_calls_bytes_and_time() {
    let served = served().await;
    let (greedy, modest) =
        (served.token(Role::Support, |_| {}).await, served.token(Role::Support, |_| {}).await);
    // The first call makes the token known.
    let mut client = served.client.clone();
    client.get_summary(signed(v1::GetSummaryRequest {}, &greedy)).await.unwrap();
    let method = "/sslmanager.v1.Domains/ImportCertificate";
    let mut attackers = JoinSet::new();
    for _ in 0..3 {
        let channel = from(&served, 2).await;
        for _ in 0..150 {
            let (channel, greedy) = (channel.clone(), greedy.clone());
            attackers.spawn(async move {
                unfinished(channel, method, begins(150_000, 100_000), Some(&greedy)).await
            });
        }
    }
    // Who is answered first is refused: the share is lent.
    let first = attackers.join_next().await.unwrap().unwrap();
    admin_works(&served, &modest, Instant::now()).await;
    let answers = attackers.join_all().await.into_iter().chain([first]).flatten();
    let answers: Vec<Status> = answers.collect();
    let count = |reason| answers.iter().filter(|status| has_reason(status, reason)).count();
    assert!(count("OVERLOADED") > 100, "{} of {}", count("OVERLOADED"), answers.len());
    assert!(count("REQUEST_TOO_SLOW") > 10, "{} of {}", count("REQUEST_TOO_SLOW"), answers.len());
}

/// More calls from one address than it may have, of principals who each have fewer than they may.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_a_share_of_calls_whoever_sends_them() {
    let served = served().await;
    let mut attackers = JoinSet::new();
    for _ in 0..3 {
        let token = served.token(Role::Support, |_| {}).await;
        // A token that is known waits for no look-up, which has a limit of its own.
        let known = signed(v1::GetSummaryRequest {}, &token);
        served.client.clone().get_summary(known).await.unwrap();
        let channels = [from(&served, 2).await, from(&served, 2).await];
        for number in 0..200 {
            let (channel, token) = (channels[number % 2].clone(), token.clone());
            let method = "/sslmanager.v1.Domains/AddDomain";
            attackers.spawn(async move { unfinished(channel, method, begins(64, 0), Some(&token)).await });
        }
    }
    let modest = served.token(Role::Support, |_| {}).await;
    admin_works(&served, &modest, Instant::now()).await;
    let answers: Vec<Status> = attackers.join_all().await.into_iter().flatten().collect();
    let refused = answers.iter().filter(|status| has_reason(status, "OVERLOADED")).count();
    assert!((88..300).contains(&refused), "{refused} of {}", answers.len());
}

#[tokio::test]
async fn a_message_is_refused_by_its_size_for_each_method() {
    let served = served().await;
    let token = served.token(Role::Support, |_| {}).await;
    for (method, fits) in [
        ("/sslmanager.v1.Domains/AddDomain", 64 * 1024),
        ("/sslmanager.v1.Domains/ImportCertificate", 160 * 1024),
        ("/sslmanager.v1.Sessions/SignIn", 8 * 1024),
    ] {
        let mut body = begins(fits as u32 + 1, fits + 1);
        body[0] = 0;
        let token = Some(token.as_str()).filter(|_| !method.ends_with("SignIn"));
        let refused = unfinished(served.channel.clone(), method, body, token).await.unwrap();
        assert!(has_reason(&refused, "MESSAGE_TOO_LARGE"), "{method} {refused:?}");
    }
    // By what the header says alone: not a byte of the body is sent.
    let request = http::Request::post("http://localhost/sslmanager.v1.Domains/AddDomain")
        .header("content-type", "application/grpc")
        .header("content-length", "70000")
        .body(Body::new(StreamBody::new(tokio_stream::pending::<Result<Frame<Bytes>, std::io::Error>>())))
        .unwrap();
    let answer = served.channel.clone().ready().await.unwrap().call(request).await.unwrap();
    let refused = Status::from_header_map(answer.headers()).unwrap();
    assert!(has_reason(&refused, "MESSAGE_TOO_LARGE"), "{refused:?}");
}

#[tokio::test]
async fn streams_of_a_principal_are_bounded_and_come_back() {
    let served = served().await;
    let (greedy, modest) =
        (served.token(Role::Viewer, |_| {}).await, served.token(Role::Viewer, |_| {}).await);
    let watch = async |token: &str| {
        let request = v1::WatchDomainsRequest { only_new: true, ..Default::default() };
        served.client.clone().watch_domains(signed(request, token)).await
    };
    let mut streams = Vec::new();
    let refused = loop {
        match watch(&greedy).await {
            Ok(stream) => streams.push(stream),
            Err(refused) => break refused,
        }
    };
    assert_eq!(streams.len(), 64);
    assert!(has_reason(&refused, "OVERLOADED"), "{refused:?}");
    watch(&modest).await.unwrap();
    drop(streams);
    let again = async {
        while watch(&greedy).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(ANSWERED_TIMEOUT, again).await.unwrap();
}

async fn revoke(served: &Served, name: &str) {
    let mut tx = served.context.store.begin("revoke").await.unwrap();
    assert!(tx.revoke_token(name).await.unwrap());
    tx.commit().await.unwrap();
}

/// A token is revoked while two streams are open: one that waits for names, one that waits for changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_ends_its_streams_and_adds_no_more_names() {
    let served = served().await;
    let token = served.token(Role::Support, |token| token.name = "bulk".into()).await;
    let (names, sent) = tokio::sync::mpsc::channel(4);
    let asked = |name: &str| v1::BatchAddDomainsRequest { name: name.to_owned(), ..Default::default() };
    names.send(asked("a.example.com")).await.unwrap();
    let stream = tokio_stream::wrappers::ReceiverStream::new(sent);
    let mut answers =
        served.client.clone().batch_add_domains(signed(stream, &token)).await.unwrap().into_inner();
    answers.message().await.unwrap().unwrap();
    let request = v1::WatchDomainsRequest { only_new: true, ..Default::default() };
    let mut changes =
        served.client.clone().watch_domains(signed(request, &token)).await.unwrap().into_inner();

    revoke(&served, "bulk").await;
    let _ = names.send(asked("b.example.com")).await;
    let ended = tokio::time::timeout(ANSWERED_TIMEOUT, answers.message()).await.unwrap().unwrap_err();
    assert_eq!(ended.code(), Code::Unauthenticated);
    let ended = tokio::time::timeout(ANSWERED_TIMEOUT, changes.message()).await.unwrap().unwrap_err();
    assert_eq!(ended.code(), Code::Unauthenticated);
    let late = domain::DomainName::parse("b.example.com").unwrap();
    assert!(served.context.store.domain(&late).await.unwrap().is_none(), "not one name after it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_waits_for_names_ends_with_its_token_too() {
    let served = served().await;
    let token = served.token(Role::Support, |token| token.name = "bulk".into()).await;
    let names = tokio_stream::pending::<v1::BatchAddDomainsRequest>();
    let mut answers =
        served.client.clone().batch_add_domains(signed(names, &token)).await.unwrap().into_inner();
    revoke(&served, "bulk").await;
    let ended = tokio::time::timeout(ANSWERED_TIMEOUT, answers.message()).await.unwrap().unwrap_err();
    assert_eq!(ended.code(), Code::Unauthenticated);
}

/// 40 requests a second, 80 at once: a stream may use 40 of them at once, then as many as come back.
#[tokio::test(flavor = "multi_thread")]
async fn names_of_a_stream_count_as_requests_and_calls_go_on() {
    let served = served_with(|config| config.api.requests_per_second = 40).await;
    let token = served.token(Role::Support, |_| {}).await;
    let names: Vec<_> = (0..200)
        .map(|number| v1::BatchAddDomainsRequest {
            name: format!("d{number}.example.com"),
            ..Default::default()
        })
        .collect();
    let begun = Instant::now();
    let answers = served.client.clone().batch_add_domains(signed(tokio_stream::iter(names), &token)).await;
    let added =
        tokio::spawn(answers.unwrap().into_inner().filter_map(Result::ok).fold(0, |count, _| count + 1));
    for _ in 0..10 {
        served.client.clone().get_summary(signed(v1::GetSummaryRequest {}, &token)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(added.await.unwrap(), 200);
    assert!(begun.elapsed() > Duration::from_secs(2), "{:?}", begun.elapsed());
}

/// As the console of this process passes it on.
async fn sign_in(
    served: &Served,
    browser: &str,
    device: &str,
    password: &str,
    proof: Option<&str>,
) -> Result<v1::SignInResponse, Status> {
    sign_in_as("ann", served, browser, device, password, proof).await
}

async fn sign_in_as(
    name: &str,
    served: &Served,
    browser: &str,
    device: &str,
    password: &str,
    proof: Option<&str>,
) -> Result<v1::SignInResponse, Status> {
    let message = v1::SignInRequest {
        name: name.into(),
        password: password.into(),
        device: device.into(),
        ..Default::default()
    };
    let mut request = Request::new(message);
    request.metadata_mut().insert("x-browser-address", browser.parse().unwrap());
    if let Some(proof) = proof {
        request.metadata_mut().insert("x-process-proof", proof.parse().unwrap());
    }
    SessionsClient::new(served.channel.clone()).sign_in(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_stranger_who_guesses_keeps_nobody_out() {
    let served = served().await;
    served.person("ann", PASSWORD).await;
    let proof = Some(runtime::process_proof());
    let device = sign_in(&served, "192.0.2.1", "", PASSWORD, proof).await.unwrap().device;
    let mut refused = None;
    for _ in 0..6 {
        refused = sign_in(&served, "198.51.100.7", "", "wrong", proof).await.err();
    }
    assert!(has_reason(&refused.take().unwrap(), "SIGN_IN_THROTTLED"));
    let slowed = sign_in(&served, "198.51.100.7", "", PASSWORD, proof).await.err().unwrap();
    assert!(has_reason(&slowed, "SIGN_IN_THROTTLED"), "not even with the right one");
    sign_in(&served, "192.0.2.1", "", PASSWORD, proof).await.unwrap();
    // On her own browser she signs in from the stranger's very address.
    sign_in(&served, "198.51.100.7", &device, PASSWORD, proof).await.unwrap();
    for _ in 0..6 {
        refused = sign_in(&served, "192.0.2.9", &device, "wrong", proof).await.err();
    }
    assert!(
        refused.is_none_or(|refused| has_reason(&refused, "SIGN_IN_THROTTLED")),
        "a bucket, and no way around"
    );
}

/// Each guess comes from an address of its own. The clock stands still, so nothing is granted meanwhile.
#[tokio::test]
async fn guesses_from_many_sources_are_bounded_per_name() {
    let clock = Arc::new(ManualClock::new("2026-11-23T12:00:00Z".parse().unwrap()));
    let served = served_at(clock.clone(), |_| {}).await;
    served.person("ann", PASSWORD).await;
    served.person("bob", PASSWORD).await;
    let proof = Some(runtime::process_proof());
    let device = sign_in(&served, "192.0.2.1", "", PASSWORD, proof).await.unwrap().device;
    let guess = async |name: &str, number: u8| {
        let source = format!("198.51.100.{number}");
        sign_in_as(name, &served, &source, "", "wrong", proof).await.err().unwrap()
    };
    let mut sentences = Vec::new();
    for name in ["ann", "not on the list"] {
        for number in 0..30 {
            assert!(has_reason(&guess(name, number).await, "SIGN_IN_FAILED"), "{name} {number}");
        }
        let slowed = guess(name, 30).await;
        assert!(has_reason(&slowed, "SIGN_IN_THROTTLED"), "{name}: {slowed:?}");
        sentences.push(slowed.message().to_owned());
    }
    assert_eq!(sentences[0], sentences[1], "it tells no names apart");
    assert!(sentences[0].contains("from many addresses"), "{sentences:?}");

    // On a new browser she is told how long to wait; on her own she gets in, however often, and so does bob on any.
    let slowed = sign_in(&served, "203.0.113.1", "", PASSWORD, proof).await.err().unwrap();
    assert_eq!(slowed.code(), Code::ResourceExhausted, "{slowed:?}");
    let wait = slowed.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert_eq!(wait, Duration::from_mins(1));
    for _ in 0..10 {
        sign_in(&served, "198.51.100.30", &device, PASSWORD, proof).await.unwrap();
    }
    sign_in_as("bob", &served, "198.51.100.30", "", PASSWORD, proof).await.unwrap();

    // Neither do sign-ins with a device make room for guesses, nor do those that go well use it up.
    assert!(has_reason(&guess("ann", 31).await, "SIGN_IN_THROTTLED"));
    clock.advance(SignedDuration::try_from(wait).unwrap());
    for source in ["203.0.113.2", "203.0.113.3"] {
        sign_in(&served, source, "", PASSWORD, proof).await.unwrap();
    }
    assert!(has_reason(&guess("ann", 32).await, "SIGN_IN_FAILED"), "one guess more");
    assert!(has_reason(&guess("ann", 33).await, "SIGN_IN_THROTTLED"));
}

/// Who is no console is taken for who they are.
#[tokio::test]
async fn a_browsers_address_is_believed_of_a_console_only() {
    let served = served().await;
    served.person("ann", PASSWORD).await;
    for proof in [None, Some("00")] {
        let mut refused = Vec::new();
        for number in 0..6 {
            let browser = format!("198.51.100.{number}");
            refused.push(sign_in(&served, &browser, "", "wrong", proof).await.err().unwrap());
        }
        assert!(has_reason(refused.last().unwrap(), "SIGN_IN_THROTTLED"), "{proof:?}");
    }
}

#[tokio::test]
async fn failed_sign_ins_are_told_with_person_and_source_and_not_without_end() {
    let served = served().await;
    served.person("ann", PASSWORD).await;
    let proof = Some(runtime::process_proof());
    for number in 0..60 {
        let browser = format!("198.51.100.{number}");
        sign_in(&served, &browser, "", "wrong", proof).await.err().unwrap();
    }
    let request = v1::SignInRequest { name: "s3cret typed here".into(), ..Default::default() };
    SessionsClient::new(served.channel.clone()).sign_in(request).await.err().unwrap();
    let lines = served.context.store.audit(None, 1000).await.unwrap();
    assert!((20..30).contains(&lines.len()), "{}", lines.len());
    let first = lines.last().unwrap();
    assert_eq!(
        (first.actor.as_str(), first.peer.as_str(), first.call.as_str(), first.outcome.as_str()),
        ("user:ann", "198.51.100.0", "SignIn", "SIGN_IN_FAILED")
    );
    assert!(lines.iter().all(|line| !line.subject.contains("s3cret")));
}
