//! Dictionaries beside a plain model: inserts, renames, queries and rebuilds in any order; threads.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

mod tags;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use plimsoll::ErrorKind;
use plimsoll::dictionary::{Dictionary, DictionaryView, TERM_BYTES_MAX, TermId};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Act {
    Insert(String),
    Rename(u32, String),
    Prefix(String, usize),
    After(String, String),
    Rebuild,
    Store,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    // Few letters, so that strings meet; one of two bytes, so that blocks split code points.
    let text = "[abéè]{0,6}|[a-c_]{0,40}";
    let act = prop_oneof![
        12 => text.prop_map(Act::Insert),
        4 => (0..80_u32, text).prop_map(|(id, text)| Act::Rename(id, text)),
        3 => ("[abé]{0,3}", 0..20_usize).prop_map(|(prefix, limit)| Act::Prefix(prefix, limit)),
        2 => ("[abé]{0,2}", text).prop_map(|(prefix, after)| Act::After(prefix, after)),
        1 => Just(Act::Rebuild),
        1 => Just(Act::Store),
    ];
    prop::collection::vec(act, 0..200)
}

#[derive(Default)]
struct Model {
    ids: BTreeMap<String, u32>,
    terms: Vec<String>,
}

impl Model {
    fn with_prefix(&self, prefix: &str) -> Vec<(TermId, String)> {
        let all = self.ids.iter();
        all.filter(|(text, _)| text.starts_with(prefix))
            .map(|(text, id)| (TermId::new(*id), text.clone()))
            .collect()
    }

    fn check(&self, view: &DictionaryView) {
        assert_eq!(view.len() as usize, self.terms.len());
        for (id, text) in (0..).map(TermId::new).zip(&self.terms) {
            assert_eq!(view.term(id).as_ref(), Some(text));
            assert_eq!(view.id(text), Some(id));
        }
        assert_eq!(view.prefix("", usize::MAX), self.with_prefix(""));
        assert_eq!(view.term(TermId::new(view.len())), None);
    }
}

fn act_on(dictionary: &mut Dictionary, model: &mut Model, act: Act) {
    match act {
        Act::Insert(text) => {
            let next = model.terms.len() as u32;
            let expected = *model.ids.entry(text.clone()).or_insert(next);
            if expected == next {
                model.terms.push(text.clone());
            }
            assert_eq!(dictionary.insert(&text).unwrap().get(), expected);
        }
        Act::Rename(id, text) => {
            let result = dictionary.rename(TermId::new(id), &text);
            let kind = result.map_err(|error| error.kind());
            let known = model.terms.get(id as usize).cloned();
            match (known, model.ids.get(&text)) {
                (None, _) => assert_eq!(kind, Err(ErrorKind::Invalid)),
                (Some(_), Some(other)) if *other != id => {
                    assert_eq!(kind, Err(ErrorKind::Exists));
                }
                (Some(old), _) => {
                    assert_eq!(kind, Ok(()));
                    model.ids.remove(&old);
                    model.ids.insert(text.clone(), id);
                    model.terms[id as usize] = text;
                }
            }
        }
        Act::Prefix(prefix, limit) => {
            let mut expected = model.with_prefix(&prefix);
            expected.truncate(limit);
            assert_eq!(dictionary.prefix(&prefix, limit), expected);
        }
        Act::After(prefix, after) => {
            let mut expected = model.with_prefix(&prefix);
            expected.retain(|(_, text)| *text > after);
            let view = dictionary.view();
            let ids: Vec<TermId> = view.walk_after(&prefix, &after).collect();
            let expected: Vec<TermId> = expected.iter().map(|(id, _)| *id).collect();
            assert_eq!(ids, expected);
        }
        Act::Rebuild => dictionary.rebuild(),
        Act::Store => {
            let mut bytes = Vec::new();
            dictionary.write_to(&mut bytes).unwrap();
            *dictionary = Dictionary::read_from(bytes.as_slice()).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_answers_as_a_plain_map(acts in acts()) {
        let mut dictionary = Dictionary::new();
        let mut model = Model::default();
        for act in acts {
            act_on(&mut dictionary, &mut model, act);
        }
        model.check(&dictionary.view());
        dictionary.rebuild();
        model.check(&dictionary.view());
    }

    #[test]
    fn any_damage_is_found(
        texts in prop::collection::vec("[a-f]{0,12}", 0..60),
        place in any::<prop::sample::Index>(),
        change in 1..=255_u8,
        cut in any::<prop::sample::Index>(),
    ) {
        let dictionary = Dictionary::new();
        for text in &texts {
            dictionary.insert(text).unwrap();
        }
        let mut bytes = Vec::new();
        dictionary.write_to(&mut bytes).unwrap();
        let kind = |bytes: &[u8]| Dictionary::read_from(bytes).map(|_| ()).map_err(|e| e.kind());
        prop_assert_eq!(kind(&bytes), Ok(()));
        let cut = cut.index(bytes.len());
        prop_assert_eq!(kind(&bytes[..cut]), Err(ErrorKind::Malformed));
        let place = place.index(bytes.len());
        bytes[place] ^= change;
        prop_assert_eq!(kind(&bytes), Err(ErrorKind::Malformed));
    }

    #[test]
    fn foreign_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Dictionary::read_from(bytes.as_slice()).is_err());
        let magic = [b"plimdict\x01\0\0\0".as_slice(), &bytes].concat();
        prop_assert!(Dictionary::read_from(magic.as_slice()).is_err());
    }
}

