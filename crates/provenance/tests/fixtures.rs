//! Owners in small recorded roots: every manager's format, and what must stay unclaimed.

use std::path::{Path, PathBuf};

use plimsoll_model::{Gap, GapReason};
use plimsoll_provenance::Provenance;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

/// Looks the paths up in one batch; `expected` is `MANAGER NAME VERSION`.
fn check(root: &str, cases: &[(&str, &str)]) -> Vec<Gap> {
    let paths: Vec<PathBuf> = cases.iter().map(|(path, _)| PathBuf::from(path)).collect();
    let (owners, gaps) = Provenance::new(fixture(root)).packages(&paths);
    for ((path, expected), key) in cases.iter().zip(&paths) {
        let owner = &owners[key];
        let found = format!("{} {owner}", owner.manager.name());
        assert_eq!(found, *expected, "{path} in {root}; gaps: {gaps:?}");
    }
    assert_eq!(owners.len(), cases.len());
    gaps
}

fn check_without_gaps(root: &str, cases: &[(&str, &str)]) {
    assert_eq!(check(root, cases), []);
}

#[test]
fn python_distributions() {
    const SITE: &str = "/opt/app/lib/python3.11/site-packages";
    let cases = [
        (
            "numpy/_core/_multiarray_umath.cpython-311-x86_64-linux-gnu.so",
            "python numpy 2.4.6",
        ),
        (
            "numpy.libs/libscipy_openblas64_-3de3be0a.so",
            "python numpy 2.4.6",
        ),
        ("numpy/.dylibs/libgfortran.5.dylib", "python numpy 2.4.6"),
        ("numpy/odd, \"quoted\".so", "python numpy 2.4.6"),
        (
            "yaml/_yaml.cpython-311-x86_64-linux-gnu.so",
            "python PyYAML 6.0",
        ),
        ("legacy/_c.so", "python legacy 0.9"),
        ("older/_c.so", "python older 0.1"),
        (
            "zipped-3.1-py3.11-linux-x86_64.egg/zipped/_z.so",
            "python zipped 3.1",
        ),
        // Copied in by somebody: no record lists it.
        (
            "numpy/stray.so",
            "folder /opt/app/lib/python3.11/site-packages/numpy",
        ),
        // Two distributions name this module, so neither is proved.
        (
            "shared/_s.so",
            "folder /opt/app/lib/python3.11/site-packages/shared",
        ),
    ]
    .map(|(below, expected)| (format!("{SITE}/{below}"), expected));
    let cases: Vec<(&str, &str)> = cases.iter().map(|(path, e)| (path.as_str(), *e)).collect();
    check_without_gaps("python", &cases);
}

#[test]
fn python_files_beside_the_site_folder() {
    check_without_gaps(
        "python",
        &[
            ("/opt/app/bin/yamlcat", "python PyYAML 6.0"),
            ("/opt/app/bin/other", "folder /opt/app/bin"),
            // Installed with `pip install --target`.
            ("/var/task/vendored/_v.so", "python vendored 1.1"),
            ("/var/task/other/_o.so", "folder /var/task/other"),
            // Without a file of the site folder in the batch, nothing leads to the project.
            (
                "/opt/app/lib/python3.11/site-packages/yaml/_yaml.cpython-311-x86_64-linux-gnu.so",
                "python PyYAML 6.0",
            ),
            ("/srv/my project/project/_p.so", "python project 0.2"),
            ("/srv/my project/cache.db", "folder /srv/my project"),
            (
                "/opt/cpython/bin/python3.12",
                "folder CPython 3.12 (/opt/cpython)",
            ),
            (
                "/opt/cpython/lib/libpython3.12.so.1.0",
                "folder CPython 3.12 (/opt/cpython)",
            ),
            (
                "/opt/cpython/lib/python3.12/lib-dynload/_ssl.so",
                "folder CPython 3.12 (/opt/cpython)",
            ),
            ("/opt/cpython/lib/libpq.so.5", "folder /opt/cpython/lib"),
            // A virtual environment has no os.py, so its python is not a CPython prefix.
            ("/opt/app/bin/python3.11", "folder /opt/app/bin"),
        ],
    );
}

#[test]
fn damaged_python_metadata_is_a_gap() {
    let gaps = check(
        "python",
        &[(
            "/opt/app/lib/python3.11/site-packages/broken/_b.so",
            "python broken 1.5",
        )],
    );
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(gaps[0].reason, GapReason::Malformed);
    assert!(gaps[0].detail.contains("broken-1.5.dist-info/METADATA"));
}

