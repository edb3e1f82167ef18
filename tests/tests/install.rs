//! `make install-program`: everything is where a shell, `man` and systemd look for it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tests::bare_command;

#[test]
fn the_program_is_installed_with_what_belongs_to_it() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let program = bare_command(&[]).get_program().to_owned();
    let installed = Command::new("make")
        .args(["install-program", "PREFIX=/opt/ssl"])
        .arg(format!("PROGRAM={}", program.display()))
        .arg(format!("DESTDIR={}", folder.path().display()))
        .current_dir(project)
        // The bill of materials is of the features of one package.
        .env_remove("CARGO_RESOLVER_FEATURE_UNIFICATION")
        .output()
        .unwrap();
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));

    let read = |file: &str| std::fs::read_to_string(folder.path().join("opt/ssl").join(file)).unwrap();
    let version =
        Command::new(folder.path().join("opt/ssl/bin/ssl-manager")).arg("--version").output().unwrap();
    assert!(version.status.success());
    for (page, words) in [
        ("ssl-manager.1", "ssl\\-manager"),
        ("ssl-manager-domain-add.1", "ssl\\-manager domain add"),
        ("ssl-manager-db-migrate.1", "schema"),
    ] {
        let text = read(&format!("share/man/man1/{page}"));
        assert!(text.contains(".TH ") && text.contains(words), "{page}: {text}");
    }
    for (file, word) in [
        ("share/bash-completion/completions/ssl-manager", "complete -F"),
        ("share/zsh/site-functions/_ssl-manager", "#compdef ssl-manager"),
        ("share/fish/vendor_completions.d/ssl-manager.fish", "complete -c ssl-manager"),
    ] {
        assert!(read(file).contains(word), "{file}");
    }
    check_bill_of_materials(&read("share/doc/ssl-manager/ssl-manager.cdx.json"));
    let unit = read("lib/systemd/system/ssl-manager.service");
    assert!(unit.contains("ExecStart=/opt/ssl/bin/ssl-manager all ") && !unit.contains("@PREFIX@"), "{unit}");
}

/// In `CycloneDX`: what is linked, with the versions and checksums of `Cargo.lock`, and nothing else.
fn check_bill_of_materials(text: &str) {
    let bill: Value = serde_json::from_str(text).unwrap();
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&json!("CycloneDX"), &json!("1.5")));
    let component = |name: &str| {
        let components = bill["components"].as_array().unwrap();
        components.iter().find(|component| component["name"] == name)
    };
    let lock = include_str!("../../Cargo.lock");
    for name in ["sqlx", "rustls", "libsqlite3-sys", "aws-lc-sys"] {
        let (_, package) = lock.split_once(&format!("name = \"{name}\"\n")).unwrap();
        let value =
            |key: &str| package.split(&format!("{key} = \"")).nth(1).unwrap().split('"').next().unwrap();
        let linked = component(name).unwrap_or_else(|| panic!("{name} is not in it"));
        assert_eq!(linked["purl"], format!("pkg:cargo/{name}@{}", value("version")));
        assert_eq!(linked["hashes"][0]["content"], value("checksum"));
    }
    assert_eq!(component("api").unwrap().get("purl"), None, "crates.io has another one of that name");
    for (name, why) in [
        ("sandbox", "a feature that is off"),
        ("serde_derive", "a procedural macro"),
        ("cc", "of a build script"),
    ] {
        assert_eq!(component(name), None, "{why}");
    }
    let edges = bill["dependencies"].as_array().unwrap();
    let of_store = edges.iter().find(|edge| edge["ref"].as_str().unwrap().starts_with("store@")).unwrap();
    assert!(of_store["dependsOn"].to_string().contains("\"sqlx@"), "{of_store}");
}
