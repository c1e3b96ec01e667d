//! The answers of a run, printed line by line, and a checksum of them and of what was published.

use std::io::{BufWriter, Stdout, Write};

use rusqlite::Connection;

use crate::{Outcome, PAGE_LEN};

/// Prints answers. Two runs that print the same last line have said and written the same.
#[derive(Debug)]
pub struct Answers {
    checksum: u64,
    out: BufWriter<Stdout>,
}

/// An image that was found.
#[derive(Debug)]
pub struct Hit {
    pub id: u32,
    pub name: String,
    pub caption: String,
}

impl Answers {
    /// None yet.
    #[must_use]
    pub fn new() -> Answers {
        Answers {
            // The offset basis of FNV-1a, 64 bits.
            checksum: 0xcbf2_9ce4_8422_2325,
            out: BufWriter::new(std::io::stdout()),
        }
    }

    /// How many images a search found, and the first [`PAGE_LEN`] of them by id.
    ///
    /// # Errors
    /// Where standard output is closed, here and below.
    pub fn found(&mut self, count: u64, page: &[Hit]) -> Outcome {
        self.line(&format!("found {count}"))?;
        for hit in page.iter().take(PAGE_LEN) {
            self.line(&format!("  {} {}: {}", hit.id, hit.name, hit.caption))?;
        }
        Ok(())
    }

    /// The tags that begin as asked, most images first, of equal ones by name.
    ///
    /// # Errors
    /// As above.
    pub fn completed(&mut self, tags: &[(String, u64)]) -> Outcome {
        let tags: Vec<String> = tags
            .iter()
            .map(|(tag, count)| format!("{tag} {count}"))
            .collect();
        self.line(&format!("tags {}", tags.join(", ")))
    }

    /// The nearest images with their likeness, the nearest first.
    ///
    /// # Errors
    /// As above.
    pub fn similar(&mut self, images: &[(u32, f32)]) -> Outcome {
        let images: Vec<String> = images
            .iter()
            .map(|(id, dot)| format!("{id} {dot:.4}"))
            .collect();
        self.line(&format!("similar {}", images.join(", ")))
    }

    /// Adds every published row to the checksum, and prints that.
    ///
    /// # Errors
    /// What SQLite says, or as above.
    pub fn finish(mut self, published: &Connection) -> Outcome {
        let mut statement = published.prepare("SELECT id, tags FROM images ORDER BY id")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            self.add(&row.get::<_, i64>(0)?.to_le_bytes());
            self.add(row.get_ref(1)?.as_bytes()?);
        }
        writeln!(self.out, "checksum {:016x}", self.checksum)?;
        self.out.flush()?;
        Ok(())
    }

    fn line(&mut self, line: &str) -> Outcome {
        self.add(line.as_bytes());
        writeln!(self.out, "{line}")?;
        Ok(())
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.checksum = (self.checksum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl Default for Answers {
    fn default() -> Answers {
        Answers::new()
    }
}
