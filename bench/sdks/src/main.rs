//! What clients of S3 and FTP cost for the work of a mirror: processor time and peak memory of a process
//! that does only this, how many crates it is made of, and what a clean build of it takes.

mod command;
mod server;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};

use command::{Cost, run};
use server::Server;

#[derive(Debug, Parser)]
struct Arguments {
    /// Which tables; without any, all.
    tables: Vec<Table>,
    /// Keys that are listed.
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// Objects of 64 KiB that are read, and files of 4 KiB that are sent.
    #[arg(long, default_value_t = 1000)]
    files: u64,
    /// Of each, in turns.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(3..))]
    rounds: u32,
    /// Take programs as they are built, on a machine without Cargo.
    #[arg(long)]
    built: bool,
    /// Build each in an empty folder too: takes minutes each.
    #[arg(long)]
    builds: bool,
    /// Leave these out.
    #[arg(long)]
    without: Vec<String>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Table {
    List,
    Get,
    Put,
    Crates,
}

const OBJECT_BYTES: u64 = 64 << 10;
const FILE_BYTES: u64 = 4 << 10;

/// The first is the one that ratios are taken to.
const S3_CLIENTS: [&str; 4] = ["mirror", "aws", "object-store", "opendal"];
const FTP_CLIENTS: [&str; 2] = ["mirror", "suppaftp"];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let here = std::env::current_dir().context("find the current folder")?;
    let here = &*here;
    let is_in = |name: &&str| !arguments.without.iter().any(|left_out| left_out == name);
    let s3: Vec<&str> = S3_CLIENTS.into_iter().filter(is_in).collect();
    let ftp: Vec<&str> = FTP_CLIENTS.into_iter().filter(is_in).collect();
    if !arguments.built {
        build_simulator(here)?;
        for name in s3.iter().chain(&ftp).collect::<BTreeSet<_>>() {
            build(here, name, None)?;
        }
    }
    let is_wanted = |table| arguments.tables.is_empty() || arguments.tables.contains(&table);
    if is_wanted(Table::List) {
        list(&arguments, here, &s3)?;
    }
    if is_wanted(Table::Get) {
        get(&arguments, here, &s3)?;
    }
    if is_wanted(Table::Put) {
        put(&arguments, here, &ftp)?;
    }
    if is_wanted(Table::Crates) {
        crates(&arguments, here, &s3)?;
    }
    Ok(())
}

fn program(here: &Path, name: &str) -> PathBuf {
    here.join(format!("target/release/contestant-{name}"))
}

fn build_simulator(here: &Path) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "-p", "plimsoll-s3-simulator"]);
    run(cargo.current_dir(here.join("../..")))?;
    Ok(())
}

fn build(here: &Path, name: &str, folder: Option<&Path>) -> Result<Cost> {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--release", "-q", "-p"])
        .arg(format!("contestant-{name}"))
        .current_dir(here);
    if let Some(folder) = folder {
        cargo.arg("--target-dir").arg(folder);
    }
    Ok(run(&mut cargo)?.1)
}

/// A bucket whose objects have bodies of so many bytes.
fn bucket(here: &Path, objects: u64, least: u64, most: u64) -> Result<(Server, String)> {
    let server = Server::start(
        Command::new(here.join("../../target/release/s3-simulator"))
            .arg(format!("--count={objects}"))
            .args(["--bytes", &least.to_string(), &most.to_string()])
            .arg("--until-eof"),
    )?;
    let endpoint = format!("http://127.0.0.1:{}", server.port("s3")?);
    Ok((server, endpoint))
}

