//! Which part of the key space is asked for when, and whether the answers fit together. Pure: workers and
//! the one who merges call it under a lock.
//!
//! The listing is a row of **ranges** that cover the key space without a gap: each begins behind the end
//! of the one before, whatever any hint says. A range is one sequence of pages: the first is asked for by
//! `start-after`, the others by tokens, until a key behind the end is seen, or there are no more. So every
//! **seam** between two ranges is seen from both sides: the key that the range before saw behind its end
//! has to be the first of the range that follows, or the source skips keys, and nothing may be deleted.
//!
//! Memory is bounded by the window: pages that are held or asked for. Only the front range, whose pages
//! are the next to be used, may always ask, so the listing goes on however the keys lie.

mod answers;
mod seams;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use super::KeyRange;
use super::checker::Sequence;
use crate::s3::{Page, Place};

/// Objects of a page where the source was not seen to send fewer or more.
const PAGE_KEYS: usize = 1000;
/// What a page is taken for before one was seen: 1000 of the longest keys. After that it is taken for the
/// longest that was seen.
const PAGE_BYTES: usize = 1100 << 10;
/// Requests beyond one for each full page: a quarter, and as many as workers may have begun.
const WASTE_PART: u64 = 4;
/// Ranges that are planned, at most, for each page of the window: hints are few bytes, but not none.
const RANGES_EACH: usize = 4;

/// How far is read ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) pages: usize,
    pub(super) bytes: usize,
}

/// The listing as far as it is known.
#[derive(Debug)]
pub(super) struct Ranges {
    prefix: Vec<u8>,
    limit: KeyRange,
    window: Window,
    has_guesses: bool,
    ranges: VecDeque<Range>,
    next_id: u64,
    /// Hints may come: the last range is not begun before its end is known.
    pub(super) has_hints: bool,
    /// Pages that are held, their bytes, and those that are asked for.
    held: usize,
    held_bytes: usize,
    asked: usize,
    spare: Vec<Page>,
    spare_bytes: usize,
    /// Objects of a full page; none where none was seen.
    page_keys: Option<usize>,
    /// Bytes of the longest page; 0 where none was seen.
    page_longest: usize,
    /// What one planned range should hold.
    pub(super) keys_each: u64,
    seam: Seam,
    /// The range that was used up last, and ended with the listing.
    ended: Option<Ended>,
    pub(super) figures: Figures,
    /// Why nothing that is missing may be taken for gone.
    pub(super) doubt: Option<String>,
}

/// What a listing took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Pages, those for hints included.
    pub requests: u64,
    /// Keys that were in the range of their page.
    pub keys: u64,
    /// Pages held or asked for at once, at most.
    pub pages_most: usize,
    /// Bytes of pages held at once, at most.
    pub bytes_most: usize,
    /// Ranges that were begun by `start-after`.
    pub starts: u64,
}

/// Part of the key space: behind `start`, up to and with `through`.
#[derive(Debug)]
struct Range {
    id: u64,
    start: Vec<u8>,
    /// Listed so far.
    after: Vec<u8>,
    /// None is to the end.
    through: Option<Vec<u8>>,
    sequence: Sequence,
    pages: VecDeque<Used>,
    state: State,
    beyond: Seam,
    /// Pages that came.
    count: u32,
    has_keys: bool,
    /// It was compared with what was seen behind the range before.
    is_used: bool,
    is_second: bool,
    is_planned: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Planned,
    Asked,
    /// Some pages came, more are to be asked for.
    Begun,
    Whole,
}

/// What was seen behind the end of a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Seam {
    /// Nothing: the next range goes on by the token of this one, or is the first.
    #[default]
    Unknown,
    Key(Vec<u8>),
    /// No key at all.
    End,
}

#[derive(Debug)]
struct Ended {
    after: Vec<u8>,
    through: Vec<u8>,
    is_second: bool,
}

/// A page, and which part of it counts.
#[derive(Debug)]
pub(super) struct Used {
    pub(super) page: Page,
    /// Behind it the first object that counts.
    pub(super) from: Place,
    pub(super) count: usize,
}

/// A page to be asked for.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) after: Vec<u8>,
    pub(super) sequence: Sequence,
    /// Room for it.
    pub(super) page: Page,
}

/// What a worker may do.
#[derive(Debug)]
pub(super) enum Next {
    List(Job),
    /// More hints are of use.
    Hint,
    /// Nothing before a page is used or comes.
    Wait,
    /// Nothing any more.
    Ended,
}

/// What the merge may do.
#[derive(Debug)]
pub(super) enum Give {
    Page(Used),
    Wait,
    /// The source may have skipped this key: look whether it has it, then [`Ranges::judge`].
    Ask(Vec<u8>),
    Ended,
}

