//! What a run says of itself, between real servers: its budget, its figures, its log as JSON, its pace;
//! and that no secret is in any of it.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod folder;
mod servers;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use servers::Servers;

const FILES: usize = 30;

fn filled(name: &str, bytes: usize) -> Option<Servers> {
    let mut servers = Servers::start(name)?;
    for number in 0..FILES {
        servers.put(&format!("folder/{number}"), &"x".repeat(bytes));
    }
    Some(servers)
}

/// The figure behind ` key=` in the line that begins with `start`.
fn figure(text: &str, start: &str, key: &str) -> u64 {
    let (_, line) = text
        .split_once(start)
        .unwrap_or_else(|| panic!("no {start} in:\n{text}"));
    let (_, rest) = line.split_once(&format!(" {key}=")).unwrap();
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap();
    rest[..end].parse().unwrap()
}

#[test]
fn the_whole_process_stays_below_each_budget() {
    let Some(mut servers) = filled("budget", 300_000) else {
        return;
    };
    for (preset, limit) in [
        ("low", 16 << 20),
        ("balanced", 32 << 20),
        ("high", 64 << 20),
    ] {
        for number in 0..FILES {
            servers.put(&format!("folder/{number}"), &preset.repeat(60_000));
        }
        let run = servers.run(&[&format!("--memory-budget={preset}"), "--log-level=debug"]);
        run.expect(0, &["synced=30, failed=0", "Live.transfer=", "BudgetPeak="]);
        let of = |key: &str| figure(&run.text, "MemoryBudget:", key);
        assert_eq!(of("limit"), limit);
        assert!(of("rss_peak") < limit, "{preset}: {}", run.text);
        assert!(of("peak") <= limit, "{preset}");
        assert!(
            of("transfer_peak") > 0 && of("listing_peak") > 0,
            "{preset}"
        );
        println!(
            "{preset}: reserved {}, RSS {} at their peaks",
            of("peak"),
            of("rss_peak")
        );
    }
}

/// No absolute time: the limit of one run against that of another, with room.
#[test]
fn a_bandwidth_limit_is_kept() {
    let Some(mut servers) = filled("bwlimit", 40_000) else {
        return;
    };
    let mut took = |rate: u64| {
        for number in 0..FILES {
            servers.put(&format!("folder/{number}"), &rate.to_string().repeat(6_000));
        }
        let bytes = (FILES * rate.to_string().len() * 6_000) as f64;
        let begun = Instant::now();
        servers
            .run(&[&format!("--bwlimit={rate}")])
            .expect(0, &["synced=30"]);
        let seconds = begun.elapsed().as_secs_f64();
        // But for what may pass after a pause.
        let least = bytes / rate as f64 - 0.2;
        assert!(seconds > least, "{seconds} s at {rate} B/s");
        seconds
    };
    let (slow, fast) = (took(200_000), took(400_000));
    assert!(fast < slow * 0.85, "{slow} and {fast} s");
}

