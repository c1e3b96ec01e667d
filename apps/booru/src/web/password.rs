//! The password of a board: an Argon2id hash, and how it is set.
//!
//! A check takes 3.5 MiB, and one is done at a time. OWASP's choices go from 46 MiB read once to
//! 7 MiB read five times; a request may take 4 MiB here, so it is less memory read oftener: as much
//! work as its 19 MiB read twice. Against a thief of the hash with a graphics card that is less than
//! those, against one with processors as much.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use super::error::Failure;
use super::session::random;
use crate::store::folder_of;

/// Memory of a check, in KiB: 3.5 MiB.
const MEMORY_KIB: u32 = 3584;
/// How often it is read: 3.5 MiB eleven times is no less than 19 MiB twice.
const PASSES: u32 = 11;
/// A longer one is refused, not read.
pub(super) const PASSWORD_BYTES_MAX: usize = 1024;
/// What people are asked for at least; NIST SP 800-63B says so.
const CHARACTERS_MIN: usize = 8;

/// In the folder of the board.
const FILE: &str = "booru.passwd";

/// What a password is compared with.
#[derive(Debug)]
pub(super) struct Password {
    hash: String,
    /// One check at a time: it is memory, and time of the processor.
    turn: Arc<Semaphore>,
}

impl Password {
    /// That of the environment (`APP_PASSWORD`), or else that of the board's folder.
    ///
    /// # Errors
    /// A file that can't be read, or is no hash of ours.
    pub(super) fn find(folder: &Path) -> Result<Option<Password>> {
        if let Some(password) = std::env::var_os("APP_PASSWORD").filter(|text| !text.is_empty()) {
            let hash = hash(password.as_encoded_bytes()).context("take APP_PASSWORD")?;
            return Ok(Some(Password::of(hash)));
        }
        let path = folder.join(FILE);
        let reading = || format!("read {}", path.display());
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(reading),
        };
        if fs::metadata(&path)
            .with_context(reading)?
            .permissions()
            .mode()
            & 0o077
            != 0
        {
            eprintln!(
                "booru: others than its owner may read {}: `chmod 600` it",
                path.display()
            );
        }
        let hash = text.trim().to_owned();
        check_hash(&hash).with_context(reading)?;
        Ok(Some(Password::of(hash)))
    }

    fn of(hash: String) -> Password {
        Password {
            hash,
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// Waits until no other check is done, while what it gives is held.
    pub(super) async fn turn(&self) -> OwnedSemaphorePermit {
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        turn.expect("the semaphore is never closed")
    }

    /// Whether it is this one. Takes some 50 ms and 3.5 MiB; `held` is dropped when it is done, also where who
    /// asks has gone meanwhile.
    pub(super) async fn is(
        &self,
        given: String,
        held: impl Send + 'static,
    ) -> Result<bool, Failure> {
        if given.len() > PASSWORD_BYTES_MAX {
            return Ok(false);
        }
        let hash = self.hash.clone();
        let check = move || {
            let _held = held;
            let hash = PasswordHash::new(&hash).expect("it was checked when it was read");
            Argon2::default()
                .verify_password(given.as_bytes(), &hash)
                .is_ok()
        };
        spawn_blocking(check)
            .await
            .map_err(|error| Failure::internal(format_args!("check a password: {error}")))
    }
}

fn check_hash(text: &str) -> Result<()> {
    let again = "set the password again by `booru passwd`";
    let hash =
        PasswordHash::new(text).map_err(|error| anyhow!("it is no hash ({error}): {again}"))?;
    if hash.algorithm != argon2::ARGON2ID_IDENT {
        bail!("it is no Argon2id hash: {again}");
    }
    let params =
        Params::try_from(&hash).map_err(|error| anyhow!("it is no hash ({error}): {again}"))?;
    if params.m_cost() > MEMORY_KIB || hash.hash.is_none() {
        bail!(
            "a check would take {} KiB, more than {MEMORY_KIB}: {again}",
            params.m_cost()
        );
    }
    Ok(())
}

fn hash(password: &[u8]) -> Result<String> {
    if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
        bail!("a password has 1 to {PASSWORD_BYTES_MAX} bytes");
    }
    let salt: [u8; 16] = random()?;
    let salt = SaltString::encode_b64(&salt).map_err(|error| anyhow!("make a salt: {error}"))?;
    let params = Params::new(MEMORY_KIB, PASSES, 1, None)
        .map_err(|error| anyhow!("prepare Argon2id: {error}"))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon2
        .hash_password(password, &salt)
        .map_err(|error| anyhow!("make a hash by Argon2id: {error}"))?;
    Ok(hash.to_string())
}

