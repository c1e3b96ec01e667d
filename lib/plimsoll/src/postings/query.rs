//! What is asked of an index, and the documents that answer it in order, in one of two ways:
//!
//! - *leaps*, where few can match: cursors leap over each other, the rarest first, and blocks between
//!   are not read. 1 KiB for each use of a term with more than 64 documents, 16 bytes for each branch
//!   of an `Any`.
//! - *windows*, else: stretches of 16,384 documents as bits, which are joined 64 at a time, the rarest
//!   first; a stretch that is empty already is left. 4 KiB for each `All` and `Not`, 2 for the whole.
//!
//! No set of results is made either way.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::ops::RangeInclusive;

use crate::dictionary::TermId;
use crate::postings::PostingsIndex;
use crate::postings::cursor::Cursor;
use crate::postings::window::Window;
use crate::{Error, ErrorKind};

/// Deeper ones are refused: evaluation calls itself once a level, on the stack.
pub const QUERY_DEPTH_MAX: usize = 64;

/// Answers of a window for each of which a set is asked alone; with more, all of it is read.
const ASKED_MAX: u32 = 128;

/// Leaps where at most one document in this many can match. Measured with 200,000 and a frequent term
/// beside: at one in 200 leaps took 16 to 20 µs and windows 18 to 20, at one in 14,000 leaps take 0.6.
const LEAPS_SHARE: u64 = 128;

/// Which documents are wanted. A document is one that the index has.
///
/// ```
/// use plimsoll::dictionary::TermId;
/// use plimsoll::postings::{PostingsIndex, Query};
///
/// let [cat, dog] = [TermId::new(0), TermId::new(1)];
/// let mut index = PostingsIndex::new();
/// index.insert_document(1, [cat]);
/// index.insert_document(2, [cat, dog]);
/// index.insert_document(3, []);
/// let either = Query::Any(vec![Query::Term(cat), Query::Term(dog)]);
/// assert_eq!(index.count(&either)?, 2);
/// let neither = Query::All(vec![either.negated(), Query::Range(2..=9)]);
/// assert_eq!(index.matches(&neither)?.collect::<Vec<_>>(), [3]);
/// # Ok::<(), plimsoll::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// All documents.
    Everything,
    /// Those that have the term.
    Term(TermId),
    /// Those whose id is in the range.
    Range(RangeInclusive<u32>),
    /// Those that answer all of these; all documents if there is none.
    All(Vec<Query>),
    /// Those that answer any of these; no document if there is none.
    Any(Vec<Query>),
    /// Those that do not answer this.
    Not(Box<Query>),
}

impl Query {
    /// Not this one.
    #[must_use]
    pub fn negated(self) -> Query {
        Query::Not(Box::new(self))
    }

    pub(crate) fn check_depth(&self) -> Result<(), Error> {
        if self.is_within(QUERY_DEPTH_MAX) {
            return Ok(());
        }
        let message = format!(
            "evaluate a query of more than {QUERY_DEPTH_MAX} levels: join conditions in one `All` or \
             `Any` instead of nesting them"
        );
        Err(Error::new(ErrorKind::Invalid, message))
    }

