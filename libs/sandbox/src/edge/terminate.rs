//! TLS by the name that the client asks for.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use http::StatusCode;
use http::header::HOST;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::serve::{DroppedConnection, Reply, Request, Service, text};
use crate::sync::{read, write};
use crate::{C4Control, SandboxError, tls};

/// Resumption is off: every client shall see the certificate of now.
pub(super) fn config(certificates: Arc<Certificates>) -> Result<Arc<ServerConfig>, SandboxError> {
    let mut config = ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

pub(super) struct Certificates {
    c4: C4Control,
    /// What is served whatever C4 holds: nothing, or what was served when the lag began.
    pinned: RwLock<Option<HashMap<String, Arc<CertifiedKey>>>>,
    leaves_alone: AtomicBool,
}

impl Certificates {
    pub(super) fn new(c4: C4Control) -> Self {
        Self { c4, pinned: RwLock::default(), leaves_alone: AtomicBool::new(false) }
    }

    pub(super) fn lag(&self, on: bool) {
        let mut pinned = write(&self.pinned);
        match (on, pinned.is_some()) {
            (true, false) => *pinned = Some(self.c4.0.keys()),
            (false, _) => *pinned = None,
            (true, true) => {}
        }
    }

    pub(super) fn lose_intermediates(&self, on: bool) {
        self.leaves_alone.store(on, Ordering::Relaxed);
    }

    pub(super) fn serve_nothing(&self, on: bool) {
        *write(&self.pinned) = on.then(HashMap::new);
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = client_hello.server_name()?.to_ascii_lowercase();
        let served = match &*read(&self.pinned) {
            Some(served) => served.get(&name).cloned(),
            None => self.c4.0.key_for(&name),
        }?;
        if !self.leaves_alone.load(Ordering::Relaxed) {
            return Some(served);
        }
        let mut alone = CertifiedKey::clone(&served);
        alone.cert.truncate(1);
        Some(Arc::new(alone))
    }
}

/// What is behind the TLS.
pub(super) struct Greeter;

impl Service for Greeter {
    async fn answer(self: Arc<Self>, request: Request) -> Result<Reply, DroppedConnection> {
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("nobody");
        Ok(text(StatusCode::OK, format!("hello from the edge, {host}\n")))
    }
}
