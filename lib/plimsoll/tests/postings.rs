//! Postings beside plain sets: changes and queries in any order, and pages that go on.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

mod tags;

use std::collections::{BTreeMap, BTreeSet};

use plimsoll::ErrorKind;
use plimsoll::dictionary::{Dictionary, TermId};
use plimsoll::postings::{Postings, PostingsIndex, QUERY_DEPTH_MAX, Query};
use proptest::prelude::*;

/// Documents where each of the forms comes up: few, dense, spread, at the ends of the range.
fn document() -> impl Strategy<Value = u32> {
    prop_oneof![
        6 => 0..600_u32,
        3 => 0..40_000_u32,
        1 => any::<u32>(),
        1 => u32::MAX - 200..=u32::MAX,
    ]
}

#[derive(Clone, Debug)]
enum SetAct {
    Insert(u32),
    /// This many in a row with this distance.
    Run(u32, u32, u32),
    Remove(u32),
    RemoveRun(u32, u32),
    Compact,
}

fn set_acts() -> impl Strategy<Value = Vec<SetAct>> {
    let act = prop_oneof![
        6 => document().prop_map(SetAct::Insert),
        3 => (document(), 1..12_u32, 0..900_u32).prop_map(|(from, by, n)| SetAct::Run(from, by, n)),
        4 => document().prop_map(SetAct::Remove),
        2 => (document(), 0..700_u32).prop_map(|(from, n)| SetAct::RemoveRun(from, n)),
        1 => Just(SetAct::Compact),
    ];
    prop::collection::vec(act, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_set_answers_as_a_plain_set(
        acts in set_acts(),
        probes in prop::collection::vec(document(), 20),
    ) {
        let (mut postings, mut model) = (Postings::new(), BTreeSet::new());
        for act in acts {
            let steps: Vec<(bool, u32)> = match act {
                SetAct::Insert(id) => vec![(true, id)],
                SetAct::Remove(id) => vec![(false, id)],
                SetAct::Run(from, by, n) => {
                    (0..n).filter_map(|k| Some((true, from.checked_add(k * by)?))).collect()
                }
                SetAct::RemoveRun(from, n) => {
                    (0..n).filter_map(|k| Some((false, from.checked_add(k)?))).collect()
                }
                SetAct::Compact => {
                    postings.compact();
                    vec![]
                }
            };
            for (insert, id) in steps {
                if insert {
                    prop_assert_eq!(postings.insert(id), model.insert(id));
                } else {
                    prop_assert_eq!(postings.remove(id), model.remove(&id));
                }
            }
            prop_assert_eq!(postings.len(), model.len() as u64);
        }
        prop_assert!(postings.iter().eq(model.iter().copied()));
        for pair in probes.windows(2) {
            let (id, end) = (pair[0], pair[1]);
            prop_assert_eq!(postings.contains(id), model.contains(&id));
            prop_assert!(postings.iter_from(id).eq(model.range(id..).copied()));
            let count = if id > end { 0 } else { model.range(id..=end).count() };
            prop_assert_eq!(postings.count_range(id..=end), count as u64);
        }
        let collected: Postings = model.iter().rev().copied().collect();
        prop_assert!(collected.iter().eq(model.iter().copied()));
    }
}

const TERMS: u32 = 7;

#[derive(Clone, Debug)]
enum Act {
    Insert(u32, u32),
    Document(u32, Vec<u32>),
    Many(u32, u32, u32),
    Remove(u32, u32),
    RemoveDocument(u32),
    Ask(Query),
    Page(Query, u32),
    Compact,
}

fn query() -> impl Strategy<Value = Query> {
    let leaf = prop_oneof![
        6 => (0..TERMS + 1).prop_map(|term| Query::Term(TermId::new(term))),
        2 => (0..900_u32, 0..900_u32).prop_map(|(start, end)| Query::Range(start..=end)),
        1 => Just(Query::Everything),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 0..4).prop_map(Query::All),
            2 => prop::collection::vec(inner.clone(), 0..4).prop_map(Query::Any),
            2 => inner.prop_map(Query::negated),
        ]
    })
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let document = 0..900_u32;
    let act = prop_oneof![
        4 => (0..TERMS, document.clone()).prop_map(|(term, id)| Act::Insert(term, id)),
        3 => (document.clone(), prop::collection::vec(0..TERMS, 0..4))
            .prop_map(|(id, terms)| Act::Document(id, terms)),
        3 => (0..TERMS, 1..9_u32, 0..300_u32).prop_map(|(term, by, n)| Act::Many(term, by, n)),
        2 => (0..TERMS, document.clone()).prop_map(|(term, id)| Act::Remove(term, id)),
        1 => document.clone().prop_map(Act::RemoveDocument),
        6 => query().prop_map(Act::Ask),
        2 => (query(), document).prop_map(|(query, after)| Act::Page(query, after)),
        1 => Just(Act::Compact),
    ];
    prop::collection::vec(act, 0..40)
}

#[derive(Default)]
struct Model {
    terms: BTreeMap<u32, BTreeSet<u32>>,
    documents: BTreeSet<u32>,
}

impl Model {
    fn insert(&mut self, term: u32, document: u32) -> bool {
        self.documents.insert(document);
        self.terms.entry(term).or_default().insert(document)
    }

    fn answers(&self, query: &Query, document: u32) -> bool {
        match query {
            Query::Everything => true,
            Query::Term(term) => {
                let documents = self.terms.get(&term.get());
                documents.is_some_and(|documents| documents.contains(&document))
            }
            Query::Range(range) => range.contains(&document),
            Query::All(parts) => parts.iter().all(|part| self.answers(part, document)),
            Query::Any(parts) => parts.iter().any(|part| self.answers(part, document)),
            Query::Not(part) => !self.answers(part, document),
        }
    }

