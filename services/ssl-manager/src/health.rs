//! `health`: asks `/readyz` of the process that runs with these settings, for containers that have no other client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use runtime::Config;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::cli::Output;
use crate::dispatch::CommandError;
use crate::output::print_done;

const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(200);
const MAX_BYTES: u64 = 64 * 1024;

/// Asks, and for so many seconds again.
pub(crate) async fn run(config: &Config, wait_seconds: u16, output: Output) -> Result<(), CommandError> {
    let address = reachable(config.admin.listen);
    let until = Instant::now() + Duration::from_secs(wait_seconds.into());
    loop {
        match ready(address).await {
            Ok(parts) => {
                let lines: Vec<_> = parts.lines().collect();
                let sentence = lines.join("; ");
                return print_done(output, sentence, &json!({ "ready": true, "parts": lines }));
            }
            Err(failure) if Instant::now() >= until => return Err(failure),
            Err(_) => tokio::time::sleep(ASK_AGAIN_AFTER).await,
        }
    }
}

/// The parts of the process, all of them ready.
async fn ready(address: SocketAddr) -> Result<String, CommandError> {
    let answer = match tokio::time::timeout(ANSWERS_WITHIN, ask(address)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            let sentence = format!("nobody answers at {address} (admin.listen): {error}");
            return Err(CommandError::new("NOT_RUNNING", sentence));
        }
        Err(_) => {
            let sentence = format!("{address} (admin.listen) takes too long to answer");
            return Err(CommandError::new("NOT_RUNNING", sentence));
        }
    };
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split(' ').nth(1) == Some("200") {
        return Ok(body.trim().to_owned());
    }
    Err(CommandError::new("NOT_READY", body.trim().replace('\n', "; ")))
}

/// Where a process that listens on every address can be asked.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    // HTTP/1.0: the answer ends with the connection, and is never in pieces.
    let request = format!("GET /readyz HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_BYTES).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_reached_on_loopback() {
        for (listen, reached) in [
            ("0.0.0.0:9090", "127.0.0.1:9090"),
            ("[::]:9090", "[::1]:9090"),
            ("192.0.2.7:9090", "192.0.2.7:9090"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()), reached.parse().unwrap());
        }
    }
}