    fn is_within(&self, depth: usize) -> bool {
        let Some(below) = depth.checked_sub(1) else {
            return false;
        };
        match self {
            Query::Everything | Query::Term(_) | Query::Range(_) => true,
            Query::All(parts) | Query::Any(parts) => parts.iter().all(|part| part.is_within(below)),
            Query::Not(part) => part.is_within(below),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Leaps,
    Windows,
}

/// The documents that answer a query, ascending. The resume key of a page is its last document.
///
/// ```
/// use plimsoll::dictionary::TermId;
/// use plimsoll::postings::{PostingsIndex, Query};
///
/// let mut index = PostingsIndex::new();
/// (0..100).for_each(|document| index.insert_document(document, [TermId::new(0)]));
/// let query = Query::Term(TermId::new(0));
/// let mut page = index.matches(&query)?;
/// assert_eq!(page.by_ref().take(3).collect::<Vec<_>>(), [0, 1, 2]);
/// let mut next = index.matches_after(&query, page.resume_key())?;
/// assert_eq!(next.next(), Some(3));
/// # Ok::<(), plimsoll::Error>(())
/// ```
#[derive(Debug)]
pub struct Matches<'a> {
    node: Node<'a>,
    windows: Option<Windows<'a>>,
    next: Option<u32>,
    last: Option<u32>,
}

impl<'a> Matches<'a> {
    pub(crate) fn new(index: &'a PostingsIndex, query: &Query, after: Option<u32>) -> Matches<'a> {
        let many = index.count_at_most(query) > index.documents().len() / LEAPS_SHARE;
        Matches::by(
            index,
            query,
            after,
            if many { Way::Windows } else { Way::Leaps },
        )
    }

    fn by(index: &'a PostingsIndex, query: &Query, after: Option<u32>, way: Way) -> Matches<'a> {
        Matches {
            node: Node::of(index, query),
            windows: (way == Way::Windows).then(|| Windows {
                documents: Cursor::new(index.documents()),
                current: None,
            }),
            next: after.map_or(Some(0), |after| after.checked_add(1)),
            last: after,
        }
    }

    /// The last document told, or what was gone on from: with this,
    /// [`matches_after`](PostingsIndex::matches_after) tells what follows, also in another process and
    /// after changes.
    #[must_use]
    pub fn resume_key(&self) -> Option<u32> {
        self.last
    }
}

impl Iterator for Matches<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let next = self.next?;
        let found = match &mut self.windows {
            Some(windows) => windows.seek(&mut self.node, next),
            None => self.node.seek(next),
        };
        self.next = found.and_then(|document| document.checked_add(1));
        self.last = found.or(self.last);
        found
    }

    fn count(mut self) -> usize {
        let Some(windows) = &mut self.windows else {
            return std::iter::from_fn(|| self.next()).fold(0, |count, _| count + 1);
        };
        let mut count = 0;
        while let Some(next) = self.next
            && let Some(window) = windows.window_from(&mut self.node, next)
        {
            window.cut(next, u32::MAX);
            count += window.count() as usize;
            self.next = window.end().checked_add(1);
        }
        count
    }
}

/// One window after the other, only those that have documents.
#[derive(Debug)]
struct Windows<'a> {
    documents: Cursor<'a>,
    current: Option<Window>,
}

impl Windows<'_> {
    fn seek(&mut self, node: &mut Node<'_>, target: u32) -> Option<u32> {
        let mut target = target;
        loop {
            let window = self.window_from(node, target)?;
            target = target.max(window.start());
            if let Some(found) = window.seek(target) {
                return Some(found);
            }
            target = window.end().checked_add(1)?;
        }
    }

    /// The answers around the first document from `target` on, in its window.
    fn window_from(&mut self, node: &mut Node<'_>, target: u32) -> Option<&mut Window> {
        let known = self.current.as_ref();
        if !known.is_some_and(|window| window.start() <= target && target <= window.end()) {
            // Where documents are dense the first that is asked for is one, and no block is read.
            let document = match self.documents.contains(target) {
                true => target,
                false => self.documents.seek(target)?,
            };
            let window = self.current.get_or_insert_with(|| Window::around(document));
            window.move_to(document);
            node.fill(window);
        }
        self.current.as_mut()
    }
}

