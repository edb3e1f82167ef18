//! The real executable, and what it printed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Answer {
    /// Exit code.
    pub code: i32,
    /// Stdout as JSON; null if it is not.
    pub json: Value,
    /// Stdout.
    pub stdout: String,
    /// Stderr.
    pub stderr: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        Self {
            code: output.status.code().unwrap_or(-1),
            json: serde_json::from_str(&stdout).unwrap_or(Value::Null),
            stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The executable, built once per test program with the profile of the tests.
///
/// The tests' build asks for the same features as `cargo test --workspace`, so that nothing is compiled a second time
/// for it. A benchmark measures what ships, which its caller has built.
fn executable() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let own = std::env::current_exe().expect("our own path");
        // target/<profile>/deps/<test>, or target/<profile>/<program>
        let profile = own
            .ancestors()
            .find(|folder| folder.join(".cargo-lock").exists())
            .expect("cargo's target folder");
        let program = profile.join("ssl-manager");
        if profile.ends_with("release") {
            assert!(
                program.exists(),
                "{} is missing: cargo build --release --package ssl-manager",
                program.display()
            );
            return program;
        }
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--workspace", "--bin", "ssl-manager", "--test", "demo"]);
        let status =
            build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).status().expect("cargo runs");
        assert!(status.success(), "ssl-manager does not build");
        program
    })
}

/// The executable without settings of whoever runs the tests.
pub(crate) fn ssl_manager() -> Command {
    without_settings(Command::new(executable()))
}

/// The same where no more than so many files may be open.
pub(crate) fn ssl_manager_with_files(most: u32) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("ulimit -n {most} && exec \"$0\" \"$@\"")).arg(executable());
    without_settings(shell)
}

fn without_settings(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name == "RUST_LOG" || name.to_string_lossy().starts_with("SSL_MANAGER") {
            command.env_remove(name);
        }
    }
    command
}

/// The executable with these arguments, without any process or settings of its own.
pub fn bare_command(arguments: &[&str]) -> Command {
    let mut command = ssl_manager();
    command.args(arguments);
    command
}

/// Runs the executable without any process or settings of its own.
pub fn run_bare(arguments: &[&str], environment: &[(&str, &str)]) -> Answer {
    let output = ssl_manager().args(arguments).envs(environment.iter().copied()).output();
    output.expect("the executable runs").into()
}
