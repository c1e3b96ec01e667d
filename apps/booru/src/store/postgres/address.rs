//! Where a shared board is: `postgres://USER@HOST:PORT/DATABASE`. What is shown of it has no password.

use std::env;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::password;

/// To reach a server, unless the address has `connect_timeout`.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// Until a server that answers nothing at all counts as lost.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Where Debian's PostgreSQL listens, if no host is told.
const SOCKETS: &str = "/var/run/postgresql";

/// A database of a PostgreSQL server, and who asks.
#[derive(Clone)]
pub(crate) struct Address {
    config: Config,
    shown: String,
}

impl fmt::Debug for Address {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.shown)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.shown)
    }
}

/// Whether a board is told by an address, and not by a folder or file.
#[must_use]
pub(crate) fn is_address(board: &Path) -> bool {
    let text = board.to_str().unwrap_or_default();
    let text = text.to_ascii_lowercase();
    // Also one in words: what has a password in it is nothing to be shown as a path.
    text.starts_with("postgres://")
        || text.starts_with("postgresql://")
        || text.contains("password=")
}

impl Address {
    /// Completed by `PGPASSWORD`, the file of passwords and the user's name, as other programs do.
    ///
    /// # Errors
    /// What is no address, several hosts, and a server elsewhere without a word that nobody else listens.
    pub(crate) fn parse(text: &str) -> Result<Address> {
        // What the parser says may repeat a part of a password.
        let parsed = text.parse::<Config>().ok();
        // A password with a bare @ would end up in the name of the host.
        let is_split = |host: &Host| matches!(host, Host::Tcp(name) if name.contains('@'));
        let parsed = parsed.filter(|config| !config.get_hosts().iter().any(is_split));
        let Some(mut config) = parsed else {
            bail!(
                "read the address of the board: it is not of the form \
                 postgres://USER@HOST:PORT/DATABASE, with special characters as %XX"
            );
        };
        if config.get_hosts().len() > 1 || config.get_hostaddrs().len() > 1 {
            bail!("read the address of the board: it has several hosts, and a board is on one");
        }
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            match Path::new(SOCKETS).is_dir() {
                true => config.host(SOCKETS),
                false => config.host("localhost"),
            };
        }
        if config.get_user().is_none() {
            let Some(user) = ["PGUSER", "USER", "LOGNAME"]
                .iter()
                .find_map(|name| env::var(name).ok())
            else {
                bail!("read the address of the board: it has no user, as postgres://USER@…");
            };
            config.user(user);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_PATIENCE);
        }
        if config.get_application_name().is_none() {
            config.application_name("booru");
        }
        config.tcp_user_timeout(SILENCE_MAX);
        let shown = show(&config);
        check_secrecy(&config, &shown)?;
        if config.get_password().is_none()
            && let Some(password) = password::find(&config)?
        {
            config.password(password);
        }
        Ok(Address { config, shown })
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn database(&self) -> &str {
        let user = self.config.get_user().unwrap_or_default();
        self.config.get_dbname().unwrap_or(user)
    }
}

/// There is no TLS in this program.
fn check_secrecy(config: &Config, shown: &str) -> Result<()> {
    let is_wanted = matches!(config.get_ssl_mode(), SslMode::Prefer | SslMode::Disable);
    if !is_wanted {
        bail!(
            "connect to {shown}: it asks for TLS, which booru does not have; let a tunnel encrypt, as \
             `ssh -L`, and connect to its end here"
        );
    }
    let is_open = config.get_ssl_mode() == SslMode::Disable;
    if is_here(config) || is_open {
        return Ok(());
    }
    bail!(
        "connect to {shown}: booru has no TLS, and others on the way could read all; connect by a tunnel, or \
         add ?sslmode=disable where the network is yours alone"
    )
}

fn is_here(config: &Config) -> bool {
    let addresses = config.get_hostaddrs();
    if !addresses.is_empty() {
        return addresses.iter().all(IpAddr::is_loopback);
    }
    config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            let address = name.parse::<IpAddr>();
            name == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
    })
}

fn show(config: &Config) -> String {
    let user = config.get_user().unwrap_or_default();
    let database = config.get_dbname().unwrap_or(user);
    let port = config.get_ports().first().copied().unwrap_or(PORT);
    match config.get_hosts().first() {
        Some(Host::Unix(folder)) => {
            format!(
                "postgres://{user}@/{database}?host={}&port={port}",
                folder.display()
            )
        }
        Some(Host::Tcp(name)) => format!("postgres://{user}@{name}:{port}/{database}"),
        None => {
            let address = config.get_hostaddrs().first();
            let address = address.map_or_else(String::new, IpAddr::to_string);
            format!("postgres://{user}@{address}:{port}/{database}")
        }
    }
}

/// PostgreSQL's own.
pub(super) const PORT: u16 = 5432;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_has_no_password() {
        let check = |text: &str, shown: &str| {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(format!("{address:?}"), shown);
        };
        check(
            "postgres://me:secret@localhost/board",
            "postgres://me@localhost:5432/board",
        );
        check(
            "postgresql://me:secret@127.0.0.1:6000/board?password=secret",
            "postgres://me@127.0.0.1:6000/board",
        );
        check(
            "postgres://me:secret@/board?host=/run/sockets",
            "postgres://me@/board?host=/run/sockets&port=5432",
        );
        check(
            "postgres://me:secret@far.example/?sslmode=disable",
            "postgres://me@far.example:5432/me",
        );
    }

    #[test]
    fn wrong_addresses_are_refused_without_a_word_of_the_password() {
        let check = |text: &str, part: &str| {
            let said = format!("{:#}", Address::parse(text).unwrap_err());
            assert!(said.contains(part) && !said.contains("secret"), "{said}");
        };
        check("postgres://me:secret@host:port/board", "of the form");
        check("postgres://me:not?secret@host/board", "has no TLS");
        check("postgres://me:a@b@secret/x?secret=1", "of the form");
        check("postgres://me:p@secret@localhost/board", "of the form");
        check("Postgres://me:secret@localhost/board", "of the form");
        check("host=far.example user=me password=secret", "has no TLS");
        check("postgres://me:secret@a,b/board", "several hosts");
        check("postgres://me:secret@far.example/board", "has no TLS");
        check(
            "postgres://me:secret@localhost/board?sslmode=require",
            "asks for TLS",
        );
    }
}
