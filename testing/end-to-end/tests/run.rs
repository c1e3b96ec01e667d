//! `plimsoll run`: the command is passed through, its memory is followed, and the report says what
//! the peak was made of.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use std::path::Path;

use plimsoll_end_to_end::{MIB, Plimsoll, Report, Scratch, SmallDisk, until};
use plimsoll_subjects::Subject;
use serde_json::Value;

fn run(folder: &Scratch, flags: &[&str], command: &[&str]) -> Plimsoll {
    let arguments = ["run"].iter().chain(flags).chain(&["--"]).chain(command);
    Plimsoll::new(arguments).in_folder(folder.path())
}

fn report_json(recording: &str) -> Value {
    Plimsoll::new(["report", "--format", "json", recording])
        .call()
        .json()
}

#[test]
fn the_exit_code_is_the_command_s_own() {
    let check = |command: &[&str], code: i32| {
        let folder = Scratch::new("exit-code");
        let call = run(&folder, &["--no-recording"], command).call();
        assert_eq!(call.code, Some(code), "{command:?}: {call:?}");
        assert!(
            folder.path().read_dir().unwrap().next().is_none(),
            "nothing is kept"
        );
    };
    check(&["true"], 0);
    check(&["sh", "-c", "exit 3"], 3);
    check(&["sh", "-c", "exit 255"], 255);
    // As shells say it: 128 and the signal.
    check(&["sh", "-c", "kill -KILL $$"], 137);
    check(&["sh", "-c", "kill -SEGV $$"], 139);
    check(&["/nonexistent/program"], 127);
    check(&["no-such-command-anywhere"], 127);
    check(&["/etc/passwd"], 126);
    check(&["/"], 126);
}

