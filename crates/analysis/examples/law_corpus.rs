//! Prints the corpus of known laws as JSON lines, with the laws that Plimsoll finds, so that a peer
//! can be run on the same data: `cargo run -p plimsoll-analysis --example law_corpus |
//! python3 bench/peers/big_o_laws.py`. An argument is the number of programs of each kind.

#[path = "../tests/law_corpus/mod.rs"]
mod law_corpus;

use std::io::{self, BufWriter, Write};

use plimsoll_analysis::law::{LawOptions, fit};
use plimsoll_model::SizedPeak;

const COPIES: usize = 40;
const SEED: u64 = 20_261;

fn main() -> io::Result<()> {
    let copies = std::env::args()
        .nth(1)
        .and_then(|copies| copies.parse().ok())
        .unwrap_or(COPIES);
    let options = LawOptions {
        resamples: 0,
        ..LawOptions::default()
    };
    let mut out = BufWriter::new(io::stdout().lock());
    for case in law_corpus::corpus(copies, SEED) {
        let ours: Vec<String> = fit(&case.points, &options)
            .map(|law| law.classes)
            .unwrap_or_default()
            .iter()
            .map(|class| format!("\"{class}\""))
            .collect();
        writeln!(
            out,
            "{{\"truth\":\"{}\",\"class\":\"{}\",\"exponent\":{},\"intercept\":\"{:?}\",\
             \"decades\":{},\"noise\":{},\"n\":[{}],\"bytes\":[{}],\"ours\":[{}]}}",
            case.truth.name,
            case.truth.class,
            case.truth.exponent,
            case.intercept,
            case.decades,
            case.noise,
            numbers(&case.points, |p| p.n),
            numbers(&case.points, |p| p.bytes),
            ours.join(",")
        )?;
    }
    out.flush()
}

fn numbers(points: &[SizedPeak], of: fn(&SizedPeak) -> f64) -> String {
    let numbers: Vec<String> = points.iter().map(|p| of(p).to_string()).collect();
    numbers.join(",")
}
