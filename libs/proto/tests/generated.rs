//! The committed code in `src/generated` is what the protos compile to.
//!
//! It is committed so that a build needs neither a proto compiler nor a code generator; this test has both, and writes the
//! files anew with `make protos`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use prost::Message;

/// If set, the files are written instead of compared.
const WRITE: &str = "WRITE_GENERATED_CODE";
const PROTOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto");
const GENERATED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/generated");
const CODE: &str = "sslmanager.v1.rs";
const DESCRIPTORS: &str = "descriptors.bin";

/// Messages that contain a private key, a password or a session token: they get no `Debug`.
const SECRET: [&str; 14] = [
    ".sslmanager.v1.CreateEndpointRequest",
    ".sslmanager.v1.CreateEndpointResponse",
    ".sslmanager.v1.CreateTokenResponse",
    ".sslmanager.v1.CreateUserResponse",
    ".sslmanager.v1.DownloadCertificateRequest",
    ".sslmanager.v1.DownloadCertificateResponse",
    ".sslmanager.v1.ImportCertificateRequest",
    ".sslmanager.v1.ResetPasswordResponse",
    ".sslmanager.v1.SignInRequest",
    ".sslmanager.v1.SignInResponse",
    ".sslmanager.v1.SignInWithIdTokenRequest",
    ".sslmanager.v1.SignInWithIdTokenResponse",
    ".sslmanager.v1.UpdateEndpointRequest",
    ".sslmanager.v1.UpdateEndpointResponse",
];

const FILES: [&str; 7] = [
    "sslmanager/v1/types.proto",
    "sslmanager/v1/domains.proto",
    "sslmanager/v1/sessions.proto",
    "sslmanager/v1/administration.proto",
    "sslmanager/v1/jobs.proto",
    "sslmanager/v1/events.proto",
    "sslmanager/v1/notifications.proto",
];

/// Code and descriptors of the protos as they are now.
fn generate() -> (Vec<u8>, Vec<u8>) {
    let descriptors = protox::compile(FILES, [PROTOS]).unwrap();
    let encoded = descriptors.encode_to_vec();
    let folder = tempfile::tempdir().unwrap();
    let builder = tonic_prost_build::configure().skip_debug(SECRET).out_dir(folder.path());
    builder.compile_fds(descriptors).unwrap();
    let written: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(written, [CODE], "one package, one file");
    (std::fs::read(folder.path().join(CODE)).unwrap(), encoded)
}

#[test]
fn the_committed_code_is_what_the_protos_compile_to() {
    let (code, descriptors) = generate();
    for (name, current) in [(CODE, code), (DESCRIPTORS, descriptors)] {
        let path = Path::new(GENERATED).join(name);
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(&path, &current).unwrap();
        }
        let committed = std::fs::read(&path).unwrap_or_default();
        assert!(committed == current, "libs/proto/src/generated/{name} is stale: `make protos`");
    }
}

/// A proto that is not compiled would be one that no client gets.
#[test]
fn every_proto_is_compiled() {
    let folder = Path::new(PROTOS).join("sslmanager/v1");
    let mut found: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| format!("sslmanager/v1/{}", file.unwrap().file_name().to_str().unwrap()))
        .collect();
    found.sort();
    let mut compiled = FILES;
    compiled.sort_unstable();
    assert_eq!(found, compiled);
}