fn list(arguments: &Arguments, here: &Path, clients: &[&str]) -> Result<()> {
    let (server, endpoint) = bucket(here, arguments.keys, 0, 48)?;
    let folder = std::env::temp_dir().join(format!("sdks-{}", std::process::id()));
    let front = tls_front(here, &folder, server.port("s3")?);
    let mut contestants: Vec<Contestant> = clients
        .iter()
        .map(|name| {
            let mut command = Command::new(program(here, name));
            command.args(["list", &endpoint, "bucket"]);
            Contestant::new(name, command)
        })
        .collect();
    match &front {
        Ok(front) => {
            let mut command = Command::new(program(here, "mirror"));
            let endpoint = format!("https://localhost:{}", front.port("tls")?);
            command.args(["list", &endpoint, "bucket"]);
            command.arg(folder.join("certificate.der"));
            contestants.push(Contestant::new("mirror, over TLS", command));
        }
        Err(error) => println!("mirror, over TLS: left out: {error:#}"),
    }
    race(arguments, &mut contestants, arguments.keys, None)?;
    print(&format!("List {} keys", arguments.keys), &contestants);
    drop(front);
    let _ = std::fs::remove_dir_all(&folder);
    Ok(())
}

/// Takes TLS off, in front of the port: with a certificate of its own in the folder.
fn tls_front(here: &Path, folder: &Path, port: u64) -> Result<Server> {
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    Server::start(
        Command::new("python3")
            .arg(here.join("peers/tls_front.py"))
            .arg(folder)
            .arg(port.to_string()),
    )
}

fn get(arguments: &Arguments, here: &Path, clients: &[&str]) -> Result<()> {
    let (_server, endpoint) = bucket(here, arguments.files, OBJECT_BYTES, OBJECT_BYTES)?;
    let files = arguments.files.to_string();
    let mut contestants: Vec<Contestant> = clients
        .iter()
        .map(|name| {
            let mut command = Command::new(program(here, name));
            command.args(["get", &endpoint, "bucket", &files]);
            Contestant::new(name, command)
        })
        .collect();
    let bytes = arguments.files * OBJECT_BYTES;
    race(arguments, &mut contestants, arguments.files, Some(bytes))?;
    let title = format!("Get {files} objects of 64 KiB, one after the other");
    print(&title, &contestants);
    Ok(())
}

fn put(arguments: &Arguments, here: &Path, clients: &[&str]) -> Result<()> {
    let server = Server::start(Command::new("python3").arg(here.join("peers/ftp_server.py")));
    let server = match server {
        Ok(server) => server,
        Err(error) => {
            println!("\nFTP: left out: {error:#}");
            return Ok(());
        }
    };
    let port = server.port("ftp")?.to_string();
    let (files, bytes) = (arguments.files.to_string(), FILE_BYTES.to_string());
    let programs = clients
        .iter()
        .map(|name| (*name, Command::new(program(here, name))));
    let mut python = Command::new("python3");
    python.arg(here.join("peers/ftplib_put.py"));
    let mut contestants: Vec<Contestant> = programs
        .chain([("Python ftplib", python)])
        .map(|(name, mut command)| {
            command.args(["put", &port, &files, &bytes]);
            Contestant::new(name, command)
        })
        .collect();
    let all = arguments.files * FILE_BYTES;
    race(arguments, &mut contestants, arguments.files, Some(all))?;
    let title = format!("Send {files} files of 4 KiB by FTP, one after the other");
    print(&title, &contestants);
    println!("mirror also asks for each size and renames; the others only send.");
    Ok(())
}

struct Contestant {
    name: String,
    command: Command,
    costs: Vec<Cost>,
}

impl Contestant {
    fn new(name: &str, command: Command) -> Contestant {
        Contestant {
            name: name.to_owned(),
            command,
            costs: Vec::new(),
        }
    }
}

