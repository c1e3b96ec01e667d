//! The client that the mirror has.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use plimsoll_mirror::ftp::{self, Connection};
use plimsoll_mirror::listing::{BucketListing, KeyRange, Lister, Options, Strategy};
use plimsoll_mirror::record::{Etag, Meta};
use plimsoll_mirror::s3::{Client, Credentials, Settings};
use plimsoll_mirror::scan::Listing;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["list", endpoint, bucket] => list(&client(endpoint, bucket, None)?, u64::MAX, |_, _| {}),
        ["list", endpoint, bucket, certificate] => {
            let client = client(endpoint, bucket, Some(certificate))?;
            list(&client, u64::MAX, |_, _| {})
        }
        ["get", endpoint, bucket, count] => get(endpoint, bucket, count.parse()?),
        ["put", port, count, bytes] => put(port.parse()?, count.parse()?, bytes.parse()?),
        _ => bail!(
            "list ENDPOINT BUCKET [CERTIFICATE] | get ENDPOINT BUCKET COUNT | put PORT COUNT BYTES"
        ),
    }
}

fn client(endpoint: &str, bucket: &str, certificate: Option<&str>) -> Result<Arc<Client>> {
    let read = |path| std::fs::read(path).with_context(|| format!("read {path}"));
    Ok(Arc::new(Client::new(Settings {
        endpoint: endpoint.to_owned(),
        bucket: bucket.to_owned(),
        credentials: Credentials {
            access_key_id: "key".to_owned(),
            secret_access_key: "secret".to_owned(),
            region: "us-east-1".to_owned(),
        },
        idle: Duration::from_secs(30),
        tries: 3,
        requests_per_second: 0,
        connections: 2,
        certificates: certificate.map(read).transpose()?.into_iter().collect(),
    })?))
}

fn list(client: &Arc<Client>, limit: u64, mut each: impl FnMut(&[u8], &Meta)) -> Result<()> {
    // One connection, as the others have.
    let options = Options {
        prefix: String::new(),
        range: KeyRange::default(),
        strategy: Strategy::Flat,
        workers: 1,
        keys_ahead: 0,
        is_from_start: false,
    };
    let lister: Arc<dyn Lister> = client.clone();
    let mut listing = BucketListing::start(&lister, &options, None, Box::new(|_| ()))?;
    let (mut objects, mut bytes) = (0_u64, 0_u64);
    while objects < limit && listing.advance()? {
        objects += 1;
        bytes += listing.meta().size_bytes;
        each(listing.key(), listing.meta());
    }
    if limit == u64::MAX {
        println!("{objects} {bytes}");
    }
    Ok(())
}

fn get(endpoint: &str, bucket: &str, count: u64) -> Result<()> {
    let client = client(endpoint, bucket, None)?;
    let mut wanted = Vec::new();
    list(&client, count, |key, meta| {
        wanted.push((String::from_utf8_lossy(key).into_owned(), meta.clone()));
    })?;
    let mut buffer = vec![0; 64 << 10];
    let mut bytes = 0;
    for (key, meta) in &wanted {
        let mut object = client.get(key, meta)?;
        loop {
            let read = object.reader.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            bytes += read;
        }
    }
    println!("{} {bytes}", wanted.len());
    Ok(())
}

/// As the mirror does it: a temporary name, the length compared, renamed; and the MD5 taken.
fn put(port: u16, count: u64, bytes: usize) -> Result<()> {
    let failed = |fault| anyhow::anyhow!("{fault}");
    let mut connection = Connection::open(&ftp::Settings {
        host: "127.0.0.1".to_owned(),
        port,
        user: "user".to_owned(),
        password: "secret".to_owned(),
        base_path: String::new(),
        tls: None,
        idle: Duration::from_secs(30),
    })
    .map_err(failed)?;
    let body = vec![b'x'; bytes];
    let meta = Meta {
        size_bytes: bytes as u64,
        modified: 0,
        etag: Etag::None,
    };
    for number in 0..count {
        let key = format!("mirror-{number}");
        connection
            .upload(&key, &meta, false, &mut &body[..], &mut |_| true)
            .map_err(failed)?;
    }
    connection.close();
    println!("{count} {}", count * bytes as u64);
    Ok(())
}