impl Ranges {
    pub(super) fn new(
        prefix: &str,
        start: Vec<u8>,
        limit: KeyRange,
        window: Window,
        has_guesses: bool,
        has_hints: bool,
    ) -> Ranges {
        let mut ranges = Ranges {
            prefix: prefix.as_bytes().to_vec(),
            limit,
            window,
            has_guesses,
            ranges: VecDeque::new(),
            next_id: 0,
            has_hints,
            held: 0,
            held_bytes: 0,
            asked: 0,
            spare: Vec::new(),
            spare_bytes: 0,
            page_keys: None,
            page_longest: 0,
            keys_each: PAGE_KEYS as u64 - 1,
            seam: Seam::Unknown,
            ended: None,
            figures: Figures::default(),
            doubt: None,
        };
        let first = ranges.range(start, None);
        ranges.ranges.push_back(first);
        ranges
    }

    fn range(&mut self, start: Vec<u8>, through: Option<Vec<u8>>) -> Range {
        self.next_id += 1;
        Range {
            id: self.next_id,
            after: start.clone(),
            start,
            through,
            sequence: Sequence::default(),
            pages: VecDeque::new(),
            state: State::Planned,
            beyond: Seam::Unknown,
            count: 0,
            has_keys: false,
            is_used: false,
            is_second: false,
            is_planned: false,
        }
    }

    /// What to do next: the page that is needed first.
    pub(super) fn next(&mut self) -> Next {
        let (has_room, has_credit) = (self.has_room(), self.has_credit());
        let is_short = self.ranges.len() < RANGES_EACH * self.window.pages;
        let may_hint = self.has_hints && has_room && has_credit && is_short;
        let last = self.ranges.len().wrapping_sub(1);
        let mut found = None;
        for (at, range) in self.ranges.iter().enumerate() {
            let is_front = at == 0 && range.pages.is_empty();
            let may = match range.state {
                State::Asked | State::Whole => false,
                State::Begun => is_front || has_room,
                State::Planned if at == last && self.has_hints => is_front && !may_hint,
                State::Planned => is_front || has_room && has_credit,
            };
            if may {
                found = Some(at);
                break;
            }
        }
        if let Some(at) = found {
            return Next::List(self.ask(at));
        }
        if self.ranges.is_empty() {
            return Next::Ended;
        }
        match may_hint {
            true => Next::Hint,
            false => Next::Wait,
        }
    }

    fn ask(&mut self, at: usize) -> Job {
        self.asked += 1;
        let held = self.held + self.asked;
        self.figures.pages_most = self.figures.pages_most.max(held);
        let page = self.spare.pop().unwrap_or_default();
        self.spare_bytes -= page.memory_bytes();
        let range = &mut self.ranges[at];
        let is_start = range.state == State::Planned && range.sequence.token.is_none();
        self.figures.starts += u64::from(is_start);
        range.state = State::Asked;
        Job {
            id: range.id,
            after: range.after.clone(),
            sequence: range.sequence.clone(),
            page,
        }
    }

    fn has_room(&self) -> bool {
        let page_bytes = match self.page_longest {
            0 => PAGE_BYTES,
            longest => longest,
        };
        let bytes = self.held_bytes + (self.asked + 1) * page_bytes;
        self.held + self.asked < self.window.pages && bytes <= self.window.bytes
    }

    /// Whether so few requests were in vain that another may be.
    fn has_credit(&self) -> bool {
        let begun = self.figures.requests + self.asked as u64;
        let full = self.full_pages();
        begun < full + full / WASTE_PART + self.window.pages as u64
    }

    fn page_keys(&self) -> usize {
        self.page_keys.unwrap_or(PAGE_KEYS)
    }

    /// Pages that the keys so far would fill.
    fn full_pages(&self) -> u64 {
        self.figures.keys.div_ceil(self.page_keys() as u64)
    }

    /// Takes a split, above all before it; any other is passed over. False when no more are of use.
    pub(super) fn split(&mut self, split: Vec<u8>) -> bool {
        let is_listed = split.starts_with(&self.prefix) && self.limit.has(&split);
        let Some(last) = self.ranges.back_mut() else {
            return false;
        };
        if last.state == State::Whole {
            return false;
        }
        if is_listed && split > last.after {
            last.through = Some(split.clone());
            last.is_planned = true;
            let next = self.range(split, None);
            self.ranges.push_back(next);
        }
        true
    }

    /// Notes requests for hints.
    pub(super) fn asked_for_hints(&mut self, requests: u64) {
        self.figures.requests += requests;
    }
}
