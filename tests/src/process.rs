//! Children that end with the test.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getuid};

use crate::wait_for;

/// Below what Linux gives to outgoing connections, so that none of them takes a port before its server does.
const PORTS: RangeInclusive<u16> = 20_000..=32_000;

/// What Linux counts processor time in towards user space.
const MILLISECONDS_PER_TICK: u64 = 10;

/// A port that is free, and that no other test is given as long as this one's program runs.
pub fn free_port() -> u16 {
    static TAKEN: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let folder = std::env::temp_dir().join(format!("ssl-manager-tests-{}", getuid()));
    std::fs::create_dir_all(&folder).expect("a folder for the ports' locks");
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    for port in PORTS {
        let lock = File::options()
            .create(true)
            .append(true)
            .open(folder.join(port.to_string()))
            .expect("a port's lock");
        // What this process holds already is refused too: every opening of a file locks for itself.
        if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            taken.push(lock);
            return port;
        }
    }
    panic!("no port is free in {PORTS:?}");
}

/// A child in a process group of its own, whose output goes to files in the test's folder.
pub struct Subprocess {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Subprocess {
    /// Starts it. Output goes to `<folder>/<name>.log`.
    pub fn start(name: &str, folder: &Path, command: &mut Command) -> Self {
        Self::spawn(name, folder, command.stdin(Stdio::null()))
    }

    /// Starts it with a pipe that stays open until we are gone, however we go.
    pub(crate) fn start_server(name: &str, folder: &Path, command: &mut Command) -> Self {
        Self::spawn(name, folder, command.stdin(Stdio::piped()))
    }

    fn spawn(name: &str, folder: &Path, command: &mut Command) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).expect("a log file");
        let child = command
            .stdout(file.try_clone().expect("a second handle of the log"))
            .stderr(file)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{name} does not start ({error}): `make install` installs what is missing")
            });
        Self { name: name.to_owned(), child, log }
    }

    /// What it has printed so far.
    pub fn output(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Panics if it is gone, with the end of what it printed.
    pub fn assert_alive(&mut self) {
        if let Some(status) = self.child.try_wait().expect("a child of ours") {
            let output = self.output();
            let tail: Vec<&str> = output.lines().rev().take(30).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            panic!("{} ended with {status}:\n{}", self.name, tail.join("\n"));
        }
    }

    /// Whether it is gone.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_some()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// User and system time of all its threads (`proc_pid_stat(5)`, fields 14 and 15).
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("a running child");
        let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
        let ticks = fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks"));
        Duration::from_millis(ticks.sum::<u64>() * MILLISECONDS_PER_TICK)
    }

    /// MiB of it in memory.
    pub fn resident(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("a process of ours");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
        let kibibytes = line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
        kibibytes.expect("a number") / 1024
    }

    fn signal(&self, signal: Signal) {
        let group = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        // It may be gone already, which is what the caller wants.
        let _ = killpg(group, signal);
    }

    /// kill -9, and waits for it to be gone.
    pub fn kill_9(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        self.signal(Signal::SIGHUP);
    }

    /// Ctrl-C.
    pub fn interrupt(&self) {
        self.signal(Signal::SIGINT);
    }

    /// Stops it where it stands, or lets it go on: it is there, and answers nothing.
    pub(crate) fn freeze(&self, frozen: bool) {
        self.signal(if frozen { Signal::SIGSTOP } else { Signal::SIGCONT });
    }

    /// Waits for its end.
    pub async fn exit(&mut self, limit: Duration) -> ExitStatus {
        let name = self.name.clone();
        let child = &mut self.child;
        wait_for(&format!("the end of {name}"), limit, || {
            let status = child.try_wait().expect("a child of ours");
            std::future::ready(status.ok_or_else(|| "still running".to_owned()))
        })
        .await
    }
}

impl Drop for Subprocess {
    fn drop(&mut self) {
        self.kill_9();
        if std::thread::panicking() {
            let output = self.output();
            let tail: Vec<&str> = output.lines().rev().take(40).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            eprintln!("---- {} printed at its end:\n{}", self.name, tail.join("\n"));
        }
    }
}

/// Everything that runs of one system.
pub struct Processes(pub(crate) Vec<Subprocess>);

impl Processes {
    /// Panics if one is gone, with the end of what it printed.
    pub fn assert_alive(&mut self) {
        self.0.iter_mut().for_each(Subprocess::assert_alive);
    }

    /// How many pieces of work stand still at a step.
    pub fn stopped_at(&self, step: &str) -> usize {
        let line = format!("stopped at {step}");
        let printed = |process: &Subprocess| {
            let output = process.output();
            output.lines().filter(|printed| *printed == line).count()
        };
        self.0.iter().map(printed).sum()
    }

    /// SIGTERM to all.
    pub fn terminate(&self) {
        self.0.iter().for_each(Subprocess::terminate);
    }

    /// SIGHUP to all.
    pub fn hang_up(&self) {
        self.0.iter().for_each(Subprocess::hang_up);
    }

    /// kill -9 of all.
    pub fn kill_9(&mut self) {
        self.0.iter_mut().for_each(Subprocess::kill_9);
    }

    /// Waits for the end of all; how the first that failed ended, or the last.
    pub async fn exit(&mut self, limit: Duration) -> ExitStatus {
        let mut ended = ExitStatus::default();
        for process in &mut self.0 {
            let status = process.exit(limit).await;
            if ended.success() {
                ended = status;
            }
        }
        ended
    }

    /// Seconds of processor time that all have used so far.
    pub fn cpu_seconds(&self) -> f64 {
        let used: Duration = self.0.iter().map(Subprocess::cpu).sum();
        used.as_secs_f64()
    }

    /// The process id of the first.
    pub fn id(&self) -> u32 {
        self.0.first().expect("a running process").id()
    }
}
