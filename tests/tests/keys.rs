//! A sealing key is changed while everything runs, and then taken away.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sandbox::{World, WorldOptions};
use tests::{Mode, SslManager, Surroundings};

const LIMIT: Duration = Duration::from_mins(1);
const NAME: &str = "shop.example.com";

tests::in_both_modes!(a_sealing_key_is_changed_while_everything_runs);

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}

/// Starts everything again with these lines in the sealing-key file.
async fn restart(manager: &mut SslManager, file: &Path, lines: &str) {
    spawn_again(manager, file, lines).await;
    manager.ready().await;
}

async fn spawn_again(manager: &mut SslManager, file: &Path, lines: &str) {
    manager.process().terminate();
    manager.process().exit(LIMIT).await;
    write(file, lines);
    manager.spawn(&[]);
}

/// Downloads the key, and has it as PEM and in a PFX.
fn downloaded(manager: &SslManager, folder: &Path) -> Result<[PathBuf; 2], String> {
    let files = [folder.join("shop.key"), folder.join("shop.pfx")];
    let password = folder.join("password");
    write(&password, "secret\n");
    let [key, pfx, password] = [&files[0], &files[1], &password].map(|path| path.to_str().unwrap());
    let wanted = ["--key", key, "--pfx", pfx, "--pfx-password-file", password, "--reason", "test"];
    let answer = manager.domain(&[["download", NAME].as_slice(), &wanted].concat());
    if answer.code == 0 { Ok(files) } else { Err(answer.stderr) }
}

async fn a_sealing_key_is_changed_while_everything_runs(mode: Mode) {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut manager = SslManager::new(mode, &Surroundings::sandbox(&world)).await;
    world.edge.control().set_challenge_upstream(manager.responder());
    world.point_at_cdn(NAME);
    manager.start().await;
    assert_eq!(manager.domain(&["add", NAME]).code, 0);
    manager.status(NAME, "Success", LIMIT).await;

    let file = manager.folder().join("data/sealing.key");
    let old = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    let new = "bmV3LW5ldy1uZXctbmV3LW5ldy1uZXctbmV3LW5ldyE=";
    restart(&mut manager, &file, &format!("{new}\n{old}\n")).await;
    let rotate = |manager: &SslManager| manager.run(&["--output", "json", "keys", "rotate"], "");
    let rotated = rotate(&manager);
    assert_eq!(rotated.code, 0, "{}", rotated.stderr);
    assert_eq!(rotated.json["rewrapped"], 2, "the account's key and the certificate's");
    assert_eq!((&rotated.json["left"], &rotated.json["unopened"]), (&0.into(), &0.into()));
    assert_eq!(rotate(&manager).json["rewrapped"], 0);
    let folder = tempfile::tempdir().unwrap();
    downloaded(&manager, folder.path()).unwrap();

    restart(&mut manager, &file, new).await;
    for path in downloaded(&manager, folder.path()).unwrap() {
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
    let forced = manager.domain(&["generate", NAME, "--force"]);
    assert_eq!(forced.code, 0, "{}", forced.stderr);
    tests::wait_for("another certificate, with the same account", LIMIT, || {
        let issued = world.ca.control().certificates_issued();
        std::future::ready(if issued == 2 { Ok(()) } else { Err(issued.to_string()) })
    })
    .await;
    manager.status(NAME, "Success", LIMIT).await;

    // It is not ready with that key, and answers all the same.
    spawn_again(&mut manager, &file, &old).await;
    tests::wait_for("the API's answer", LIMIT, || {
        let said = manager.domain(&["list"]).stderr;
        std::future::ready(if said.contains("add its line and restart") { Ok(()) } else { Err(said) })
    })
    .await;
    let refused = downloaded(&manager, folder.path()).unwrap_err();
    assert!(refused.starts_with("FAILED_PRECONDITION"), "{refused}");
    assert!(refused.contains("add its line and restart"), "{refused}");
    let refused = rotate(&manager);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.starts_with("UNOPENED"), "{}", refused.stderr);
    assert_eq!(refused.json["left"], 0);
    assert!(refused.json["unopened"].as_u64() >= Some(2), "{}", refused.stdout);
}
