//! Private keys: who gets one, how it is written, and where it must not be.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use sandbox::{World, WorldOptions};
use tests::{Mode, SslManager, Surroundings, certificate_and_key_belong_together};

const LIMIT: Duration = Duration::from_mins(1);
const NAME: &str = "shop.example.com";

tests::in_both_modes!(a_key_leaves_for_who_may_have_it_and_is_nowhere_in_clear);

async fn a_key_leaves_for_who_may_have_it_and_is_nowhere_in_clear(mode: Mode) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(mode, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    world.point_at_cdn(NAME);
    manager.spawn(&[("RUST_LOG", "trace")]);
    manager.ready().await;
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    manager.status(NAME, "Success", LIMIT).await;

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
    assert!(
        without_reason.stderr.contains("INVALID_ARGUMENT"),
        "{}",
        without_reason.stderr
    );
    assert!(!key.exists());
    let got = manager.run(&arguments("migration to another CDN"), &token);
    assert_eq!(got.code, 0, "{}", got.stderr);
    assert_eq!(
        std::fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let key_pem = std::fs::read_to_string(&key).unwrap();
    assert!(certificate_and_key_belong_together(
        &std::fs::read_to_string(&chain).unwrap(),
        &key_pem
    ));
    let history = manager.domain(&["history", NAME]);
    let newest = &history.json[0];
    assert_eq!(
        (newest["kind"].as_str(), newest["actor"].as_str()),
        (Some("key_downloaded"), Some("token:key-reader"))
    );
    assert!(
        newest["message"]
            .as_str()
            .unwrap()
            .contains("migration to another CDN")
    );

    manager.process().terminate();
    assert!(manager.process().exit(LIMIT).await.success());
    is_nowhere(&manager, &key_pem, &token, world.c4.token());
}

/// Looks for the key in its encodings, and for the tokens, in everything that was written.
fn is_nowhere(manager: &SslManager, key_pem: &str, token: &str, c4_token: &str) {
    let base64: String = key_pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let der = decode_base64(&base64);
    // The private scalar of a P-256 key in PKCS #8 (RFC 5915): 32 bytes after this tag and length.
    let start = der.windows(2).position(|pair| pair == [0x04, 0x20]).unwrap() + 2;
    let scalar = &der[start..start + 32];
    let in_debug = format!("{scalar:?}");
    let in_debug = in_debug.trim_matches(['[', ']']);
    let url_safe = base64.replace('+', "-").replace('/', "_");
    // DER's 36 bytes before the scalar are 48 characters; PEM breaks the line 16 characters on, in its middle.
    let needles = [
        ("the key's bytes", scalar.to_vec()),
        ("the key in hex", hex::encode(scalar).into_bytes()),
        (
            "the key in upper-case hex",
            hex::encode_upper(scalar).into_bytes(),
        ),
        ("the key as a list of numbers", in_debug.as_bytes().to_vec()),
        ("the key in base64", base64.as_bytes()[48..64].to_vec()),
        (
            "the rest of the key in base64",
            base64.as_bytes()[64..90].to_vec(),
        ),
        ("the key in base64url", url_safe.as_bytes()[48..64].to_vec()),
        (
            "the rest of the key in base64url",
            url_safe.as_bytes()[64..90].to_vec(),
        ),
        ("a token", token.as_bytes().to_vec()),
        ("C4's token", c4_token.as_bytes().to_vec()),
    ];
    assert_eq!(start, 36);
    assert!(key_pem.contains(&base64[48..64]) && key_pem.contains(&base64[64..90]));
    let data = manager.folder().join("data");
    let mut files: Vec<_> = std::fs::read_dir(data)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.push(manager.folder().join("ssl-manager.log"));
    assert!(files.len() >= 3);
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        for (what, needle) in &needles {
            let found = bytes
                .windows(needle.len())
                .any(|window| window == needle.as_slice());
            assert!(!found, "{what} stands in {}", file.display());
        }
    }
    assert!(manager.log().contains("TRACE"), "the log was at trace level");
}

fn decode_base64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let bits: Vec<u8> = text.bytes().filter(|c| *c != b'=').map(value).collect();
    bits.chunks(4)
        .flat_map(|chunk| {
            let word = chunk
                .iter()
                .enumerate()
                .fold(0_u32, |word, (i, v)| word | u32::from(*v) << (18 - 6 * i));
            word.to_be_bytes()[1..chunk.len()].to_vec()
        })
        .collect()
}