#[test]
fn npm_packages() {
    let gaps = check(
        "node",
        &[
            (
                "/srv/app/node_modules/sharp/build/s.node",
                "npm sharp 0.33.5",
            ),
            (
                "/srv/app/node_modules/@img/sharp-linux-x64/lib/s.node",
                "npm @img/sharp-linux-x64 0.33.6",
            ),
            (
                "/srv/app/node_modules/sharp/node_modules/inner/x.node",
                "npm inner 2.0.0",
            ),
            ("/srv/app/node_modules/torn/x.node", "npm torn"),
            (
                "/srv/app/node_modules/absent/x.node",
                "folder /srv/app/node_modules/absent",
            ),
        ],
    );
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0].detail.contains("torn/package.json"));
}

#[test]
fn debian_packages() {
    check_without_gaps(
        "debian",
        &[
            (
                "/usr/lib/x86_64-linux-gnu/libc.so.6",
                "deb libc6 2.36-9+deb12u10",
            ),
            ("/usr/lib/i386-linux-gnu/libc.so.6", "deb libc6 2.36-9+i386"),
            (
                "/lib/x86_64-linux-gnu/libc.so.6",
                "deb libc6 2.36-9+deb12u10",
            ),
            ("/usr/bin/dash", "deb linux-base 4.9"),
            // linux-perf diverts linux-base's file.
            ("/usr/bin/perf", "deb linux-perf 6.1.1"),
            ("/usr/bin/perf.wrapper", "deb linux-base 4.9"),
            // Debian's own record comes before a module name in an egg-info.
            (
                "/usr/lib/python3/dist-packages/apt_pkg.cpython-311-x86_64-linux-gnu.so",
                "deb python3-apt 2.6.0",
            ),
            ("/usr/lib/nostatus.so", "deb nostatus"),
            (
                "/usr/lib/x86_64-linux-gnu/libc.so",
                "folder /usr/lib/x86_64-linux-gnu",
            ),
        ],
    );
}

#[test]
fn debian_without_dpkg_and_without_merged_usr() {
    check_without_gaps(
        "distroless",
        &[
            (
                "/lib/x86_64-linux-gnu/libz.so.1.2.13",
                "deb zlib1g 1:1.2.13",
            ),
            // /lib is a folder of its own here: this is another file.
            (
                "/usr/lib/x86_64-linux-gnu/libz.so.1.2.13",
                "folder /usr/lib/x86_64-linux-gnu",
            ),
        ],
    );
}

#[test]
fn alpine_packages() {
    check_without_gaps(
        "alpine",
        &[
            ("/lib/ld-musl-x86_64.so.1", "apk musl 1.2.5-r0"),
            ("/usr/lib/libssl.so.3", "apk libssl3 3.3.2-r0"),
            ("/usr/lib/libcrypto.so.3", "folder /usr/lib"),
        ],
    );
}

#[test]
fn rpm_packages() {
    check_without_gaps(
        "rpm",
        &[
            ("/usr/lib64/libtide.so.1.4.2", "rpm tidewater 1.4.2-3"),
            // The same name in another folder is another package's.
            ("/opt/twin/libtide.so.1.4.2", "rpm harbour 7:2.0-1"),
            ("/usr/share/libtide.so.1.4.2", "folder /usr/share"),
            // Listed as /lib/libold.so.1, and /lib is a link here.
            ("/usr/lib/libold.so.1", "rpm tidewater 1.4.2-3"),
            ("/usr/share/harbour/data", "rpm harbour 7:2.0-1"),
            ("/usr/lib64/libother.so", "folder /usr/lib64"),
        ],
    );
}

#[test]
fn other_rpm_databases_are_a_gap() {
    let gaps = check("ndb", &[("/usr/lib64/libz.so.1", "folder /usr/lib64")]);
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(gaps[0].reason, GapReason::Unsupported);
    assert!(gaps[0].detail.contains("Packages.db"));
}

#[test]
fn strange_paths_are_only_grouped() {
    check_without_gaps(
        "debian",
        &[
            (
                "/usr/lib/../lib/x86_64-linux-gnu/libc.so.6",
                "folder /usr/lib/../lib/x86_64-linux-gnu",
            ),
            ("relative/libc.so.6", "folder relative"),
            ("/a\n/usr/lib/nostatus.so", "folder /a\u{fffd}/usr/lib"),
            ("/", "folder /"),
            ("", "folder "),
        ],
    );
}
