//! The board's one connection that writes, as whoever has it lends it.

use std::sync::Mutex;

use anyhow::{Context, Result};

use crate::board::Board;

/// Who lends the board that writes, to one at a time: a server has it behind a lock of its own.
pub trait Writer: Send + Sync {
    /// Calls `act` once, with the board.
    ///
    /// # Errors
    /// What `act` says, or why there is no board.
    fn lend(&self, act: &mut dyn FnMut(&mut Board) -> Result<()>) -> Result<()>;
}

impl Writer for Mutex<Board> {
    fn lend(&self, act: &mut dyn FnMut(&mut Board) -> Result<()>) -> Result<()> {
        let mut board = self.lock().unwrap_or_else(|poisoned| {
            self.clear_poison();
            let mut board = poisoned.into_inner();
            // A panic leaves the database whole, as edits are transactions, but perhaps not what follows it.
            board.distrust();
            board
        });
        act(&mut board)
    }
}

/// What `act` makes of the board.
pub(crate) fn with<T>(writer: &dyn Writer, act: impl FnOnce(&mut Board) -> Result<T>) -> Result<T> {
    let mut act = Some(act);
    let mut made = None;
    writer.lend(&mut |board| {
        if let Some(act) = act.take() {
            made = Some(act(board)?);
        }
        Ok(())
    })?;
    made.context("borrow the board: it was not lent")
}
