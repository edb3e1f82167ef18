//! `make install-program`: everything is where a shell, `man` and systemd look for it.

use std::path::Path;
use std::process::Command;

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
    let unit = read("lib/systemd/system/ssl-manager.service");
    assert!(unit.contains("ExecStart=/opt/ssl/bin/ssl-manager all ") && !unit.contains("@PREFIX@"), "{unit}");
}
