//! `domain download`: certificate, chain, key and PFX as files; what holds the key for nobody's eyes but the owner's.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use proto::v1;
use serde_json::json;
use tonic::Request;
use zeroize::Zeroizing;

use super::{Client, answer, files};
use crate::cli::{DownloadArgs, Output};
use crate::dispatch::Failure;
use crate::output::print_one;

const PUBLIC: u32 = 0o644;
const SECRET: u32 = 0o600;

pub(super) async fn run(client: &mut Client, args: &DownloadArgs, output: Output) -> Result<(), Failure> {
    if args.certificate.is_none() && args.chain.is_none() && args.key.is_none() && args.pfx.is_none() {
        return Err(Failure::usage("say what to download: --certificate, --chain, --key or --pfx FILE"));
    }
    let password = match &args.pfx_password_file {
        Some(path) => password(path)?,
        None => Zeroizing::default(),
    };
    let request = v1::DownloadCertificateRequest {
        name: args.name.clone(),
        include_private_key: args.key.is_some(),
        reason: args.reason.clone().unwrap_or_default(),
        include_pfx: args.pfx.is_some(),
        pfx_password: password.to_string(),
    };
    let answer = answer(client.download_certificate(Request::new(request)).await)?;
    let key = Zeroizing::new(answer.private_key_pem);
    let pfx = Zeroizing::new(answer.pfx);
    let mut written = Vec::new();
    for (path, content, mode) in [
        (&args.certificate, answer.certificate_pem.as_bytes(), PUBLIC),
        (&args.chain, answer.chain_pem.as_bytes(), PUBLIC),
        (&args.key, key.as_bytes(), SECRET),
        (&args.pfx, pfx.as_slice(), SECRET),
    ] {
        if let Some(path) = path {
            write(path, content, mode).map_err(|error| {
                Failure::new("FAILED", format!("cannot write {}: {error}", path.display()))
            })?;
            written.push(path.display().to_string());
        }
    }
    let sha256 = answer.certificate.unwrap_or_default().sha256;
    match output {
        Output::Json => print_one(output, &json!({ "name": args.name, "sha256": sha256, "files": written })),
        Output::Table => println!("Written: {} (SHA-256 {sha256})", written.join(", ")),
    }
    Ok(())
}

/// The password of a file, without the line's end that editors leave. What it may be, the server says.
fn password(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let mut text = files::read(path)?;
    let password = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(password);
    Ok(text)
}

/// Writes beside the file and renames, so that there is never half a key, and never one with another mode.
fn write(path: &Path, content: &[u8], mode: u32) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = Path::new(&beside);
    let result = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(beside)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(beside, path));
    if result.is_err() {
        // What could not be written may not be there either; the first error is the one to tell.
        let _ = fs::remove_file(beside);
    }
    result
}
