//! Step 2, ids instead of strings: each tag once in a dictionary, 4 bytes wherever it is said, and
//! the index as postings, about 2 bytes for each image of a tag.

use std::collections::HashMap;
use std::fs;

use plimsoll::dictionary::{Dictionary, TermId};
use plimsoll::ledger::{Ledger, Tag};
use plimsoll::postings::{PostingsIndex, Query};
use plimsoll_tutorial::{
    Answers, Hit, Job, Model, Outcome, PAGE_LEN, Request, implications, open, part, print_tags,
    remove_journal,
};
use rusqlite::Connection;

#[global_allocator]
static LEDGER: Ledger = Ledger::system();

static MODEL: Tag = Tag::new("model");
static COPY: Tag = Tag::new("copy");
static IMAGES: Tag = Tag::new("images");
static CHANGES: Tag = Tag::new("changes");
static INDEX: Tag = Tag::new("index");
static ANSWERS: Tag = Tag::new("answers");

/// What is known of an image.
struct Image {
    name: String,
    caption: String,
    tags: Vec<TermId>,
}

/// All of it.
struct Gallery {
    model: Model,
    images: HashMap<u32, Image>,
    tags: Dictionary,
    index: PostingsIndex,
}

fn main() -> Outcome {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let job = Job::from_arguments(&words)?;
    let model = part(&MODEL, || Model::read(&job.model()))?;
    let _whole = part(&COPY, || {
        remove_journal(&job.published())?;
        let whole = fs::read(job.store())?;
        fs::write(job.published(), &whole)?;
        Ok(whole)
    })?;
    let mut published = open(&job.published())?;
    let tags = Dictionary::new();
    let mut images = part(&IMAGES, || read_images(&published, &tags))?;
    part(&CHANGES, || add_implied(&mut published, &tags, &mut images))?;
    let index = part(&INDEX, || Ok(index_of(&images)))?;
    let gallery = Gallery {
        model,
        images,
        tags,
        index,
    };
    part(&ANSWERS, || {
        let mut answers = Answers::new();
        for request in job.requests()? {
            gallery.answer(&request, &mut answers)?;
        }
        answers.finish(&published)
    })?;
    print_tags();
    Ok(())
}

fn read_images(store: &Connection, tags: &Dictionary) -> Outcome<HashMap<u32, Image>> {
    let mut statement = store.prepare("SELECT id, name, caption, tags FROM images")?;
    let mut rows = statement.query([])?;
    let mut images = HashMap::new();
    while let Some(row) = rows.next()? {
        let text = row.get_ref(3)?.as_str()?;
        let ids: Result<Vec<TermId>, _> = text.split(' ').map(|tag| tags.insert(tag)).collect();
        let image = Image {
            name: row.get(1)?,
            caption: row.get(2)?,
            tags: ids?,
        };
        images.insert(row.get(0)?, image);
    }
    Ok(images)
}

/// Gathers what has to change, then writes it in one transaction.
fn add_implied(
    store: &mut Connection,
    tags: &Dictionary,
    images: &mut HashMap<u32, Image>,
) -> Outcome {
    let mut implied: HashMap<TermId, TermId> = HashMap::new();
    for (tag, other) in implications(store)? {
        implied.insert(tags.insert(&tag)?, tags.insert(&other)?);
    }
    let mut changed = HashMap::new();
    for (id, image) in images {
        let before = image.tags.len();
        for place in 0..before {
            if let Some(tag) = implied.get(&image.tags[place])
                && !image.tags.contains(tag)
            {
                image.tags.push(*tag);
            }
        }
        if image.tags.len() > before {
            let text: Vec<String> = image.tags.iter().filter_map(|id| tags.term(*id)).collect();
            changed.insert(*id, text.join(" "));
        }
    }
    let transaction = store.transaction()?;
    for (id, tags) in &changed {
        transaction
            .prepare_cached("UPDATE images SET tags = ?2 WHERE id = ?1")?
            .execute((id, tags))?;
    }
    transaction.commit()?;
    Ok(())
}

fn index_of(images: &HashMap<u32, Image>) -> PostingsIndex {
    // In order of ids, for which an insert costs least.
    let mut ids: Vec<u32> = images.keys().copied().collect();
    ids.sort_unstable();
    let mut index = PostingsIndex::new();
    for id in ids {
        index.insert_document(id, images[&id].tags.iter().copied());
    }
    index
}

impl Gallery {
    fn answer(&self, request: &Request, answers: &mut Answers) -> Outcome {
        match request {
            Request::Search { wanted, unwanted } => {
                let query = self.query(wanted, unwanted);
                let found = self.index.matches(&query)?.take(PAGE_LEN);
                let page: Vec<Hit> = found.map(|id| self.hit(id)).collect();
                answers.found(self.index.count(&query)?, &page)
            }
            Request::Complete(prefix) => answers.completed(&self.complete(prefix)),
            Request::Similar(id) => answers.similar(&self.model.nearest(*id)?),
        }
    }

    fn query(&self, wanted: &[String], unwanted: &[String]) -> Query {
        // A tag that no image has: of nothing, any.
        let term = |tag: &String| self.tags.id(tag).map_or(Query::Any(vec![]), Query::Term);
        let wanted = wanted.iter().map(term);
        let unwanted = unwanted.iter().map(|tag| term(tag).negated());
        Query::All(wanted.chain(unwanted).collect())
    }

    fn hit(&self, id: u32) -> Hit {
        let image = &self.images[&id];
        Hit {
            id,
            name: image.name.clone(),
            caption: image.caption.clone(),
        }
    }

    fn complete(&self, prefix: &str) -> Vec<(String, u64)> {
        let view = self.tags.view();
        let best = self.index.top_terms(view.walk(prefix), PAGE_LEN);
        best.into_iter()
            .filter_map(|(id, count)| Some((view.term(id)?, count)))
            .collect()
    }
}
