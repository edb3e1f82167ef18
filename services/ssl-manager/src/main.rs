//! SSL Manager: free TLS certificates for the domains of a CDN.

mod account;
mod audit_command;
mod backend;
mod cli;
mod client;
mod config_command;
#[cfg(feature = "sandbox")]
mod demo;
mod dispatch;
mod health;
mod keys;
mod live_check;
mod memory;
mod output;
mod passwords;
mod restore_command;
mod run;
#[cfg(feature = "sandbox")]
mod sandbox_command;
mod signals;
mod terminal;
mod times;
mod token;
mod user;

use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    memory::write_no_core();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::complain(format_args!("INTERNAL: cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(dispatch::dispatch(cli));
    // A blocking read of the terminal must not hold the process.
    runtime.shutdown_background();
    code
}