#[test]
fn figures_are_told_by_file_and_while_it_runs() {
    let Some(servers) = filled("metrics", 40_000) else {
        return;
    };
    let path = servers.folder.path("mirror.prom");
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    drop(port);
    let mut child = servers
        .command("run")
        .arg(format!("--metrics-addr={address}"))
        .arg(format!("--metrics-file={}", path.display()))
        .arg("--bwlimit=300k")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let page = loop {
        let page = get(&address.to_string());
        if let Some(page) = page.filter(|page| page.contains("mirror_listed_total 30")) {
            break page;
        }
        assert!(Instant::now() < until, "no figures while it ran");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(page.contains("200 OK"), "{page}");
    assert!(
        page.contains("# TYPE mirror_s3_requests_total counter"),
        "{page}"
    );
    assert!(!page.contains("mirror_exit_code"), "{page}");
    // What `plimsoll watch` reads: see docs/reference/beacon.md of the workspace.
    // It is written every 100 ms.
    let names = ["memory-budget", "transfer", "listing", "tls", "upload"];
    loop {
        let page = published(child.id());
        let missing = names.iter().find(|name| !page.contains(**name));
        let Some(missing) = missing else { break };
        assert!(Instant::now() < until, "no {missing} in: {page:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(child.wait().unwrap().success());
    let text = fs::read_to_string(&path).unwrap();
    for line in [
        "mirror_synced_total 30",
        "mirror_uploaded_bytes_total 1200000",
        "mirror_s3_requests_total{result=\"success\"} 31",
        "mirror_exit_code 0",
        "mirror_budget_bytes{kind=\"limit\"} 33554432",
        "mirror_live_bytes{tag=\"transfer\"}",
        "mirror_last_success_timestamp_seconds ",
    ] {
        assert!(text.contains(line), "no {line} in:\n{text}");
    }
    assert!(!text.contains("unseen-secret") && !page.contains("unseen-secret"));
    servers
        .run(&["--metrics-file=/nonexistent/x"])
        .expect(1, &["write metrics to /nonexistent/x"]);
}

/// On a terminal, which script(1) makes, a bar takes the place of lines; other lines stand above it.
#[test]
fn a_terminal_has_a_bar() {
    let Some(servers) = filled("bar", 40_000) else {
        return;
    };
    let run = servers.command("run");
    let words = [run.get_program()].into_iter().chain(run.get_args());
    let words: Vec<String> = words
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let line = words.join(" ") + " --bwlimit=400k --log-level=verbose";
    let mut script = Command::new("script");
    script
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env("TERM", "xterm");
    for (name, value) in run.get_envs() {
        script.env(name, value.unwrap());
    }
    let Ok(output) = script.stdin(Stdio::null()).output() else {
        println!("SKIPPED: no script(1)");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("30/30") && text.contains("00:00:00 left"),
        "{text}"
    );
    assert!(!text.contains("Upload progress"), "{text}");
    assert_eq!(
        text.matches("[verbose] Uploaded \"folder/").count(),
        30,
        "{text}"
    );
    assert!(text.contains("SyncNewFiles: "), "{text}");
}

/// The page of a live process, as its readers find it.
fn published(pid: u32) -> String {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let line = maps.lines().find(|line| line.contains("plimsoll-beacon"));
    let range = line.expect("it has a beacon").split(' ').next().unwrap();
    let (from, to) = range.split_once('-').unwrap();
    let address = |text: &str| u64::from_str_radix(text, 16).unwrap();
    let mut page = vec![0; (address(to) - address(from)) as usize];
    let memory = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    memory.read_exact_at(&mut page, address(from)).unwrap();
    String::from_utf8_lossy(&page).replace('\0', "")
}

fn get(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        .ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    Some(page)
}

/// `Run` looks for the secret key in all that is said; the password is looked for here.
#[test]
fn no_line_of_a_failing_run_has_a_secret() {
    let Some(mut servers) = filled("secrets", 10) else {
        return;
    };
    servers.faults(json!({"get_503_times": 1000}));
    let config = servers.folder.path("mirror.yaml");
    fs::write(
        &config,
        "destination: {ftp: {password: marked-password, password: \"marked-password}\n",
    )
    .unwrap();
    let wrong = servers.run(&[&format!("--config={}", config.display())]);
    wrong.expect(1, &["read the settings in ", "line 1"]);
    assert!(!wrong.text.contains("marked-password"), "{}", wrong.text);
    for format in ["text", "json"] {
        let run = servers.run(&[
            "--log-level=verbose",
            &format!("--log-format={format}"),
            "--dest-max-retries=1",
        ]);
        run.expect(2, &["status 503"]);
        if format == "json" {
            let lines = run.text.lines();
            let lines: Vec<Value> = lines
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            let sync = lines
                .iter()
                .find(|line| line["event"] == "SyncNewFiles")
                .unwrap();
            assert_eq!(sync["fields"]["failed"], 30, "{sync}");
        }
        let login = servers
            .command("run")
            .env("FTP_PASSWORD", "marked-password")
            .args(["--log-level=verbose", &format!("--log-format={format}")])
            .output()
            .unwrap();
        let text = [login.stdout, login.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert!(!text.contains("marked-password"), "{text}");
    }
}