    fn matches(&self, query: &Query) -> Vec<u32> {
        let documents = self.documents.iter().copied();
        documents.filter(|id| self.answers(query, *id)).collect()
    }
}

fn act_on(index: &mut PostingsIndex, model: &mut Model, act: Act) {
    match act {
        Act::Insert(term, document) => {
            let new = index.insert(TermId::new(term), document);
            assert_eq!(new, model.insert(term, document));
        }
        Act::Document(document, terms) => {
            index.insert_document(document, terms.iter().map(|term| TermId::new(*term)));
            model.documents.insert(document);
            terms.iter().for_each(|term| {
                model.insert(*term, document);
            });
        }
        Act::Many(term, by, n) => {
            for document in (0..n).map(|k| k * by).filter(|document| *document < 900) {
                index.insert(TermId::new(term), document);
                model.insert(term, document);
            }
        }
        Act::Remove(term, document) => {
            let known = model.terms.get_mut(&term);
            let known = known.is_some_and(|documents| documents.remove(&document));
            assert_eq!(index.remove(TermId::new(term), document), known);
        }
        Act::RemoveDocument(document) => {
            let known = model.documents.remove(&document);
            // By all terms, or by those that it has.
            let removed = match document % 2 {
                0 => index.remove_document(document),
                _ => {
                    let has =
                        |(_, documents): &(&u32, &BTreeSet<u32>)| documents.contains(&document);
                    let terms = model.terms.iter().filter(has);
                    let terms = terms.map(|(term, _)| TermId::new(*term));
                    index.remove_document_of(document, terms)
                }
            };
            assert_eq!(removed, known);
            model.terms.values_mut().for_each(|documents| {
                documents.remove(&document);
            });
        }
        Act::Ask(query) => {
            let expected = model.matches(&query);
            let found: Vec<u32> = index.matches(&query).unwrap().collect();
            assert_eq!(found, expected, "{query:?}");
            let count = index.count(&query).unwrap();
            assert_eq!(count, expected.len() as u64, "{query:?}");
        }
        Act::Page(query, after) => {
            let mut expected = model.matches(&query);
            expected.retain(|document| *document > after);
            let mut found = Vec::new();
            let mut key = Some(after);
            loop {
                let mut page = index.matches_after(&query, key).unwrap();
                let before = found.len();
                found.extend(page.by_ref().take(7));
                key = page.resume_key();
                if found.len() == before {
                    break;
                }
            }
            assert_eq!(found, expected, "{query:?} after {after}");
        }
        Act::Compact => index.compact(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_index_answers_as_plain_sets(acts in acts(), queries in prop::collection::vec(query(), 8)) {
        let (mut index, mut model) = (PostingsIndex::new(), Model::default());
        for act in acts {
            act_on(&mut index, &mut model, act);
        }
        for query in queries {
            act_on(&mut index, &mut model, Act::Ask(query));
        }
        for term in 0..TERMS {
            let count = model.terms.get(&term).map_or(0, BTreeSet::len);
            assert_eq!(index.count_of(TermId::new(term)), count as u64);
        }
    }
}

#[test]
fn autocomplete_tells_the_terms_with_most_documents_first() {
    let dictionary = Dictionary::new();
    let mut index = PostingsIndex::new();
    let tags = tags::tags(3_000);
    for (document, numbers) in (0..).zip(tags::Images::new(2_000, tags.len(), 20)) {
        let terms = numbers.iter().map(|number| &tags[*number as usize]);
        index.insert_document(document, terms.map(|tag| dictionary.insert(tag).unwrap()));
    }
    let unused = dictionary.insert("zz_unused").unwrap();
    let view = dictionary.view();
    for prefix in ["", "r", "red_", "ka", "zz_"] {
        let all = view.prefix(prefix, usize::MAX);
        let mut expected: Vec<(TermId, u64)> = all
            .iter()
            .map(|(id, _)| (*id, index.count_of(*id)))
            .collect();
        expected.retain(|(_, count)| *count > 0);
        // Stable: of equal counts, in order of the strings.
        expected.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        expected.truncate(10);
        assert_eq!(index.top_terms(view.walk(prefix), 10), expected, "{prefix}");
    }
    assert_eq!(index.count_of(unused), 0);
    assert_eq!(index.top_terms(view.walk(""), 0), []);
}

#[test]
fn pages_go_on_over_changes() {
    let mut index = PostingsIndex::new();
    let solo = TermId::new(0);
    index.insert_document(10, [solo]);
    index.insert_document(20, [solo]);
    index.insert_document(30, [solo]);
    let query = Query::Term(solo);
    let mut page = index.matches(&query).unwrap();
    assert_eq!(page.resume_key(), None);
    assert_eq!(page.by_ref().take(2).collect::<Vec<_>>(), [10, 20]);
    let key = page.resume_key();
    index.remove_document(20);
    index.insert_document(15, [solo]);
    index.insert_document(25, [solo]);
    let rest = index.matches_after(&query, key).unwrap();
    assert_eq!(rest.collect::<Vec<_>>(), [25, 30]);
    let mut rest = index.matches_after(&query, Some(u32::MAX)).unwrap();
    assert_eq!(rest.next(), None);
    assert_eq!(rest.resume_key(), Some(u32::MAX));
}

#[test]
fn a_query_that_is_too_deep_is_refused() {
    let index = PostingsIndex::new();
    let mut query = Query::Everything;
    for _ in 1..QUERY_DEPTH_MAX {
        query = query.negated();
    }
    assert_eq!(index.count(&query).unwrap(), 0);
    let error = index.count(&query.negated()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}
