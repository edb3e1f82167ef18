//! Private keys: who gets one, how it is written, and where it must not be.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use memchr::memmem::find;
use proto::v1;
use proto::v1::sessions_client::SessionsClient;
use rcgen::{CertificateParams, KeyPair};
use reqwest::Method;
use sandbox::{World, WorldOptions};
use seal::{Binding, Purpose, SealingKeys};
use serde_json::json;
use tests::{
    Backends, Collector, Mode, Postgres, RabbitMq, SslManager, Surroundings,
    certificate_and_key_belong_together,
};

const LIMIT: Duration = Duration::from_mins(1);
const NAME: &str = "shop.example.com";
/// A name whose certificate is pasted.
const PASTED: &str = "own.example.com";

tests::in_both_modes!(a_key_leaves_for_who_may_have_it_and_is_nowhere_in_clear);

async fn a_key_leaves_for_who_may_have_it_and_is_nowhere_in_clear(mode: Mode) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(mode, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    world.point_at_cdn(NAME);
    world.point_at_cdn(PASTED);
    let collector = Collector::start().await;
    manager.spawn(&[("RUST_LOG", "trace"), ("SSL_MANAGER__TELEMETRY__OTLP_ENDPOINT", collector.endpoint())]);
    manager.ready().await;
    if mode == Mode::Scaled {
        hear_everything(manager.backends()).await;
    }
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    manager.status(NAME, "Success", LIMIT).await;

    let (token, key_pem) = take_the_key_out(&manager);
    let mut needles = of_key("the private key", &pkcs8(&key_pem));
    needles.extend(of_text("a token", &token));
    needles.extend(of_text("C4's token", world.c4.token()));
    needles.extend(make_a_pfx(&manager, &token));
    needles.extend(paste_a_key(&mut manager).await);
    needles.extend(sign_in_and_out(&manager).await);
    let audit_log = manager.run(&["--output", "json", "audit", "list"], "");
    assert!(audit_log.json.as_array().unwrap().len() > 8, "{audit_log:?}");

    manager.process().terminate();
    assert!(manager.process().exit(LIMIT).await.success());
    let sealing_key = std::fs::read_to_string(manager.folder().join("data/sealing.key")).unwrap();
    let mut written = vec![("the log".to_owned(), manager.log().into_bytes())];
    written.push(("the audit log".to_owned(), audit_log.stdout.into_bytes()));
    written.push(("the spans".to_owned(), collector.text().into_bytes()));
    assert!(manager.log().contains("TRACE"), "the log was at trace level");
    assert!(collector.spans().len() > 5, "spans were sent");
    match mode {
        Mode::Embedded => written.extend(files(&manager)),
        Mode::Scaled => {
            needles.push(("the sealing key".to_owned(), sealing_key.trim().as_bytes().to_vec()));
            needles.extend(of_key("the account key", &account_key(&manager).await));
            for setting in ["SSL_MANAGER__STORE__URL", "SSL_MANAGER__BUS__URL"] {
                let password = password_of(&manager.setting("issuer", setting));
                needles.push((format!("the password of {setting}"), password.into_bytes()));
            }
            written.push(("the database".to_owned(), dump(&manager).await));
            written.push(("the queues".to_owned(), everything_heard(manager.backends()).await));
        }
    }
    for (place, bytes) in &written {
        assert!(!bytes.is_empty(), "{place}");
        for (what, needle) in &needles {
            assert!(find(bytes, needle).is_none(), "{what} stands in {place}");
        }
    }
    // What does stand there is found: log, audit log, spans, database.
    let names = written.iter().filter(|(_, bytes)| find(bytes, NAME.as_bytes()).is_some());
    assert!(names.count() >= 4);
}

/// Gets the key as who may have it, and not as who may not; the token that may, and the key.
fn take_the_key_out(manager: &SslManager) -> (String, String) {
    let key = manager.folder().join("shop.key");
    let chain = manager.folder().join("shop.pem");
    let arguments = |reason: &'static str| {
        let mut all = vec!["domain", "download", NAME, "--chain", chain.to_str().unwrap()];
        all.extend(["--key", key.to_str().unwrap(), "--reason", reason]);
        all
    };
    for role in ["viewer", "support"] {
        let token = manager.new_token(role);
        let refused = manager.run(&arguments("curiosity"), &token);
        assert_eq!(refused.code, 1);
        assert!(refused.stderr.contains("PERMISSION_DENIED"), "{}", refused.stderr);
    }
    let token = manager.new_token("key-reader");
    let without_reason = manager.run(&arguments(" "), &token);
    assert!(without_reason.stderr.contains("INVALID_ARGUMENT"), "{}", without_reason.stderr);
    assert!(!key.exists());
    let got = manager.run(&arguments("migration to another CDN"), &token);
    assert_eq!(got.code, 0, "{}", got.stderr);
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let key_pem = std::fs::read_to_string(&key).unwrap();
    assert!(certificate_and_key_belong_together(&std::fs::read_to_string(&chain).unwrap(), &key_pem));
    let history = manager.domain(&["history", NAME]);
    let newest = &history.json[0];
    assert_eq!(
        (newest["kind"].as_str(), newest["actor"].as_str()),
        (Some("key_downloaded"), Some("token:key-reader"))
    );
    assert!(newest["message"].as_str().unwrap().contains("migration to another CDN"));
    (token, key_pem)
}

