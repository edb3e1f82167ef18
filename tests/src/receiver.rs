//! A receiver of webhooks on loopback that keeps what arrives.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What arrived with one request.
#[derive(Clone, Debug)]
pub struct Received {
    /// The headers, their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body as it came.
    pub text: String,
    /// The body, read.
    pub body: Value,
}

impl Received {
    /// The notices in it.
    pub fn events(&self) -> Vec<Value> {
        self.body["events"].as_array().cloned().unwrap_or_default()
    }
}

/// A receiver of webhooks.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Where it is.
    pub url: String,
    status: Arc<AtomicU16>,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    /// Listens, and answers 200.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let receiver = Self { url, status: Arc::new(AtomicU16::new(200)), received: Arc::default() };
        let of = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let of = of.clone();
                tokio::spawn(async move { of.answer(stream).await });
            }
        });
        receiver
    }

    /// Answers with that status from now on, and keeps what arrives all the same.
    pub fn answer_with(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// All that arrived.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn answer(&self, mut stream: TcpStream) -> Option<()> {
        let mut bytes = Vec::new();
        let received = loop {
            let mut part = vec![0; 64 * 1024];
            let read = stream.read(&mut part).await.ok()?;
            bytes.extend_from_slice(&part[..read]);
            if let Some(received) = whole(&bytes) {
                break received;
            }
            if read == 0 {
                return None;
            }
        };
        self.received.lock().unwrap_or_else(PoisonError::into_inner).push(received);
        let status = self.status.load(Ordering::Relaxed);
        let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.ok()?;
        stream.shutdown().await.ok()
    }
}

/// The request, once all of it is there.
fn whole(bytes: &[u8]) -> Option<Received> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let headers = head.lines().filter_map(|line| line.split_once(": "));
    let headers: BTreeMap<String, String> =
        headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let length: usize = headers.get("content-length")?.parse().ok()?;
    let body = body.get(..length)?;
    Some(Received { text: body.to_owned(), body: serde_json::from_str(body).ok()?, headers })
}