#[derive(Debug)]
enum Node<'a> {
    Set(Cursor<'a>),
    All(All<'a>),
    Any(Any<'a>),
    Nothing,
}

impl<'a> Node<'a> {
    fn of(index: &'a PostingsIndex, query: &Query) -> Node<'a> {
        match query {
            Query::Everything => Node::Set(Cursor::new(index.documents())),
            Query::Term(term) => match index.postings(*term) {
                Some(postings) => Node::Set(Cursor::new(postings)),
                None => Node::Nothing,
            },
            Query::Any(parts) => Node::Any(Any {
                parts: parts.iter().map(|part| Node::of(index, part)).collect(),
                heads: BinaryHeap::new(),
                started: false,
            }),
            Query::All(parts) => Node::all_of(index, parts),
            Query::Range(_) | Query::Not(_) => Node::all_of(index, std::slice::from_ref(query)),
        }
    }

    fn all_of(index: &'a PostingsIndex, parts: &[Query]) -> Node<'a> {
        let mut all = All {
            required: Vec::new(),
            excluded: Vec::new(),
            range: 0..=u32::MAX,
            scratch: None,
        };
        let mut required = Vec::new();
        for part in parts {
            match part {
                Query::Range(range) => {
                    let start = *range.start().max(all.range.start());
                    let end = *range.end().min(all.range.end());
                    all.range = start..=end;
                    if range.is_empty() || all.range.is_empty() {
                        return Node::Nothing;
                    }
                }
                Query::Not(part) => all.excluded.push(Node::of(index, part)),
                Query::Everything => {}
                _ => required.push((index.count_at_most(part), part)),
            }
        }
        required.sort_by_key(|(count, _)| *count);
        match required.first() {
            Some((0, _)) => return Node::Nothing,
            Some(_) => {}
            None => required.push((0, &Query::Everything)),
        }
        let nodes = required.iter().map(|(_, part)| Node::of(index, part));
        all.required = nodes.collect();
        Node::All(all)
    }

    /// The least document that answers and is not below `target`, which never falls.
    fn seek(&mut self, target: u32) -> Option<u32> {
        match self {
            Node::Set(cursor) => cursor.seek(target),
            Node::All(all) => all.seek(target),
            Node::Any(any) => any.seek(target),
            Node::Nothing => None,
        }
    }

    /// Whether a document answers, which is not less than in the call before.
    fn contains(&mut self, document: u32) -> bool {
        match self {
            Node::Set(cursor) => cursor.contains(document),
            other => other.seek(document) == Some(document),
        }
    }

    /// Takes out of a window what does not answer, or what does where `wanted` is not. A set is asked
    /// for few documents, and read for many. Not to be mixed with `seek`.
    fn sift(&mut self, wanted: bool, answers: &mut Window, scratch: &mut Window) {
        if let Node::Set(cursor) = self
            && !answers.has_more_than(ASKED_MAX)
        {
            answers.retain(|document| cursor.contains(document) == wanted);
            return;
        }
        scratch.move_to(answers.start());
        self.fill(scratch);
        if wanted {
            answers.keep(scratch);
        } else {
            answers.take_out(scratch);
        }
    }

    /// Adds the documents of a window that answer. Not to be mixed with `seek`.
    fn fill(&mut self, window: &mut Window) {
        match self {
            Node::Set(cursor) => cursor.fill(window),
            Node::All(all) => all.fill(window),
            Node::Any(any) => any.parts.iter_mut().for_each(|part| part.fill(window)),
            Node::Nothing => {}
        }
    }
}

/// The rarest proposes; sets say whether they have it, others what they have next.
#[derive(Debug)]
struct All<'a> {
    required: Vec<Node<'a>>,
    excluded: Vec<Node<'a>>,
    range: RangeInclusive<u32>,
    /// What answers so far, and what answers one part.
    scratch: Option<[Window; 2]>,
}

impl All<'_> {
    fn fill(&mut self, window: &mut Window) {
        let (first, last) = (window.start(), window.end());
        if *self.range.end() < first || *self.range.start() > last {
            return;
        }
        let scratch = &mut self.scratch;
        let [answers, part] =
            scratch.get_or_insert_with(|| [Window::around(first), Window::around(first)]);
        answers.move_to(first);
        let mut required = self.required.iter_mut();
        if let Some(rarest) = required.next() {
            rarest.fill(answers);
        }
        for node in required {
            if answers.is_empty() {
                return;
            }
            node.sift(true, answers, part);
        }
        for node in &mut self.excluded {
            node.sift(false, answers, part);
        }
        answers.cut(*self.range.start(), *self.range.end());
        window.add(answers);
    }

    fn seek(&mut self, target: u32) -> Option<u32> {
        let mut target = target.max(*self.range.start());
        loop {
            let candidate = self.agree_on(target)?;
            if candidate > *self.range.end() {
                return None;
            }
            let mut excluded = self.excluded.iter_mut();
            if !excluded.any(|node| node.contains(candidate)) {
                return Some(candidate);
            }
            target = candidate.checked_add(1)?;
        }
    }

    fn agree_on(&mut self, target: u32) -> Option<u32> {
        let (rarest, others) = self.required.split_first_mut()?;
        let mut target = target;
        'again: loop {
            let candidate = rarest.seek(target)?;
            for node in &mut *others {
                let next = match node {
                    // A set with many more documents says yes or no faster than what comes next.
                    Node::Set(cursor) => match cursor.contains(candidate) {
                        true => candidate,
                        false => candidate.checked_add(1)?,
                    },
                    other => other.seek(candidate)?,
                };
                if next != candidate {
                    target = next;
                    continue 'again;
                }
            }
            return Some(candidate);
        }
    }
}

/// The least head comes first.
#[derive(Debug)]
struct Any<'a> {
    parts: Vec<Node<'a>>,
    heads: BinaryHeap<Reverse<(u32, usize)>>,
    started: bool,
}