/// Asks for a password and keeps its hash in the folder of a board, or takes it away.
///
/// # Errors
/// No board, two answers that differ, a password that is too short, a folder that can't be written.
pub fn set(board: &Path, remove: bool) -> Result<()> {
    crate::store::find(board)?;
    let path = folder_of(board).join(FILE);
    if remove {
        return match fs::remove_file(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            done => done.with_context(|| format!("delete {}", path.display())),
        };
    }
    let password = ask()?;
    if password.chars().count() < CHARACTERS_MIN {
        bail!("a password has {CHARACTERS_MIN} characters at least");
    }
    let hash = hash(password.as_bytes())?;
    write_whole(&path, &hash).with_context(|| format!("write {}", path.display()))?;
    eprintln!("booru: the password is set; a server that runs takes it when it is started anew");
    Ok(())
}

/// For nobody else to read, and whole or not at all.
fn write_whole(path: &Path, hash: &str) -> Result<()> {
    let beside = path.with_extension(format!("passwd.{}", std::process::id()));
    let write = || -> Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        writeln!(file, "{hash}")?;
        file.sync_all()?;
        Ok(fs::rename(&beside, path)?)
    };
    let done = write();
    if done.is_err() {
        let _ = fs::remove_file(&beside);
    }
    done
}

/// Twice from a terminal, without showing it; else the first line of the input.
fn ask() -> Result<String> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return read_line();
    }
    let _hidden = Hidden::begin()?;
    eprint!("New password: ");
    let first = read_line()?;
    eprint!("\nAgain: ");
    let second = read_line()?;
    eprintln!();
    match first == second {
        true => Ok(first),
        false => bail!("the two differ: nothing was changed"),
    }
}

fn read_line() -> Result<String> {
    let mut line = String::new();
    let mut input = std::io::stdin().lock();
    input.read_line(&mut line).context("read the password")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// The terminal shows nothing of what is typed while this lives.
struct Hidden(libc::termios);

impl Hidden {
    fn begin() -> Result<Hidden> {
        let failed = || std::io::Error::last_os_error();
        // SAFETY: a termios is plain numbers, for which zero is a value; tcgetattr fills it, and
        // tcsetattr reads a copy of it.
        unsafe {
            let mut settings: libc::termios = std::mem::zeroed();
            if libc::tcgetattr(libc::STDIN_FILENO, &raw mut settings) != 0 {
                return Err(failed()).context("ask for the settings of the terminal");
            }
            let mut silent = settings;
            silent.c_lflag &= !libc::ECHO;
            if libc::tcsetattr(libc::STDIN_FILENO, libc::TCSAFLUSH, &raw const silent) != 0 {
                return Err(failed()).context("keep the terminal from showing the password");
            }
            Ok(Hidden(settings))
        }
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // SAFETY: it reads the settings that tcgetattr gave.
        unsafe {
            libc::tcsetattr(libc::STDIN_FILENO, libc::TCSAFLUSH, &raw const self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_one_password_and_of_bounded_memory() {
        let text = hash(b"open sesame").unwrap();
        check_hash(&text).unwrap();
        assert_ne!(text, hash(b"open sesame").unwrap(), "the salts differ");
        let parsed = PasswordHash::new(&text).unwrap();
        let is = |given: &[u8]| Argon2::default().verify_password(given, &parsed).is_ok();
        assert!(is(b"open sesame") && !is(b"open sesam") && !is(b""));
        let large = text.replace("m=3584", "m=19456");
        for (wrong, part) in [
            (large.as_str(), "19456 KiB"),
            ("secret", "no hash"),
            ("", "no hash"),
            (
                "$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo",
                "no Argon2id",
            ),
        ] {
            let error = check_hash(wrong).unwrap_err().to_string();
            assert!(
                error.contains(part) && error.contains("booru passwd"),
                "{error}"
            );
        }
        assert!(hash(b"").is_err() && hash(&[b'x'; 1025]).is_err());
    }
}
