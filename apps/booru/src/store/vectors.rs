//! Vectors of images in the database itself, for shared boards: in a column of pgvector, or as bytes where that is
//! not installed.
//!
//! An answer is that of comparing all vectors in `f64`, either way. pgvector sums in `f32`: what it finds is
//! compared again, as many as it takes until no other can be better.

use anyhow::{Context, Result, bail, ensure};

use super::{Place, Store, Value};

/// Dimensions that pgvector's `vector` takes for a column.
pub const VECTOR_DIMENSIONS_MAX: usize = 16_000;

/// Candidates that are compared again at first, beside those asked for.
const SPARE: usize = 32;

/// Vectors of one length, by image.
#[derive(Clone, Copy, Debug)]
pub struct Vectors<'a> {
    store: &'a Store,
    dimensions: usize,
    is_pgvector: bool,
}

/// An image and the inner product of its vector with the one that was asked for.
pub type Nearest = (u32, f64);

impl Store {
    /// The vectors of a shared board; the table is made where it is not there.
    ///
    /// # Errors
    /// A board in SQLite, whose vectors are in `similarity.db`; vectors of another length that are there; what the
    /// database says.
    pub fn vectors(&self, dimensions: usize) -> Result<Vectors<'_>> {
        ensure!(
            (1..=VECTOR_DIMENSIONS_MAX).contains(&dimensions),
            "keep vectors of {dimensions} numbers: 1 to {VECTOR_DIMENSIONS_MAX} are possible"
        );
        if let Place::File(path) = &self.place {
            bail!(
                "keep vectors in {}: only a board in PostgreSQL has them there; those of this one are in \
                 similarity.db",
                path.display()
            );
        }
        let kind = match self.kind_of_vectors()? {
            Some(kind) => kind,
            None => {
                self.make_vectors(dimensions)?;
                self.kind_of_vectors()?
                    .context("the table of vectors is gone")?
            }
        };
        let vectors = Vectors {
            store: self,
            dimensions,
            is_pgvector: kind != "bytea",
        };
        ensure!(
            !vectors.is_pgvector || kind == format!("vector({dimensions})"),
            "keep vectors of {dimensions} numbers: this board has them as {kind}; empty the table \
             booru_embeddings by DROP TABLE where a new model is to be used"
        );
        Ok(vectors)
    }

    /// The vectors that a shared board has, of the length that most have; `None` where it has none.
    ///
    /// # Errors
    /// A board in SQLite; what the database says.
    pub fn find_vectors(&self) -> Result<Option<Vectors<'_>>> {
        let Some(kind) = self.kind_of_vectors()? else {
            return Ok(None);
        };
        let dimensions = match kind.strip_prefix("vector(") {
            Some(number) => number.strip_suffix(')').and_then(|text| text.parse().ok()),
            None => {
                let sql = "SELECT length(embedding) / 4 AS numbers FROM booru_embeddings \
                           GROUP BY numbers ORDER BY count(*) DESC, numbers DESC LIMIT 1";
                let most =
                    self.query_row("read how long vectors are", sql, &[], |row| row.id(0))?;
                most.flatten().map(|numbers| numbers as usize)
            }
        };
        let is_possible = |numbers: &usize| (1..=VECTOR_DIMENSIONS_MAX).contains(numbers);
        Ok(dimensions.filter(is_possible).map(|dimensions| Vectors {
            store: self,
            dimensions,
            is_pgvector: kind != "bytea",
        }))
    }

    /// What the column of vectors holds; `None` where there is none.
    fn kind_of_vectors(&self) -> Result<Option<String>> {
        let sql = "SELECT format_type(atttypid, atttypmod) FROM pg_attribute \
                   WHERE attrelid = to_regclass('booru_embeddings') AND attname = 'embedding'";
        let what = "look for the table of vectors";
        let kind = self.query_row(what, sql, &[], |row| row.text(0))?;
        Ok(kind.flatten())
    }

    fn make_vectors(&self, dimensions: usize) -> Result<()> {
        let what = "make the table of vectors";
        let sql = "SELECT EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'vector')";
        let is_there = self
            .query_row(what, sql, &[], |row| row.integer(0))?
            .flatten()
            == Some(1);
        if is_there {
            self.execute(what, "CREATE EXTENSION IF NOT EXISTS vector", &[])
                .context(
                    "PostgreSQL has pgvector, and its owner has to let this database have it",
                )?;
        }
        let kind = match is_there {
            true => format!("vector({dimensions})"),
            false => "BLOB".to_owned(),
        };
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS booru_embeddings (image_id INTEGER PRIMARY KEY \
             REFERENCES images(id) ON DELETE CASCADE, embedding {kind} NOT NULL)"
        );
        self.execute(what, &sql, &[])?;
        Ok(())
    }
}

