//! Owners on the machine the tests run on, against what its own tools say. Each test says aloud
//! when the machine lacks what it compares with.

#![expect(
    clippy::unwrap_used,
    reason = "functions shared by the tests of this file"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use plimsoll_model::{Gap, Package, PackageManager};
use plimsoll_provenance::Provenance;

fn packages(root: &str, paths: &[PathBuf]) -> (BTreeMap<PathBuf, Package>, Vec<Gap>) {
    Provenance::new(PathBuf::from(root)).packages(paths)
}

/// What a command prints, `None` when it can't be run or fails.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then_some(text)
}

#[test]
fn numpy_and_its_bundled_libraries() {
    const PROGRAM: &str = "import numpy; print(numpy.__version__, numpy.__file__); \
        print(open('/proc/self/maps').read())";
    let Some(text) = output("python3", &["-c", PROGRAM]) else {
        eprintln!("skipped: python3 here has no numpy");
        return;
    };
    let (heading, maps) = text.split_once('\n').unwrap();
    let (version, file) = heading.split_once(' ').unwrap();
    if !file.contains("/site-packages/") {
        eprintln!("skipped: numpy here is not from a wheel ({file})");
        return;
    }
    let mut paths: Vec<PathBuf> = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| PathBuf::from(&line[at..])))
        .filter(|path| path.to_string_lossy().contains("/numpy"))
        .collect();
    paths.dedup();
    let names = |wanted: &str| {
        let mut names = paths.iter().map(|path| path.to_string_lossy());
        names.any(|name| name.contains(wanted))
    };
    assert!(
        names("/_core/_multiarray_umath") && names("/numpy.libs/"),
        "{paths:?}"
    );
    let (owners, gaps) = packages("/", &paths);
    assert_eq!(gaps, []);
    for (path, owner) in owners {
        assert_eq!(owner.manager, PackageManager::Python, "{path:?}");
        assert_eq!(owner.to_string(), format!("numpy {version}"), "{path:?}");
    }
}

/// Every file that the interpreter itself maps has an owner other than `lib-dynload`.
#[test]
fn the_interpreter_is_one_group() {
    const PROGRAM: &str = "import sys, _socket, _json; print(sys.prefix, sys.base_prefix); \
        print(_socket.__file__); print(_json.__file__)";
    let Some(text) = output("python3", &["-c", PROGRAM]) else {
        eprintln!("skipped: no python3");
        return;
    };
    let paths: Vec<PathBuf> = text.lines().skip(1).map(PathBuf::from).collect();
    let (owners, _) = packages("/", &paths);
    for (path, owner) in owners {
        let is_named = match owner.manager {
            PackageManager::Folder => owner.name.starts_with("CPython 3."),
            manager => matches!(
                manager,
                PackageManager::Debian | PackageManager::Rpm | PackageManager::Alpine
            ),
        };
        assert!(is_named, "{path:?}: {owner:?}");
    }
}

#[test]
fn libc_is_debians() {
    let query = ["-W", "-f", "${Version}", "libc6"];
    let Some(version) = output("dpkg-query", &query) else {
        eprintln!("skipped: no dpkg with libc6");
        return;
    };
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| line.ends_with("/libc.so.6"));
    let path = line.map(|line| PathBuf::from(&line[line.find('/').unwrap()..]));
    let path = path.expect("this test is linked with glibc");
    for root in ["/", "/proc/self/root"] {
        let (owners, gaps) = packages(root, std::slice::from_ref(&path));
        assert_eq!(gaps, []);
        assert_eq!(owners[&path].to_string(), format!("libc6 {version}"));
    }
}

/// Regular files below `folder`, without following links.
fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_below(&entry.path(), files),
            Ok(kind) if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
}

/// Names of the packages that `dpkg -S` gives for each path, asked with and without `/usr`.
fn dpkg_search(paths: &[PathBuf]) -> BTreeMap<PathBuf, Vec<String>> {
    let mut search = Command::new("dpkg");
    search.arg("-S").args(paths);
    let without_usr = |path: &PathBuf| path.strip_prefix("/usr").map(|p| Path::new("/").join(p));
    search.args(paths.iter().filter_map(|path| without_usr(path).ok()));
    let text = String::from_utf8(search.output().unwrap().stdout).unwrap();
    let mut owners: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with("diversion")) {
        let (names, file) = line.split_once(": ").unwrap();
        let file = PathBuf::from(file);
        let path = if paths.contains(&file) {
            file
        } else {
            Path::new("/usr").join(file.strip_prefix("/").unwrap())
        };
        let names = names
            .split(", ")
            .map(|name| name.split(':').next().unwrap());
        let known = owners.entry(path).or_default();
        known.extend(names.map(str::to_string));
    }
    owners
}

