//! The life of a subject on its standard streams: say what is true, then wait quietly.
//!
//! [`ready`] prints the truth row, [`wait`] returns when a line arrives or standard input closes,
//! and [`answer_lines`] answers each line with a line of JSON. Nothing here sleeps, so that a test
//! controls a subject without clocks; waiting allocates nothing, so that the truth stays true.

use std::io::{self, Read, Write};

use serde_json::Value;

/// What the `main` of a subject returns.
pub type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Prints the line `ready {json}`.
pub fn ready(truth: &Value) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "ready {truth}")?;
    stdout.flush()
}

/// Prints one line of JSON: an answer after the ready line.
pub fn say(answer: &Value) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{answer}")?;
    stdout.flush()
}

/// Waits until a line arrives (true) or standard input is closed (false).
pub fn wait() -> io::Result<bool> {
    let mut stdin = io::stdin().lock();
    let mut byte = [0_u8];
    loop {
        match stdin.read(&mut byte) {
            Ok(0) => return Ok(false),
            Ok(_) if byte[0] == b'\n' => return Ok(true),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Answers each line with what `answer` returns, until standard input closes.
pub fn answer_lines(
    mut answer: impl FnMut(&str) -> Result<Value, Box<dyn std::error::Error>>,
) -> Outcome {
    let mut line = String::new();
    while io::stdin().read_line(&mut line)? > 0 {
        say(&answer(line.trim())?)?;
        line.clear();
    }
    Ok(())
}
