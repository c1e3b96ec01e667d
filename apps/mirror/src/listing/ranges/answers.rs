//! What a page that came says of the ranges.

use std::mem;

use super::super::checker::{Ends, Sequence};
use super::super::guess;
use super::{RANGES_EACH, Range, Ranges, Seam, State, Used};
use crate::s3::{Page, Place};

/// Which objects of a page count: so many behind `from`, up to `last`.
#[derive(Clone, Copy, Debug)]
struct Cut {
    from: Place,
    count: usize,
    last: Option<Place>,
}

impl Ranges {
    /// Takes a page that was asked for and passed its checks.
    pub(in super::super) fn take(
        &mut self,
        id: u64,
        page: Page,
        sequence: Sequence,
        ends: Option<Ends>,
    ) {
        self.asked -= 1;
        self.figures.requests += 1;
        self.page_longest = self.page_longest.max(page.memory_bytes());
        let Some(at) = self.ranges.iter().position(|range| range.id == id) else {
            // Asked for by a range that is asked for anew.
            self.give_back(page);
            return;
        };
        let Some(ends) = ends else {
            let range = &mut self.ranges[at];
            range.sequence = sequence;
            range.count += 1;
            match page.is_truncated() {
                true => range.state = State::Begun,
                false => {
                    self.absorb(at, &page, None);
                    self.end(at, Seam::End);
                }
            }
            self.give_back(page);
            return;
        };
        if page.is_truncated() {
            self.page_keys = self.page_keys.max(Some(page.len()));
        }
        let range = &mut self.ranges[at];
        range.count += 1;
        range.sequence = sequence;
        let last = page.key(ends.last).to_vec();
        let is_through = |range: &Range| range.through.as_ref().is_some_and(|end| last > *end);
        if is_through(range) || !page.is_truncated() {
            self.absorb(at, &page, Some(&last));
        }
        let (used, beyond) = self.cut(at, &page, ends.last);
        if let Some(place) = used.last {
            self.ranges[at].after = page.key(place).to_vec();
        }
        let is_through = is_through(&self.ranges[at]);
        if let Some(beyond) = beyond {
            self.end(at, beyond);
        } else if is_through || !page.is_truncated() {
            self.end(at, Seam::End);
        } else if self.ranges[at].state == State::Whole {
            // The next range goes on with the token.
            self.end(at, Seam::Unknown);
        } else {
            let range = &mut self.ranges[at];
            range.after = last;
            range.state = State::Begun;
            self.guess(at, &page);
        }
        self.hold(at, page, used);
    }

    fn hold(&mut self, at: usize, page: Page, cut: Cut) {
        let Cut { from, count, .. } = cut;
        self.figures.keys += count as u64;
        if count == 0 {
            return self.give_back(page);
        }
        self.ranges[at].has_keys = true;
        self.held += 1;
        self.held_bytes += page.memory_bytes();
        self.figures.bytes_most = self.figures.bytes_most.max(self.held_bytes);
        self.ranges[at].pages.push_back(Used { page, from, count });
    }

    /// Keeps the room of a page for another, within the window.
    pub(super) fn give_back(&mut self, page: Page) {
        let bytes = self.held_bytes + self.spare_bytes + page.memory_bytes();
        if self.spare.len() + self.held < self.window.pages && bytes <= self.window.bytes {
            self.spare_bytes += page.memory_bytes();
            self.spare.push(page);
        }
    }

    fn end(&mut self, at: usize, beyond: Seam) {
        let page_keys = self.page_keys() as u64;
        let range = &mut self.ranges[at];
        range.state = State::Whole;
        range.beyond = beyond;
        // What is new makes ranges longer than they were: plan them as much shorter.
        if mem::take(&mut range.is_planned) {
            let most = page_keys.max(2) - 1;
            let each = match range.count {
                1 => self.keys_each + self.keys_each / 256 + 1,
                _ => self.keys_each - self.keys_each / 32,
            };
            self.keys_each = each.clamp(most.div_ceil(2), most);
        }
        if at + 1 == self.ranges.len() {
            self.has_hints = false;
        }
    }

