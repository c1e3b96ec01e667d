//! `Postings` and `PostingsIndex` beside plain sets, under any order of inserts and removals: ids,
//! counts, ranges and queries are the same, and pages go on where they ended.

#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use plimsoll::dictionary::TermId;
use plimsoll::postings::{PostingsIndex, Query};

const TERMS: u32 = 6;

#[derive(Arbitrary, Debug)]
enum Step {
    Insert(u8, Document),
    /// Neighbours, so that blocks fill.
    Run(u8, Document, u16, u8),
    Remove(u8, Document),
    RemoveDocument(Document),
    Compact,
    Ask(Asked, Option<Document>),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Document {
    Near(u16),
    Far(u32),
    Last(u8),
}

impl Document {
    fn id(self) -> u32 {
        match self {
            Document::Near(id) => u32::from(id),
            Document::Far(id) => id,
            Document::Last(back) => u32::MAX - u32::from(back),
        }
    }
}

#[derive(Arbitrary, Debug)]
enum Asked {
    Everything,
    Term(u8),
    Range(Document, Document),
    All(Vec<Asked>),
    Any(Vec<Asked>),
    Not(Box<Asked>),
}

fn term(number: u8) -> TermId {
    TermId::new(u32::from(number) % TERMS)
}

/// `None` where it is deeper than any that is answered.
fn query(asked: &Asked, depth: u32) -> Option<Query> {
    let below = depth.checked_sub(1)?;
    let parts = |parts: &[Asked]| -> Option<Vec<Query>> {
        parts.iter().map(|part| query(part, below)).collect()
    };
    Some(match asked {
        Asked::Everything => Query::Everything,
        Asked::Term(number) => Query::Term(term(*number)),
        Asked::Range(first, last) => Query::Range(first.id()..=last.id()),
        Asked::All(list) => Query::All(parts(list)?),
        Asked::Any(list) => Query::Any(parts(list)?),
        Asked::Not(part) => query(part, below)?.negated(),
    })
}

#[derive(Default)]
struct Plain {
    documents: BTreeSet<u32>,
    terms: BTreeMap<TermId, BTreeSet<u32>>,
}

impl Plain {
    fn insert(&mut self, term: TermId, document: u32) -> bool {
        self.documents.insert(document);
        self.terms.entry(term).or_default().insert(document)
    }

    fn answers(&self, query: &Query, document: u32) -> bool {
        match query {
            Query::Everything => true,
            Query::Term(term) => self
                .terms
                .get(term)
                .is_some_and(|set| set.contains(&document)),
            Query::Range(range) => range.contains(&document),
            Query::All(parts) => parts.iter().all(|part| self.answers(part, document)),
            Query::Any(parts) => parts.iter().any(|part| self.answers(part, document)),
            Query::Not(part) => !self.answers(part, document),
        }
    }
}

fn ask(index: &PostingsIndex, plain: &Plain, query: &Query, after: Option<u32>) {
    let answers = plain.documents.iter().copied();
    let answers: Vec<u32> = answers.filter(|id| plain.answers(query, *id)).collect();
    assert_eq!(index.count(query).expect("not deep"), answers.len() as u64);
    let behind = answers.iter().copied();
    let behind: Vec<u32> = behind
        .filter(|id| after.is_none_or(|after| *id > after))
        .collect();
    let mut matches = index.matches_after(query, after).expect("not deep");
    let first: Vec<u32> = matches.by_ref().take(3).collect();
    let rest = index.matches_after(query, matches.resume_key().or(after));
    let rest: Vec<u32> = rest.expect("not deep").collect();
    assert_eq!([first, rest].concat(), behind);
}

fuzz_target!(|steps: Vec<Step>| {
    let mut index = PostingsIndex::new();
    let mut plain = Plain::default();
    for step in steps {
        match step {
            Step::Insert(number, document) => {
                let (term, id) = (term(number), document.id());
                assert_eq!(index.insert(term, id), plain.insert(term, id));
            }
            Step::Run(number, document, count, step) => {
                let term = term(number);
                let step = 1 + u32::from(step);
                for at in 0..u32::from(count % 2000) {
                    let id = document.id().wrapping_add(at * step);
                    assert_eq!(index.insert(term, id), plain.insert(term, id));
                }
            }
            Step::Remove(number, document) => {
                let set = plain.terms.get_mut(&term(number));
                let removed = set.is_some_and(|set| set.remove(&document.id()));
                assert_eq!(index.remove(term(number), document.id()), removed);
            }
            Step::RemoveDocument(document) => {
                let id = document.id();
                for set in plain.terms.values_mut() {
                    set.remove(&id);
                }
                assert_eq!(index.remove_document(id), plain.documents.remove(&id));
            }
            Step::Compact => index.compact(),
            Step::Ask(asked, after) => {
                if let Some(query) = query(&asked, 8) {
                    ask(&index, &plain, &query, after.map(Document::id));
                }
            }
        }
    }
    for (term, set) in &plain.terms {
        assert_eq!(index.count_of(*term), set.len() as u64);
        if let Some(postings) = index.postings(*term) {
            assert!(postings.iter().eq(set.iter().copied()));
        }
    }
});