/// Takes the key out as a PFX; the password of it.
fn make_a_pfx(manager: &SslManager, token: &str) -> Needles {
    let password = "pfx-password-greeting-7351";
    let file = manager.folder().join("pfx-password");
    std::fs::write(&file, password).unwrap();
    let pfx = manager.folder().join("shop.pfx");
    let mut arguments = vec!["domain", "download", NAME, "--pfx", pfx.to_str().unwrap()];
    arguments.extend(["--pfx-password-file", file.to_str().unwrap()]);
    arguments.extend(["--reason", "an old load balancer"]);
    let made = manager.run(&arguments, token);
    assert_eq!(made.code, 0, "{made:?}");
    let mut needles = of_text("the PFX's password", password);
    // As the PFX itself has it.
    let units = password.encode_utf16().flat_map(u16::to_be_bytes).collect();
    needles.push(("the PFX's password in UTF-16".to_owned(), units));
    needles
}

/// Pastes a known key: for another name, with a certificate that is none, and so that it goes live.
async fn paste_a_key(manager: &mut SslManager) -> Needles {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![PASTED.to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2125, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    let file = |name: &str, text: String| {
        let path = manager.folder().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (pem, nonsense) = (file("pasted.pem", certificate.pem()), file("nonsense", "nonsense".into()));
    let key_file = file("pasted.key", key.serialize_pem());
    let import =
        |name, pem: &str| manager.domain(&["import", name, "--certificate", pem, "--key", &key_file]);
    for (name, pem) in [(NAME, &pem), (PASTED, &nonsense), (PASTED, &key_file)] {
        let refused = import(name, pem);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.stderr.starts_with("INVALID_ARGUMENT: "), "{refused:?}");
    }
    assert_eq!(import(PASTED, &pem).code, 0);
    manager.status(PASTED, "Success", LIMIT).await;
    of_key("the pasted key", &key.serialize_der())
}

/// A person comes and goes; their password and the session's token.
async fn sign_in_and_out(manager: &SslManager) -> Needles {
    let password = "person-password-8264";
    let file = manager.folder().join("person-password");
    std::fs::write(&file, password).unwrap();
    let mut arguments = vec!["user", "create", "--name", "ann", "--role", "viewer"];
    arguments.extend(["--password-file", file.to_str().unwrap()]);
    assert_eq!(manager.run(&arguments, "").code, 0);
    let mut client = SessionsClient::connect(manager.endpoint()).await.unwrap();
    let sign_in = |password: &str| v1::SignInRequest {
        name: "ann".into(),
        password: password.into(),
        ..Default::default()
    };
    let wrong = "person-password-9999";
    client.sign_in(sign_in(wrong)).await.map(drop).unwrap_err();
    let token = client.sign_in(sign_in(password)).await.ok().unwrap().into_inner().token;
    let mut request = tonic::Request::new(v1::SignOutRequest {});
    let bearer = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    client.sign_out(request).await.unwrap();
    let mut needles = of_text("a person's password", password);
    needles.extend(of_text("a wrong password", wrong));
    needles.extend(of_text("a session's token", &token));
    needles
}

/// What must be found nowhere, with what it is.
type Needles = Vec<(String, Vec<u8>)>;

/// The encodings in which a text could stand somewhere, whatever stands before it.
fn of_text(what: &str, text: &str) -> Needles {
    let bytes = text.as_bytes();
    let in_debug = format!("{bytes:?}");
    let mut needles = vec![
        (what.to_owned(), bytes.to_vec()),
        (format!("{what} in hex"), hex::encode(bytes).into_bytes()),
        (format!("{what} in upper-case hex"), hex::encode_upper(bytes).into_bytes()),
        (format!("{what} as a list"), in_debug.trim_matches(['[', ']']).as_bytes().to_vec()),
    ];
    for before in 0..3 {
        // Whole groups of three bytes alone look the same whatever stands around them.
        let inner = &bytes[before..];
        let inner = &inner[..inner.len() / 3 * 3];
        let base64 = BASE64_STANDARD.encode(inner);
        let url_safe = base64.replace('+', "-").replace('/', "_");
        needles.push((format!("{what} in base64"), base64.into_bytes()));
        needles.push((format!("{what} in base64url"), url_safe.into_bytes()));
    }
    needles
}

/// The encodings in which a P-256 key in PKCS #8 could stand somewhere: each is long enough to be no accident.
fn of_key(what: &str, der: &[u8]) -> Needles {
    // The private scalar (RFC 5915): 32 bytes after this tag and length.
    let start = der.windows(2).position(|pair| pair == [0x04, 0x20]).unwrap() + 2;
    let scalar = &der[start..start + 32];
    let in_debug = format!("{scalar:?}");
    let base64 = BASE64_STANDARD.encode(der);
    let url_safe = base64.replace('+', "-").replace('/', "_");
    assert_eq!(start, 36);
    // DER's 36 bytes before the scalar are 48 characters; PEM breaks the line 16 characters on, in its middle.
    let encodings = [
        ("bytes", scalar.to_vec()),
        ("in hex", hex::encode(scalar).into_bytes()),
        ("in upper-case hex", hex::encode_upper(scalar).into_bytes()),
        ("as a list", in_debug.trim_matches(['[', ']']).as_bytes().to_vec()),
        ("in base64", base64.as_bytes()[48..64].to_vec()),
        ("in base64, the rest", base64.as_bytes()[64..90].to_vec()),
        ("in base64url", url_safe.as_bytes()[48..64].to_vec()),
        ("in base64url, the rest", url_safe.as_bytes()[64..90].to_vec()),
        ("in base64, alone", BASE64_STANDARD.encode(scalar).into_bytes()),
    ];
    encodings.into_iter().map(|(encoding, needle)| (format!("{what} {encoding}"), needle)).collect()
}

fn pkcs8(pem: &str) -> Vec<u8> {
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    BASE64_STANDARD.decode(base64).unwrap()
}

/// The password in a URL.
fn password_of(url: &str) -> String {
    let (_, user) = url.split_once("://").unwrap();
    let (user, _) = user.split_once('@').unwrap();
    user.split_once(':').unwrap().1.to_owned()
}

/// The files of the embedded mode.
fn files(manager: &SslManager) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(manager.folder().join("data")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| !path.ends_with("ssl-manager.lock"))
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect()
}

