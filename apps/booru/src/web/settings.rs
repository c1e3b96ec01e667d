//! Settings of `booru serve`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::holdings::BUDGET_MIB;
use crate::catalog::TagsHeld;
use crate::config::{BoardArguments, File};
use crate::ingest::{self, IngestArguments};
use crate::similarity::{SimilarityArguments, SimilarityOptions};
use crate::store::{Access, StoreOptions, folder_of};

/// The original's.
const PORT: u16 = 5000;
/// Two searches at once are as fast as two cores are; each reader has a page cache.
const READERS: usize = 2;
const READERS_MAX: usize = 16;
/// Of a reader: it looks up rows of one page of images, and nothing is read twice soon.
pub(super) const READER_CACHE_BYTES: u64 = 1 << 20;

/// Arguments of `booru serve`. Folders are relative to that of the board.
#[derive(Clone, Debug, Args)]
pub struct ServeArguments {
    #[command(flatten)]
    pub board: BoardArguments,
    /// The address to listen on; 127.0.0.1 if nothing else is set.
    #[arg(long, env = "FLASK_HOST", value_parser = parse_host)]
    pub host: Option<IpAddr>,
    /// The port; 5000 if nothing else is set, 0 for any that is free.
    #[arg(long, env = "FLASK_PORT")]
    pub port: Option<u16>,
    /// Listen on other addresses than this machine's own without a password: whoever reaches it may change all.
    #[arg(long)]
    pub no_password: bool,
    /// Let everybody read; changes need the password.
    #[arg(long)]
    pub public_read: bool,
    /// Refuse to change anything.
    #[arg(long)]
    pub read_only: bool,
    /// The address that browsers know it by, as `https://booru.example.org`; with https its cookies are
    /// sent encrypted only.
    #[arg(long, value_name = "URL", value_parser = PublicUrl::parse)]
    pub public_url: Option<PublicUrl>,
    /// A proxy of one's own stands before it: the last address in X-Forwarded-For is the client's.
    #[arg(long)]
    pub behind_proxy: bool,
    /// How many requests may read the database at once, 1 to 16; 2 if nothing else is set.
    #[arg(long, value_parser = parse_readers)]
    pub readers: Option<usize>,
    /// Memory that the process may take; 256 if nothing else is set.
    #[arg(long, env = "MEMORY_BUDGET_MB", value_name = "MIB")]
    pub memory_budget_mb: Option<u64>,
    /// Images a page, 1 to 500; 150 if nothing else is set.
    #[arg(long, env = "IMAGES_PER_PAGE", value_parser = crate::config::parse_per_page)]
    pub images_per_page: Option<usize>,
    /// Where enlarged images are; static/upscaled if nothing else is set.
    #[arg(long, env = "UPSCALED_IMAGES_DIR", value_name = "FOLDER")]
    pub upscaled_images_dir: Option<PathBuf>,
    #[command(flatten)]
    pub ingest: IngestArguments,
    #[command(flatten)]
    pub similarity: SimilarityArguments,
    /// The title of the pages; ChibiBooru's name if nothing else is set.
    #[arg(long, env = "APP_NAME")]
    pub app_name: Option<String>,
}

/// What a server goes by.
#[derive(Clone, Debug)]
pub struct Settings {
    pub listen: SocketAddr,
    /// The folder of the board, or its database, as it was given.
    pub board: PathBuf,
    pub store: StoreOptions,
    pub tags_held: TagsHeld,
    /// Of the whole process.
    pub budget_bytes: u64,
    pub readers: usize,
    pub app_name: String,
    pub images_per_page: usize,
    pub folders: Folders,
    pub ingest: ingest::Settings,
    /// New files are taken in.
    pub is_monitored: bool,
    pub similarity: SimilarityOptions,
    pub models: crate::ml::Settings,
    pub public_url: Option<PublicUrl>,
    pub behind_proxy: bool,
    pub public_read: bool,
    /// Listening elsewhere without a password is wanted.
    pub no_password: bool,
}

/// Where files are.
#[derive(Clone, Debug)]
pub struct Folders {
    /// Of the board itself.
    pub board: PathBuf,
    pub images: PathBuf,
    pub thumbnails: PathBuf,
    pub upscaled: PathBuf,
    pub ingest: PathBuf,
}

