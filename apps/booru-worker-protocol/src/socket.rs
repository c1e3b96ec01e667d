//! Where board and worker meet unless they are told otherwise.

use std::path::PathBuf;

/// `booru_ml_worker.sock` in the user's own folder for such things (`runtime` is `XDG_RUNTIME_DIR`), or
/// else in `/tmp/booru-UID`, which the worker makes with mode 0700. The original's is in /tmp itself,
/// where any user may take the name first.
///
/// Boards of one user meet at one worker so.
#[must_use]
pub fn usual_socket(runtime: Option<PathBuf>) -> PathBuf {
    let folder = runtime.unwrap_or_else(|| {
        // SAFETY: takes nothing and can't fail.
        let user = unsafe { libc::geteuid() };
        std::env::temp_dir().join(format!("booru-{user}"))
    });
    folder.join("booru_ml_worker.sock")
}
