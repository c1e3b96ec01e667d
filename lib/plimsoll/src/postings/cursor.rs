//! A position in a set that moves forward only, and over blocks that it need not read. 1 KiB for the
//! decoded block of a long set, 4 bytes an id of a short one.

use crate::postings::block::{BLOCK_IDS, Form};
use crate::postings::set::{Blocks, Entry, Postings};
use crate::postings::window::Window;

#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    blocks: Option<&'a Blocks>,
    /// The first one that was not read yet.
    next_block: usize,
    ids: Vec<u32>,
    index: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(postings: &'a Postings) -> Cursor<'a> {
        let mut ids = Vec::new();
        let blocks = postings.read_short_or_blocks(&mut ids);
        Cursor {
            blocks,
            next_block: 0,
            ids,
            index: 0,
        }
    }

    /// The least id that is not below `target`, which must not be less than in the call before.
    pub(crate) fn seek(&mut self, target: u32) -> Option<u32> {
        if let Some(&id) = self.ids.get(self.index)
            && id >= target
        {
            return Some(id);
        }
        self.index = gallop(&self.ids, self.index, target);
        if self.index == self.ids.len() {
            self.next_blocks(target);
        }
        self.ids.get(self.index).copied()
    }

    /// Whether `id` is in the set; not less than in the call before. Of a block that is a bitmap one
    /// byte is read; another is decoded once for all ids in it.
    pub(crate) fn contains(&mut self, id: u32) -> bool {
        if self.ids.last().is_some_and(|last| id <= *last) {
            return self.seek(id) == Some(id);
        }
        let Some(blocks) = self.blocks else {
            return false;
        };
        let rest = &blocks.directory[self.next_block..];
        self.next_block += last_not_behind(rest, id);
        match blocks.directory.get(self.next_block) {
            Some(block) if block.first > id => false,
            Some(block) if block.form == Form::Bitmap => blocks.block_contains(self.next_block, id),
            Some(_) => self.seek(id) == Some(id),
            None => false,
        }
    }

    /// Adds the ids that lie in a window, which must not lie before that of the call before. Not to be
    /// mixed with `seek`; with `contains` of ids in windows it may be.
    pub(crate) fn fill(&mut self, window: &mut Window) {
        self.fill_decoded(window);
        let Some(blocks) = self.blocks else {
            return;
        };
        if self.index < self.ids.len() {
            // What is decoded reaches behind the window, and so does all after it.
            return;
        }
        let rest = &blocks.directory[self.next_block..];
        let behind = rest.partition_point(|block| block.first <= window.start());
        self.next_block += behind.saturating_sub(1);
        while let Some(block) = blocks.directory.get(self.next_block)
            && block.first <= window.end()
        {
            let next = blocks.directory.get(self.next_block + 1);
            let inside = next.is_some_and(|next| next.first <= window.end());
            if inside || block.form == Form::Bitmap {
                blocks.fill_block(self.next_block, window);
                if !inside {
                    // Its rest is for the next window; bits are read twice at no great cost.
                    return;
                }
                self.next_block += 1;
            } else {
                // It may reach over many windows, and is to be read once.
                self.ids.clear();
                self.index = 0;
                blocks.read_block(self.next_block, &mut self.ids);
                self.next_block += 1;
                self.fill_decoded(window);
                return;
            }
        }
    }

    fn fill_decoded(&mut self, window: &mut Window) {
        while let Some(&id) = self.ids.get(self.index)
            && id <= window.end()
        {
            window.set(id);
            self.index += 1;
        }
    }

    fn next_blocks(&mut self, target: u32) {
        let Some(blocks) = self.blocks else {
            return;
        };
        let rest = &blocks.directory[self.next_block..];
        let behind = match rest {
            [_, second, ..] if second.first > target => 1,
            _ => rest.partition_point(|block| block.first <= target),
        };
        // The block before may reach up to the target; if it does not, the next one starts behind it.
        let mut block = self.next_block + behind.saturating_sub(1);
        self.ids.reserve_exact(BLOCK_IDS - self.ids.len());
        self.index = self.ids.len();
        while self.index == self.ids.len() && block < blocks.directory.len() {
            self.ids.clear();
            blocks.read_block(block, &mut self.ids);
            self.index = gallop(&self.ids, 0, target);
            block += 1;
        }
        self.next_block = block;
    }
}

/// The last block that does not start behind `id`, found from the front in steps that double; 0 if
/// all do.
fn last_not_behind(blocks: &[Entry], id: u32) -> usize {
    let mut step = 1;
    while blocks.get(step).is_some_and(|block| block.first <= id) {
        step *= 2;
    }
    let (low, high) = (step / 2, step.min(blocks.len()));
    let behind = blocks[low.min(high)..high].partition_point(|block| block.first <= id);
    (low + behind).saturating_sub(1)
}

/// The first place from `start` on whose id is not below `target`: steps that double, then halves.
fn gallop(ids: &[u32], start: usize, target: u32) -> usize {
    let mut step = 1;
    let mut low = start;
    while let Some(&id) = ids.get(low + step - 1)
        && id < target
    {
        low += step;
        step *= 2;
    }
    let high = ids.len().min(low + step);
    low + ids[low..high].partition_point(|id| *id < target)
}
