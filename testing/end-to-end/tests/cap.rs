//! `plimsoll run --limit` and `plimsoll fit`: a hard cap that binds the command and all it starts,
//! says what enforces it, and is gone afterwards.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use std::path::{Path, PathBuf};

use plimsoll_end_to_end::{Call, MIB, Plimsoll, Scratch, is_root, skip, until};
use plimsoll_subjects::Subject;
use serde_json::Value;

fn subject(name: &str) -> String {
    let path = Subject::executable(name);
    path.to_str()
        .expect("the target folder is UTF-8")
        .to_owned()
}

/// Touches 64 MiB and ends, since it gets no input.
fn touches_64_mib() -> Vec<String> {
    vec![
        subject("steady_anonymous"),
        "--mib".to_owned(),
        "64".to_owned(),
    ]
}

fn run(flags: &[&str], command: &[String]) -> Call {
    let flags = ["run", "--no-recording"].iter().chain(flags);
    let arguments = flags.map(|flag| (*flag).to_owned());
    let command = std::iter::once("--".to_owned()).chain(command.iter().cloned());
    Plimsoll::new(arguments.chain(command)).call()
}

fn fit(flags: &[&str], command: &[String]) -> Plimsoll {
    let arguments = ["fit"].iter().chain(flags).map(|flag| (*flag).to_owned());
    let command = std::iter::once("--".to_owned()).chain(command.iter().cloned());
    Plimsoll::new(arguments.chain(command))
}

fn words(command: &[&str]) -> Vec<String> {
    command.iter().map(|word| (*word).to_owned()).collect()
}

/// The memory groups of this machine, of version 1 or 2.
#[derive(Clone, Copy)]
struct Groups {
    mechanism: &'static str,
    words: &'static str,
    mount: &'static str,
    /// What the line of /proc/self/cgroup begins with, behind the number.
    controllers: &'static str,
}

const V1: Groups = Groups {
    mechanism: "cgroup-v1",
    words: "cgroup v1",
    mount: "/sys/fs/cgroup/memory",
    controllers: ":memory:",
};
const V2: Groups = Groups {
    mechanism: "cgroup-v2",
    words: "cgroup v2",
    mount: "/sys/fs/cgroup",
    controllers: "0::",
};

impl Groups {
    /// The version by which caps work here; says aloud where none does.
    fn here(test: &str) -> Option<Groups> {
        if !is_root() {
            skip(test, "only root makes memory groups here");
            return None;
        }
        let attempt = |groups: Groups| {
            let flags = ["--limit", "1GiB", "--mechanism", groups.mechanism];
            run(&flags, &words(&["true"]))
        };
        let found = [V1, V2]
            .into_iter()
            .find(|groups| attempt(*groups).code == Some(0));
        if found.is_none() {
            skip(test, attempt(V2).stderr.trim());
        }
        found
    }

    /// The folder of the group that a call named.
    fn of(self, call: &Call) -> PathBuf {
        let start = format!("by {} (/", self.words);
        let (_, rest) = call.stderr.split_once(&start).unwrap();
        let path = rest.split([',', ')']).next().unwrap();
        Path::new(self.mount).join(path)
    }

    /// Groups of ours beside this process's own that nobody is in: leftovers of a process that ended.
    fn leftovers_of(self, pid: u32) -> Vec<PathBuf> {
        let text = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        let mut lines = text
            .lines()
            .filter_map(|line| line.split_once(self.controllers));
        let (_, path) = lines.next().unwrap();
        let folder = Path::new(self.mount).join(path.trim_start_matches('/'));
        let start = format!("plimsoll-{pid}-");
        let entries = folder.read_dir().into_iter().flatten();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .filter(|path| {
                let name = path.file_name().unwrap().to_string_lossy();
                name.starts_with(&start)
            })
            .collect()
    }
}

#[test]
fn a_command_that_fits_runs_and_the_group_is_gone_afterwards() {
    let Some(groups) = Groups::here("a command that fits") else {
        return;
    };
    let call = run(&["--limit", "128MiB"], &touches_64_mib());
    assert_eq!(call.code, Some(0), "{call:?}");
    let line = format!("plimsoll: limit 128 MiB by {} (/", groups.words);
    assert!(call.stderr.contains(&line), "{}", call.stderr);
    assert!(!call.stderr.contains("killed by"), "{}", call.stderr);
    assert!(groups.of(&call).parent().unwrap().is_dir());
    assert!(!groups.of(&call).exists());
}

