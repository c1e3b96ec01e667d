//! Step 5, a budget: whoever needs memory asks for it first. Where there is no room for the model it
//! is searched on the disk, through a buffer; where there is none for the index the run ends with an
//! error that says who holds what. Usage: `gallery_5_budget FOLDER REQUESTS [BUDGET_MIB]`; without
//! a number it is what the system or the cgroup leaves.

use std::collections::HashMap;
use std::path::PathBuf;

use plimsoll::ErrorKind;
use plimsoll::batches::{Batch, BatchLimits, SqliteKey, SqliteStore, walk};
use plimsoll::budget::{Budget, Limit, Policy, Reservation};
use plimsoll::dictionary::{Dictionary, TermId};
use plimsoll::lazy::{Lazy, LazyOptions};
use plimsoll::ledger::{Ledger, Tag};
use plimsoll::monitor::MonitorOptions;
use plimsoll::postings::{PostingsIndex, Query};
use plimsoll::stream::{CopyOptions, copy_file};
use plimsoll_tutorial::{
    Answers, Hit, Job, Model, ModelFile, Outcome, PAGE_LEN, Request, implications, open, part,
    print_tags, read_hit, remove_journal,
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

const MIB: u64 = 1 << 20;
/// What nobody reserves: the program's code, its stack, the caches of SQLite, what malloc rounds up.
const HEADROOM: u64 = 12 * MIB;
/// Of rows of the model, where all of it has no room.
const ROWS_BUFFER: usize = 1 << 20;

/// What is kept of all images.
struct Index {
    tags: Dictionary,
    images: PostingsIndex,
    implied: HashMap<TermId, TermId>,
    reservation: Reservation,
}

struct Gallery {
    budget: Budget,
    model: Lazy<Model>,
    model_path: PathBuf,
    published: Connection,
    index: Index,
}

fn main() -> Outcome {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (words, limit) = limit_of(&words)?;
    let job = Job::from_arguments(words)?;
    let budget = Budget::new(limit, Policy::Greedy);
    // What is used beyond the headroom and all reservations is withheld from the budget.
    budget.set_drift_allowance(HEADROOM);
    let model = lazy_model(&budget, job.model())?;
    let monitor = MonitorOptions::default()
        .budget("gallery", &budget)
        .lazy(&model)
        .start()?;
    part(&COPY, || {
        remove_journal(&job.published())?;
        let options = CopyOptions::default();
        let _buffer = budget
            .consumer("copy")
            .reserve(options.buffer_bytes as u64)?;
        Ok(copy_file(job.store(), job.published(), options)?)
    })?;
    let published = open(&job.published())?;
    let (published, index) = part(&IMAGES, || read_images(published, &budget))?;
    let gallery = Gallery {
        budget,
        model,
        model_path: job.model(),
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
    gallery.print_budget();
    drop(monitor);
    Ok(())
}

/// The words before the budget, and its limit.
fn limit_of(words: &[String]) -> Outcome<(&[String], Limit)> {
    let Some(([_, _], [mib])) = words.split_at_checked(2) else {
        return Ok((words, Limit::from_system(HEADROOM)?));
    };
    let mib: u64 = mib
        .parse()
        .map_err(|error| format!("{mib:?} is no budget in MiB: {error}"))?;
    Ok((&words[..2], Limit::from(mib.saturating_mul(MIB))))
}

/// The model, not read yet, and its cost: nothing is read where that has no room.
fn lazy_model(budget: &Budget, path: PathBuf) -> Outcome<Lazy<Model>> {
    let options = LazyOptions {
        cost_bytes: ModelFile::open(&path)?.size_bytes(),
        ..LazyOptions::default()
    };
    Ok(Lazy::new(budget, "model", options, move |_| {
        MODEL.run(|| Model::read(&path))
    }))
}

/// Walks all images once: adds the tags that others imply, and puts all of them in the index.
fn read_images(published: Connection, budget: &Budget) -> Outcome<(Connection, Index)> {
    // The batch that is read, and the list of its texts that is made of it.
    let _batch = budget.consumer("batch").reserve(2 * LIMITS.bytes as u64)?;
    let mut index = Index {
        tags: Dictionary::new(),
        images: PostingsIndex::new(),
        implied: HashMap::new(),
        reservation: budget.consumer("index").reserve(0)?,
    };
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
        // Most tags of a batch are known, and add less to the index than their text: asked for before,
        // corrected after. What a batch of new tags takes beyond it, the headroom has to bear.
        self.reservation.try_grow(batch.weight_bytes() as u64)?;
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
        let bytes = self.tags.size_bytes() + self.images.size_bytes();
        Ok(self.reservation.resize(bytes as u64)?)
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
            Request::Similar(id) => answers.similar(&self.similar(*id)?),
        }
    }
    /// From memory where the model has room there, else from the disk: the same images, later.
    fn similar(&self, id: u32) -> Outcome<Vec<(u32, f32)>> {
        match self.model.get() {
            Ok(model) => model.nearest(id),
            Err(error) if error.kind() == ErrorKind::OutOfBudget => {
                let rows = self.budget.consumer("rows");
                let _buffer = rows.reserve(ROWS_BUFFER as u64)?;
                ModelFile::open(&self.model_path)?.nearest(id, ROWS_BUFFER)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Prints to standard error what was held at most, of what was allowed.
    fn print_budget(&self) {
        let figures = self.budget.figures();
        let mib = |bytes: u64| bytes as f64 / MIB as f64;
        eprintln!(
            "budget     peak {:>6.1} MiB of {:.1}, {} refused",
            mib(figures.held_peak_bytes),
            mib(figures.limit_bytes),
            figures.refused_total
        );
    }
}
