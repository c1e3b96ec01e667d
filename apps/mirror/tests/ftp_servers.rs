//! The same promises with every FTP server that is there: proftpd, pure-ftpd, vsftpd and pyftpdlib, each of
//! which answers in its own way.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod folder;
mod servers;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use serde_json::json;
use servers::certificate::certificate;
use servers::ftpd::{Ftpd, Kind, Options};
use servers::{Servers, files};

/// Runs a promise with every server that can be started.
fn with_all(name: &str, promise: impl Fn(Servers, &str)) {
    if let Some(servers) = Servers::start(&format!("{name}-pyftpdlib")) {
        promise(servers, "pyftpdlib");
    }
    for kind in Kind::ALL {
        with(name, kind, Options::default(), |servers, _| {
            promise(servers, &format!("{kind:?}"));
        });
    }
}

fn with(name: &str, kind: Kind, options: Options, promise: impl FnOnce(Servers, &Ftpd)) {
    let Some(servers) = Servers::start(&format!("{name}-{kind:?}")) else {
        return;
    };
    if let Some(ftpd) = kind.start(options) {
        println!("with {kind:?}");
        promise(servers.to(&ftpd), &ftpd);
    }
}

/// Names that a path, a pattern, an option or a command could be made of, and that are none of these.
fn odd_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "plain",
        "deep/er/and/deeper/file.txt",
        "-rf",
        "-l/-a b",
        "with space/ leading and trailing ",
        "with space/ leading and trailing",
        "dir with space /x",
        "per%cent/%20%2F%00",
        "ä/日本語/🙂",
        "*?[a-z]{x,y}",
        "pattern*/[!a]?",
        "quo'te/\"double\"/`back`",
        "$HOME/~/~root",
        "back\\slash\\n",
        "semi;colon|pipe&amp;",
        "#hash!bang",
        "plus+equals=comma,",
        "(paren)<angle>",
        "...three/..two",
        ".hidden/.file",
        "colon:at@",
        "CON/NUL.txt",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push(format!("long/{}", "n".repeat(255)));
    names.push(format!("{}/{}", "d".repeat(200), "ü".repeat(127)));
    names
}

/// Names that a server can't have, and what is told of them.
fn refused_names(server: &str) -> &'static [(&'static str, &'static str)] {
    match server {
        "Proftpd" => &[("pattern*/[!a]?", "Invalid directory name")],
        "PureFtpd" => &[
            ("back\\slash\\n", "Prohibited file name"),
            ("dir with space /x", "of its folder: 550"),
            (
                "with space/ leading and trailing ",
                "does not keep spaces at the end of names",
            ),
        ],
        _ => &[],
    }
}

#[test]
fn odd_names_are_files_of_that_name() {
    with_all("names", |mut servers, server| {
        let refused = refused_names(server);
        let mut expected = BTreeMap::new();
        for (n, name) in odd_names().into_iter().enumerate() {
            let text = format!("text {n}");
            servers.put(&name, &text);
            if !refused.iter().any(|(refused, _)| name == *refused) {
                expected.insert(name, text);
            }
        }
        // What a server refuses, or would take for another name, is told, and touches nothing else.
        let run = servers.run(&["--dest-max-retries=1"]);
        let told: Vec<&str> = refused.iter().map(|(_, told)| *told).collect();
        run.expect(if refused.is_empty() { 0 } else { 2 }, &told);
        run.expect(
            run.code.unwrap(),
            &[&format!("failed={}, waiting=0", refused.len())],
        );
        assert_eq!(servers.files(), expected, "{server}: {}", run.text);
        for (name, _) in refused {
            servers.delete(name);
        }
        // Replaced in place.
        for (name, text) in &mut expected {
            *text = format!("{text}, changed");
            servers.put(name, text);
        }
        let run = servers.run(&[]);
        run.expect(
            0,
            &["failed=0", &format!("deleted={}, failed=0", refused.len())]
                [..1 + usize::from(!refused.is_empty())],
        );
        assert_eq!(servers.files(), expected, "{server}");
        // Deleted, each by its own name.
        servers.put("keep", "keep");
        for name in expected.keys() {
            servers.delete(name);
        }
        let run = servers.run(&["--max-delete=100"]);
        run.expect(0, &[&format!("deleted={}, failed=0", expected.len())]);
        assert_eq!(servers.files(), servers::files(&[("keep", "keep")]));
    });
}