#[test]
fn a_command_that_does_not_fit_is_killed_and_told_why() {
    let Some(groups) = Groups::here("a command that does not fit") else {
        return;
    };
    let call = run(&["--limit", "32MiB"], &touches_64_mib());
    assert_eq!(call.code, Some(137), "{call:?}");
    let line = format!(
        "1 process killed by the kernel for the limit of 32.0 MiB ({})",
        groups.words
    );
    assert!(call.stderr.contains(&line), "{}", call.stderr);
    // The peak of a group of version 2 is there since Linux 5.19 only.
    let is_charged = call.stderr.contains("; charged at most 32.0 MiB");
    assert!(
        is_charged || groups.mechanism == V2.mechanism,
        "{}",
        call.stderr
    );
    // And so does the report, with who held what.
    for part in [
        &format!("Cap: 32.0 MiB by {}", groups.words),
        "The kernel killed 1 process for it.",
        "Just before the end",
    ] {
        let report: Vec<&str> = call.stderr.split_whitespace().collect();
        assert!(report.join(" ").contains(part), "{}", call.stderr);
    }
    assert!(!groups.of(&call).exists());
}

#[test]
fn a_cap_below_the_loader_is_told_as_that() {
    let Some(groups) = Groups::here("a cap below the loader") else {
        return;
    };
    let call = run(&["--limit", "64KiB"], &touches_64_mib());
    assert_eq!(call.code, Some(137), "{call:?}");
    assert!(
        call.stderr.contains("killed at its start"),
        "{}",
        call.stderr
    );
    assert!(!groups.of(&call).exists());
}

#[test]
fn a_command_that_can_t_be_started_leaves_no_group() {
    let Some(groups) = Groups::here("no group is left") else {
        return;
    };
    let call = run(&["--limit", "64MiB"], &words(&["/nonexistent/program"]));
    assert_eq!(call.code, Some(127), "{call:?}");
    assert!(!groups.of(&call).exists());
}

/// No process of it holds more than 32 MiB; together they hold 96 MiB.
#[test]
fn a_tree_is_capped_together() {
    let Some(groups) = Groups::here("a tree is capped together") else {
        return;
    };
    let program = subject("forked_copy_on_write");
    let flags = ["--mib", "24", "--children", "3", "--rewrite-mib", "24"];
    let command: Vec<String> = std::iter::once(program).chain(words(&flags)).collect();
    let call = run(&["--limit", "160MiB"], &command);
    assert_eq!(call.code, Some(0), "{call:?}");
    let call = run(&["--limit", "64MiB"], &command);
    assert_ne!(call.code, Some(0), "{call:?}");
    let line = "killed by the kernel for the limit of 64.0 MiB";
    assert!(call.stderr.contains(line), "{}", call.stderr);
    assert!(!groups.of(&call).exists());
}

#[test]
fn what_a_command_leaves_behind_keeps_its_group_and_that_is_said() {
    let Some(groups) = Groups::here("leftovers keep their group") else {
        return;
    };
    let script = "sleep 600 >/dev/null 2>&1 </dev/null & echo $!";
    let call = run(&["--limit", "64MiB"], &words(&["sh", "-c", script]));
    assert_eq!(call.code, Some(0), "{call:?}");
    let group = groups.of(&call);
    assert!(group.is_dir());
    let said: String = call.stderr.split_whitespace().collect();
    assert!(
        said.contains("1processesthatthecommandleft"),
        "{}",
        call.stderr
    );
    let pid: i32 = call.stdout.trim().parse().unwrap();
    // SAFETY: kill takes plain numbers; the process is one that this test started.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    until("the group is empty", || std::fs::remove_dir(&group).is_ok());
}

#[test]
fn the_weakest_mechanism_needs_no_privileges_and_says_what_it_counts() {
    let flags = ["--limit", "32MiB", "--mechanism", "data-limit"];
    let call = run(&flags, &touches_64_mib());
    assert_eq!(call.code, Some(1), "the allocation fails: {call:?}");
    for part in ["limit 32.0 MiB by RLIMIT_DATA", "each process alone"] {
        assert!(call.stderr.contains(part), "{}", call.stderr);
    }
    let flags = ["--limit", "128MiB", "--mechanism", "data-limit"];
    assert_eq!(run(&flags, &touches_64_mib()).code, Some(0));
}

#[test]
fn a_mechanism_that_does_not_work_here_is_refused_with_its_reason() {
    let Some(groups) = Groups::here("one version rules out the other") else {
        return;
    };
    let (other, reason) = match groups.mechanism == V1.mechanism {
        true => (V2, "version 1 hierarchy"),
        false => (V1, "version 2 hierarchy"),
    };
    let flags = ["--limit", "32MiB", "--mechanism", other.mechanism];
    run(&flags, &words(&["true"])).refused(&["32.0 MiB", other.words, reason]);
}

