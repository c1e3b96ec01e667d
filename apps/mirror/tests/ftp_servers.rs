//! The same promises with every FTP server that is there: proftpd, pure-ftpd, vsftpd and pyftpdlib, each of
//! which answers in its own way.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod folder;
mod servers;

use std::collections::BTreeMap;

use servers::Servers;
use servers::certificate::certificate;
use servers::ftpd::{Ftpd, Kind, Options};

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

/// Servers may demand that data connections go on with the session of the control connection: proftpd and
/// vsftpd do so unless they are told otherwise.
#[test]
fn ftps_sends_many_files_by_one_session() {
    let Some(certificate) = certificate() else {
        return;
    };
    let options = Options {
        certificate: Some(&certificate.both),
        more: &[],
    };
    for kind in Kind::ALL {
        with("tls", kind, options, |mut servers, _| {
            let trust = format!("--ca-file={}", certificate.certificate.display());
            let mut expected = BTreeMap::new();
            for n in 0..30 {
                let (name, text) = (
                    format!("d{}/{n}", n % 4),
                    format!("{n:03}").repeat(n * n * 100),
                );
                servers.put(&name, &text);
                expected.insert(name, text);
            }
            let run = servers.run(&["--ftp-use-tls", &trust]);
            println!("{kind:?}: {}", run.text);
            run.expect(0, &["synced=30, failed=0"]);
            assert_eq!(servers.files(), expected);
        });
    }
}