/// B6. Servers may demand that data connections go on with the session of the control connection: proftpd and
/// vsftpd do so unless they are told otherwise. With TLS 1.3 alone proftpd gives sessions for two files, and a
/// new login has to come between.
#[test]
fn ftps_sends_many_files_by_one_session() {
    let Some(certificate) = certificate() else {
        return;
    };
    let cases: [(Kind, &[&str], &str); 5] = [
        (Kind::Proftpd, &[], "1"),
        (Kind::Proftpd, &["TLSProtocol TLSv1.3"], "3"),
        (Kind::PureFtpd, &[], "1"),
        (Kind::Vsftpd, &["require_ssl_reuse=YES"], "1"),
        (Kind::Vsftpd, &["require_ssl_reuse=NO"], "1"),
    ];
    for (kind, more, tries) in cases {
        let options = Options {
            certificate: Some(&certificate),
            more,
        };
        with("tls", kind, options, |mut servers, _| {
            let trust = format!("--ca-file={}", certificate.display());
            let mut expected = BTreeMap::new();
            for n in 0..30 {
                let name = format!("d{}/{n}", n % 4);
                let text = format!("{n:03}").repeat(n * n * 100);
                servers.put(&name, &text);
                expected.insert(name, text);
            }
            servers.run(&[]).expect(1, &["open the destination"]);
            let run = servers.run(&["--ftp-use-tls", "--dest-max-retries=1"]);
            run.expect(1, &["certificate"]);
            assert!(servers.files().is_empty());
            let tries = format!("--dest-max-retries={tries}");
            let flags = ["--ftp-use-tls", &trust, "--log-level=debug", &tries];
            let run = servers.run(&flags);
            run.expect(0, &["synced=30, failed=0"]);
            assert_eq!(servers.files(), expected, "{kind:?} {more:?}");
            let peak = run.text.rsplit("RssPeak=").next().unwrap();
            let peak: u64 = peak.split("KiB").next().unwrap().parse().unwrap();
            println!("{kind:?} {more:?}: peak RSS {peak} KiB");
            assert!(peak <= 32 << 10, "{peak} KiB");
        });
    }
}

#[test]
fn files_are_put_replaced_and_deleted() {
    with_all("basics", |mut servers, server| {
        let long = "0123456789".repeat(300_000);
        for (key, text) in [("a/b/c/one", "one"), ("empty", ""), ("long", &long)] {
            servers.put(key, text);
        }
        servers.run(&[]).expect(0, &["synced=3, failed=0"]);
        let all = files(&[("a/b/c/one", "one"), ("empty", ""), ("long", &long)]);
        assert_eq!(servers.files(), all, "{server}");
        // Shorter, longer, and empty instead of the other.
        servers.put("long", "short");
        servers.put("empty", &long);
        servers.put("a/b/c/one", "");
        servers.run(&[]).expect(0, &["synced=3, failed=0"]);
        let all = files(&[("a/b/c/one", ""), ("empty", &long), ("long", "short")]);
        assert_eq!(servers.files(), all, "{server}");
        // One is there, of one the file and of one the folder is gone already.
        servers.put("keep", "keep");
        servers.put("lost/folder/file", "x");
        servers.run(&[]).expect(0, &["synced=2, failed=0"]);
        for key in ["a/b/c/one", "empty", "lost/folder/file"] {
            servers.delete(key);
        }
        fs::remove_file(servers.root.join("base/empty")).unwrap();
        fs::remove_dir_all(servers.root.join("base/lost")).unwrap();
        let run = servers.run(&[]);
        run.expect(0, &["deleted=3, failed=0"]);
        let all = files(&[("keep", "keep"), ("long", "short")]);
        assert_eq!(servers.files(), all, "{server}");
    });
}

/// A key that is a folder's name at the destination, and the other way round: told, it touches neither, and
/// ends equal once the source has only one of both.
#[test]
fn a_folder_may_become_a_file_and_a_file_a_folder() {
    with_all("folder", |mut servers, server| {
        // S3 has both at the same time.
        servers.put("a/b", "below");
        servers.put("c", "file");
        servers.run(&[]).expect(0, &["synced=2"]);
        servers.put("a", "file");
        servers.delete("c");
        servers.put("c/d", "below");
        let run = servers.run(&["--dest-max-retries=1"]);
        run.expect(2, &["\"a\": the destination refuses with FTP "]);
        // What was a file becomes a folder once the file is deleted.
        run.expect(
            2,
            &["\"c/d\": the destination refuses with FTP ", "deleted=1"],
        );
        assert_eq!(servers.files(), files(&[("a/b", "below")]), "{server}");
        // What was a folder becomes a file once nothing is in it.
        servers.delete("a/b");
        let run = servers.run(&["--dest-max-retries=1"]);
        assert_eq!(servers.files(), files(&[("c/d", "below")]), "{server}");
        run.expect(2, &["failed=1", "deleted=1"]);
        // It waits for a minute after two failures, unless it is another version.
        servers.put("a", "file again");
        servers.run(&[]).expect(0, &["synced=1, failed=0"]);
        let all = files(&[("a", "file again"), ("c/d", "below")]);
        assert_eq!(servers.files(), all, "{server}");
    });
}

