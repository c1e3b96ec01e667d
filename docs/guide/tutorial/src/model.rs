//! The embedding model's output: for each image a row of numbers, and images that look alike by
//! their rows. On disk: the number of rows and of columns as `u32`, then `f32`s, little endian.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use crate::{Outcome, PAGE_LEN};

const HEADER_BYTES: u64 = 8;

/// All rows in memory: 4 bytes for each number.
#[derive(Debug)]
pub struct Model {
    rows: Vec<f32>,
    columns: usize,
}

/// The same on disk: one buffer of 8 KiB, and one row.
#[derive(Debug)]
pub struct ModelFile {
    file: BufReader<File>,
    rows: usize,
    columns: usize,
}

/// The images nearest to one, of those offered so far.
#[derive(Debug)]
struct Nearest {
    id: u32,
    row: Vec<f32>,
    best: Vec<(u32, f32)>,
}

impl Model {
    /// Reads all of it.
    ///
    /// # Errors
    /// Where the file can't be read or is too short.
    pub fn read(path: &Path) -> Outcome<Model> {
        let mut file = ModelFile::open(path)?;
        let mut rows = Vec::new();
        file.read_rows(file.rows, &mut rows)?;
        let columns = file.columns;
        Ok(Model { rows, columns })
    }

    /// Bytes that it holds.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        (self.rows.capacity() * size_of::<f32>()) as u64
    }

    /// The images that look most like this one. O(rows x columns).
    ///
    /// # Errors
    /// Where there is no such image.
    pub fn nearest(&self, id: u32) -> Outcome<Vec<(u32, f32)>> {
        let row = self.rows.chunks_exact(self.columns).nth(id as usize);
        let row = row.ok_or_else(|| format!("find images like {id}: there is no such image"))?;
        let mut nearest = Nearest::new(id, row.to_vec());
        nearest.offer(0, &self.rows);
        Ok(nearest.best)
    }
}

impl ModelFile {
    /// Reads the header.
    ///
    /// # Errors
    /// Where the file can't be read or is too short.
    pub fn open(path: &Path) -> Outcome<ModelFile> {
        let file = File::open(path).map_err(|error| format!("open {}: {error}", path.display()))?;
        let mut file = BufReader::new(file);
        let mut number = [0; 4];
        let mut read = || {
            file.read_exact(&mut number)?;
            Ok::<_, std::io::Error>(u32::from_le_bytes(number) as usize)
        };
        let (rows, columns) = (read()?, read()?);
        Ok(ModelFile {
            file,
            rows,
            columns,
        })
    }

    /// Bytes of all rows in memory.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        (self.rows * self.columns * size_of::<f32>()) as u64
    }

    /// The images that look most like this one, with no more than `buffer_bytes` of rows in memory
    /// at once. O(rows x columns), and reads the file once.
    ///
    /// # Errors
    /// Where there is no such image, or the file can't be read.
    pub fn nearest(&mut self, id: u32, buffer_bytes: usize) -> Outcome<Vec<(u32, f32)>> {
        if id as usize >= self.rows {
            return Err(format!("find images like {id}: there is no such image").into());
        }
        let mut row = Vec::new();
        self.seek_row(id as usize)?;
        self.read_rows(1, &mut row)?;
        let mut nearest = Nearest::new(id, row);
        let at_once = (buffer_bytes / (self.columns * size_of::<f32>())).max(1);
        let mut rows = Vec::new();
        self.seek_row(0)?;
        for first in (0..self.rows).step_by(at_once) {
            self.read_rows(at_once.min(self.rows - first), &mut rows)?;
            nearest.offer(first as u32, &rows);
        }
        Ok(nearest.best)
    }

    fn seek_row(&mut self, row: usize) -> Outcome {
        let place = HEADER_BYTES + (row * self.columns * size_of::<f32>()) as u64;
        self.file.seek(SeekFrom::Start(place))?;
        Ok(())
    }

    /// The next rows, in place of what is in `into`.
    fn read_rows(&mut self, count: usize, into: &mut Vec<f32>) -> Outcome {
        into.clear();
        into.reserve_exact(count * self.columns);
        let mut row = vec![0; self.columns * size_of::<f32>()];
        for _ in 0..count {
            self.file.read_exact(&mut row)?;
            let (numbers, _) = row.as_chunks();
            into.extend(numbers.iter().map(|number| f32::from_le_bytes(*number)));
        }
        Ok(())
    }
}

impl Nearest {
    fn new(id: u32, row: Vec<f32>) -> Nearest {
        let best = Vec::with_capacity(PAGE_LEN + 1);
        Nearest { id, row, best }
    }

    /// Looks at rows of which the first belongs to the image `first`.
    fn offer(&mut self, first: u32, rows: &[f32]) {
        for (id, row) in (first..).zip(rows.chunks_exact(self.row.len())) {
            if id == self.id {
                continue;
            }
            let dot: f32 = row.iter().zip(&self.row).map(|(a, b)| a * b).sum();
            // Rows come in order of ids, so of equal ones the lower id stays in front.
            let place = self.best.partition_point(|(_, best)| *best >= dot);
            if place < PAGE_LEN {
                self.best.insert(place, (id, dot));
                self.best.truncate(PAGE_LEN);
            }
        }
    }
}
