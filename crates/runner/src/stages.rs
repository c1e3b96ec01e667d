//! The stage that a run is in: opened by a mark, closed by the next one or by the end.

use std::time::Duration;

use plimsoll_model::{Bytes, RssParts, Stage, StageSource};

use crate::tree::Cut;

/// Knows the stage that is open. 100 bytes.
#[derive(Debug)]
pub(crate) struct Stages {
    label: String,
    source: StageSource,
    start: Duration,
    at_start: RssParts,
    /// Highest sum of RSS sampled in this stage.
    sum_max: Bytes,
    marked: bool,
}

impl Stages {
    /// What runs before the first mark is a stage too.
    pub(crate) fn begin() -> Stages {
        Stages {
            label: Stage::BEGINNING.to_owned(),
            source: StageSource::Start,
            start: Duration::ZERO,
            at_start: RssParts::default(),
            sum_max: Bytes::ZERO,
            marked: false,
        }
    }

    pub(crate) fn sampled(&mut self, rss: Bytes) {
        self.sum_max = self.sum_max.max(rss);
    }

    /// Closes the open stage and opens another.
    pub(crate) fn mark(
        &mut self,
        label: String,
        source: StageSource,
        at: Duration,
        cut: &Cut,
    ) -> Stage {
        self.marked = true;
        let next = Stages {
            label,
            source,
            start: at,
            at_start: cut.parts,
            sum_max: cut.parts.rss,
            marked: true,
        };
        std::mem::replace(self, next).close(at, cut.parts, &cut.peaks)
    }

    /// The last stage, if there were any: the subject has ended, so what it held at the end is what
    /// was sampled last.
    pub(crate) fn end(self, at: Duration, last: RssParts, peaks: &[Bytes]) -> Option<Stage> {
        self.marked.then(|| self.close(at, last, peaks))
    }

    fn close(self, end: Duration, at_end: RssParts, peaks: &[Bytes]) -> Stage {
        let single = peaks.iter().copied().max().unwrap_or_default();
        let sum: Bytes = peaks.iter().copied().sum();
        let sampled = self.sum_max.max(at_end.rss).max(single);
        Stage {
            label: self.label,
            source: self.source,
            start: self.start,
            end,
            at_start: self.at_start,
            at_end,
            peak: sampled,
            peak_at_most: (peaks.len() > 1 && sum > sampled).then_some(sum),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Look;

    fn cut(rss: u64, peaks: &[u64]) -> Cut {
        Cut {
            parts: RssParts {
                rss: Bytes::mib(rss),
                anon: Bytes::mib(rss),
                ..RssParts::default()
            },
            peaks: peaks.iter().map(|peak| Bytes::mib(*peak)).collect(),
            look: Look::default(),
        }
    }

    #[test]
    fn without_a_mark_there_are_no_stages() {
        let mut stages = Stages::begin();
        stages.sampled(Bytes::mib(7));
        let last = RssParts::default();
        assert_eq!(stages.end(Duration::from_secs(1), last, &[]), None);
    }

    #[test]
    fn the_peak_of_one_process_is_exact_and_of_several_is_bracketed() {
        let mut stages = Stages::begin();
        stages.sampled(Bytes::mib(5));
        let at = Duration::from_secs;
        let first = stages.mark("load".into(), StageSource::Mark, at(1), &cut(6, &[9]));
        assert_eq!(first.label, Stage::BEGINNING);
        assert_eq!((first.peak, first.peak_at_most), (Bytes::mib(9), None));
        assert_eq!(first.change(), 6 << 20);

        stages.sampled(Bytes::mib(30));
        let second = stages.mark("free".into(), StageSource::Log, at(2), &cut(20, &[25, 15]));
        assert_eq!(second.label, "load");
        assert_eq!(second.at_start.rss, Bytes::mib(6));
        assert_eq!(second.peak, Bytes::mib(30));
        assert_eq!(second.peak_at_most, Some(Bytes::mib(40)));

        let third = stages.end(at(3), cut(2, &[]).parts, &[Bytes::mib(20)]);
        let third = third.unwrap();
        assert_eq!(
            (third.label.as_str(), third.source),
            ("free", StageSource::Log)
        );
        assert_eq!(third.peak, Bytes::mib(20));
        assert_eq!(third.change(), -(18 << 20));
    }
}