#[test]
fn a_command_that_cannot_be_started_leaves_no_recording() {
    let folder = Scratch::new("not-started");
    let call = run(&folder, &[], &["/nonexistent/program"]).call();
    assert_eq!(call.code, Some(127));
    assert!(
        call.stderr.contains("/nonexistent/program"),
        "{}",
        call.stderr
    );
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn the_streams_are_the_command_s_own() {
    let folder = Scratch::new("streams");
    let script = "cat; echo out; echo err >&2";
    let flags = ["--report", "report.txt", "--recording", "run.plimsoll"];
    let mut background = run(&folder, &flags, &["sh", "-c", script]).start();
    background.send("in");
    background.close_input();
    let call = background.end();
    assert_eq!(call.code, Some(0), "{call:?}");
    assert_eq!(call.stdout, "in\nout\n");
    assert!(call.stderr.contains("err\n"), "{}", call.stderr);
    assert!(call.stderr.contains("report.txt"), "{}", call.stderr);
    assert!(call.stderr.contains("run.plimsoll"), "{}", call.stderr);
    // Nothing but talk: no colour, no progress line without a terminal.
    assert!(!call.stderr.contains('\x1b'), "{:?}", call.stderr);
    assert!(folder.path().join("report.txt").is_file());
}

/// It grows to a peak and falls: the report has the peak, and what it was made of.
#[test]
fn the_peak_and_what_it_was_made_of() {
    let folder = Scratch::new("peak");
    let recording = folder.file("run.plimsoll");
    let grower = Subject::executable("grower");
    let flags = [
        "--interval",
        "10ms",
        "--recording",
        &recording,
        "--report",
        "report.json",
    ];
    let flags: Vec<&str> = flags.iter().copied().chain(["--format", "json"]).collect();
    let mut running = run(
        &folder,
        &flags,
        &[grower.to_str().unwrap(), "--malloc", "--step-kib", "16384"],
    )
    .start();
    assert!(running.line().starts_with("ready"));
    for _ in 0..3 {
        running.send("");
        let told: Value = serde_json::from_str(&running.line()).unwrap();
        let told = told["anon_bytes"].as_u64().unwrap();
        until("the level is recorded", || {
            report_json(&recording)["peak"]["rss_bytes"].as_u64() >= Some(told)
        });
    }
    running.send("drop");
    let _ = running.line();
    running.close_input();
    let call = running.end();
    assert_eq!(call.code, Some(0), "{call:?}");

    let report = report_json(&recording);
    assert_eq!(report["kind"], "recording");
    assert_eq!(report["complete"], true);
    assert_eq!(report["exit_code"], 0);
    let peak = report["peak"]["rss_bytes"].as_u64().unwrap();
    // Chunks of 1008 bytes for blocks of 1000, and the program's own pages.
    let expected = 48 * MIB * 1008 / 1000;
    assert!(peak >= 48 * MIB && peak <= expected + 4 * MIB, "{peak}");
    let kernel = report["peak"]["kernel_rss_peak_bytes"].as_u64().unwrap();
    assert!(
        kernel >= peak && kernel <= peak + 4 * MIB,
        "{kernel} of {peak}"
    );

    let composition = &report["peak"]["composition"];
    let at_peak = composition["rss_bytes"].as_u64().unwrap();
    assert!(at_peak * 10 >= peak * 9, "read at {at_peak} of {peak}");
    let index = usize::try_from(composition["breakdown_index"].as_u64().unwrap()).unwrap();
    let breakdowns = report["breakdowns"].as_array().unwrap();
    assert!(breakdowns.len() >= 3, "before, at and after the peak");
    for timed in breakdowns {
        let breakdown = Report::new(timed["breakdown"].clone());
        let small = breakdown.unattributed() * 50 <= breakdown.resident().max(4 * MIB);
        assert!(small, "{}", breakdown.outline());
    }
    let breakdown = Report::new(breakdowns[index]["breakdown"].clone());
    let heap = breakdown.exactly("glibc malloc")["resident_bytes"]
        .as_u64()
        .unwrap();
    assert!(heap >= 45 * MIB, "{}", breakdown.outline());
    assert!(
        report["verdict"].as_str().unwrap().contains("glibc malloc"),
        "{}",
        report["verdict"]
    );

    // The report that was printed at the end is the one that the recording gives.
    let printed = std::fs::read_to_string(folder.path().join("report.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), report);
}

#[test]
fn the_report_of_a_recording_is_the_one_at_the_end() {
    for format in ["text", "json", "csv", "html"] {
        let folder = Scratch::new("same-report");
        let flags = [
            "--report",
            "report",
            "--format",
            format,
            "--recording",
            "run.plimsoll",
        ];
        let call = run(&folder, &flags, &["sh", "-c", "sleep 0.3"]).call();
        assert_eq!(call.code, Some(0), "{call:?}");
        let printed = std::fs::read_to_string(folder.path().join("report")).unwrap();
        let again = Plimsoll::new(["report", "--format", format, "run.plimsoll"])
            .in_folder(folder.path())
            .call()
            .ok();
        assert_eq!(printed, again, "{format}");
    }
}

#[test]
fn children_are_followed() {
    let folder = Scratch::new("children");
    let recording = folder.file("run.plimsoll");
    let subject = Subject::executable("forked_copy_on_write");
    let flags = ["--interval", "10ms", "--recording", &recording];
    let command = [subject.to_str().unwrap(), "--mib", "8", "--children", "3"];
    let mut running = run(&folder, &flags, &command).start();
    let line = running.line();
    let truth: Value = serde_json::from_str(line.strip_prefix("ready ").unwrap()).unwrap();
    until("all four are recorded", || {
        report_json(&recording)["processes"]
            .as_array()
            .unwrap()
            .len()
            >= 4
    });
    running.close_input();
    assert_eq!(running.end().code, Some(0));
    let report = report_json(&recording);
    let processes = report["processes"].as_array().unwrap();
    assert_eq!(processes.len(), 4, "{processes:?}");
    for child in truth["children"].as_array().unwrap() {
        let found = processes.iter().find(|process| process["pid"] == *child);
        let found = found.unwrap_or_else(|| panic!("{child} in {processes:?}"));
        assert_eq!(found["parent_pid"], report["root_pid"]);
        assert!(found["ended_seconds"].is_number(), "{found}");
        assert!(
            found["rss_peak_bytes"].as_u64().unwrap() >= 8 * MIB,
            "{found}"
        );
    }
}

#[test]
fn signals_are_passed_to_the_command() {
    // Under nohup(1) it would be ignored, and by all that is started too: a shell can't trap it then.
    // SAFETY: no handler is replaced; what is started from here inherits the usual one.
    unsafe {
        libc::signal(libc::SIGHUP, libc::SIG_DFL);
    }
    for (signal, name) in [
        (libc::SIGINT, "INT"),
        (libc::SIGTERM, "TERM"),
        (libc::SIGHUP, "HUP"),
    ] {
        let folder = Scratch::new("signals");
        let recording = folder.file("run.plimsoll");
        let script =
            format!("trap 'echo caught; exit 3' {name}; echo up; while :; do sleep 0.02; done");
        let flags = ["--recording", &recording, "--report", "report.txt"];
        let mut running = run(&folder, &flags, &["sh", "-c", &script]).start();
        assert_eq!(running.line(), "up");
        running.signal(signal);
        let call = running.end();
        assert_eq!(call.code, Some(3), "{name}: {call:?}");
        assert_eq!(call.stdout, "caught\n", "{name}");
        let report = report_json(&recording);
        assert_eq!(report["complete"], true, "{name}");
        assert_eq!(report["exit_code"], 3, "{name}");
        assert!(folder.path().join("report.txt").is_file(), "{name}");
    }
}

#[test]
fn an_existing_recording_is_not_replaced_unasked() {
    let folder = Scratch::new("existing");
    let path = folder.file("run.plimsoll");
    std::fs::write(&path, "precious").unwrap();
    let witness = folder.file("ran");
    let command = ["touch", witness.as_str()];
    let call = run(&folder, &["--recording", &path], &command).call();
    assert_eq!(call.code, Some(2), "{call:?}");
    assert!(
        call.stderr.contains("run.plimsoll") && call.stderr.contains("--overwrite"),
        "{}",
        call.stderr
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    assert!(!Path::new(&witness).exists(), "nothing was run");
    let call = run(&folder, &["--recording", &path, "--overwrite"], &command).call();
    assert_eq!(call.code, Some(0), "{call:?}");
    assert_eq!(report_json(&path)["exit_code"], 0);
    // Without a name it finds a free one.
    for name in ["true.plimsoll", "true-2.plimsoll"] {
        assert_eq!(run(&folder, &[], &["true"]).call().code, Some(0));
        assert!(folder.path().join(name).is_file(), "{name}");
    }
}

#[test]
fn a_report_that_cannot_be_written_changes_nothing_else() {
    let folder = Scratch::new("unwritable");
    let flags = [
        "--report",
        "no-such-folder/report.txt",
        "--recording",
        "run.plimsoll",
    ];
    let call = run(&folder, &flags, &["sh", "-c", "exit 5"]).call();
    // Refused before anything ran, or the command's own code: never anything else.
    assert!(matches!(call.code, Some(2 | 5)), "{call:?}");
    assert!(
        call.stderr.contains("no-such-folder/report.txt"),
        "{}",
        call.stderr
    );
    if call.code == Some(5) {
        assert_eq!(report_json(&folder.file("run.plimsoll"))["exit_code"], 5);
    }
    run(&folder, &["--format", "json"], &["true"])
        .call()
        .refused(&["--report"]);
    run(
        &folder,
        &["--recording", "no-such-folder/run.plimsoll"],
        &["true"],
    )
    .call()
    .refused(&["no-such-folder/run.plimsoll"]);
}

/// Records `turns` short-lived processes, which a recording has to remember, and exits with 7.
fn busy(folder: &Scratch, recording: &str, turns: u32) -> Plimsoll {
    let script =
        format!("i=0; while [ $i -lt {turns} ]; do sleep 0.01; i=$((i + 1)); done; exit 7");
    let often = ["--interval", "1ms", "--breakdown-interval", "2ms"];
    let flags: Vec<&str> = [&often[..], &["--recording", recording]].concat();
    run(folder, &flags, &["sh", "-c", &script])
}

/// Too many turns for a disk on which [`room_for_a_few_turns`] is left.
const MANY_TURNS: u32 = 400;

/// The size of a recording that was committed once or twice (every half second).
fn room_for_a_few_turns() -> u64 {
    let folder = Scratch::new("a-few-turns");
    let recording = folder.file("run.plimsoll");
    assert_eq!(busy(&folder, &recording, 80).call().code, Some(7));
    std::fs::metadata(&recording).unwrap().len()
}

/// The command must not suffer from a disk that is full for the recording.
#[test]
fn a_full_disk_while_recording() {
    let room = room_for_a_few_turns();
    let folder = Scratch::new("full-disk");
    let recording = folder.file("run.plimsoll");
    let call = busy(&folder, &recording, MANY_TURNS)
        .with_file_size_limit(room)
        .call();
    assert_eq!(call.code, Some(7), "{call:?}");
    let said = call.stderr.to_lowercase();
    assert!(said.contains("run.plimsoll"), "{said}");
    assert!(
        said.contains("cut off") || said.contains("incomplete"),
        "{said}"
    );
    let again = Plimsoll::new(["report", &recording]).call().ok();
    assert!(
        again.contains("cut off") || again.contains("incomplete"),
        "{again}"
    );
    let report = report_json(&recording);
    assert_eq!(report["complete"], false);
    assert!(
        !report["samples"].as_array().unwrap().is_empty(),
        "what came before is kept"
    );
}

#[test]
fn a_disk_of_its_own_that_is_full() {
    let room = room_for_a_few_turns();
    let folder = Scratch::new("small-disk");
    let Some(disk) = SmallDisk::mount(folder.path(), room) else {
        return;
    };
    let recording = folder.file("run.plimsoll");
    let call = busy(&folder, &recording, MANY_TURNS).call();
    assert_eq!(call.code, Some(7), "{call:?}");
    assert!(call.stderr.contains("run.plimsoll"), "{}", call.stderr);
    assert_eq!(report_json(&recording)["complete"], false);
    drop(disk);
}