#[test]
fn real_looking_tags_come_back_in_every_way() {
    let tags = tags::tags(30_000);
    let dictionary = Dictionary::new();
    let mut model = Model::default();
    for tag in &tags {
        act_on_insert(&dictionary, &mut model, tag);
    }
    model.check(&dictionary.view());
    for prefix in ["", "l", "lo", "looking_at_", "zzz", "red_hair", "ka"] {
        let expected = model.with_prefix(prefix);
        assert_eq!(dictionary.prefix(prefix, usize::MAX), expected, "{prefix}");
    }
    let mut bytes = Vec::new();
    dictionary.write_to(&mut bytes).unwrap();
    // Only its own bytes are taken from what goes on behind it.
    let mut followed = [bytes.as_slice(), b"more"].concat();
    let mut rest = followed.as_mut_slice() as &[u8];
    model.check(&Dictionary::read_from(&mut rest).unwrap().view());
    assert_eq!(rest, b"more");
    // A frame left out is damage, though every frame is whole.
    let first = u32::from_le_bytes(bytes[20..24].try_into().unwrap()) as usize;
    bytes.drain(20..20 + 8 + first);
    let error = Dictionary::read_from(bytes.as_slice()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
}

fn act_on_insert(dictionary: &Dictionary, model: &mut Model, tag: &str) {
    let id = dictionary.insert(tag).unwrap().get();
    assert_eq!(id as usize, model.terms.len());
    model.ids.insert(tag.to_owned(), id);
    model.terms.push(tag.to_owned());
}

#[test]
fn version_1_is_read_for_good() {
    let stored = include_bytes!("fixtures/dictionary-1.bin");
    let dictionary = Dictionary::read_from(stored.as_slice()).unwrap();
    assert_eq!(dictionary.len(), 3);
    for (id, text) in [(0, "solo"), (1, "long_hair"), (2, "looking_at_viewer")] {
        assert_eq!(dictionary.term(TermId::new(id)).as_deref(), Some(text));
    }
    let mut again = Vec::new();
    dictionary.write_to(&mut again).unwrap();
    assert_eq!(again, stored);
}

#[test]
fn bounds_are_told() {
    let dictionary = Dictionary::bounded(2);
    let long = "x".repeat(TERM_BYTES_MAX);
    dictionary.insert(&long).unwrap();
    let longer = "x".repeat(TERM_BYTES_MAX + 1);
    let error = dictionary.insert(&longer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("4097 bytes"), "{error}");
    assert_eq!(
        dictionary
            .rename(TermId::new(0), &longer)
            .unwrap_err()
            .kind(),
        ErrorKind::Invalid
    );
    dictionary.insert("").unwrap();
    let error = dictionary.insert("third").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    assert_eq!(dictionary.insert("").unwrap(), TermId::new(1));
    // A name that is free again is a new string.
    dictionary.rename(TermId::new(1), "second").unwrap();
    assert_eq!(dictionary.id(""), None);
    assert_eq!(
        dictionary.insert("").unwrap_err().kind(),
        ErrorKind::Exhausted
    );
    let mut bytes = Vec::new();
    dictionary.write_to(&mut bytes).unwrap();
    bytes[8] = 2;
    assert_eq!(
        Dictionary::read_from(bytes.as_slice()).unwrap_err().kind(),
        ErrorKind::Malformed,
        "a version that its checksum denies is damage"
    );
}

/// Readers meanwhile see each string with its id or not at all, and ids without holes.
#[test]
fn readers_see_one_state_while_a_writer_inserts_renames_and_rebuilds() {
    let tags = tags::tags(12_000);
    let dictionary = Dictionary::new();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for reader in 0..3_u64 {
            let (dictionary, tags, done) = (&dictionary, &tags, &done);
            scope.spawn(move || read_meanwhile(dictionary, tags, done, reader));
        }
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                dictionary.rebuild();
                std::thread::yield_now();
            }
        });
        for (number, tag) in tags.iter().enumerate() {
            let id = dictionary.insert(tag).unwrap();
            assert_eq!(id.index(), number);
            if number % 10 == 9 {
                dictionary.rename(id, &format!("renamed:{tag}")).unwrap();
            }
        }
        done.store(true, Ordering::Release);
    });
    assert_eq!(dictionary.len() as usize, tags.len());
    for (number, tag) in tags.iter().enumerate() {
        let renamed = number % 10 == 9;
        let name = if renamed {
            format!("renamed:{tag}")
        } else {
            tag.clone()
        };
        assert_eq!(dictionary.id(&name), Some(TermId::new(number as u32)));
        assert_eq!(dictionary.id(tag).is_none(), renamed);
    }
}

fn read_meanwhile(dictionary: &Dictionary, tags: &[String], done: &AtomicBool, seed: u64) {
    let mut random = tags::Random(seed);
    let mut text = String::new();
    let mut len_before = 0;
    while !done.load(Ordering::Acquire) {
        let len = dictionary.len();
        assert!(len >= len_before, "ids are never taken back");
        len_before = len;
        if len == 0 {
            continue;
        }
        let id = TermId::new(random.below(len as usize) as u32);
        assert!(dictionary.read_term(id, &mut text), "{id:?} of {len}");
        let name = text.strip_prefix("renamed:").unwrap_or(&text);
        assert_eq!(name, tags[id.index()]);
        // A view never changes: all ids have one string, and it leads back.
        let view = dictionary.view();
        let len = view.len();
        assert!(view.read_term(id, &mut text));
        assert_eq!(view.id(&text), Some(id));
        assert!(!view.read_term(TermId::new(len), &mut text));
        if random.below(64) == 0 {
            assert_eq!(view.walk("").count(), len as usize);
        }
    }
}
