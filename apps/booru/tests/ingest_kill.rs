//! An import and a deletion killed at any instant: nothing is lost, no row is without its file or its tags, and
//! the next run does the rest.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;
mod gallery;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use collection::Random;
use gallery::{Gallery, beside, md5_of, put};

const KILLS: u32 = 60;
const EACH: u32 = 14;
const SEED: u64 = 0x5eed;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// Nothing had begun.
    Untouched,
    /// A copy that had no place yet.
    Staged,
    /// A file in its place without a row.
    Placed,
    /// A row whose old file is there still.
    Stored,
    /// Between two files.
    Between,
    Ended,
}

/// Sums of all files below a folder, hidden ones included.
fn sums(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let mut sums: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let sum = md5_of(&fs::read(&path).unwrap());
                sums.entry(sum)
                    .or_default()
                    .push(path.display().to_string());
            }
        }
    }
    sums
}

struct Scene {
    gallery: Gallery,
    /// By sum, the number that its tag has.
    files: BTreeMap<String, u32>,
    deleted: BTreeSet<String>,
    next: u32,
}

impl Scene {
    fn put(&mut self) {
        for _ in 0..EACH {
            self.next += 1;
            let folder = self
                .gallery
                .settings
                .ingest
                .join(format!("s{}", self.next % 3));
            let path = put(&folder, self.next);
            self.files
                .insert(md5_of(&fs::read(&path).unwrap()), self.next);
            let tags = format!("tag{} artist:artist{} both", self.next, self.next % 4);
            fs::write(beside(&path, ".txt"), tags).unwrap();
        }
    }

