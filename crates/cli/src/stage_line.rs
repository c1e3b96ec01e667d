//! One line for each stage that ended, made to be found with grep and cut with sed, as programs write
//! into their own logs: `MEMSTATS stage=load rss=52.1MiB anon=44.0MiB … peak=60.3MiB`.
//!
//! One unit throughout and no space inside a figure, so that `sort -n` and a column of awk work.

use plimsoll_model::{Bytes, Stage};
use plimsoll_render::printable;

/// With its line end.
pub(crate) fn stage_line(stage: &Stage) -> String {
    let end = &stage.at_end;
    let mut line = format!(
        "MEMSTATS stage={} rss={} anon={} file={} shmem={} swap={} peak={}",
        word(&stage.label),
        mib(end.rss),
        mib(end.anon),
        mib(end.file),
        mib(end.shmem),
        mib(end.swap),
        mib(stage.peak)
    );
    if let Some(most) = stage.peak_at_most {
        line.push_str(&format!(" peak_at_most={}", mib(most)));
    }
    let sign = if stage.change() < 0 { "-" } else { "+" };
    let change = Bytes(stage.change().unsigned_abs());
    line.push_str(&format!(
        " change={sign}{} start={:.3}s end={:.3}s\n",
        mib(change),
        stage.start.as_secs_f64(),
        stage.end.as_secs_f64()
    ));
    line
}

fn mib(bytes: Bytes) -> String {
    format!("{:.1}MiB", bytes.0 as f64 / f64::from(1 << 20))
}

/// A label as one word, in quotes where it has more.
fn word(label: &str) -> String {
    let safe = printable(label);
    if safe.is_empty() || safe.contains([' ', '"']) {
        format!("\"{}\"", safe.replace('"', "\\\""))
    } else {
        safe.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use plimsoll_model::{RssParts, StageSource};

    use super::*;

    fn stage(label: &str) -> Stage {
        let parts = |rss: u64| RssParts {
            rss: Bytes::kib(rss),
            anon: Bytes::kib(rss / 2),
            file: Bytes::kib(rss - rss / 2),
            ..RssParts::default()
        };
        Stage {
            label: label.to_owned(),
            source: StageSource::Mark,
            start: Duration::from_millis(1500),
            end: Duration::from_millis(2750),
            at_start: parts(10_240),
            at_end: parts(5120),
            peak: Bytes::mib(30),
            peak_at_most: None,
        }
    }

    #[test]
    fn a_line_is_a_word_for_each_figure() {
        assert_eq!(
            stage_line(&stage("import")),
            "MEMSTATS stage=import rss=5.0MiB anon=2.5MiB file=2.5MiB shmem=0.0MiB swap=0.0MiB \
             peak=30.0MiB change=-5.0MiB start=1.500s end=2.750s\n"
        );
        let mut several = stage("import");
        several.peak_at_most = Some(Bytes::mib(41));
        let line = stage_line(&several);
        assert!(
            line.contains(" peak=30.0MiB peak_at_most=41.0MiB "),
            "{line}"
        );
    }

    #[test]
    fn a_label_stays_one_word_of_one_line() {
        let check = |label: &str, expected: &str| {
            let line = stage_line(&stage(label));
            let start = format!("MEMSTATS stage={expected} rss=");
            assert!(line.starts_with(&start), "{line}");
            assert_eq!(line.matches('\n').count(), 1, "{line}");
        };
        check("(start)", "(start)");
        check("warm up", "\"warm up\"");
        check("", "\"\"");
        check("say \"hi\"", "\"say \\\"hi\\\"\"");
        check("a\u{1b}[2J\nb", "a\\u{1b}[2J\\nb");
    }
}
