//! Grows by `--step-kib K` on each line read, and answers with what it holds: `{"anon_bytes":…}`.
//!
//! A line that is a number grows by that many KiB instead; the line `drop` frees everything.
//! `--malloc` allocates blocks of 1000 bytes from malloc instead of mapping each step.

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::malloc::Chain;
use plimsoll_subjects::memory::Region;
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

/// The bytes of one block of `--malloc`; glibc's chunk for it is 1008 bytes.
const BLOCK_BYTES: usize = 1000;

/// One step: kept only to be freed together.
enum Held {
    #[expect(dead_code, reason = "held for its memory")]
    Mapped(Region),
    #[expect(dead_code, reason = "held for its memory")]
    Allocated(Chain),
}

fn main() -> Outcome {
    let arguments = Arguments::from_environment(&["step-kib", "malloc"])?;
    let step = arguments.number("step-kib", 1024)?;
    stage::ready(&json!({ "anon_bytes": 0, "step_bytes": step << 10 }))?;
    let mut held = Vec::new();
    let (mut bytes, mut steps) = (0, 0);
    stage::answer_lines(|line| {
        if line == "drop" {
            held.clear();
            bytes = 0;
        } else {
            let kib = if line.is_empty() {
                step
            } else {
                line.parse().unwrap_or(step)
            };
            let (part, grown) = grow(kib << 10, arguments.has("malloc"))?;
            held.push(part);
            bytes += grown;
            steps += 1;
        }
        Ok(json!({ "anon_bytes": bytes, "steps": steps }))
    })
}

fn grow(bytes: usize, from_malloc: bool) -> std::io::Result<(Held, usize)> {
    if from_malloc {
        let blocks = bytes.div_ceil(BLOCK_BYTES);
        return Ok((
            Held::Allocated(Chain::allocate(blocks, BLOCK_BYTES)?),
            blocks * BLOCK_BYTES,
        ));
    }
    let region = Region::anonymous(bytes)?;
    region.write_pages(0..bytes, 1);
    Ok((Held::Mapped(region), bytes))
}
