//! The least HTTP server that answers challenges, for programs that have none of their own.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const MAX_REQUEST: usize = 8 * 1024;

/// Answers each path with what `look` finds, for as long as this program runs.
pub(crate) async fn serve(look: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = listener.local_addr().unwrap();
    let look = Arc::new(look);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer_all(stream, look.clone()));
        }
    });
    listen
}

async fn answer_all(mut stream: TcpStream, look: Arc<impl Fn(&str) -> Option<String>>) {
    let mut read = Vec::new();
    while read.len() < MAX_REQUEST {
        match stream.read_buf(&mut read).await {
            Ok(0) | Err(_) => return,
            Ok(_) if !read.ends_with(b"\r\n\r\n") => continue,
            Ok(_) => {}
        }
        let request = String::from_utf8_lossy(&read);
        let found = request.split(' ').nth(1).and_then(|path| look(path));
        let (status, body) = found.map_or(("404 Not Found", String::new()), |body| ("200 OK", body));
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        read.clear();
    }
}
