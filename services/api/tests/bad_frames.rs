//! Whatever bytes come, in whatever frames (gRPC over HTTP/2, "Length-Prefixed-Message"): the process goes on serving, and
//! every error has its type and tells nothing of the inside.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use bytes::Bytes;
use domain::Role;
use http_body_util::{BodyExt, StreamBody};
use prost::Message;
use proto::v1;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Service, ServiceExt};

use served::{Served, has_reason, served, served_with, signed};

const BAD_REQUESTS: usize = 10_000;
/// Words of the database, of a library, of the source.
const INSIDE: [&str; 15] = [
    "prost",
    "Protobuf",
    "protobuf",
    "sqlx",
    "SQL",
    "SELECT",
    "tonic",
    "h2",
    "hyper",
    "rs:",
    "/src",
    "/root",
    "panicked",
    "backtrace",
    "0x",
];

/// A frame as it should be.
fn frame(message: &[u8]) -> Vec<u8> {
    framed(0, message.len(), message)
}

/// A frame that says that so many bytes follow, compressed or not.
fn framed(flag: u8, says: usize, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![flag];
    frame.extend(u32::try_from(says).unwrap().to_be_bytes());
    frame.extend(message);
    frame
}

/// Sends these bytes as the body; then the body ends, or the stream is cut. How the call ended: an error of the
/// connection, which the server drops after many cuts, is none of the call.
async fn post(served: &Served, method: &str, body: Vec<u8>, cut: bool, token: &str) -> Result<(), Status> {
    let mut pieces = vec![Ok(http_body::Frame::data(Bytes::from(body)))];
    if cut {
        pieces.push(Err(std::io::Error::other("cut")));
    }
    let request = http::Request::post(format!("http://localhost/sslmanager.v1.{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {token}"))
        .body(Body::new(StreamBody::new(tokio_stream::iter(pieces))))
        .unwrap();
    let mut channel = served.channel.clone();
    let answer = channel.ready().await.unwrap().call(request).await;
    let Ok(answer) = answer else {
        return Ok(());
    };
    if let Some(status) = Status::from_header_map(answer.headers()) {
        return ended(status);
    }
    if method == "Domains/WatchDomains" {
        // It goes on for ever; to leave now cuts it.
        return Ok(());
    }
    match answer.into_body().collect().await {
        Ok(whole) => whole.trailers().and_then(Status::from_header_map).map_or(Ok(()), ended),
        Err(_) => Ok(()),
    }
}

fn ended(status: Status) -> Result<(), Status> {
    if status.code() == Code::Ok { Ok(()) } else { Err(status) }
}

#[track_caller]
fn is(ended: &Result<(), Status>, code: Code, reason: &str) {
    let status = ended.as_ref().unwrap_err();
    assert_eq!(status.code(), code, "{status:?}");
    assert!(has_reason(status, "google.rpc.ErrorInfo") && has_reason(status, reason), "{status:?}");
}

#[tokio::test]
async fn frames_that_are_none_are_refused_in_our_words() {
    let served = served().await;
    let token = served.token(Role::Admin, |_| {}).await;
    let add = v1::AddDomainRequest { name: "a.example.com".into(), ..Default::default() };
    let add = add.encode_to_vec();
    let malformed = [
        Vec::new(),
        vec![0, 0],
        framed(0, add.len() + 1, &add),
        framed(0, add.len() - 1, &add),
        framed(7, add.len(), &add),
    ];
    for method in ["Domains/AddDomain", "Domains/WatchDomains", "Sessions/SignOut"] {
        for body in &malformed {
            let refused = post(&served, method, body.clone(), false, &token).await;
            is(&refused, Code::InvalidArgument, "MESSAGE_MALFORMED");
        }
        let refused = post(&served, method, framed(0, u32::MAX as usize, &add), false, &token).await;
        is(&refused, Code::InvalidArgument, "MESSAGE_TOO_LARGE");
    }
    let refused = post(&served, "Domains/AddDomain", framed(1, add.len(), &add), false, &token).await;
    assert!(has_reason(refused.as_ref().unwrap_err(), "google.rpc.ErrorInfo"), "{refused:?}");
    assert_eq!(served.context.store.position().await.unwrap(), 0, "nothing changed");
}

