//! Passwords that stand neither in an address nor on a command line: `PGPASSWORD`, or a line
//! `host:port:database:user:password` of the file that `PGPASSFILE` names or `~/.pgpass`, as libpq has it.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use super::address::PORT;

/// Of a file of passwords: what is larger is something else.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// # Errors
/// A file that others may read, or that can't be read.
pub(super) fn find(config: &Config) -> Result<Option<String>> {
    if let Ok(password) = env::var("PGPASSWORD") {
        return Ok(Some(password));
    }
    let file = env::var_os("PGPASSFILE").map(PathBuf::from);
    let own = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".pgpass"));
    let Some(path) = file.or_else(own) else {
        return Ok(None);
    };
    let reading = || format!("read the file of passwords {}", path.display());
    let state = match fs::metadata(&path) {
        Ok(state) if state.is_file() => state,
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(reading);
        }
        _ => return Ok(None),
    };
    if state.permissions().mode() & 0o077 != 0 {
        bail!("{}: others may read it; make it `chmod 600`", reading());
    }
    if state.len() > FILE_BYTES_MAX {
        bail!("{}: it has more than {FILE_BYTES_MAX} bytes", reading());
    }
    let text = fs::read_to_string(&path).with_context(reading)?;
    Ok(text.lines().find_map(|line| password_of(line, config)))
}

fn password_of(line: &str, config: &Config) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let fields = fields_of(line);
    let [host, port, database, user, password] = fields.as_slice() else {
        return None;
    };
    let own_host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        // As libpq: the usual folder of sockets is this machine.
        Some(Host::Unix(folder)) if folder.ends_with("run/postgresql") => "localhost".to_owned(),
        Some(Host::Unix(folder)) => folder.display().to_string(),
        None => config.get_hostaddrs().first()?.to_string(),
    };
    let own_port = config.get_ports().first().copied().unwrap_or(PORT);
    let own_user = config.get_user().unwrap_or_default();
    let own_database = config.get_dbname().unwrap_or(own_user);
    let fits = |field: &String, own: &str| field == "*" || field == own;
    let is_it = fits(host, &own_host)
        && fits(port, &own_port.to_string())
        && fits(database, own_database)
        && fits(user, own_user);
    is_it.then(|| password.clone())
}

/// Fields at `:`; `\` takes the next character as it is.
fn fields_of(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        let field = match letter {
            ':' => {
                fields.push(String::new());
                continue;
            }
            '\\' => letters.next(),
            other => Some(other),
        };
        if let Some(last) = fields.last_mut() {
            last.extend(field);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_counts_where_all_its_fields_fit() {
        let config: Config = "postgres://me@localhost:6000/board".parse().unwrap();
        let check = |line: &str, password: Option<&str>| {
            assert_eq!(password_of(line, &config).as_deref(), password, "{line}");
        };
        check("localhost:6000:board:me:a", Some("a"));
        check("*:*:*:*:a\\:b\\\\c", Some("a:b\\c"));
        check("#*:*:*:*:a", None);
        check("localhost:6001:board:me:a", None);
        check("localhost:*:other:me:a", None);
        check("localhost:*:board:you:a", None);
        check("localhost:*:board:me", None);
    }
}
