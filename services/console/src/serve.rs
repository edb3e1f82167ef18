//! The page's port: TLS where it is configured, HTTP/1.1 and HTTP/2.

use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use runtime::config::ConsoleTls;
use runtime::{Current, Listener, Process, RoleError, Stop, serve_http, show_own_certificate};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// What speaks TLS, read again when its files change; none where there is none to be spoken.
pub(crate) fn tls(process: &Process) -> Result<Option<Current<ServerConfig>>, RoleError> {
    let config = process.config.clone();
    let Some(tls) = config.console.tls.clone() else { return Ok(None) };
    let files = vec![tls.certificate_file.clone(), tls.key_file.clone()];
    let kept = process.reload.keep("console.tls", files, move || {
        config.check_secret_file("console.tls.key_file", &tls.key_file)?;
        server_config(&tls)
    });
    kept.map(Some)
}

fn server_config(tls: &ConsoleTls) -> Result<ServerConfig, RoleError> {
    let chain: Vec<CertificateDer<'static>> = read(&tls.certificate_file, "console.tls.certificate_file")?;
    let keys: Vec<PrivateKeyDer<'static>> = read(&tls.key_file, "console.tls.key_file")?;
    let [key] = <[_; 1]>::try_from(keys)
        .map_err(|_| RoleError::setting("console.tls.key_file", "must hold exactly one private key"))?;
    let leaf = chain.first().cloned();
    let wrong = |error: rustls::Error| RoleError::setting("console.tls", error.to_string());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(wrong)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if let Some(leaf) = leaf {
        show_own_certificate(&tls.certificate_file, &leaf);
    }
    Ok(config)
}

fn read<T: PemObject>(path: &Path, setting: &'static str) -> Result<Vec<T>, RoleError> {
    let file = std::fs::File::open(path)
        .map_err(|error| RoleError::setting(setting, format!("cannot read {}: {error}", path.display())))?;
    T::pem_reader_iter(BufReader::new(file))
        .collect::<Result<Vec<T>, _>>()
        .map_err(|error| RoleError::setting(setting, format!("{}: {error}", path.display())))
}

/// Serves until the stop; pages in hand are finished.
pub(crate) async fn serve(listener: Listener, router: &Router, stop: &Stop) {
    let (router, soft) = (router.clone(), stop.soft().clone());
    let serve = move |stream| serve_http(stream, router.clone(), soft.clone());
    listener.serve(stop.soft().clone(), |task| stop.spawn(task), serve).await;
}
