//! Grows by `--step-mib M` on each line, `--steps N` times, then frees all: no leak, a saw tooth.
//!
//! Each line is answered with `{"anon_bytes":…, "peak_bytes":…}`.

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::memory::Region;
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

fn main() -> Outcome {
    let arguments = Arguments::from_environment(&["step-mib", "steps"])?;
    let step = arguments.mebibytes("step-mib", 8)?;
    let steps = arguments.number("steps", 8)?;
    stage::ready(&json!({ "anon_bytes": 0, "step_bytes": step, "peak_bytes": step * steps }))?;
    let mut held = Vec::with_capacity(steps);
    stage::answer_lines(|_| {
        if held.len() == steps {
            held.clear();
        } else {
            let region = Region::anonymous(step)?;
            region.write_pages(0..step, 1);
            held.push(region);
        }
        Ok(json!({ "anon_bytes": held.len() * step, "peak_bytes": step * steps }))
    })
}
