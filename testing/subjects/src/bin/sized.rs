//! Takes memory by a known law of `--n N`, marks its stages `load`, `work` and `free`, and ends.
//!
//! `--law constant|log|linear|linearithmic|quadratic|root|doubling`, `--base-mib` (8) beside it,
//! `--bytes` (1024) for each unit of the law. In `work` it takes `--work-mib` (0) more, which it
//! frees in `free` together with half of what it loaded. `--fail-at N` ends with code 7 from that
//! size on. At its end it prints `{"law_bytes":…}`.

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::marks::Marks;
use plimsoll_subjects::memory::Region;
use plimsoll_subjects::stage::Outcome;

fn main() -> Outcome {
    let arguments =
        Arguments::from_environment(&["n", "law", "base-mib", "bytes", "work-mib", "fail-at"])?;
    let n = arguments.number("n", 1000)?;
    let fails_at = arguments.number("fail-at", usize::MAX)?;
    if n >= fails_at {
        eprintln!("sized: {n} items are too many for me");
        std::process::exit(7);
    }
    let unit = arguments.number("bytes", 1024)? as f64;
    let size = (law(arguments.text("law", "linear"), n as f64)? * unit) as usize;
    let mut marks = Marks::connect()?;
    marks.mark("load")?;
    let base = touched(arguments.mebibytes("base-mib", 8)?)?;
    let (kept, freed) = (touched(size / 2)?, touched(size - size / 2)?);
    marks.mark("work")?;
    let work = touched(arguments.mebibytes("work-mib", 0)?)?;
    marks.mark("free")?;
    drop((work, freed));
    marks.mark("end")?;
    println!("{{\"law_bytes\":{size}}}");
    // Held to the end: what is freed piece by piece would be in a last reading as any part of it.
    std::mem::forget((base, kept));
    Ok(())
}

fn law(name: &str, n: f64) -> std::io::Result<f64> {
    Ok(match name {
        "constant" => 1.0,
        "log" => n.ln(),
        "linear" => n,
        "linearithmic" => n * n.log2(),
        "quadratic" => n * n,
        "root" => n.sqrt(),
        "doubling" => 2_f64.powf(n.log2().ceil()),
        other => {
            let message = format!("no law is called {other:?}");
            return Err(std::io::Error::other(message));
        }
    })
}

fn touched(bytes: usize) -> std::io::Result<Option<Region>> {
    if bytes == 0 {
        return Ok(None);
    }
    let region = Region::anonymous_in_small_pages(bytes)?;
    region.write_pages(0..bytes, 1);
    Ok(Some(region))
}