impl Vectors<'_> {
    /// Whether the server compares them; else all are read for each question.
    #[must_use]
    pub fn is_pgvector(&self) -> bool {
        self.is_pgvector
    }

    /// How many numbers each has.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The images that have one, by rising id. O(vectors), 4 bytes each.
    ///
    /// # Errors
    /// What the database says.
    pub fn images(&self) -> Result<Vec<u32>> {
        let sql = match self.is_pgvector {
            true => "SELECT image_id FROM booru_embeddings ORDER BY image_id",
            false => {
                "SELECT image_id FROM booru_embeddings WHERE length(embedding) = 4 * ?1 ORDER BY image_id"
            }
        };
        let length = [Value::Integer(self.dimensions as i64)];
        let values: &[Value<'_>] = if self.is_pgvector { &[] } else { &length };
        let mut images = Vec::new();
        let what = "read which images have a vector";
        self.store.each_row(what, sql, values, |row| {
            images.extend(row.id(0)?);
            Ok(())
        })?;
        Ok(images)
    }

    /// The vector of an image; `None` where it has none of this length.
    ///
    /// # Errors
    /// What the database says.
    pub fn read(&self, image: u32) -> Result<Option<Vec<f32>>> {
        let column = match self.is_pgvector {
            true => "CAST(embedding AS text)",
            false => "embedding",
        };
        let sql = format!("SELECT {column} FROM booru_embeddings WHERE image_id = ?1");
        let what = format!("read the vector of image {image}");
        let read = self.store.query_row(&what, &sql, &[image.into()], |row| {
            let vector: Option<Vec<f32>> = match row.value(0)? {
                Value::Text(text) => numbers_of_text(text).and_then(Iterator::collect),
                Value::Bytes(bytes) => Some(numbers_of_bytes(bytes).collect()),
                _ => None,
            };
            Ok(vector)
        })?;
        Ok(read.flatten().filter(|vector| self.check(vector).is_ok()))
    }

    /// Keeps the vector of an image, in place of the one it had.
    ///
    /// # Errors
    /// Another length, numbers that are none, an image that is not there; what the database says.
    pub fn put(&self, image: u32, vector: &[f32]) -> Result<()> {
        self.check(vector)?;
        let place = match self.is_pgvector {
            true => "CAST(CAST(?2 AS text) AS vector)",
            false => "?2",
        };
        let sql = format!(
            "INSERT INTO booru_embeddings (image_id, embedding) VALUES (?1, {place}) \
             ON CONFLICT (image_id) DO UPDATE SET embedding = excluded.embedding"
        );
        let (text, bytes) = (text_of(vector), bytes_of(vector));
        let value = match self.is_pgvector {
            true => Value::from(&text),
            false => Value::Bytes(&bytes),
        };
        let what = format!("keep the vector of image {image}");
        self.store.execute(&what, &sql, &[image.into(), value])?;
        Ok(())
    }

    /// The `k` images whose vectors have the greatest inner products with this one, exactly; equal ones by
    /// rising id. O(all vectors), at the server with pgvector, and all over the connection without it.
    ///
    /// # Errors
    /// Another length, numbers that are none; what the database says.
    pub fn nearest(&self, vector: &[f32], k: usize) -> Result<Vec<Nearest>> {
        self.check(vector)?;
        if k == 0 {
            return Ok(Vec::new());
        }
        if !self.is_pgvector {
            let sql = "SELECT image_id, embedding FROM booru_embeddings";
            return Ok(self.compare(sql, &[], vector, k)?.0);
        }
        // Nobody puts in a longer one between the two questions.
        self.store
            .read_at_once(|| self.nearest_by_server(vector, k))
    }

    fn nearest_by_server(&self, vector: &[f32], k: usize) -> Result<Vec<Nearest>> {
        let text = text_of(vector);
        let sql = "SELECT max(vector_norm(embedding)) FROM booru_embeddings";
        let longest = self
            .store
            .query_row("read the longest vector", sql, &[], |row| row.real(0))?;
        let Some(longest) = longest.flatten() else {
            return Ok(Vec::new());
        };
        // Of n products summed in f32, in any order: n + 1 roundings of parts of |a||b| at the most.
        let length = vector
            .iter()
            .map(|one| f64::from(*one).powi(2))
            .sum::<f64>()
            .sqrt();
        let error = (self.dimensions + 1) as f64 * f64::from(f32::EPSILON) * length * longest;
        let mut count = k + SPARE;
        loop {
            let sql = "SELECT image_id, CAST(embedding AS text), \
                       CAST(embedding <#> CAST(CAST(?1 AS text) AS vector) AS double precision) AS away \
                       FROM booru_embeddings ORDER BY away, image_id LIMIT ?2";
            let values = [(&text).into(), Value::Integer(count as i64)];
            let (found, rows, least) = self.compare(sql, &values, vector, k)?;
            // Those that did not come are no better than the last that did.
            let is_proven = found.last().is_some_and(|last| least + error < last.1);
            if rows < count || is_proven {
                return Ok(found);
            }
            count *= 4;
        }
    }

    /// Compares vectors in `f64`: the best, how many there were, and the last one's product by the server.
    fn compare(
        &self,
        sql: &str,
        values: &[Value<'_>],
        vector: &[f32],
        k: usize,
    ) -> Result<(Vec<Nearest>, usize, f64)> {
        let mut best: Vec<Nearest> = Vec::with_capacity(k + 1);
        let (mut rows, mut least) = (0, f64::NEG_INFINITY);
        self.store.each_row("compare vectors", sql, values, |row| {
            rows += 1;
            let image = row.id(0)?.context("an image has no id")?;
            let score = match row.value(1)? {
                Value::Text(text) => {
                    least = -row.real(2)?.unwrap_or(f64::INFINITY);
                    score_of_text(text, vector)
                }
                Value::Bytes(bytes) => score_of_bytes(bytes, vector),
                _ => None,
            };
            // Bytes of another length are of another model.
            if let Some(score) = score {
                let is_before = |one: &Nearest| one.1 > score || (one.1 == score && one.0 < image);
                let place = best.partition_point(is_before);
                if place < k {
                    best.insert(place, (image, score));
                    best.truncate(k);
                }
            }
            Ok(())
        })?;
        Ok((best, rows, least))
    }

    fn check(&self, vector: &[f32]) -> Result<()> {
        ensure!(
            vector.len() == self.dimensions,
            "take a vector of {} numbers: those of this board have {}",
            vector.len(),
            self.dimensions
        );
        ensure!(
            vector.iter().all(|number| number.is_finite()),
            "take a vector: one of its numbers is none"
        );
        Ok(())
    }
}

/// The shortest digits that are the same number again.
fn text_of(vector: &[f32]) -> String {
    let numbers: Vec<String> = vector.iter().map(|number| format!("{number:e}")).collect();
    format!("[{}]", numbers.join(","))
}

fn bytes_of(vector: &[f32]) -> Vec<u8> {
    vector
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

fn score_of_text(text: &str, vector: &[f32]) -> Option<f64> {
    let mut sum = 0.0;
    let mut own = vector.iter();
    for number in numbers_of_text(text)? {
        sum += f64::from(number?) * f64::from(*own.next()?);
    }
    own.next().is_none().then_some(sum)
}

fn score_of_bytes(bytes: &[u8], vector: &[f32]) -> Option<f64> {
    if bytes.len() != vector.len() * 4 {
        return None;
    }
    Some(
        numbers_of_bytes(bytes)
            .zip(vector)
            .map(|(a, b)| f64::from(a) * f64::from(*b))
            .sum(),
    )
}

/// As pgvector writes them; `None` among them is no number.
fn numbers_of_text(text: &str) -> Option<impl Iterator<Item = Option<f32>>> {
    let numbers = text.strip_prefix('[')?.strip_suffix(']')?.split(',');
    Some(numbers.map(|number| number.parse().ok()))
}

fn numbers_of_bytes(bytes: &[u8]) -> impl Iterator<Item = f32> {
    let (numbers, _) = bytes.as_chunks::<4>();
    numbers.iter().map(|four| f32::from_le_bytes(*four))
}