impl Any<'_> {
    fn seek(&mut self, target: u32) -> Option<u32> {
        if !self.started {
            self.started = true;
            let parts = self.parts.iter_mut().enumerate();
            self.heads = parts
                .filter_map(|(index, part)| Some(Reverse((part.seek(target)?, index))))
                .collect();
        }
        while let Some(mut head) = self.heads.peek_mut() {
            let Reverse((document, index)) = *head;
            if document >= target {
                return Some(document);
            }
            match self.parts[index].seek(target) {
                Some(next) => *head = Reverse((next, index)),
                None => {
                    PeekMut::pop(head);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: u64 = 12;

    /// A generator of small numbers.
    fn below(state: &mut u64, end: u64) -> u64 {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (*state >> 33) % end
    }

    fn any_query(state: &mut u64, depth: u32) -> Query {
        let parts = |state: &mut u64| {
            let count = below(state, 4);
            (0..count).map(|_| any_query(state, depth - 1)).collect()
        };
        match below(state, if depth == 0 { 6 } else { 12 }) {
            0 => Query::Everything,
            1 => {
                let start = below(state, 120_000) as u32;
                Query::Range(start..=start + below(state, 60_000) as u32)
            }
            2..6 => Query::Term(TermId::new(below(state, TERMS + 1) as u32)),
            6..9 => Query::All(parts(state)),
            9..11 => Query::Any(parts(state)),
            _ => any_query(state, depth - 1).negated(),
        }
    }

    fn answers(index: &PostingsIndex, query: &Query, document: u32) -> bool {
        let answers = |part: &Query| answers(index, part, document);
        match query {
            Query::Everything => true,
            Query::Term(term) => {
                let postings = index.postings(*term);
                postings.is_some_and(|postings| postings.contains(document))
            }
            Query::Range(range) => range.contains(&document),
            Query::All(parts) => parts.iter().all(answers),
            Query::Any(parts) => parts.iter().any(answers),
            Query::Not(part) => !answers(part),
        }
    }

    /// Terms from very frequent to rare, over several windows, a gap and the last ids there are.
    #[test]
    fn leaps_and_windows_tell_the_same_and_the_truth() {
        let mut state = 42;
        let mut index = PostingsIndex::new();
        let documents = (0..60_000)
            .chain(100_000..110_000)
            .chain(u32::MAX - 3_000..=u32::MAX);
        for document in documents.filter(|document| document % 7 < 4) {
            let terms: Vec<TermId> = (0..TERMS)
                .filter(|term| below(&mut state, 1 << term) == 0)
                .map(|term| TermId::new(term as u32))
                .collect();
            index.insert_document(document, terms);
        }
        for _ in 0..150 {
            let query = any_query(&mut state, 3);
            let all = index.documents().iter();
            let all: Vec<u32> = all.filter(|id| answers(&index, &query, *id)).collect();
            let keys = [
                None,
                Some(below(&mut state, 110_000) as u32),
                Some(u32::MAX - 5),
            ];
            for after in keys {
                let expected = all
                    .iter()
                    .filter(|id| after.is_none_or(|after| **id > after));
                let expected: Vec<u32> = expected.copied().collect();
                for way in [Way::Leaps, Way::Windows] {
                    let matches = || Matches::by(&index, &query, after, way);
                    let found: Vec<u32> = matches().collect();
                    assert_eq!(found, expected, "{way:?} {after:?} {query:?}");
                    assert_eq!(matches().count(), expected.len(), "{way:?} {query:?}");
                    // Counting goes on from where a page ended.
                    let mut rest = matches();
                    let page = rest.by_ref().take(100).count();
                    assert_eq!(page + rest.count(), expected.len(), "{way:?} {query:?}");
                }
            }
            assert!(index.count_at_most(&query) >= all.len() as u64);
            assert_eq!(index.count(&query).unwrap(), all.len() as u64);
        }
    }
}