    /// Has a page that reaches behind the end of its range stand for the ranges that nobody began yet.
    fn absorb(&mut self, at: usize, page: &Page, last: Option<&Vec<u8>>) {
        if !page.is_truncated() {
            self.confirm_end(at);
        }
        while let (Some(next), Some(last)) = (self.ranges.get(at + 1), last)
            && next.state == State::Planned
            && self.ranges[at].through.as_ref() < Some(last)
        {
            if next.through.as_ref().is_some_and(|through| through <= last) {
                let next = self.ranges.remove(at + 1);
                self.ranges[at].through = next.and_then(|next| next.through);
                continue;
            }
            let range = &mut self.ranges[at];
            range.through = Some(last.clone());
            let sequence = match page.is_truncated() {
                true => {
                    range.state = State::Whole;
                    range.sequence.clone()
                }
                false => Sequence::default(),
            };
            let next = &mut self.ranges[at + 1];
            next.start.clone_from(last);
            next.after.clone_from(last);
            next.sequence = sequence;
        }
    }

    /// Behind a page that says that it is the last, all that was planned becomes one range: a single
    /// request that has to come back empty.
    fn confirm_end(&mut self, at: usize) {
        let is_planned =
            |range: Option<&Range>| range.is_some_and(|one| one.state == State::Planned);
        while is_planned(self.ranges.get(at + 1)) && is_planned(self.ranges.get(at + 2)) {
            let merged = self.ranges.remove(at + 2);
            self.ranges[at + 1].through = merged.and_then(|merged| merged.through);
        }
        self.has_hints = false;
    }

    /// Which objects of a page count, and what was seen behind them, if anything was.
    fn cut(&self, at: usize, page: &Page, last: Place) -> (Cut, Option<Seam>) {
        let through = self.ranges[at].through.as_deref();
        let (limit, key) = (&self.limit, page.key(last));
        let is_all = through.is_none_or(|through| key <= through) && limit.has(key);
        let first = page.keys().next().unwrap_or_default();
        let mut cut = Cut {
            from: Place::default(),
            count: page.len(),
            last: Some(last),
        };
        if is_all && limit.has(first) {
            return (cut, None);
        }
        (cut.count, cut.last) = (0, None);
        for place in page.places() {
            let key = page.key(place);
            let is_over = limit.to.as_deref().is_some_and(|to| key >= to);
            if through.is_some_and(|through| key > through) || is_over {
                let beyond = match is_over {
                    true => Seam::End,
                    false => Seam::Key(key.to_vec()),
                };
                return (cut, Some(beyond));
            }
            if key < &limit.from[..] {
                cut.from = place;
            } else {
                cut.count += 1;
                cut.last = Some(place);
            }
        }
        (cut, None)
    }

    /// Plans ranges in what follows a page, where that has proven long.
    fn guess(&mut self, at: usize, page: &Page) {
        let range = &self.ranges[at];
        let is_last = at + 1 == self.ranges.len();
        let room = (RANGES_EACH * self.window.pages).saturating_sub(self.ranges.len());
        let full = self.full_pages() + 1;
        let most = self.window.pages.min(room).min(full as usize);
        if !self.has_guesses || is_last && self.has_hints || !self.has_credit() {
            return;
        }
        let below = match (&range.through, &self.limit.to) {
            (Some(through), _) => Some(&through[..]),
            (None, to) => to.as_deref(),
        };
        // A tenth is left for chance, so that most of them are one page.
        let each = self.page_keys() - self.page_keys() / 10;
        let splits = guess::splits(page, each, below, most);
        for (behind, split) in (at..).zip(splits) {
            let through = self.ranges[behind].through.replace(split.clone());
            let is_planned = mem::take(&mut self.ranges[behind].is_planned);
            let mut next = self.range(split, through);
            next.is_planned = is_planned && next.through.is_some();
            self.ranges.insert(behind + 1, next);
        }
    }
}
