//! What the servers of others need: a user of their own, a folder of that user's, and an end with the test program.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use nix::unistd::{User, chown, getuid};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// Runs a server; once the pipe on our side is closed, ends it, its folder ($0) and its whole process group: a server
/// that all tests of a program share has nobody else to do so. A shell gives what it starts in the background no stdin,
/// hence the 3.
const UNTIL_WE_ARE_GONE: &str = r#"exec 3<&0
"$@" 3<&- & server=$!
{ cat <&3 >/dev/null; kill -9 "$server"; sleep 1; rm -rf "$0"; kill -9 0; } &
exec 3<&-
wait "$server""#;

/// Who a server runs as: it refuses to run as root.
#[derive(Clone)]
pub(crate) struct Owner(Option<User>);

impl Owner {
    /// The system's user of that name if we are root, and else ourselves.
    pub(crate) fn named(name: &str) -> Self {
        Self(getuid().is_root().then(|| {
            User::from_name(name)
                .expect("the users' list")
                .unwrap_or_else(|| panic!("there is no user {name}: `make install` installs what is missing"))
        }))
    }

    /// Whoever runs the test.
    pub(crate) fn ourselves() -> Self {
        Self(None)
    }

    /// A folder that is the owner's, and that only they may look into.
    pub(crate) fn folder(&self) -> TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        self.give(folder.path());
        folder
    }

    /// Gives a file or folder to the owner.
    pub(crate) fn give(&self, path: &Path) {
        if let Some(user) = &self.0 {
            chown(path, Some(user.uid), Some(user.gid)).expect("we are root");
        }
        let mode = if path.is_dir() { 0o700 } else { 0o600 };
        std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is there");
    }

    /// A command that runs as the owner.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some(user) = &self.0 {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }

    /// A command that runs as the owner in a folder of its own, both until we are gone.
    pub(crate) fn server(&self, program: &Path, folder: &Path) -> Command {
        let mut command = self.command(Path::new("/bin/sh"));
        command.args(["-c", UNTIL_WE_ARE_GONE]).arg(folder).arg(program);
        command.current_dir(folder);
        command
    }
}

/// Runs a command to its end; panics with what it printed if it fails.
pub(crate) fn must(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?} does not start ({error}): `make install` installs what is missing")
    });
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Gives another server the certificate, key and root of one that has them.
pub(crate) fn share_identity(from: &Path, to: &Path, owner: &Owner) {
    for name in ["root.pem", "server.pem", "server.key"] {
        let copy = to.join(name);
        std::fs::copy(from.join(name), &copy).expect("a file");
        owner.give(&copy);
    }
}

/// Writes `server.pem` and `server.key` for localhost; returns the root that signed it.
pub(crate) fn write_identity(folder: &Path, owner: &Owner) -> String {
    let root_key = KeyPair::generate().expect("a key");
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_pem = root.self_signed(&root_key).expect("a root").pem();
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(vec!["localhost".to_owned()])
        .expect("a name")
        .signed_by(&key, &Issuer::from_params(&root, &root_key))
        .expect("a certificate");
    for (name, text) in
        [("root.pem", root_pem.clone()), ("server.pem", leaf.pem()), ("server.key", key.serialize_pem())]
    {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file");
        owner.give(&path);
    }
    root_pem
}
