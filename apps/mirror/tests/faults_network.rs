//! A lost network: a proxy that drops, resets or stalls connections between the program and either side.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod folder;
mod servers;

use std::collections::BTreeMap;
use std::process::Stdio;

use serde_json::json;
use servers::Servers;
use servers::proxy::{Plan, Proxy, Trouble};

const TROUBLES: [Trouble; 3] = [Trouble::Drop, Trouble::Reset, Trouble::Stall];
/// A stall ends after a second of silence.
const FLAGS: [&str; 3] = ["--source-timeout=1", "--dest-timeout=1", "--dest-workers=2"];

fn fill(servers: &mut Servers, version: u64) -> BTreeMap<String, String> {
    let mut expected = BTreeMap::new();
    for n in 0..6 {
        let name = format!("d{}/{n}", n % 2);
        let text = format!("{version:02}-{n}-").repeat(20_000);
        servers.put(&name, &text);
        expected.insert(name, text);
    }
    expected
}

/// Connections to the source break at the first byte, in the listing, and in the middle of objects.
#[test]
fn a_network_lost_before_the_source_costs_no_file() {
    let Some(mut servers) = Servers::start("before-source") else {
        return;
    };
    let proxy = Proxy::before(servers.s3);
    servers.s3 = proxy.port;
    let mut version = 0;
    for trouble in TROUBLES {
        for after in [0, 300, 50_000] {
            version += 1;
            let expected = fill(&mut servers, version);
            proxy.plan(Some(Plan {
                trouble,
                after,
                times: 2,
            }));
            let run = servers.run(&FLAGS);
            run.expect(0, &["synced=6, failed=0"]);
            assert_eq!(proxy.happened(), 2, "{trouble:?} after {after}");
            assert_eq!(servers.files(), expected, "{trouble:?} after {after}");
        }
        // It does not come back in time: the run says so, the next one goes on.
        version += 1;
        let before = servers.files();
        let expected = fill(&mut servers, version);
        servers.delete("d0/0");
        proxy.plan(Some(Plan {
            trouble,
            after: 100,
            times: u64::MAX,
        }));
        let run = servers.run(&[&FLAGS[..], &["--source-max-retries=2"]].concat());
        run.expect(1, &["mirror: "]);
        assert!(proxy.happened() >= 2);
        assert_eq!(servers.files(), before, "{trouble:?}");
        proxy.plan(None);
        servers
            .run(&FLAGS)
            .expect(0, &["synced=5, failed=0", "deleted=1"]);
        let mut expected = expected;
        expected.remove("d0/0");
        assert_eq!(servers.files(), expected, "{trouble:?}");
    }
}

/// Control connections break before the greeting, at the login, and after some commands.
#[test]
fn a_network_lost_before_the_destination_costs_no_file() {
    let Some(mut servers) = Servers::start("before-destination") else {
        return;
    };
    // The state is of this address from the start.
    let proxy = Proxy::before(servers.ftp);
    servers.ftp = proxy.port;
    let mut version = 0;
    for trouble in TROUBLES {
        for after in [0, 60, 250, 400, 600] {
            version += 1;
            let expected = fill(&mut servers, version);
            proxy.plan(Some(Plan {
                trouble,
                after,
                times: 2,
            }));
            let run = servers.run(&[&FLAGS[..], &["--dest-max-retries=4"]].concat());
            run.expect(0, &["synced=6, failed=0"]);
            assert_eq!(servers.files(), expected, "{trouble:?} after {after}");
            assert!(proxy.happened() > 0, "{trouble:?} after {after}");
        }
        version += 1;
        let before = servers.whole_files();
        let expected = fill(&mut servers, version);
        proxy.plan(Some(Plan {
            trouble,
            after: 60,
            times: u64::MAX,
        }));
        let run = servers.run(&[&FLAGS[..], &["--dest-max-retries=2"]].concat());
        run.expect(1, &["open the destination"]);
        assert_eq!(servers.whole_files(), before, "{trouble:?}");
        proxy.plan(None);
        servers.run(&FLAGS).expect(0, &["synced=6, failed=0"]);
        assert_eq!(servers.files(), expected, "{trouble:?}");
    }
}

/// Nobody listens at either address.
#[test]
fn a_side_that_is_not_there_is_told() {
    let Some(mut servers) = Servers::start("nobody") else {
        return;
    };
    servers.put("a", "a");
    let (s3, ftp) = (servers.s3, servers.ftp);
    let nobody = {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        u64::from(listener.local_addr().unwrap().port())
    };
    servers.ftp = nobody;
    let mut command = servers.command("run");
    command.arg("--dest-max-retries=2");
    let run = servers::Run::of(command.output().unwrap());
    run.expect(1, &["open the destination", "Connection refused"]);
    servers.ftp = ftp;
    std::fs::remove_dir_all(servers.folder.path("state")).unwrap();
    servers.s3 = nobody;
    let run = servers.run(&["--source-max-retries=2"]);
    run.expect(1, &["mirror: GET http://127.0.0.1:", "Connection refused"]);
    assert!(servers.files().is_empty());
    servers.s3 = s3;
    std::fs::remove_dir_all(servers.folder.path("state")).unwrap();
    servers.run(&[]).expect(0, &["synced=1"]);
}

/// Routers forget connections on which nothing is said, and on that of the commands nothing is said while a
/// large file is sent: the kernel keeps it alive.
#[test]
fn a_silent_control_connection_is_kept_alive() {
    let Some(mut servers) = Servers::start("keepalive") else {
        return;
    };
    servers.put("a", "a");
    servers.faults(json!({"get_wait": 2}));
    let mut command = servers.command("run");
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    while servers.count("login") == 0 {
        std::thread::yield_now();
    }
    // tcp(5): the remote port is the server's, and the timer that runs is the one of probes.
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{:04X}", servers.ftp);
    let kept = sockets.lines().filter(|line| {
        let parts: Vec<&str> = line.split_whitespace().collect();
        parts.len() > 5 && parts[2].ends_with(&port) && parts[5].starts_with("02:")
    });
    assert_eq!(kept.count(), 1, "{port} in {sockets}");
    assert!(child.wait().unwrap().success());
}