impl Settings {
    /// # Errors
    /// A file of settings that can't be read.
    pub fn of(arguments: &ServeArguments) -> Result<Settings> {
        let board = &arguments.board.board;
        let file = File::read(board)?;
        let folder = folder_of(board);
        let ingest = ingest::Settings::of(&arguments.board, &arguments.ingest)?;
        let upscaled = arguments.upscaled_images_dir.clone();
        let upscaled = upscaled.or(file.upscaled_images_dir);
        let access = match arguments.read_only {
            true => Access::ReadOnly,
            false => Access::InPlace,
        };
        let host = match (arguments.host, file.host.as_deref()) {
            (Some(host), _) => host,
            (None, Some(host)) => parse_host(host).context("read host of booru.toml")?,
            (None, None) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let public_url = match (&arguments.public_url, file.public_url.as_deref()) {
            (Some(url), _) => Some(url.clone()),
            (None, Some(url)) => {
                Some(PublicUrl::parse(url).context("read public_url of booru.toml")?)
            }
            (None, None) => None,
        };
        Ok(Settings {
            board: board.clone(),
            listen: SocketAddr::new(host, arguments.port.or(file.port).unwrap_or(PORT)),
            store: arguments.board.store_options(access)?,
            tags_held: arguments.board.tags_held()?,
            budget_bytes: (arguments.memory_budget_mb)
                .or(file.memory_budget_mb)
                .unwrap_or(BUDGET_MIB)
                .saturating_mul(1 << 20),
            readers: arguments.readers.unwrap_or(READERS),
            app_name: (arguments.app_name.clone())
                .or(file.app_name)
                .unwrap_or_else(|| "ChibiBooru".to_owned()),
            images_per_page: arguments.board.images_per_page(arguments.images_per_page)?,
            folders: Folders {
                images: ingest.images.clone(),
                thumbnails: ingest.thumbnails.clone(),
                upscaled: folder.join(upscaled.unwrap_or_else(|| "static/upscaled".into())),
                ingest: ingest.ingest.clone(),
                board: folder,
            },
            is_monitored: access == Access::InPlace && ingest.is_monitored,
            similarity: arguments.similarity.options(&arguments.board, access)?,
            models: crate::ml::Settings::read(board, &file.ml, &|name| std::env::var_os(name))?,
            ingest,
            public_url,
            behind_proxy: arguments.behind_proxy || file.behind_proxy.unwrap_or(false),
            public_read: arguments.public_read || file.public_read.unwrap_or(false),
            no_password: arguments.no_password,
        })
    }
}

/// Where browsers find the board, if a proxy or a name stands before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    pub is_https: bool,
    /// Host, and port where it is not the usual one, in lower case.
    pub authority: String,
}

impl PublicUrl {
    fn parse(text: &str) -> Result<PublicUrl> {
        let wanted = "it is like https://booru.example.org, without a path";
        let text = text.trim_end_matches('/').to_lowercase();
        let (scheme, authority) = text
            .split_once("://")
            .with_context(|| format!("{text:?} is no address: {wanted}"))?;
        let is_https = match scheme {
            "https" => true,
            "http" => false,
            _ => bail!("{text:?} is no address of a page: {wanted}"),
        };
        if authority.is_empty() || authority.contains(['/', '@', '?', '#', ' ']) {
            bail!("{text:?} is no address of a host: {wanted}");
        }
        let usual = match is_https {
            true => ":443",
            false => ":80",
        };
        let authority = authority.strip_suffix(usual).unwrap_or(authority);
        Ok(PublicUrl {
            is_https,
            authority: authority.to_owned(),
        })
    }
}

fn parse_host(text: &str) -> Result<IpAddr> {
    if text == "localhost" {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    text.parse()
        .with_context(|| format!("{text:?} is no address: give one as 127.0.0.1 or ::1"))
}

fn parse_readers(text: &str) -> Result<usize> {
    let readers = text.parse()?;
    match (1..=READERS_MAX).contains(&readers) {
        true => Ok(readers),
        false => bail!("1 to {READERS_MAX} requests can read at once, not {readers}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_browsers_is_a_scheme_and_a_host() {
        let check = |text: &str, expected: Option<(bool, &str)>| {
            let url = PublicUrl::parse(text).ok();
            let url = url
                .as_ref()
                .map(|url| (url.is_https, url.authority.as_str()));
            assert_eq!(url, expected, "{text}");
        };
        check(
            "https://Booru.Example.org/",
            Some((true, "booru.example.org")),
        );
        check("https://a.b:443", Some((true, "a.b")));
        check("http://a.b:443", Some((false, "a.b:443")));
        for wrong in ["a.b", "ftp://a.b", "https://", "https://a/b", "https://u@a"] {
            check(wrong, None);
        }
    }
}
