//! `read_recorded` of a damaged recording: reading twice gives the same, reading leaves the file
//! as it is, and a thinned reading is of samples that are there, the highest total among them.
//!
//! Random bytes rarely pass SQLite's own checks, so an input is a list of edits to a valid
//! recording, six bytes each: offset (four, little-endian), length of the run, value. An input
//! that begins as a SQLite file is taken as the file itself. SQLite's own code does
//! not guide the engine, though AddressSanitizer watches it.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use plimsoll_model::{Recorded, Sample};
use plimsoll_recording::read_recorded;

const VALID: &[u8] = include_bytes!("../../../crates/recording/fixtures/version-1.plimsoll");
/// Below the number of samples in the valid recording, so that a reading is thinned.
const FEW: usize = 3;

/// One path in the life of this process: its file is replaced by each input.
static PATH: LazyLock<PathBuf> = LazyLock::new(|| {
    std::env::temp_dir().join(format!("plimsoll-fuzz-{}.plimsoll", std::process::id()))
});

fuzz_target!(|input: &[u8]| {
    let file = if input.starts_with(b"SQLite format 3\0") {
        input.to_vec()
    } else {
        edited(input)
    };
    std::fs::write(&*PATH, &file).expect("the folder for temporary files has room");
    let whole = read(usize::MAX);
    assert_eq!(whole, read(usize::MAX));
    let thinned = read(FEW);
    let after = std::fs::read(&*PATH).expect("the file was written just now");
    assert!(after == file, "the reader changed the file");
    let _ = std::fs::remove_file(&*PATH);

    match (whole, thinned) {
        (Ok(whole), Ok(thinned)) => compare(&whole, &thinned),
        (Err(whole), Err(thinned)) => assert_eq!(whole, thinned),
        (whole, thinned) => panic!("whole: {whole:?}; thinned: {thinned:?}"),
    }
});

fn read(max_samples: usize) -> Result<Recorded, String> {
    read_recorded(&PATH, max_samples).map_err(|error| error.to_string())
}

fn edited(edits: &[u8]) -> Vec<u8> {
    let mut file = VALID.to_vec();
    for edit in edits.chunks_exact(6) {
        let offset = u32::from_le_bytes([edit[0], edit[1], edit[2], edit[3]]) as usize;
        let start = offset % file.len();
        let end = (start + 1 + usize::from(edit[4])).min(file.len());
        file[start..end].fill(edit[5]);
    }
    file
}

fn compare(whole: &Recorded, thinned: &Recorded) {
    assert_eq!(whole.meta, thinned.meta);
    assert_eq!(whole.processes, thinned.processes);
    assert_eq!(whole.breakdowns, thinned.breakdowns);
    assert!(thinned.samples.len() <= whole.samples.len());
    let mut all = whole.samples.iter();
    for sample in &thinned.samples {
        assert!(
            all.any(|measured| measured == sample),
            "{sample:?} was not measured, or is out of order"
        );
    }
    assert_eq!(total_max(&thinned.samples), total_max(&whole.samples));
}

/// The highest sum of RSS over samples that were taken together.
fn total_max(samples: &[Sample]) -> Option<(Duration, u64)> {
    samples
        .chunk_by(|one, next| one.at == next.at)
        .map(|tick| {
            let total = tick
                .iter()
                .fold(0_u64, |sum, sample| sum.saturating_add(sample.rss.0));
            (tick[0].at, total)
        })
        .reduce(|highest, tick| if tick.1 > highest.1 { tick } else { highest })
}
