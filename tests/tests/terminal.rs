//! The terminal: files as people have them, output that nobody reads, downloads into whatever a path leads to, endpoints
//! that are none, a server that goes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::os::unix::fs::FileTypeExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sandbox::{World, WorldOptions};
use tests::{Answer, Mode, SslManager, Subprocess, Surroundings, free_port, run_bare, wait_for};

const LIMIT: Duration = Duration::from_mins(1);
const NAME: &str = "shop.example.com";
const PEOPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../libs/x509/tests/data/people");

async fn running() -> (World, SslManager) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(Mode::Embedded, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    world.point_at_cdn(NAME);
    manager.start().await;
    (world, manager)
}

fn people(file: &str) -> String {
    format!("{PEOPLE}/{file}")
}

/// What a command said in a word: its last warning, or the first words of its failure.
fn word(answer: &Answer) -> String {
    let last = answer.stderr.trim_end().lines().last().unwrap_or_default();
    format!("{} {last}", answer.code)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_is_read_or_told() {
    let (_world, manager) = running().await;
    let password = manager.folder().join("x");
    std::fs::write(&password, "\u{feff}x\r\n").unwrap();
    let password = password.to_str().unwrap();
    let other = people("password-bom.txt");
    let untrusted = "0 warning: not_publicly_trusted: browsers do not trust";
    for (certificate, key, password, expected) in [
        ("leaf.pem", "key.pem", "", untrusted),
        ("leaf-and-intermediate.pem", "key.pem", "", untrusted),
        ("bom.pem", "key.pem", "", untrusted),
        ("leaf.der", "key.pem", "", untrusted),
        ("leaf.p7b", "key.pem", "", untrusted),
        ("leaf.pfx", "", password, untrusted),
        ("leaf.pfx", "leaf.pfx", password, untrusted),
        ("leaf.pfx", "", "", "1 INVALID_ARGUMENT: the file is a PFX (PKCS #12) with a password"),
        ("leaf.pfx", "", other.as_str(), "1 INVALID_ARGUMENT: the password does not open the PFX file"),
        ("names-bom.txt", "key.pem", "", "1 INVALID_ARGUMENT: the certificate is not complete PEM text"),
        ("leaf.pem", "", "", "1 INVALID_ARGUMENT: there is no private key"),
        (
            "key.pem",
            "leaf.pem",
            "",
            "1 INVALID_ARGUMENT: certificate and private key are in each other's place",
        ),
        ("nothing.pem", "key.pem", "", "64 USAGE: cannot read"),
    ] {
        let certificate = people(certificate);
        let mut arguments = vec!["import", "https://shop.example.com/admin", "--certificate", &certificate];
        let key = (!key.is_empty()).then(|| people(key));
        arguments.extend(key.iter().flat_map(|key| ["--key", key]));
        if !password.is_empty() {
            arguments.extend(["--password-file", password]);
        }
        let answer = manager.domain(&arguments);
        assert!(word(&answer).starts_with(expected), "{expected} in {answer:?}");
    }
    let added = manager.domain(&["add", "--file", &people("names-bom.txt")]);
    assert_eq!(added.json[0]["name"], "bom1.example.com", "{added:?}");
    assert_eq!(added.json.as_array().unwrap().len(), 1);

    downloads(&manager).await;
}

/// With a live certificate: what is written, and what stays.
async fn downloads(manager: &SslManager) {
    wait_for("the certificate", LIMIT, || {
        let shown = manager.domain(&["show", NAME]);
        std::future::ready(if shown.json["status"] == "Success" { Ok(()) } else { Err(shown.stdout) })
    })
    .await;
    let key = std::fs::read_to_string(people("key.pem")).unwrap();
    let download =
        |arguments: &[&str]| manager.domain(&[&["download", NAME, "--reason", "test"], arguments].concat());
    // Not /dev/stdout itself: where this is broken, a test as root would replace it.
    for stdout in ["-", "/proc/self/fd/1"] {
        let answer = download(&["--key", stdout, "--certificate", "-"]);
        assert_eq!(answer.code, 0, "{answer:?}");
        assert!(
            answer.stdout.starts_with("-----BEGIN CERTIFICATE") && answer.stdout.ends_with(&key),
            "{answer:?}"
        );
    }
    // A device of our own, for the same reason; making one needs root.
    let device = manager.folder().join("device");
    let device = device.to_str().unwrap();
    if Command::new("mknod").args([device, "c", "1", "3"]).output().unwrap().status.success() {
        let to_device = download(&["--key", device]);
        assert_eq!(to_device.code, 0, "{to_device:?}");
        assert!(std::fs::metadata(device).unwrap().file_type().is_char_device(), "the device stays");
    }
    let folder = manager.folder().to_str().unwrap();
    assert!(word(&download(&["--key", folder])).starts_with("64 USAGE"), "a folder is no file");

    let pfx = manager.folder().join("out.pfx").display().to_string();
    let answer = download(&["--pfx", &pfx, "--pfx-password-file", &people("password-bom.txt")]);
    assert_eq!(answer.code, 0, "{answer:?}");
    let opened = Command::new("openssl")
        .args(["pkcs12", "-in", &pfx, "-passin", "pass:secret-1", "-noenc"])
        .output()
        .unwrap();
    assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
}

/// What prints, with a reader that is gone, and on a disk that is full.
#[tokio::test(flavor = "multi_thread")]
async fn output_that_fails_never_panics() {
    let (_world, manager) = running().await;
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    let token =
        manager.run(&["token", "create", "--name", "boss", "--role", "admin"], "").stdout.trim().to_owned();
    for command in [
        "domain list",
        "domain show NAME",
        "domain history NAME",
        "domain certificates NAME",
        "domain summary",
        "domain overview",
        "domain check NAME",
        "domain recheck NAME",
        "domain watch",
        "domain add NAME a.example.com",
        "token list",
        "user list",
        "account list",
        "audit list",
        "audit verify",
        "restore check",
        "config check",
        "config dump",
        "completions bash",
        "--help",
        "domain --help",
        "--version",
    ] {
        let command = command.replace("NAME", NAME);
        for format in ["table", "json"] {
            let arguments: Vec<&str> = ["--output", format].into_iter().chain(command.split(' ')).collect();
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let into = |stdout: Stdio| manager.command(&arguments, &token).stdout(stdout).output().unwrap();
            let answer = Answer::from(into(writer.into()));
            assert!([0, 141].contains(&answer.code) && answer.stderr.is_empty(), "{command}: {answer:?}");

            let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
            let answer = Answer::from(into(full.into()));
            assert!(!answer.stderr.contains("panicked"), "{command}: {answer:?}");
            if !command.starts_with("--") && !command.ends_with("--help") {
                assert_eq!(
                    word(&answer).split(" (").next().unwrap(),
                    "1 OUTPUT: cannot write the output: No space left on device"
                );
            }
        }
    }
}

/// A child that ends with its test, however that ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_endpoint_that_is_none_says_why() {
    let closed = free_port();
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain_port = plain.local_addr().unwrap().port();
    // An HTTP server that knows no HTTP/2.
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for stream in plain.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    let tls_port = free_port().to_string();
    let tls = Command::new("openssl")
        .args(["s_server", "-quiet", "-alpn", "h2", "-accept", &tls_port])
        .args(["-cert", &people("leaf.pem"), "-key", &people("key.pem")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _tls = Ended(tls.unwrap());
    while std::net::TcpStream::connect(format!("127.0.0.1:{tls_port}")).is_err() {
        std::thread::yield_now();
    }
    for (endpoint, code, told) in [
        (format!("127.0.0.1:{closed}"), 64, "has no scheme: did you mean http://127.0.0.1:"),
        ("ssl.example.net:50051".to_owned(), 64, "did you mean https://ssl.example.net:50051?"),
        ("grpc://127.0.0.1:1".to_owned(), 64, "the unknown scheme \"grpc\""),
        (format!("http://127.0.0.1:{closed}"), 1, "Connection refused"),
        (format!("https://127.0.0.1:{plain_port}"), 1, "does not speak TLS: did you mean http://"),
        (format!("http://127.0.0.1:{tls_port}"), 1, "did you mean https://"),
        (format!("https://127.0.0.1:{tls_port}"), 1, "is not trusted here: --ca-file"),
        ("http://nowhere.invalid:1".to_owned(), 1, "cannot be resolved"),
    ] {
        let answer = run_bare(&["domain", "list", "--endpoint", &endpoint], &[]);
        assert_eq!(answer.code, code, "{endpoint}: {answer:?}");
        assert!(answer.stderr.contains(told), "{endpoint}: {told} in {answer:?}");
        assert_eq!(answer.stderr.trim_end().lines().count(), 1, "one line: {}", answer.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_with_a_word_when_the_server_goes() {
    let (_world, mut manager) = running().await;
    let token = manager.new_token("viewer");
    for (kill, change) in [(false, "add"), (true, "recheck")] {
        let arguments = ["domain", "watch"];
        let mut watching =
            Subprocess::start("watching", manager.folder(), &mut manager.command(&arguments, &token));
        wait_for("its head", LIMIT, || {
            let printed = watching.output();
            let is_there = printed.starts_with("Changes as they happen; Ctrl-C ends. Times are ");
            std::future::ready(if is_there { Ok(()) } else { Err(printed) })
        })
        .await;
        assert_eq!(manager.domain(&[change, NAME]).code, 0);
        wait_for("a change", LIMIT, || {
            let printed = watching.output();
            let is_told =
                printed.contains(NAME) && (kill || printed.contains("Pending -> Success, certificate "));
            std::future::ready(if is_told { Ok(()) } else { Err(printed) })
        })
        .await;
        if kill {
            manager.process().kill_9();
        } else {
            manager.process().terminate();
            manager.process().exit(LIMIT).await;
        }
        let ended = watching.exit(LIMIT).await;
        let printed = watching.output();
        assert_eq!(ended.code(), Some(1), "{printed}");
        assert!(printed.contains("UNAVAILABLE: the "), "{printed}");
        if !kill {
            manager.start().await;
        }
    }
}
