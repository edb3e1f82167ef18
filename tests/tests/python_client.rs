//! A client in another language, with nothing of ours but the protos: tests/python/flow.py.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use sandbox::{World, WorldOptions};
use tempfile::TempDir;
use tests::{Mode, SslManager, Surroundings};
use tokio::process::Command;

const NAME: &str = "shop.example.com";
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The interpreter with the libraries of tests/python/requirements.txt.
fn python() -> PathBuf {
    let python = Path::new(ROOT).join("target/python/bin/python");
    assert!(python.exists(), "no {}: `make install` makes it", python.display());
    python
}

async fn run(command: &mut Command) -> String {
    let output = command.kill_on_drop(true).output().await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Compiles the protos as any client would.
async fn compile(into: &Path) {
    let protos = Path::new(ROOT).join("proto");
    let mut compiler = Command::new(python());
    compiler.args(["-m", "grpc_tools.protoc"]);
    for option in ["--python_out", "--grpc_python_out"] {
        compiler.arg(format!("{option}={}", into.display()));
    }
    compiler.arg(format!("--proto_path={}", protos.display()));
    for entry in std::fs::read_dir(protos.join("sslmanager/v1")).unwrap() {
        compiler.arg(entry.unwrap().path());
    }
    run(&mut compiler).await;
}

/// Goes the whole way and gives what was printed.
async fn flow(world: &World, manager: &SslManager, settings: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    compile(folder.path()).await;
    let root_file = folder.path().join("root.pem");
    std::fs::write(&root_file, world.ca.issuing_root_pem()).unwrap();
    let endpoint = manager.endpoint().replace("http://", "");
    let mut flow = Command::new(python());
    flow.arg(Path::new(ROOT).join("tests/python/flow.py"))
        .arg(folder.path())
        .env("ENDPOINT", endpoint)
        .env("NAME", NAME)
        .env("ROOT_FILE", root_file)
        .envs(settings.iter().copied());
    run(&mut flow).await
}

/// What is printed, by whoever it was.
fn expected(actor: &str) -> String {
    let services = "grpc.health.v1.Health sslmanager.v1.Administration sslmanager.v1.Domains sslmanager.v1.Jobs \
                    sslmanager.v1.Notifications sslmanager.v1.Sessions";
    let describes = "describes AddDomain(AddDomainRequest) -> domain, created";
    format!(
        "\
reflection v1 lists {services}
reflection v1 {describes}
reflection v1alpha lists {services}
reflection v1alpha {describes}
health of everything SERVING
health of sslmanager.v1.Domains SERVING
health of sslmanager.v1.Jobs SERVING
health of sslmanager.v1.Sessions SERVING
health of sslmanager.v1.Administration SERVING
wrong token: UNAUTHENTICATED TOKEN_INVALID ssl-manager
unknown name: NOT_FOUND DOMAIN_NOT_FOUND ssl-manager
added {NAME} created
added {NAME} present
watched {NAME} STATUS_SUCCESS
got {NAME} STATUS_SUCCESS SOURCE_C4
batch: b1.example.com created
batch: *.example.com NAME_IS_WILDCARD
batch: {NAME} present
batch: b2.example.com created
listed b1.example.com b2.example.com {NAME}
history begins with added by {actor}
downloaded a chain that leads to the root
import: INVALID_ARGUMENT NOT_PEM ssl-manager
rechecked {NAME} STATUS_SUCCESS
deleted {NAME}
gone: NOT_FOUND DOMAIN_NOT_FOUND ssl-manager
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_python_goes_the_whole_way_with_a_token() {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(Mode::Embedded, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    world.point_at_cdn(NAME);
    let token = manager.new_token("support");
    manager.start().await;
    let printed = flow(&world, &manager, &[("TOKEN", &token)]).await;
    assert_eq!(printed, expected("token:support"));
    let lines = manager.run(&["--output", "json", "audit", "list", "--subject", NAME], "");
    let lines = lines.json.as_array().unwrap();
    let named = lines.iter().filter(|line| line["request_id"] == "first");
    assert_eq!(named.filter(|line| line["call"] == "AddDomain").count(), 2, "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_python_goes_the_whole_way_with_a_client_certificate() {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let files = identities();
    let folder = files.path().display();
    let surroundings = Surroundings {
        more_settings: format!(
            r#"
[api.tls]
certificate_file = "{folder}/server.pem"
key_file = "{folder}/server.key"
client_ca_file = "{folder}/ca.pem"
[[api.tls.clients]]
name = "dashboard"
san = "dashboard.example.net"
roles = ["support"]
"#
        ),
        ..Surroundings::sandbox(&world)
    };
    let mut manager = SslManager::new(Mode::Embedded, &surroundings).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    world.point_at_cdn(NAME);
    manager.start().await;
    let printed = flow(&world, &manager, &[("TLS_FOLDER", &folder.to_string())]).await;
    assert_eq!(printed, expected("client:dashboard"));
}

/// What is done wrong: a command, who gives it, and the call and request that are the same.
type Mistake<'a> = (String, &'a str, &'static str, serde_json::Value);

fn mistakes<'a>(manager: &SslManager, tokens: &'a [String; 3]) -> Vec<Mistake<'a>> {
    let [viewer, support, _] = tokens;
    let named = |name: &str| serde_json::json!({ "name": name });
    let unknown = "never.example.com";
    let mut mistakes: Vec<Mistake<'a>> = vec![
        (format!("show {NAME}"), "", "GetDomain", named(NAME)),
        (format!("show {NAME}"), "slm_wrong", "GetDomain", named(NAME)),
        (format!("show {unknown}"), viewer, "GetDomain", named(unknown)),
        (format!("history {unknown}"), viewer, "GetHistory", named(unknown)),
        (format!("certificates {unknown}"), viewer, "ListCertificates", named(unknown)),
        (format!("recheck {unknown}"), support, "RecheckDomain", named(unknown)),
        (format!("rollback {unknown}"), support, "RollbackCertificate", named(unknown)),
        (format!("rollback {NAME}"), support, "RollbackCertificate", named(NAME)),
        (format!("delete --yes {unknown}"), support, "DeleteDomain", named(unknown)),
        (format!("add {unknown}"), viewer, "AddDomain", named(unknown)),
        ("add *.example.com".to_owned(), support, "AddDomain", named("*.example.com")),
        ("add localhost".to_owned(), support, "AddDomain", named("localhost")),
        ("generate 192.0.2.1".to_owned(), support, "GenerateCertificate", named("192.0.2.1")),
        ("check co.uk".to_owned(), support, "CheckDomain", named("co.uk")),
    ];
    mistakes.extend(mistakes_with_files(manager, tokens));
    mistakes
}

fn mistakes_with_files<'a>(
    manager: &SslManager,
    [viewer, support, admin]: &'a [String; 3],
) -> Vec<Mistake<'a>> {
    let file = |name: &str, bytes: &[u8]| {
        let path = manager.folder().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (text, huge) = (file("text", b"no certificate"), file("huge", &vec![b'a'; 100_000]));
    let (output, password) =
        (manager.folder().join("out").display().to_string(), file("pw", "Grüße".as_bytes()));
    let named = |name: &str| serde_json::json!({ "name": name });
    let pasted = |bytes: &[u8]| {
        use base64::Engine as _;
        let bytes = base64::prelude::BASE64_STANDARD.encode(bytes);
        serde_json::json!({ "name": NAME, "certificateFile": bytes, "privateKeyFile": bytes })
    };
    let key = |name: &str, pfx: bool| {
        let password = if pfx { "Grüße" } else { "" };
        serde_json::json!({
            "name": name, "includePrivateKey": !pfx, "includePfx": pfx, "pfxPassword": password, "reason": "test",
        })
    };
    vec![
        (
            format!("import {NAME} --certificate {text} --key {text}"),
            support,
            "ImportCertificate",
            pasted(b"no certificate"),
        ),
        (
            format!("import {NAME} --certificate {huge} --key {huge}"),
            support,
            "ImportCertificate",
            pasted(&vec![b'a'; 100_000]),
        ),
        (format!("download {NAME} --chain {output}"), viewer, "DownloadCertificate", named(NAME)),
        (
            format!("download {NAME} --key {output} --reason test"),
            support,
            "DownloadCertificate",
            key(NAME, false),
        ),
        (
            format!("download {NAME} --pfx {output} --pfx-password-file {password} --reason test"),
            admin,
            "DownloadCertificate",
            key(NAME, true),
        ),
        (
            format!("revoke {NAME} --yes --reason superseded"),
            admin,
            "RevokeCertificate",
            serde_json::json!({ "name": NAME, "reason": "REVOCATION_REASON_SUPERSEDED" }),
        ),
        (format!("list --search {}", "a".repeat(300)), viewer, "ListDomains", {
            serde_json::json!({ "search": "a".repeat(300) })
        }),
    ]
}

/// The terminal and grpcio get the same code and the same sentence for the same mistake.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_python_and_the_terminal_agree_on_every_error() {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(Mode::Embedded, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    let tokens = ["viewer", "support", "admin-2"].map(|name| {
        let role = name.split('-').next().unwrap();
        let made = manager.run(&["token", "create", "--name", name, "--role", role], "");
        made.stdout.trim().to_owned()
    });
    manager.start().await;
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    let cases = mistakes(&manager, &tokens);
    let in_python = errors_in_python(&manager, &cases).await;
    assert_eq!(in_python.len(), cases.len());
    for ((line, token, method, _), expected) in cases.iter().zip(in_python) {
        let arguments: Vec<&str> = std::iter::once("domain").chain(line.split(' ')).collect();
        let answer = manager.run(&arguments, token);
        assert_eq!(answer.code, 1, "{line}: {answer:?}");
        assert_eq!(answer.stderr.trim_end(), expected, "{method}: {line}");
        assert!(!expected.starts_with("OK") && !expected.starts_with("UNKNOWN"), "{line}: {expected}");
    }
}

