//! `domain download`: certificate, chain, key and PFX as files or on stdout; a file with the key is for its owner alone.

use std::path::PathBuf;

use proto::v1;
use serde_json::json;
use tonic::Request;
use zeroize::Zeroizing;

use super::destination::Destination;
use super::{Client, answer, files};
use crate::cli::{DownloadArgs, Output};
use crate::dispatch::CommandError;
use crate::output::{complain, print_done};

const PUBLIC: u32 = 0o644;
const SECRET: u32 = 0o600;

pub(super) async fn run(
    client: &mut Client,
    args: &DownloadArgs,
    output: Output,
) -> Result<(), CommandError> {
    if args.certificate.is_none() && args.chain.is_none() && args.key.is_none() && args.pfx.is_none() {
        return Err(CommandError::usage("say what to download: --certificate, --chain, --key or --pfx FILE"));
    }
    let password = match &args.pfx_password_file {
        Some(path) => files::password(path)?,
        None => Zeroizing::default(),
    };
    // Looked at before the key leaves: a download that cannot be written would be in the history for nothing.
    let to = |path: &Option<PathBuf>| path.as_deref().map(Destination::of).transpose();
    let [certificate, chain, key, pfx] =
        [to(&args.certificate)?, to(&args.chain)?, to(&args.key)?, to(&args.pfx)?];
    let is_text_on_stdout = [&certificate, &chain, &key].contains(&&Some(Destination::Stdout));
    if is_text_on_stdout && pfx == Some(Destination::Stdout) {
        return Err(CommandError::usage("a PFX is binary: write it to stdout alone, or to a file"));
    }
    let request = v1::DownloadCertificateRequest {
        name: args.name.clone(),
        include_private_key: args.key.is_some(),
        reason: args.reason.clone().unwrap_or_default(),
        include_pfx: args.pfx.is_some(),
        pfx_password: password.to_string(),
    };
    let answer = answer(client.download_certificate(Request::new(request)).await)?;
    let key_pem = Zeroizing::new(answer.private_key_pem);
    let pfx_bytes = Zeroizing::new(answer.pfx);
    let mut written = Vec::new();
    let mut is_stdout_taken = false;
    for (destination, content, mode, path) in [
        (certificate, answer.certificate_pem.as_bytes(), PUBLIC, &args.certificate),
        (chain, answer.chain_pem.as_bytes(), PUBLIC, &args.chain),
        (key, key_pem.as_bytes(), SECRET, &args.key),
        (pfx, pfx_bytes.as_slice(), SECRET, &args.pfx),
    ] {
        if let (Some(destination), Some(path)) = (destination, path) {
            destination.write(content, mode)?;
            is_stdout_taken |= destination == Destination::Stdout;
            written.push(path.display().to_string());
        }
    }
    let sha256 = answer.certificate.unwrap_or_default().sha256;
    let sentence = format!("Written: {} (SHA-256 {sha256})", written.join(", "));
    if is_stdout_taken {
        complain(sentence);
        return Ok(());
    }
    print_done(output, sentence, &json!({ "name": args.name, "sha256": sha256, "files": written }))
}
