//! Step 3, nothing whole: the store is copied through one buffer, walked in batches of at most
//! 256 KiB, each changed in a short transaction of its own, and no image is kept: what an answer
//! tells of one is read when it is asked for.

use std::collections::HashMap;

use plimsoll::batches::{Batch, BatchLimits, SqliteKey, SqliteStore, walk};
use plimsoll::dictionary::{Dictionary, TermId};
use plimsoll::ledger::{Ledger, Tag};
use plimsoll::postings::{PostingsIndex, Query};
use plimsoll::stream::{CopyOptions, copy_file};
use plimsoll_tutorial::{
    Answers, Hit, Job, Model, Outcome, PAGE_LEN, Request, implications, open, part, print_tags,
    read_hit, remove_journal,
};
use rusqlite::Connection;
use rusqlite::types::Value;

#[global_allocator]
static LEDGER: Ledger = Ledger::system();

static MODEL: Tag = Tag::new("model");
static COPY: Tag = Tag::new("copy");
static IMAGES: Tag = Tag::new("images");
static ANSWERS: Tag = Tag::new("answers");

const LIMITS: BatchLimits = BatchLimits {
    items: 1_000,
    bytes: 256 << 10,
};

/// What is kept of all images.
#[derive(Default)]
struct Index {
    tags: Dictionary,
    images: PostingsIndex,
    implied: HashMap<TermId, TermId>,
}

struct Gallery {
    model: Model,
    published: Connection,
    index: Index,
}

fn main() -> Outcome {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let job = Job::from_arguments(&words)?;
    let model = part(&MODEL, || Model::read(&job.model()))?;
    part(&COPY, || {
        remove_journal(&job.published())?;
        Ok(copy_file(
            job.store(),
            job.published(),
            CopyOptions::default(),
        )?)
    })?;
    let published = open(&job.published())?;
    let (published, index) = part(&IMAGES, || read_images(published))?;
    let gallery = Gallery {
        model,
        published,
        index,
    };
    part(&ANSWERS, || {
        let mut answers = Answers::new();
        for request in job.requests()? {
            gallery.answer(&request, &mut answers)?;
        }
        answers.finish(&gallery.published)
    })?;
    print_tags();
    Ok(())
}

/// Walks all images once: adds the tags that others imply, and puts all of them in the index.
fn read_images(published: Connection) -> Outcome<(Connection, Index)> {
    let mut index = Index::default();
    for (tag, other) in implications(&published)? {
        let (tag, other) = (index.tags.insert(&tag)?, index.tags.insert(&other)?);
        index.implied.insert(tag, other);
    }
    let mut store = SqliteStore::new(published, "images", "id", &["tags"])?;
    walk(&mut store, LIMITS, |store, batch| index.add(store, batch))?;
    Ok((store.into_connection(), index))
}

impl Index {
    fn add(&mut self, store: &mut SqliteStore, batch: Batch<SqliteKey, Vec<Value>>) -> Outcome {
        let transaction = store.transaction()?;
        for (key, values) in batch.into_entries() {
            let (SqliteKey::Integer(id), [Value::Text(text)]) = (key, &values[..]) else {
                return Err("read an image: its id is no number, or its tags are no text".into());
            };
            let id = u32::try_from(id)?;
            let (ids, is_changed) = self.with_implied(text)?;
            if is_changed {
                let text: Vec<String> = ids.iter().filter_map(|id| self.tags.term(*id)).collect();
                transaction
                    .prepare_cached("UPDATE images SET tags = ?2 WHERE id = ?1")?
                    .execute((id, text.join(" ")))?;
            }
            self.images.insert_document(id, ids);
        }
        transaction.commit()?;
        Ok(())
    }

    /// The tags of a text with those that they imply, and whether there are any of these.
    fn with_implied(&self, text: &str) -> Outcome<(Vec<TermId>, bool)> {
        let ids: Result<Vec<TermId>, _> =
            text.split(' ').map(|tag| self.tags.insert(tag)).collect();
        let mut ids = ids?;
        let before = ids.len();
        for place in 0..before {
            if let Some(tag) = self.implied.get(&ids[place])
                && !ids.contains(tag)
            {
                ids.push(*tag);
            }
        }
        let is_changed = ids.len() > before;
        Ok((ids, is_changed))
    }

    fn query(&self, wanted: &[String], unwanted: &[String]) -> Query {
        // A tag that no image has: of nothing, any.
        let term = |tag: &String| self.tags.id(tag).map_or(Query::Any(vec![]), Query::Term);
        let wanted = wanted.iter().map(term);
        let unwanted = unwanted.iter().map(|tag| term(tag).negated());
        Query::All(wanted.chain(unwanted).collect())
    }

    fn complete(&self, prefix: &str) -> Vec<(String, u64)> {
        let view = self.tags.view();
        let best = self.images.top_terms(view.walk(prefix), PAGE_LEN);
        best.into_iter()
            .filter_map(|(id, count)| Some((view.term(id)?, count)))
            .collect()
    }
}

impl Gallery {
    fn answer(&self, request: &Request, answers: &mut Answers) -> Outcome {
        match request {
            Request::Search { wanted, unwanted } => {
                let images = &self.index.images;
                let query = self.index.query(wanted, unwanted);
                let found = images.matches(&query)?.take(PAGE_LEN);
                let page: Outcome<Vec<Hit>> =
                    found.map(|id| read_hit(&self.published, id)).collect();
                answers.found(images.count(&query)?, &page?)
            }
            Request::Complete(prefix) => answers.completed(&self.index.complete(prefix)),
            Request::Similar(id) => answers.similar(&self.model.nearest(*id)?),
        }
    }
}
