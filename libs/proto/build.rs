//! Compiles the protos with protox, so that no `protoc` has to be installed.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message;

/// Messages with a private key or a password in them: they get no `Debug`.
const SECRET: [&str; 7] = [
    ".sslmanager.v1.DownloadCertificateRequest",
    ".sslmanager.v1.DownloadCertificateResponse",
    ".sslmanager.v1.ImportCertificateRequest",
    ".sslmanager.v1.SignInRequest",
    ".sslmanager.v1.SignInResponse",
    ".sslmanager.v1.SignInWithIdTokenRequest",
    ".sslmanager.v1.SignInWithIdTokenResponse",
];

const FILES: [&str; 4] = [
    "sslmanager/v1/types.proto",
    "sslmanager/v1/domains.proto",
    "sslmanager/v1/sessions.proto",
    "sslmanager/v1/events.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    for file in FILES {
        println!("cargo::rerun-if-changed={}", root.join(file).display());
    }
    let descriptors = protox::compile(FILES, [root])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().skip_debug(SECRET).compile_fds(descriptors)?;
    Ok(())
}