/// The ACME account's key, unsealed the way that only who holds the sealing key can.
async fn account_key(manager: &SslManager) -> Vec<u8> {
    let keys = SealingKeys::load(&manager.folder().join("data/sealing.key")).unwrap();
    let sql = "SELECT id || ' ' || directory_url || ' ' || encode(sealed_key, 'hex') FROM accounts";
    let row = Postgres::shared().await.psql(&manager.backends().database, sql).unwrap();
    let [id, directory, sealed] = row.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let sealed = hex::decode(sealed).unwrap();
    let binding = Binding::new(Purpose::Account, id, directory);
    let opened = keys.unseal(&binding, &seal::public_key_of(&sealed).unwrap(), &sealed).await;
    opened.unwrap().to_vec()
}

async fn dump(manager: &SslManager) -> Vec<u8> {
    Postgres::shared().await.dump(&manager.backends().database)
}

const EVERYTHING: &str = "everything";

/// Has a copy of every message kept.
async fn hear_everything(backends: &Backends) {
    let (rabbitmq, vhost) = (RabbitMq::shared().await, &backends.vhost.name);
    let queue = format!("/queues/{vhost}/{EVERYTHING}");
    rabbitmq.must(Method::PUT, &queue, json!({ "durable": true })).await;
    let binding = format!("/bindings/{vhost}/e/ssl-manager.events/q/{EVERYTHING}");
    rabbitmq.must(Method::POST, &binding, json!({ "routing_key": "#" })).await;
}

/// Bodies, decoded, and properties of every message that was sent.
async fn everything_heard(backends: &Backends) -> Vec<u8> {
    let messages = RabbitMq::shared().await.peek(&backends.vhost, EVERYTHING, 1000).await;
    assert!(messages.len() >= 6, "{} messages", messages.len());
    let mut all = Vec::new();
    for message in messages {
        all.extend(message.to_string().into_bytes());
        all.extend(BASE64_STANDARD.decode(message["payload"].as_str().unwrap()).unwrap());
    }
    all
}
