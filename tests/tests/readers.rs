//! Every download is read by those who will read it: OpenSSL, Java and nginx.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sandbox::{World, WorldOptions};
use tests::{Mode, SslManager, Surroundings, free_port};

const LIMIT: Duration = Duration::from_mins(1);
const NAME: &str = "shop.example.com";
const ALIAS: &str = NAME;

struct Files {
    root: PathBuf,
    certificate: PathBuf,
    chain: PathBuf,
    key: PathBuf,
    /// Each with the file of its password.
    pfx: Vec<(PathBuf, PathBuf)>,
}

/// What a reader printed; it must read.
fn reads(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).env("LC_ALL", "C.UTF-8").output();
    let output =
        output.unwrap_or_else(|error| panic!("{program}: {error}: `make install` installs what is missing"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {out}{err}");
    format!("{out}{err}")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn download(manager: &SslManager, world: &World) -> Files {
    let path = |name: &str| manager.folder().join(name);
    let root = path("root.pem");
    std::fs::write(&root, world.ca.issuing_root_pem()).unwrap();
    let [certificate, chain, key] = ["certificate.pem", "chain.pem", "key.pem"].map(path);
    let arguments = ["--certificate", text(&certificate), "--chain", text(&chain), "--key", text(&key)];
    let done = manager.domain(&[&["download", NAME, "--reason", "test"], &arguments[..]].concat());
    assert_eq!(done.code, 0, "{done:?}");
    let longest = "a".repeat(128);
    let passwords = ["secret-1", "x", " two words ", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", &longest];
    let pfx = passwords.iter().enumerate().map(|(index, password)| {
        let (pfx, file) = (path(&format!("{index}.pfx")), path(&format!("{index}.password")));
        std::fs::write(&file, password).unwrap();
        let arguments = ["--pfx", text(&pfx), "--pfx-password-file", text(&file)];
        let done = manager.domain(&[&["download", NAME, "--reason", "test"], &arguments[..]].concat());
        assert_eq!(done.code, 0, "{password}: {done:?}");
        (pfx, file)
    });
    let pfx = pfx.collect();
    Files { root, certificate, chain, key, pfx }
}

fn openssl_reads(files: &Files) {
    assert!(reads("openssl", &["version"]).starts_with("OpenSSL 3"));
    let (root, chain) = (text(&files.root), text(&files.chain));
    let verify = ["verify", "-CAfile", root, "-untrusted", chain, "-verify_hostname", NAME];
    for file in [&files.certificate, &files.chain] {
        reads("openssl", &[&verify[..], &[text(file)]].concat());
    }
    reads("openssl", &["pkey", "-in", text(&files.key), "-check", "-noout"]);
    for (pfx, password) in &files.pfx {
        let opened = reads(
            "openssl",
            &["pkcs12", "-in", text(pfx), "-passin", &format!("file:{}", text(password)), "-noenc"],
        );
        assert!(opened.contains("BEGIN PRIVATE KEY") && opened.contains("BEGIN CERTIFICATE"), "{opened}");
    }
}

fn java_reads(files: &Files, folder: &Path) {
    let printed = reads("keytool", &["-printcert", "-file", text(&files.chain)]);
    assert!(printed.contains("Certificate[1]:") && printed.contains("Certificate[2]:"), "{printed}");
    for (index, (pfx, password)) in files.pfx.iter().enumerate() {
        let listed =
            reads("keytool", &["-list", "-v", "-keystore", text(pfx), "-storepass:file", text(password)]);
        assert!(
            listed.contains("PrivateKeyEntry") && listed.contains(&format!("Alias name: {ALIAS}")),
            "{listed}"
        );
        // Only this opens the key.
        let jks = folder.join(format!("{index}.jks"));
        let to = ["-importkeystore", "-noprompt", "-destkeystore", text(&jks), "-deststorepass", "changeit"];
        let from = ["-srckeystore", text(pfx), "-srcstorepass:file", text(password)];
        reads("keytool", &[&to[..], &from].concat());
    }
}

fn nginx_reads(files: &Files, folder: &Path) {
    let (folder_text, port) = (text(folder), free_port());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {folder_text}/nginx-{what};\n"))
        .concat();
    let settings = format!(
        "pid {folder_text}/nginx.pid;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}\
         server {{ listen 127.0.0.1:{port} ssl; server_name {NAME};\n\
         ssl_certificate {}; ssl_certificate_key {}; }}\n}}\n",
        text(&files.chain),
        text(&files.key)
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, settings).unwrap();
    let tested = reads("/usr/sbin/nginx", &["-t", "-e", "stderr", "-p", folder_text, "-c", text(&file)]);
    assert!(tested.contains("test is successful") && !tested.contains("[warn]"), "{tested}");
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_java_and_nginx_take_every_download() {
    for algorithm in ["p256", "p384", "rsa2048"] {
        let world = World::start(WorldOptions::default()).await.unwrap();
        let mut manager = SslManager::new(Mode::Embedded, &Surroundings::sandbox(&world)).await;
        world.edge.control().set_challenge_upstream(manager.responder());
        world.point_at_cdn(NAME);
        manager.spawn(&[("SSL_MANAGER__ISSUER__KEY_ALGORITHM", algorithm)]);
        manager.ready().await;
        assert_eq!(manager.domain(&["add", NAME]).code, 0);
        manager.status(NAME, "Success", LIMIT).await;
        let files = download(&manager, &world);
        openssl_reads(&files);
        java_reads(&files, manager.folder());
        nginx_reads(&files, manager.folder());
    }
}
