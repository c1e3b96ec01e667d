//! The bar of a transfer, where standard output is a terminal. There is one for the process, since there is
//! one terminal; lines of the log are written above it. Costs: the bar.

use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Shows how far it is, of `all`, with `text` behind it.
pub(super) fn show(done: u64, all: u64, text: String) {
    let mut bar = BAR.lock().unwrap_or_else(PoisonError::into_inner);
    let bar = bar.get_or_insert_with(|| {
        let bar = ProgressBar::with_draw_target(Some(all), ProgressDrawTarget::stdout());
        let style = ProgressStyle::with_template("[{wide_bar}] {percent}% {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar
    });
    bar.set_length(all);
    bar.set_position(done);
    bar.set_message(text);
    // A second has passed: what it draws by itself may be older.
    bar.tick();
}

/// Writes a line, above the bar if there is one.
pub(super) fn above(write: impl FnOnce()) {
    match &*BAR.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// Takes the bar away.
pub(super) fn end() {
    if let Some(bar) = BAR.lock().unwrap_or_else(PoisonError::into_inner).take() {
        bar.finish_and_clear();
    }
}
