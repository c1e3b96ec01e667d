//! Step 1, measure: the same program, with a ledger as its allocator and each part of the run as a
//! tag and a stage. Nothing else has changed.

use std::collections::{HashMap, HashSet};
use std::fs;

use plimsoll::ledger::{Ledger, Tag};
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
    tags: Vec<String>,
}

/// All of it.
struct Gallery {
    model: Model,
    images: HashMap<u32, Image>,
    index: HashMap<String, HashSet<u32>>,
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
    let mut images = part(&IMAGES, || read_images(&published))?;
    part(&CHANGES, || add_implied(&mut published, &mut images))?;
    let index = part(&INDEX, || Ok(index_of(&images)))?;
    let gallery = Gallery {
        model,
        images,
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

fn read_images(store: &Connection) -> Outcome<HashMap<u32, Image>> {
    let mut statement = store.prepare("SELECT id, name, caption, tags FROM images")?;
    let mut rows = statement.query([])?;
    let mut images = HashMap::new();
    while let Some(row) = rows.next()? {
        let tags: String = row.get(3)?;
        let image = Image {
            name: row.get(1)?,
            caption: row.get(2)?,
            tags: tags.split(' ').map(str::to_owned).collect(),
        };
        images.insert(row.get(0)?, image);
    }
    Ok(images)
}

/// Gathers what has to change, then writes it in one transaction.
fn add_implied(store: &mut Connection, images: &mut HashMap<u32, Image>) -> Outcome {
    let implied: HashMap<String, String> = implications(store)?.into_iter().collect();
    let mut changed = HashMap::new();
    for (id, image) in images {
        let before = image.tags.len();
        for place in 0..before {
            if let Some(tag) = implied.get(&image.tags[place])
                && !image.tags.contains(tag)
            {
                image.tags.push(tag.clone());
            }
        }
        if image.tags.len() > before {
            changed.insert(*id, image.tags.join(" "));
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

fn index_of(images: &HashMap<u32, Image>) -> HashMap<String, HashSet<u32>> {
    let mut index: HashMap<String, HashSet<u32>> = HashMap::new();
    for (id, image) in images {
        for tag in &image.tags {
            index.entry(tag.clone()).or_default().insert(*id);
        }
    }
    index
}

impl Gallery {
    fn answer(&self, request: &Request, answers: &mut Answers) -> Outcome {
        match request {
            Request::Search { wanted, unwanted } => {
                let found = self.search(wanted, unwanted);
                let page: Vec<Hit> = found
                    .iter()
                    .take(PAGE_LEN)
                    .map(|id| self.hit(*id))
                    .collect();
                answers.found(found.len() as u64, &page)
            }
            Request::Complete(prefix) => answers.completed(&self.complete(prefix)),
            Request::Similar(id) => answers.similar(&self.model.nearest(*id)?),
        }
    }

    fn search(&self, wanted: &[String], unwanted: &[String]) -> Vec<u32> {
        let has = |tag: &String, id| self.index.get(tag).is_some_and(|ids| ids.contains(&id));
        let mut found: Vec<u32> = self.images.keys().copied().collect();
        found.retain(|id| wanted.iter().all(|tag| has(tag, *id)));
        found.retain(|id| !unwanted.iter().any(|tag| has(tag, *id)));
        found.sort_unstable();
        found
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
        let tags = self.index.iter().filter(|(tag, _)| tag.starts_with(prefix));
        let mut tags: Vec<(String, u64)> = tags
            .map(|(tag, ids)| (tag.clone(), ids.len() as u64))
            .collect();
        tags.sort_by(|(tag, count), (other, fewer)| fewer.cmp(count).then(tag.cmp(other)));
        tags.truncate(PAGE_LEN);
        tags
    }
}