#[test]
fn sizes_that_make_no_sense_are_refused() {
    for (size, reason) in [
        ("0", "above 0"),
        ("-1", "negative"),
        ("NaN", "no size"),
        ("512MB", "write KiB, MiB"),
        ("99999999999999999999GiB", "too large"),
    ] {
        run(&["--limit", size], &words(&["true"])).refused(&[reason]);
    }
}

#[test]
fn fit_finds_what_a_command_needs() {
    let Some(groups) = Groups::here("fit") else {
        return;
    };
    let document: Value = fit(&["--format", "json"], &touches_64_mib()).call().json();
    assert_eq!(document["kind"], "fit");
    assert_eq!(document["end"], "found", "{document}");
    assert_eq!(document["mechanism"], groups.mechanism.replace('-', "_"));
    let minimum = document["minimum_bytes"].as_u64().unwrap();
    let failed = document["failed_bytes"].as_u64().unwrap();
    assert!((64 * MIB..80 * MIB).contains(&minimum), "{minimum}");
    assert!(failed < minimum && failed > 32 * MIB, "{failed}");
    let points = document["points"].as_array().unwrap();
    let point = points.iter().find(|point| point["cap_bytes"] == minimum);
    assert!(point.unwrap()["succeeded"].as_u64().unwrap() >= 3);
    // What it says it fits in, it runs in.
    let limit = minimum.to_string();
    let call = run(&["--limit", &limit], &touches_64_mib());
    assert_eq!(call.code, Some(0), "{call:?}");
}

#[test]
fn fit_of_what_always_fails_could_not_run() {
    let command = words(&["sh", "-c", "echo out of luck >&2; exit 4"]);
    let call = fit(&["--mechanism", "data-limit"], &command).call();
    call.refused(&["fails without any cap", "exit code 4", "out of luck"]);
    let call = fit(&[], &words(&["/nonexistent/program"])).call();
    call.refused(&["/nonexistent/program"]);
    let call = fit(&["--to", "1MiB", "--from", "2MiB"], &words(&["true"])).call();
    call.refused(&["--to 1.00 MiB", "--from 2.00 MiB"]);
}

#[test]
fn a_run_that_takes_too_long_is_ended_with_all_it_started() {
    let folder = Scratch::new("overdue");
    let pids = folder.file("pids");
    let script = format!("sleep 600 & echo $! >{pids}; sleep 600");
    let flags = ["--timeout", "300ms", "--mechanism", "data-limit"];
    let call = fit(&flags, &words(&["sh", "-c", &script])).call();
    call.refused(&["took longer than --timeout"]);
    let text = std::fs::read_to_string(&pids).unwrap();
    let pid: i32 = text.trim().parse().unwrap();
    // SAFETY: signal 0 asks whether the process is there and does nothing to it.
    until("it is gone", || unsafe { libc::kill(pid, 0) } != 0);
}

#[test]
fn fit_says_when_the_largest_cap_is_too_small() {
    let Some(groups) = Groups::here("the largest cap is too small") else {
        return;
    };
    let flags = ["--to", "32MiB", "--repeat", "1"];
    let call = fit(&flags, &touches_64_mib()).call();
    assert_eq!(call.code, Some(3), "{call:?}");
    let verdict = format!(
        "needs more than 32.0 MiB, the largest cap tried ({})",
        groups.words
    );
    assert!(call.stdout.starts_with(&verdict), "{}", call.stdout);
}

#[test]
fn an_interrupted_fit_keeps_what_it_knows_and_leaves_nothing() {
    let Some(groups) = Groups::here("an interrupted fit") else {
        return;
    };
    let folder = Scratch::new("interrupted-fit");
    let runs = folder.file("runs");
    // Each run leaves a process behind, which goes with its group.
    let script = format!("echo run >>{runs}; sleep 600 & sleep 0.3");
    // Three runs without a cap, and then so fine a search that it is far from its end at the second
    // run with one.
    let flags = ["--repeat", "3", "--resolution", "16KiB"];
    let background = fit(&flags, &words(&["sh", "-c", &script])).start();
    until("two capped runs began", || {
        std::fs::read_to_string(&runs).is_ok_and(|text| text.lines().count() >= 5)
    });
    let pid = background.pid();
    background.signal(libc::SIGINT);
    let call = background.end();
    assert_eq!(call.code, Some(3), "{call:?}");
    let verdict = call.stdout.lines().next().unwrap();
    assert!(verdict.starts_with("needs "), "{verdict}");
    assert!(verdict.contains("interrupted"), "{verdict}");
    assert_eq!(groups.leftovers_of(pid), [] as [PathBuf; 0]);
}
