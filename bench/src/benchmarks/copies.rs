//! Files copied and archives edited by the library, beside what programs take instead. What is in
//! another process (cp, python3) counts its start; peak RSS is of a process that does nothing else.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use plimsoll::stream::zip::{ZipArchive, ZipMethod, ZipNew, ZipWriter};
use plimsoll::stream::{CopyOptions, Verify, copy_file};

use crate::benchmarks::Plan;
use crate::command;
use crate::cost::Cost;
use crate::race::{Contestant, race};
use crate::report::Report;
use crate::table::Table;
use crate::targets::in_mib;

const FILE_BYTES: usize = 256 << 20;
const PAGES: usize = 200;
const PAGE_BYTES: usize = 256 << 10;
const ENTRIES: usize = 1_000_000;

/// First argument of this program when it is started again to do one thing and end.
const ACT: &str = "--act";

/// A folder that goes when the benchmark ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Scratch> {
        let path = std::env::temp_dir().join(format!("plimsoll-bench-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Bytes that don't compress, as pictures are.
fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

fn unverified<'a>() -> CopyOptions<'a> {
    CopyOptions {
        verify: Verify::None,
        ..CopyOptions::default()
    }
}

pub(crate) fn run_stream(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let (from, to) = (scratch.0.join("from"), scratch.0.join("to"));
    fs::write(&from, noise(FILE_BYTES, 1))?;
    File::open(&from)?.sync_all()?;
    let (from, to) = (&from, &to);
    let contestants = vec![
        Contestant::new("copy_file, read back", move || {
            let (done, cost) = Cost::of(|| copy_file(from, to, CopyOptions::default()));
            done.map(|_| cost.into()).map_err(Into::into)
        }),
        Contestant::new("copy_file, Verify::None", move || {
            let (done, cost) = Cost::of(|| copy_file(from, to, unverified()));
            done.map(|_| cost.into()).map_err(Into::into)
        }),
        Contestant::new("std::fs::copy", move || {
            let (done, cost) = Cost::of(|| fs::copy(from, to));
            done.map(|_| cost.into()).map_err(Into::into)
        }),
        Contestant::new("std::fs::copy and fsync", move || {
            let (done, cost) =
                Cost::of(|| fs::copy(from, to).and_then(|_| File::open(to)?.sync_all()));
            done.map(|()| cost.into()).map_err(Into::into)
        }),
        Contestant::new("cp", move || {
            Ok(command::run(Command::new("cp").args([from, to]))?
                .cost
                .into())
        }),
    ];
    let measured = race(contestants, plan.rounds);
    let mut table = Table::of_costs("stream: 256 MiB copied", &measured, &measured[0]);
    table.note(
        "std::fs::copy and cp leave the bytes in the page cache and write over the target. All read \
         from the page cache.",
    );
    report.table(table);
    Ok(())
}

pub(crate) fn run_zip(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let (comic, many) = (scratch.0.join("comic.cbz"), scratch.0.join("many.zip"));
    let mut writer = ZipWriter::create(&comic, unverified())?;
    for page in 0..PAGES {
        let name = format!("page {page:04}.jpg");
        let pixels = noise(PAGE_BYTES, page as u64 * 7 + 3);
        writer.add(
            &ZipNew::new(name.as_bytes(), ZipMethod::Deflated),
            &pixels[..],
        )?;
    }
    writer.commit()?;
    let mut writer = ZipWriter::create(&many, unverified())?;
    for entry in 0..ENTRIES {
        let name = format!("folder/of some length/{entry:08}.jpg");
        writer.add(
            &ZipNew::new(name.as_bytes(), ZipMethod::Stored),
            io::empty(),
        )?;
    }
    writer.commit()?;

    let edits: &[(&str, &str)] = &[
        ("plimsoll, read back", "edit-ours"),
        ("plimsoll, Verify::None", "edit-ours-unverified"),
        ("zip crate, raw_copy_file", "edit-zip-raw"),
        ("zip crate, read and deflate", "edit-zip-plain"),
        ("python3 zipfile, read and deflate", "edit-python"),
        ("zip --delete", "edit-program"),
    ];
    let title =
        format!("zip: one of {PAGES} pages of 256 KiB left out, each in a process of its own");
    race_acts(plan, report, &title, edits, &comic)?;
    let lists: &[(&str, &str)] = &[
        ("plimsoll, walk", "list-ours"),
        ("plimsoll, check", "check-ours"),
        ("zip crate, ZipArchive::new", "list-zip"),
        ("python3 zipfile", "list-python"),
    ];
    let title = format!("zip: the directory of {ENTRIES} entries, each in a process of its own");
    race_acts(plan, report, &title, lists, &many)
}

fn race_acts(
    plan: &Plan,
    report: &mut Report,
    title: &str,
    acts: &[(&str, &str)],
    path: &Path,
) -> anyhow::Result<()> {
    let contestants = acts.iter().map(|(name, act)| {
        Contestant::new(*name, move || {
            Ok(command::run(&mut command_of(act, path)?)?.cost.into())
        })
    });
    let measured = race(contestants.collect(), plan.rounds);
    report.table(Table::of_costs(title, &measured, &measured[0]));
    let mut table = Table::new(format!("{title}: peak RSS"), &["", "MiB"]);
    for (name, act) in acts {
        let cell = match command_of(act, path).and_then(|command| command::peak_rss(&command)) {
            Ok(peak) => format!("{:.1}", in_mib(peak)),
            Err(error) => format!("failed: {error:#}"),
        };
        table.row(vec![(*name).to_owned(), cell]);
    }
    report.table(table);
    Ok(())
}

const PYTHON: &str = "
import sys, zipfile
source = zipfile.ZipFile(sys.argv[2])
if sys.argv[1] == 'list-python':
    print(len(source.infolist()))
else:
    with zipfile.ZipFile(sys.argv[2] + '.new', 'w', zipfile.ZIP_DEFLATED) as out:
        for info in source.infolist():
            if not info.filename.endswith('0100.jpg'): out.writestr(info, source.read(info))
";

fn command_of(act: &str, path: &Path) -> anyhow::Result<Command> {
    let mut command;
    if act.ends_with("-python") {
        command = Command::new("python3");
        command.args(["-c", PYTHON, act]).arg(path);
    } else if act == "edit-program" {
        command = Command::new("sh");
        command.args([
            "-c",
            "cp \"$1\" \"$1.new\" && zip -q --delete \"$1.new\" 'page 0100.jpg'",
            "-",
        ]);
        command.arg(path);
    } else {
        command = Command::new(std::env::current_exe()?);
        command.args([ACT, act]).arg(path);
    }
    Ok(command)
}

/// Does what this process was started for, if it was.
pub(crate) fn answer_act() -> Option<anyhow::Result<()>> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != ACT {
        return None;
    }
    let act = arguments.next()?.into_string().ok()?;
    let path = PathBuf::from(arguments.next()?);
    Some(perform(&act, &path))
}

fn perform(act: &str, path: &Path) -> anyhow::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = Path::new(&new);
    match act {
        "edit-ours" => edit_ours(path, new, CopyOptions::default()),
        "edit-ours-unverified" => edit_ours(path, new, unverified()),
        "edit-zip-raw" | "edit-zip-plain" => edit_zip(path, new, act == "edit-zip-raw"),
        "list-ours" => {
            let mut names = 0;
            ZipArchive::open(path)?.walk(|entry| {
                names += entry.name().len();
                Ok::<_, plimsoll::Error>(())
            })?;
            println!("{names}");
            Ok(())
        }
        "check-ours" => {
            let figures = ZipArchive::open(path)?.check(&Default::default())?;
            println!("{figures:?}");
            Ok(())
        }
        "list-zip" => {
            let archive = zip::ZipArchive::new(io::BufReader::new(File::open(path)?))?;
            println!("{}", archive.len());
            Ok(())
        }
        _ => bail!("nobody does {act}"),
    }
}

fn edit_ours(path: &Path, new: &Path, options: CopyOptions<'_>) -> anyhow::Result<()> {
    let mut writer = ZipWriter::create(new, options)?;
    ZipArchive::open(path)?.walk(|entry| {
        if entry.name().ends_with(b"0100.jpg") {
            return Ok(());
        }
        writer.copy(entry)
    })?;
    writer.commit()?;
    Ok(())
}

fn edit_zip(path: &Path, new: &Path, is_raw: bool) -> anyhow::Result<()> {
    let mut archive = zip::ZipArchive::new(io::BufReader::new(File::open(path)?))?;
    let mut writer = zip::ZipWriter::new(io::BufWriter::new(File::create(new)?));
    for index in 0..archive.len() {
        let name = archive
            .name_for_index(index)
            .context("an entry")??
            .into_owned();
        if name.ends_with("0100.jpg") {
            continue;
        }
        if is_raw {
            writer.raw_copy_file(archive.by_index_raw(index)?)?;
        } else {
            let options = zip::write::SimpleFileOptions::default();
            writer.start_file(name, options)?;
            io::copy(&mut archive.by_index(index)?, &mut writer)?;
        }
    }
    writer.finish()?.flush()?;
    Ok(())
}