#[test]
fn as_dpkg_says() {
    if output("dpkg", &["--version"]).is_none() {
        eprintln!("skipped: no dpkg");
        return;
    }
    let mut files = Vec::new();
    for folder in ["/usr/lib", "/usr/bin", "/usr/sbin", "/usr/share/locale"] {
        files_below(Path::new(folder), &mut files);
    }
    files.sort();
    // A fixed walk through all of them; the numbers are a linear congruential generator's.
    let mut state: usize = 12345;
    let mut pick = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        files[(state >> 33) % files.len()].clone()
    };
    let paths: Vec<PathBuf> = (0..50).map(|_| pick()).collect();
    let expected = dpkg_search(&paths);
    let (owners, gaps) = packages("/", &paths);
    assert_eq!(gaps, []);
    let mut owned = 0;
    for path in &paths {
        let owner = &owners[path];
        // Python and npm packages come first, also where Debian ships them.
        if matches!(owner.manager, PackageManager::Python | PackageManager::Npm) {
            continue;
        }
        match expected.get(path) {
            Some(names) => {
                assert!(
                    names.contains(&owner.name),
                    "{path:?}: {owner:?}, dpkg: {names:?}"
                );
                assert!(!owner.version.is_empty(), "{path:?}: {owner:?}");
                owned += 1;
            }
            None => assert_eq!(owner.manager, PackageManager::Folder, "{path:?}: {owner:?}"),
        }
    }
    assert!(
        owned > 10,
        "only {owned} of {} files were dpkg's",
        paths.len()
    );
}

/// A shell that has made `root` its root with pivot_root(2) in a mount namespace of its own, as
/// container runtimes do; it ends when its input does.
fn shell_in(root: &Path) -> Option<Child> {
    const SCRIPT: &str = "mount --bind \"$0\" \"$0\" && cd \"$0\" && pivot_root . . \
        && echo in && read line";
    let mut shell = Command::new("unshare")
        .args(["--mount", "sh", "-c", SCRIPT])
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut line = String::new();
    let answer = BufReader::new(shell.stdout.take()?).read_line(&mut line);
    if answer.is_ok() && line == "in\n" {
        return Some(shell);
    }
    let _ = shell.wait();
    None
}

/// The link `/proc/PID/root` of a container reads `/`: whoever follows its text, as SQLite does,
/// reads this machine's database instead of the container's.
#[test]
fn a_container_is_answered_from_its_own_databases() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let cases = [
        ("rpm", "/opt/twin/libtide.so.1.4.2", "harbour 7:2.0-1"),
        ("alpine", "/lib/ld-musl-x86_64.so.1", "musl 1.2.5-r0"),
        (
            "debian",
            "/usr/lib/x86_64-linux-gnu/libc.so.6",
            "libc6 2.36-9+deb12u10",
        ),
    ];
    for (fixture, path, expected) in cases {
        let Some(mut shell) = shell_in(&fixtures.join(fixture)) else {
            eprintln!("skipped: no mount namespace can be made here (needs root)");
            return;
        };
        let root = format!("/proc/{}/root", shell.id());
        assert_eq!(fs::read_link(&root).unwrap(), Path::new("/"));
        let path = PathBuf::from(path);
        let (owners, gaps) = packages(&root, std::slice::from_ref(&path));
        shell.stdin.take().unwrap().write_all(b"\n").unwrap();
        shell.wait().unwrap();
        assert_eq!(gaps, []);
        assert_eq!(owners[&path].to_string(), expected);
    }
}

/// Prints what 100 paths cost: `cargo test --release -p plimsoll-provenance -- --ignored
/// --nocapture cost`.
#[test]
#[ignore = "a measurement"]
fn cost() {
    let mut files = Vec::new();
    files_below(Path::new("/usr/lib/x86_64-linux-gnu"), &mut files);
    let libraries = files
        .iter()
        .filter(|path| path.to_string_lossy().contains(".so"));
    let mut paths: Vec<PathBuf> = libraries.take(99).cloned().collect();
    // Owned by nobody, so that every list is read to its end.
    paths.push(PathBuf::from("/usr/lib/nobody.so"));
    report(&paths, "100 paths of dpkg");
    let python = "import sysconfig; print(sysconfig.get_paths()['platlib'])";
    let site = output("python3", &["-c", python]).unwrap_or_default();
    let mut files = Vec::new();
    files_below(Path::new(site.trim()), &mut files);
    let extensions = files
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "so"));
    let paths: Vec<PathBuf> = extensions.take(100).cloned().collect();
    report(&paths, "100 paths of Python");
}

fn report(paths: &[PathBuf], what: &str) {
    let mut times: Vec<_> = (0..21)
        .map(|_| {
            let start = Instant::now();
            let (owners, _) = packages("/", paths);
            assert_eq!(owners.len(), paths.len());
            start.elapsed()
        })
        .collect();
    times.sort();
    eprintln!(
        "{what} ({}): median {:?}, best {:?}",
        paths.len(),
        times[10],
        times[0]
    );
}
