//! What is asked of an index, and the documents that answer it one by one: cursors that leap over each
//! other, the rarest first. Nothing is materialised.
//!
//! Memory of a running query: 1 KiB for each use of a term with more than 64 documents, 16 bytes for
//! each branch of an `Any`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::ops::RangeInclusive;

use crate::dictionary::TermId;
use crate::postings::PostingsIndex;
use crate::postings::cursor::Cursor;
use crate::{Error, ErrorKind};

/// Deeper ones are refused: evaluation calls itself once a level, on the stack.
pub const QUERY_DEPTH_MAX: usize = 64;

/// Which documents are wanted. A document is one that the index has.
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

/// The documents that answer a query, ascending. The resume key of a page is its last document.
#[derive(Debug)]
pub struct Matches<'a> {
    node: Node<'a>,
    next: Option<u32>,
    last: Option<u32>,
}

impl<'a> Matches<'a> {
    pub(crate) fn new(index: &'a PostingsIndex, query: &Query, after: Option<u32>) -> Matches<'a> {
        Matches {
            node: Node::of(index, query),
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
        let found = self.next.and_then(|next| self.node.seek(next));
        self.next = found.and_then(|document| document.checked_add(1));
        self.last = found.or(self.last);
        found
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
}

/// The rarest proposes, the others say the next they have, which is proposed then.
#[derive(Debug)]
struct All<'a> {
    required: Vec<Node<'a>>,
    excluded: Vec<Node<'a>>,
    range: RangeInclusive<u32>,
}

impl All<'_> {
    fn seek(&mut self, target: u32) -> Option<u32> {
        let mut target = target.max(*self.range.start());
        loop {
            let candidate = self.agree_on(target)?;
            if candidate > *self.range.end() {
                return None;
            }
            let mut excluded = self.excluded.iter_mut();
            if !excluded.any(|node| node.seek(candidate) == Some(candidate)) {
                return Some(candidate);
            }
            target = candidate.checked_add(1)?;
        }
    }

    fn agree_on(&mut self, target: u32) -> Option<u32> {
        let mut target = target;
        'again: loop {
            let mut candidate = None;
            for node in &mut self.required {
                let next = node.seek(candidate.unwrap_or(target))?;
                if *candidate.get_or_insert(next) != next {
                    target = next;
                    continue 'again;
                }
            }
            return candidate;
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