/// Each in turn. Who has not done the whole work has no figure: that ends it.
fn race(
    arguments: &Arguments,
    contestants: &mut [Contestant],
    objects: u64,
    bytes: Option<u64>,
) -> Result<()> {
    for _ in 0..arguments.rounds {
        for contestant in &mut *contestants {
            let (text, cost) = run(&mut contestant.command)?;
            let mut numbers = text.split_whitespace().map(str::parse::<u64>);
            let (found, found_bytes) = (numbers.next(), numbers.next());
            let is_whole = found == Some(Ok(objects))
                && bytes.is_none_or(|bytes| found_bytes == Some(Ok(bytes)));
            if !is_whole {
                bail!(
                    "{}: {objects} objects and {bytes:?} bytes were there, and it found {text:?}",
                    contestant.name
                );
            }
            contestant.costs.push(cost);
        }
    }
    Ok(())
}

fn print(title: &str, contestants: &[Contestant]) {
    println!("\n## {title}\n");
    println!("| client | CPU s | CPU ratio | wall s | peak RSS MiB | RSS ratio |");
    println!("|---|---|---|---|---|---|");
    let cpu = |cost: &Cost| cost.cpu.as_secs_f64();
    let rss = |cost: &Cost| cost.rss_max as f64 / f64::from(1 << 20);
    let first = &contestants[0];
    for one in contestants {
        let all = |figure: &dyn Fn(&Cost) -> f64| one.costs.iter().map(figure).collect::<Vec<_>>();
        // Within each round, so that what disturbs one disturbs both.
        let ratio = |figure: &dyn Fn(&Cost) -> f64| {
            let pairs = one.costs.iter().zip(&first.costs);
            median(
                pairs
                    .map(|(one, first)| figure(one) / figure(first))
                    .collect(),
            )
        };
        println!(
            "| {} | {} | {:.1} | {} | {} | {:.1} |",
            one.name,
            spread(all(&cpu)),
            ratio(&cpu),
            spread(all(&|cost| cost.wall.as_secs_f64())),
            spread(all(&rss)),
            ratio(&rss)
        );
    }
}

/// Median, least and greatest.
fn spread(mut figures: Vec<f64>) -> String {
    figures.sort_by(f64::total_cmp);
    let (least, most) = (figures[0], figures[figures.len() - 1]);
    format!("{:.2} ({least:.2}–{most:.2})", median(figures))
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() % 2 {
        1 => figures[middle],
        _ => f64::midpoint(figures[middle - 1], figures[middle]),
    }
}

/// How many crates each is made of, and what a clean build takes.
fn crates(arguments: &Arguments, here: &Path, clients: &[&str]) -> Result<()> {
    println!("\n## Crates, and a clean build\n");
    println!("| client | crates | build, CPU s | stripped program, MiB |");
    println!("|---|---|---|---|");
    for name in clients.iter().chain(&["suppaftp"]) {
        let mut cargo = Command::new("cargo");
        cargo
            .args(["tree", "--prefix=none", "-e", "normal", "-p"])
            .arg(format!("contestant-{name}"))
            .current_dir(here);
        let (text, _) = run(&mut cargo)?;
        let names: BTreeSet<&str> = text
            .lines()
            .filter_map(|line| line.split(" (").next())
            .collect();
        let built = match arguments.builds {
            true => {
                let folder = here.join(format!("target/clean-{name}"));
                let _ = std::fs::remove_dir_all(&folder);
                let cost = build(here, name, Some(&folder))?;
                let _ = std::fs::remove_dir_all(&folder);
                format!("{:.0}", cost.cpu.as_secs_f64())
            }
            false => "not asked for".to_owned(),
        };
        let stripped = std::env::temp_dir().join(format!("stripped-{}", std::process::id()));
        let mut strip = Command::new("strip");
        strip.arg("-o").arg(&stripped).arg(program(here, name));
        let size = run(&mut strip).and_then(|_| Ok(std::fs::metadata(&stripped)?.len()));
        let _ = std::fs::remove_file(&stripped);
        let size = size.map_or("no strip here".to_owned(), |bytes| {
            format!("{:.1}", bytes as f64 / f64::from(1 << 20))
        });
        // Without the contestant itself.
        println!("| {name} | {} | {built} | {size} |", names.len() - 1);
    }
    Ok(())
}
