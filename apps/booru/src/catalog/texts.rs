//! Texts one behind the other in lower case, to be searched for parts: names of tags, paths.
//!
//! Memory: the texts, a byte and 4 bytes each. A search reads all of it once and makes nothing: 9 MiB of
//! paths in 2 ms.

use std::ops::ControlFlow;

use anyhow::{Result, bail};
use memchr::memmem::Finder;

use super::room;
use crate::query::Pattern;

/// Between texts, so that nothing is found across two: in no part that is looked for.
const BORDER: u8 = b'\n';

/// Texts by their number, from 0.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts {
    bytes: Vec<u8>,
    /// Where each starts.
    starts: Vec<u32>,
}

impl Texts {
    pub(crate) fn with_capacity(texts: usize, bytes: usize) -> Texts {
        Texts {
            bytes: Vec::with_capacity(bytes + texts),
            starts: Vec::with_capacity(texts),
        }
    }

    /// Puts one at the end.
    ///
    /// # Errors
    /// Beyond 4 GiB of text.
    pub(crate) fn push(&mut self, text: &str) -> Result<()> {
        let Ok(start) = u32::try_from(self.bytes.len()) else {
            bail!(
                "hold {} texts: they have more than 4 GiB together",
                self.starts.len()
            );
        };
        room::make(&mut self.starts, 1);
        self.starts.push(start);
        // In lower case a few letters are a byte or two longer; then the list makes room itself.
        room::make(&mut self.bytes, text.len() + 1);
        match text
            .bytes()
            .any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii())
        {
            true => self.bytes.extend(text.to_lowercase().bytes()),
            false => self.bytes.extend(text.bytes()),
        }
        self.bytes.push(BORDER);
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    pub(crate) fn get(&self, number: usize) -> &str {
        let start = self.starts[number] as usize;
        let end = self
            .starts
            .get(number + 1)
            .map_or(self.bytes.len(), |end| *end as usize);
        std::str::from_utf8(&self.bytes[start..end - 1]).expect("only whole texts were put in")
    }

    pub(crate) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.starts.shrink_to_fit();
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.starts.capacity() * size_of::<u32>()
    }

    /// Visits the texts that `is_wanted` among those that have the longest text of `pattern`, ascending.
    pub(crate) fn find(
        &self,
        pattern: &Pattern,
        is_wanted: impl Fn(&str) -> bool,
        mut visit: impl FnMut(usize) -> ControlFlow<()>,
    ) {
        let part = pattern.longest();
        if part.is_empty() {
            for number in 0..self.len() {
                if is_wanted(self.get(number)) && visit(number).is_break() {
                    return;
                }
            }
            return;
        }
        let finder = Finder::new(part);
        let mut from = 0;
        let mut number = 0;
        while let Some(at) = finder.find(&self.bytes[from..]) {
            let at = from + at;
            number = self.number_of(at, number);
            if is_wanted(self.get(number)) && visit(number).is_break() {
                return;
            }
            number += 1;
            match self.starts.get(number) {
                Some(next) => from = *next as usize,
                None => return,
            }
        }
    }

    /// The text that has the byte at `at`, which is no earlier than `first`.
    fn number_of(&self, at: usize, first: usize) -> usize {
        // Hits mostly lie near each other: steps that double, then halves.
        let starts = &self.starts[first..];
        let mut step = 1;
        while step < starts.len() && starts[step] as usize <= at {
            step *= 2;
        }
        let end = step.min(starts.len());
        first + starts[..end].partition_point(|start| *start as usize <= at) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_that_has_a_part_is_visited_once_and_in_order() {
        let mut texts = Texts::default();
        for text in ["Long_Hair", "", "hairhair", "a", "\nhair\n", "ÄRA"] {
            texts.push(text).unwrap();
        }
        let check = |part: &str, numbers: &[usize]| {
            let mut found = Vec::new();
            texts.find(
                &Pattern::literal(part),
                |text| text.contains(part),
                |number| {
                    found.push(number);
                    ControlFlow::Continue(())
                },
            );
            assert_eq!(found, numbers, "{part}");
        };
        check("hair", &[0, 2, 4]);
        check("", &[0, 1, 2, 3, 4, 5]);
        check("ä", &[5]);
        check("rhai", &[2]);
        check("hairlong", &[]);
        assert_eq!(texts.get(4), "\nhair\n");
    }
}
