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

use std::collections::VecDeque;
use std::mem;

use super::checker::{Ends, Sequence};
use super::{KeyRange, guess};
use crate::s3::{Page, Place};

/// Objects of a page where the source was not seen to send fewer or more.
const PAGE_KEYS: usize = 1000;
/// What a page is taken for before one was seen: 1000 keys of 100 bytes.
const PAGE_BYTES: usize = 160 << 10;
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
    /// Objects of a full page; none where none was seen.
    page_keys: Option<usize>,
    page_bytes: usize,
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

/// Which objects of a page count: so many behind `from`, up to `last`.
#[derive(Clone, Copy, Debug)]
struct Cut {
    from: Place,
    count: usize,
    last: Option<Place>,
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
        limit: KeyRange,
        window: Window,
        has_guesses: bool,
        has_hints: bool,
    ) -> Ranges {
        let start = limit.start_after();
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
            page_keys: None,
            page_bytes: PAGE_BYTES,
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

    // What workers do.

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
        let bytes = self.held_bytes + (self.asked + 1) * self.page_bytes;
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

    /// Takes a page that was asked for and passed its checks.
    pub(super) fn take(&mut self, id: u64, page: Page, sequence: Sequence, ends: Option<Ends>) {
        self.asked -= 1;
        self.figures.requests += 1;
        self.page_bytes = self.page_bytes.max(page.memory_bytes());
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

    fn give_back(&mut self, page: Page) {
        if self.spare.len() + self.held < self.window.pages {
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

    // What the merge does.

    /// Takes a page back that was used up.
    pub(super) fn used_up(&mut self, page: Page) {
        self.held -= 1;
        self.held_bytes -= page.memory_bytes();
        self.give_back(page);
    }

    /// The next page in the order of keys, once all seams before it hold.
    pub(super) fn give(&mut self) -> Give {
        loop {
            let Some(front) = self.ranges.front() else {
                return Give::Ended;
            };
            if front.pages.is_empty() && front.state != State::Whole {
                return Give::Wait;
            }
            if !front.is_used {
                match self.check_seam() {
                    Check::Holds => {}
                    Check::Anew => continue,
                    Check::Ask(key) => return Give::Ask(key),
                }
            }
            let Some(front) = self.ranges.front_mut() else {
                return Give::Ended;
            };
            front.is_used = true;
            if let Some(used) = front.pages.pop_front() {
                return Give::Page(used);
            }
            self.pop();
        }
    }

    fn pop(&mut self) {
        let Some(front) = self.ranges.pop_front() else {
            return;
        };
        let before = self.ended.take();
        if let (Seam::End, Some(through)) = (&front.beyond, &front.through) {
            // What was left out may have begun to be with a range before.
            let before = before.filter(|_| self.seam == Seam::End && !front.has_keys);
            self.ended = Some(Ended {
                is_second: front.is_second || before.as_ref().is_some_and(|ended| ended.is_second),
                after: before.map_or(front.after, |ended| ended.after),
                through: through.clone(),
            });
        }
        // Over a range without keys the seam goes on, as seen before it.
        match (&self.seam, &front.beyond) {
            (Seam::Key(key), Seam::Key(_))
                if !front.has_keys && Some(key) > front.through.as_ref() => {}
            _ => self.seam = front.beyond,
        }
    }

    /// Whether the front range begins with what was seen behind the one before.
    fn check_seam(&mut self) -> Check {
        let seam = mem::take(&mut self.seam);
        let Some(front) = self.ranges.front() else {
            return Check::Holds;
        };
        let first = match front.pages.front() {
            Some(used) => used.page.next(used.from).map(|place| used.page.key(place)),
            None => match &front.beyond {
                Seam::Key(key) => Some(&key[..]),
                Seam::Unknown | Seam::End => None,
            },
        };
        match seam {
            Seam::Unknown => Check::Holds,
            Seam::End if first.is_none() => {
                self.seam = Seam::End;
                Check::Holds
            }
            Seam::End => {
                let first = first.unwrap_or_default().to_vec();
                self.ended_too_early(&first)
            }
            // What came in between is new, and listed.
            Seam::Key(key) if first.is_some_and(|first| first <= &key[..]) => Check::Holds,
            Seam::Key(key) => {
                let is_here = front.through.as_ref().is_none_or(|through| key <= *through);
                let is_second = front.is_second;
                if !is_here {
                    // Seen behind this range too, or a later one answers for it.
                    self.seam = Seam::Key(key);
                    return Check::Holds;
                }
                if is_second {
                    return Check::Ask(key);
                }
                self.anew();
                self.seam = Seam::Key(key);
                Check::Anew
            }
        }
    }

    /// Has the front range listed again.
    fn anew(&mut self) {
        self.next_id += 1;
        let id = self.next_id;
        let Some(front) = self.ranges.front_mut() else {
            return;
        };
        front.id = id;
        front.after.clone_from(&front.start);
        front.sequence = Sequence::default();
        front.state = State::Planned;
        front.beyond = Seam::Unknown;
        front.count = 0;
        front.has_keys = false;
        front.is_second = true;
        for used in mem::take(&mut front.pages) {
            self.figures.keys -= used.count as u64;
            self.used_up(used.page);
        }
    }

    /// The source said that there is no more, and there is: what it left out is asked for once.
    fn ended_too_early(&mut self, first: &[u8]) -> Check {
        let Some(ended) = self.ended.take() else {
            return Check::Holds;
        };
        if ended.is_second {
            self.doubt.get_or_insert_with(|| {
                format!(
                    "the source says twice that nothing follows \"{}\", and lists \"{}\"",
                    ended.after.escape_ascii(),
                    first.escape_ascii()
                )
            });
            return Check::Holds;
        }
        let mut between = self.range(ended.after, Some(ended.through));
        between.is_second = true;
        self.ranges.push_front(between);
        Check::Anew
    }

    /// Says whether the source has the key that [`Give::Ask`] named.
    pub(super) fn judge(&mut self, key: &[u8], is_there: bool) {
        if is_there {
            self.doubt.get_or_insert_with(|| {
                format!(
                    "the source has \"{}\", and leaves it out where a listing is to begin before it",
                    key.escape_ascii()
                )
            });
        }
    }

    /// Notes requests for hints.
    pub(super) fn asked_for_hints(&mut self, requests: u64) {
        self.figures.requests += requests;
    }
}

enum Check {
    Holds,
    /// What is at the front is another.
    Anew,
    Ask(Vec<u8>),
}
