//! The simulator as a program: prints its ports as a line of JSON, and serves until it is killed, or
//! standard input ends where that was asked for.

use std::io::{Read, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use plimsoll_s3_simulator::faults::Script;
use plimsoll_s3_simulator::{Bucket, Churn, Contents, Layout, Server, Sink};

/// A deterministic S3 of any size, and an FTP server that keeps no file.
#[derive(Debug, Parser)]
struct Arguments {
    /// Objects of generation 0.
    #[arg(long, default_value_t = 1000)]
    count: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value = "albums")]
    layout: Layout,
    /// Lengths of bodies, from and to; their MD5 is the ETag.
    #[arg(long, num_args = 2, value_names = ["LEAST", "MOST"], default_values_t = [0, 48])]
    bytes: Vec<u64>,
    /// Lengths of up to 5 MB instead, with ETags that are no MD5.
    #[arg(long)]
    photos: bool,
    /// How often the bucket has changed.
    #[arg(long, default_value_t = 0)]
    generation: u32,
    /// Of 10,000 objects, how many a generation removes.
    #[arg(long, default_value_t = 100)]
    removed: u32,
    /// How many it adds.
    #[arg(long, default_value_t = 100)]
    added: u32,
    /// How many it changes.
    #[arg(long, default_value_t = 50)]
    changed: u32,
    /// Its name; NAME-N is the same with N objects.
    #[arg(long, default_value = "bucket")]
    bucket: String,
    /// Port of S3; 0 is any that is free.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Port of FTP; 0 is any that is free.
    #[arg(long, default_value_t = 0)]
    ftp_port: u16,
    /// A file with a script of faults, as `POST /_faults` takes it.
    #[arg(long)]
    faults: Option<PathBuf>,
    /// End when standard input does.
    #[arg(long)]
    until_eof: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let bucket = Bucket {
        seed: arguments.seed,
        count: arguments.count,
        layout: arguments.layout,
        contents: match arguments.photos {
            true => Contents::Photos,
            false => Contents::Bodies(arguments.bytes[0], arguments.bytes[1]),
        },
        churn: Churn {
            removed: arguments.removed,
            added: arguments.added,
            changed: arguments.changed,
        },
        generation: arguments.generation,
    };
    bucket.check()?;
    let server = Server::start(&arguments.bucket, bucket, arguments.port)
        .with_context(|| format!("listen on port {}", arguments.port))?;
    if let Some(path) = &arguments.faults {
        let failed = || format!("read the script of faults {}", path.display());
        let json = std::fs::read(path).with_context(failed)?;
        server.set_faults(Script::parse(&json).with_context(failed)?);
    }
    let sink = Sink::start(arguments.ftp_port)
        .with_context(|| format!("listen on port {}", arguments.ftp_port))?;
    let ports = serde_json::json!({"s3": server.port(), "ftp": sink.port()});
    let mut out = std::io::stdout();
    writeln!(out, "{ports}")
        .and_then(|()| out.flush())
        .context("print the ports")?;
    if arguments.until_eof {
        std::io::copy(&mut std::io::stdin().take(u64::MAX), &mut std::io::sink())
            .context("wait for the end of standard input")?;
        return Ok(());
    }
    loop {
        std::thread::park();
    }
}