/// A stream that breaks within a frame keeps what came before it.
#[tokio::test]
async fn a_stream_that_breaks_within_a_frame_keeps_what_came_before() {
    let served = served().await;
    let token = served.token(Role::Support, |_| {}).await;
    let asked =
        |name: &str| v1::BatchAddDomainsRequest { name: name.into(), ..Default::default() }.encode_to_vec();
    let mut body = frame(&asked("a.example.com"));
    body.extend(framed(0, 100, &asked("b.example.com")));
    let broken = post(&served, "Domains/BatchAddDomains", body, false, &token).await;
    is(&broken, Code::InvalidArgument, "MESSAGE_MALFORMED");
    let listed = async |name: &str| {
        let name = domain::DomainName::parse(name).unwrap();
        served.context.store.domain(&name).await.unwrap().is_some()
    };
    assert!(listed("a.example.com").await && !listed("b.example.com").await);
}

/// Numbers that are the same in every run (Knuth's MMIX generator).
struct Random(u64);

impl Random {
    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.next() % most;
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// A message whose first field is a text, that gets as far as our own code.
    fn named(&mut self) -> Vec<u8> {
        let text: Vec<u8> = self.bytes(40).iter().map(|byte| byte & 0x7f).collect();
        let mut message = vec![0x0a, text.len() as u8];
        message.extend(text);
        message
    }

    /// A body, and whether the stream is cut after it.
    fn body(&mut self) -> (Vec<u8>, bool) {
        let cut = self.next().is_multiple_of(10);
        let body = match self.next() % 8 {
            0 => self.bytes(40),
            1 => Vec::new(),
            2 => {
                let message = self.bytes(40);
                framed(0, message.len() + 1 + self.next() % 100, &message)
            }
            3 => framed(self.next() as u8, 4, &self.bytes(40)),
            4 => framed(0, 100_000_000 + self.next() % 1_000_000, &self.bytes(40)),
            5 => [frame(&self.named()), frame(&self.named())].concat(),
            6 => frame(&self.bytes(40)),
            _ => frame(&self.named()),
        };
        (body, cut)
    }
}

#[tokio::test]
async fn ten_thousand_bad_requests_leave_it_serving_and_tell_nothing_of_the_inside() {
    let mut served = served_with(|config| config.api.requests_per_second = 0).await;
    let token = served.token(Role::Admin, |_| {}).await;
    let files = prost_types::FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).unwrap();
    let services = files.file.iter().flat_map(|file| &file.service);
    let mut methods: Vec<String> = services
        .flat_map(|service| {
            let name =
                |method: &prost_types::MethodDescriptorProto| format!("{}/{}", service.name(), method.name());
            service.method.iter().map(name)
        })
        .collect();
    methods.push("Domains/NoSuchCall".into());
    let mut random = Random(1);
    let mut refusals = 0;
    for number in 0..BAD_REQUESTS {
        let method = &methods[random.next() % methods.len()];
        let (body, cut) = random.body();
        // A name makes a sign-in, which takes its time on purpose.
        if method == "Sessions/SignIn" && body.get(5) == Some(&0x0a) {
            continue;
        }
        let Err(refused) = post(&served, method, body, cut, &token).await else {
            continue;
        };
        refusals += 1;
        let words = format!("{} {}", refused.message(), String::from_utf8_lossy(refused.details()));
        assert!(has_reason(&refused, "google.rpc.ErrorInfo"), "{number} {method}: {refused:?}");
        assert_ne!(refused.code(), Code::Internal, "{number} {method}: {refused:?}");
        for inside in INSIDE {
            assert!(!words.contains(inside), "{number} {method}: {words}");
        }
    }
    assert!(refusals > BAD_REQUESTS / 2, "{refusals}");
    let name = "shop.example.com";
    let add = v1::AddDomainRequest { name: name.into(), ..Default::default() };
    served.client.add_domain(signed(add, &token)).await.unwrap();
    let get = v1::GetDomainRequest { name: name.into() };
    served.client.get_domain(signed(get, &token)).await.unwrap();
}
