//! The signals that a process obeys, heard from its start on: none is lost between two waits.

use std::error::Error;
use std::io::IsTerminal;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and Ctrl-C, as often as they come.
pub(crate) struct StopSignals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
}

impl StopSignals {
    /// Must be called within the runtime.
    pub(crate) fn new() -> Self {
        Self {
            terminate: hear(SignalKind::terminate(), "SIGTERM"),
            interrupt: hear(SignalKind::interrupt(), "SIGINT"),
        }
    }

    /// Completes on the next of them.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            () = next(&mut self.terminate) => {}
            () = next(&mut self.interrupt) => {}
        }
    }
}

/// SIGHUP. In a terminal it is the terminal's end, and stops the process as it always did.
pub(crate) struct Hangups(Option<Signal>);

impl Hangups {
    /// Must be called within the runtime.
    pub(crate) fn new() -> Self {
        if std::io::stdin().is_terminal() {
            return Self(None);
        }
        Self(hear(SignalKind::hangup(), "SIGHUP"))
    }

    /// Completes on the next one.
    pub(crate) async fn next(&mut self) {
        next(&mut self.0).await;
    }
}

/// None where the system does not let us hear it.
fn hear(kind: SignalKind, name: &str) -> Option<Signal> {
    let heard = signal(kind);
    if let Err(error) = &heard {
        tracing::warn!(error = error as &dyn Error, "{name} is not heard");
    }
    heard.ok()
}

async fn next(signal: &mut Option<Signal>) {
    let came = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if came.is_none() {
        std::future::pending::<()>().await;
    }
}
