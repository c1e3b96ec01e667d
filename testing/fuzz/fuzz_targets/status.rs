//! `parse_status`: figures come back when they are printed again, and lines that say nothing of
//! memory change nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_model::{Bytes, ProcessState};
use plimsoll_probe::{Status, parse_status};

fuzz_target!(|text: &[u8]| {
    let status = parse_status(text);
    let has_key = |key: &[u8]| {
        text.split(|byte| *byte == b'\n')
            .any(|line| line.starts_with(key))
    };
    assert_eq!(status.has_memory, has_key(b"VmRSS:"));
    assert_eq!(status.has_rss_parts, has_key(b"RssAnon:"));

    let noise = [b"Name:\tx\\nVmRSS:\t9 kB\nno colon\n", text].concat();
    assert_eq!(parse_status(&noise), status);
    assert_eq!(parse_status(print(&status).as_bytes()), status);
});

fn print(status: &Status) -> String {
    let figures = &status.figures;
    let state = match status.state {
        ProcessState::Running => "R",
        ProcessState::Sleeping => "S",
        ProcessState::DiskSleep => "D",
        ProcessState::Stopped => "T",
        ProcessState::Zombie => "Z",
        ProcessState::Dead => "X",
        ProcessState::Idle => "I",
        ProcessState::KernelThread | ProcessState::Other => "?",
    };
    let mut text = format!(
        "State:\t{state}\nUid:\t{}\t0\t0\t0\nThreads:\t{}\n",
        status.uid, figures.threads
    );
    let lines = [
        (true, "VmSize", figures.virtual_size),
        (true, "VmHWM", figures.rss_peak),
        (status.has_memory, "VmRSS", figures.rss),
        (status.has_rss_parts, "RssAnon", figures.anon),
        (true, "RssFile", figures.file),
        (true, "RssShmem", figures.shmem),
        (true, "VmSwap", figures.swap),
        (true, "VmLck", figures.locked),
        (true, "VmPTE", figures.page_tables),
        (true, "HugetlbPages", figures.hugetlb),
    ];
    for (printed, key, Bytes(bytes)) in lines {
        if printed {
            // Rounded up, so that a figure at the top of the range comes back as that.
            text += &format!("{key}:\t{:8} kB\n", bytes.div_ceil(1024));
        }
    }
    text
}