    fn booru(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_booru"));
        command
            .arg(arguments[0])
            .arg(self.gallery.folder.root())
            .args(&arguments[1..]);
        if arguments[0] == "import" {
            command.arg(&self.gallery.settings.ingest);
        }
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Duration {
        let begun = Instant::now();
        let output = self.booru(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        begun.elapsed()
    }

    fn kill(&self, arguments: &[&str], after: Duration) -> bool {
        let mut child = self.booru(arguments).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(after);
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert!(status.success() || status.code().is_none(), "{status:?}");
        status.success()
    }

    /// What holds after any kill; where it was.
    fn look(&self, what: &str, before: usize) -> State {
        self.gallery.check_whole(what);
        let images = sums(&self.gallery.settings.images);
        let ingest = sums(&self.gallery.settings.ingest);
        let trash = sums(&self.gallery.settings.trash);
        let rows = self.gallery.rows();
        let of_rows: BTreeSet<&String> = rows.iter().map(|(_, md5)| md5).collect();
        for (sum, number) in &self.files {
            let is_somewhere = [&images, &ingest, &trash]
                .iter()
                .any(|place| place.contains_key(sum));
            assert!(is_somewhere, "{number} is lost {what}");
            let is_deleted = self.deleted.contains(sum);
            assert!(
                of_rows.contains(sum) || ingest.contains_key(sum) || is_deleted,
                "{number} has neither row nor its old place {what}"
            );
        }
        let sql = "SELECT count(*) FROM images AS i WHERE 3 <> (SELECT count(*) FROM image_tags WHERE image_id = i.id) \
                   OR NOT EXISTS (SELECT 1 FROM raw_metadata WHERE image_id = i.id) \
                   OR instr(tags_general, 'both') = 0 OR phash IS NULL";
        assert_eq!(self.gallery.count(sql), 0, "half a row {what}");
        let is_hidden = |path: &String| path.contains("/.incoming/");
        let is_staged = fs::read_dir(self.gallery.settings.images.join(".incoming"));
        let is_staged = is_staged.is_ok_and(|entries| entries.count() > 0);
        let is_file = |sum: &&String| self.files.contains_key(*sum);
        let in_place = images
            .iter()
            .filter(|(_, paths)| !paths.iter().all(is_hidden));
        let in_place = in_place.map(|(sum, _)| sum).filter(is_file);
        let placed = in_place.filter(|sum| !of_rows.contains(sum));
        let stored = ingest.keys().filter(|sum| of_rows.contains(sum));
        if placed.count() > 0 {
            State::Placed
        } else if stored.count() > 0 {
            State::Stored
        } else if is_staged {
            State::Staged
        } else if rows.len() == before {
            State::Untouched
        } else {
            State::Between
        }
    }
}

#[test]
fn kills_of_an_import_lose_nothing() {
    let mut random = Random(SEED);
    let mut scene = Scene {
        gallery: Gallery::new("kill"),
        files: BTreeMap::new(),
        deleted: BTreeSet::new(),
        next: 0,
    };
    scene.put();
    let whole = scene.run(&["import", "--move"]);
    let mut hits = BTreeMap::new();
    for round in 0..KILLS {
        scene.put();
        let before = scene.gallery.rows().len();
        // Copies leave the files, which the next run has to move or to find as duplicates.
        let arguments: &[&str] = match round % 3 {
            0 => &["import"],
            _ => &["import", "--move"],
        };
        // Most of the time is that of the start; the rest is where things are in between.
        let after = whole.mul_f64((20 + random.below(100)) as f64 / 100.0);
        let is_over = scene.kill(arguments, after);
        let state = scene.look(&format!("after kill {round} at {after:?}"), before);
        let state = if is_over { State::Ended } else { state };
        *hits.entry(state).or_insert(0) += 1;
        if round % 6 == 5 {
            scene.run(&["import", "--move"]);
            scene.look("after a run to the end", before);
            assert!(
                sums(&scene.gallery.settings.ingest).is_empty(),
                "round {round}"
            );
            let files = sums(&scene.gallery.settings.images);
            let files = files
                .keys()
                .filter(|sum| scene.files.contains_key(*sum))
                .count();
            assert_eq!(files, scene.files.len());
            assert_eq!(scene.gallery.rows().len(), scene.files.len());
            assert_eq!(
                scene.gallery.count("SELECT count(*) FROM booru_set_aside"),
                0
            );
        }
    }
    println!("a run takes {whole:?}; killed in: {hits:?}");
    let hit = |state: State| hits.get(&state).copied().unwrap_or(0);
    let between =
        hit(State::Staged) + hit(State::Placed) + hit(State::Stored) + hit(State::Between);
    assert!(
        between >= 20,
        "{hits:?}: too few kills hit something to say anything"
    );
    kills_of_a_deletion(scene, random);
}

/// Each deleted file is in the trash or has its row, and none comes back by itself.
fn kills_of_a_deletion(mut scene: Scene, mut random: Random) {
    let begun = Instant::now();
    scene.run(&["delete", "tag1 or tag2 or tag3"]);
    let whole = begun.elapsed();
    let note_deleted = |scene: &mut Scene| {
        let rows: BTreeSet<String> = scene
            .gallery
            .rows()
            .into_iter()
            .map(|(_, md5)| md5)
            .collect();
        let gone = scene
            .files
            .keys()
            .filter(|sum| !rows.contains(*sum))
            .cloned();
        let gone: Vec<String> = gone.collect();
        scene.deleted.extend(gone);
    };
    note_deleted(&mut scene);
    assert_eq!(scene.deleted.len(), 3);
    let mut in_between = 0;
    for round in 0..20 {
        let last = scene.next - round * 20;
        let tags: Vec<String> = (0..20).map(|back| format!("tag{}", last - back)).collect();
        let after = whole.mul_f64((40 + random.below(90)) as f64 / 100.0);
        scene.kill(&["delete", &tags.join(" or ")], after);
        note_deleted(&mut scene);
        scene.look(&format!("after the killed deletion {round}"), 0);
        let noted = "SELECT count(*) FROM sqlite_master WHERE name = 'booru_deletions'";
        if scene.gallery.count(noted) > 0 {
            let left = scene.gallery.count("SELECT count(*) FROM booru_deletions");
            in_between += u32::from(left > 0);
        }
        // Whatever comes next does the rest first.
        scene.run(&["import", "--move"]);
        let trash = sums(&scene.gallery.settings.trash);
        let images = sums(&scene.gallery.settings.images);
        for sum in &scene.deleted {
            assert!(
                trash.contains_key(sum) && !images.contains_key(sum),
                "{sum} in round {round}"
            );
        }
        assert_eq!(
            scene.gallery.rows().len() + scene.deleted.len(),
            scene.files.len()
        );
    }
    println!("{in_between} of 20 kills of a deletion left files to follow");
}
