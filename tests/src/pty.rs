//! A pseudo-terminal of eighty columns.

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};

use nix::pty::{Winsize, openpty};

use crate::Answer;

/// Runs a command to its end with a terminal of so many columns as its stdin and stdout.
pub fn in_terminal(mut command: Command, columns: u16) -> Answer {
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(&size, None).expect("a terminal");
    let stdin = terminal.slave.try_clone().expect("a second handle of the terminal");
    command.stdin(Stdio::from(stdin)).stdout(Stdio::from(terminal.slave)).stderr(Stdio::piped());
    let child = command.spawn().expect("the executable runs");
    // The terminal ends once nobody holds its other side.
    drop(command);
    let mut printed = Vec::new();
    let mut piece = [0; 4096];
    let mut master = File::from(terminal.master);
    while let Ok(length @ 1..) = master.read(&mut piece) {
        printed.extend_from_slice(&piece[..length]);
    }
    let output = child.wait_with_output().expect("a child of ours");
    Answer::from(std::process::Output { stdout: printed, ..output })
}