async fn errors_in_python(manager: &SslManager, cases: &[Mistake<'_>]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    compile(folder.path()).await;
    let calls: Vec<_> = cases
        .iter()
        .map(|(_, token, method, request)| {
            serde_json::json!({ "method": method, "token": token, "request": request })
        })
        .collect();
    let calls_file = folder.path().join("calls.json");
    std::fs::write(&calls_file, serde_json::to_vec(&calls).unwrap()).unwrap();
    let mut errors = Command::new(python());
    errors
        .arg(Path::new(ROOT).join("tests/python/errors.py"))
        .arg(folder.path())
        .env("ENDPOINT", manager.endpoint().replace("http://", ""))
        .stdin(std::fs::File::open(calls_file).unwrap());
    run(&mut errors).await.lines().map(str::to_owned).collect()
}

/// A CA, and what it issued for the server and for a client.
fn identities() -> TempDir {
    let files = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| std::fs::write(files.path().join(name), text).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "The dashboard's CA");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    write("ca.pem", authority.pem());
    for (who, san) in [
        ("server", SanType::IpAddress([127, 0, 0, 1].into())),
        ("client", SanType::DnsName("dashboard.example.net".try_into().unwrap())),
    ] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![san];
        let certificate = params.signed_by(&key, &authority).unwrap();
        write(&format!("{who}.pem"), certificate.pem());
        write(&format!("{who}.key"), key.serialize_pem());
        let secret = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(files.path().join(format!("{who}.key")), secret).unwrap();
    }
    files
}