/// B12: a file that may not be deleted is not taken for one that is not there, whatever the server says;
/// neither is one whose folder may not be entered.
#[test]
fn a_denied_deletion_is_told_apart() {
    for kind in Kind::ALL {
        with("denied", kind, Options::default(), |mut servers, _| {
            for key in ["locked/a", "shut/b", "keep"] {
                servers.put(key, key);
            }
            servers.run(&[]).expect(0, &["synced=3"]);
            let all = servers.files();
            servers.delete("locked/a");
            servers.delete("shut/b");
            let folders = ["locked", "shut"].map(|name| servers.root.join("base").join(name));
            let owner = fs::metadata(servers.root.join("base")).unwrap().uid();
            for (folder, mode) in folders.iter().zip([0o755, 0o700]) {
                chown(folder, Some(0), Some(0)).unwrap();
                fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
            }
            let run = servers.run(&["--dest-max-retries=1"]);
            run.expect(2, &["\"locked/a\": the destination refuses with FTP 550"]);
            run.expect(2, &["\"shut/b\": the destination refuses with FTP 550"]);
            run.expect(2, &["deleted=0, failed=2"]);
            assert_eq!(servers.files(), all, "{kind:?}");
            for folder in &folders {
                chown(folder, Some(owner), Some(owner)).unwrap();
            }
            servers.run(&[]).expect(0, &["deleted=2, failed=0"]);
            assert_eq!(servers.files(), files(&[("keep", "keep")]), "{kind:?}");
        });
    }
}

/// A server that takes two connections is served by two, though more are asked for.
#[test]
fn a_limit_of_connections_is_kept() {
    let limited = |mut servers: Servers, server: &str| {
        let mut expected = BTreeMap::new();
        for n in 0..30 {
            let (name, text) = (format!("{n:02}"), format!("{n:02}").repeat(1000));
            servers.put(&name, &text);
            expected.insert(name, text);
        }
        let run = servers.run(&["--dest-workers=6", "--dest-max-retries=1"]);
        println!("{server}: {}", run.text);
        run.expect(0, &["connections now, and 6 are asked for"]);
        run.expect(0, &["synced=30, failed=0"]);
        assert_eq!(servers.files(), expected, "{server}");
    };
    if let Some(mut servers) = Servers::start("limit") {
        servers.faults(json!({"connections": 2}));
        limited(servers, "pyftpdlib");
    }
    let limits = ["MaxClients 2", "--maxclientsnumber=2", "max_clients=2"];
    for (kind, limit) in Kind::ALL.into_iter().zip(limits) {
        let options = Options {
            more: &[limit],
            ..Options::default()
        };
        with("limit", kind, options, |servers, _| {
            limited(servers, &format!("{kind:?}"));
        });
    }
}

/// A server that hangs up on who is silent for a second, and a source that takes three for a file: it does not
/// fail for it.
#[test]
fn a_connection_that_was_idle_is_opened_again() {
    let idle = |mut servers: Servers| {
        servers.faults(json!({"get_wait": 3, "idle": 1}));
        servers.put("a", "a");
        let run = servers.run(&["--dest-workers=1", "--dest-max-retries=1"]);
        run.expect(0, &["synced=1, failed=0"]);
        assert_eq!(servers.files(), files(&[("a", "a")]));
    };
    if let Some(servers) = Servers::start("idle") {
        idle(servers);
    }
    // The shortest of pure-ftpd is a minute.
    let limits = [
        (Kind::Proftpd, "TimeoutIdle 1"),
        (Kind::Vsftpd, "idle_session_timeout=1"),
    ];
    for (kind, limit) in limits {
        let options = Options {
            more: &[limit],
            ..Options::default()
        };
        with("idle", kind, options, |servers, _| idle(servers));
    }
}

/// proftpd with its own defaults writes and renames over nothing that is there.
#[test]
fn a_server_that_overwrites_nothing_is_served() {
    for more in [&["AllowOverwrite off"][..], &["AllowOverwrite on"]] {
        let options = Options {
            more,
            ..Options::default()
        };
        with("overwrite", Kind::Proftpd, options, |mut servers, _| {
            servers.put("a", "one");
            servers.run(&[]).expect(0, &["synced=1"]);
            servers.put("a", "two");
            // What a crash left.
            let temp = ".mirror-part-0cc175b9c0f1b6a831c399e269772661";
            fs::write(servers.root.join("base").join(temp), "left").unwrap();
            chown(servers.root.join("base").join(temp), Some(65534), None).unwrap();
            servers.run(&[]).expect(0, &["synced=1, failed=0"]);
            assert_eq!(servers.files(), files(&[("a", "two")]));
        });
    }
}
