//! Pages in the order of their keys, and what was seen on both sides of a seam. A seam that does not hold
//! is asked for again; one that does not hold then is a doubt: what is missing may be there.

use std::mem;

use super::super::checker::Sequence;
use super::{Ended, Give, Ranges, Seam, State};
use crate::s3::Page;

enum Check {
    Holds,
    /// What is at the front is another.
    Anew,
    Ask(Vec<u8>),
}

impl Ranges {
    /// Takes a page back that was used up.
    pub(in super::super) fn used_up(&mut self, page: Page) {
        self.held -= 1;
        self.held_bytes -= page.memory_bytes();
        self.give_back(page);
    }

    /// The next page in the order of keys, once all seams before it hold.
    pub(in super::super) fn give(&mut self) -> Give {
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
    pub(in super::super) fn judge(&mut self, key: &[u8], is_there: bool) {
        if is_there {
            self.doubt.get_or_insert_with(|| {
                format!(
                    "the source has \"{}\", and leaves it out where a listing is to begin before it",
                    key.escape_ascii()
                )
            });
        }
    }
}
