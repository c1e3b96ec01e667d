//! Ten million mixed operations in four threads, and a model that must agree with the ledger.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::sync::Mutex;
use std::thread;

use plimsoll::ledger::{Ledger, Tag};

#[global_allocator]
static LEDGER: Ledger = Ledger::system();

const THREADS: u64 = 4;
const OPERATIONS: u64 = 10_000_000;
const PLACES: usize = 512;
static TAGS: [Tag; 4] = [Tag::new("a"), Tag::new("b"), Tag::new("c"), Tag::new("d")];

/// What one tag should have: live bytes, live blocks, total bytes, total blocks.
type Model = [[i64; 4]; TAGS.len()];

#[derive(Clone, Copy)]
struct Block {
    /// As a number, so that other threads may have it.
    address: usize,
    layout: Layout,
    tag: usize,
}

/// Blocks that any thread may take out, free or resize.
static SHELF: Mutex<Vec<Block>> = Mutex::new(Vec::new());

struct Actor {
    random: u64,
    held: Vec<Option<Block>>,
    model: Model,
}

impl Actor {
    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn act(&mut self) {
        let number = self.next();
        let place = (number >> 40) as usize % PLACES;
        let tag = (number >> 32) as usize % TAGS.len();
        let size = 1 + (number as usize & 0xffff) % (8 << (number >> 16 & 7));
        let _scope = TAGS[tag].enter();
        match self.held[place].take() {
            None => {
                let layout = Layout::from_size_align(size, 1 << (number >> 20 & 7)).expect("valid");
                self.held[place] = Some(self.take(layout, tag, number >> 24 & 1 == 0));
            }
            Some(block) if number >> 25 & 3 == 0 => {
                self.held[place] = Some(self.resize(block, size));
            }
            Some(block) if number >> 27 & 63 == 0 => self.exchange(place, block),
            Some(block) => self.free(block),
        }
    }

    fn take(&mut self, layout: Layout, tag: usize, zeroed: bool) -> Block {
        // SAFETY: no layout here is of size zero.
        let block = unsafe {
            if zeroed {
                alloc_zeroed(layout)
            } else {
                alloc(layout)
            }
        };
        assert!(!block.is_null());
        let size = layout.size() as i64;
        self.add(tag, [size, 1, size, 1]);
        // SAFETY: inside the block: its last byte.
        unsafe { block.add(layout.size() - 1).write(tag as u8) };
        Block {
            address: block.expose_provenance(),
            layout,
            tag,
        }
    }

    fn resize(&mut self, block: Block, size: usize) -> Block {
        let at = std::ptr::with_exposed_provenance_mut::<u8>(block.address);
        // SAFETY: taken with this layout, and the size is not zero.
        let moved = unsafe { realloc(at, block.layout, size) };
        assert!(!moved.is_null());
        let more = size as i64 - block.layout.size() as i64;
        self.add(block.tag, [more, 0, more.max(0), 0]);
        Block {
            address: moved.expose_provenance(),
            layout: Layout::from_size_align(size, block.layout.align()).expect("valid"),
            tag: block.tag,
        }
    }

    fn free(&mut self, block: Block) {
        let at = std::ptr::with_exposed_provenance_mut::<u8>(block.address);
        // SAFETY: taken with this layout, freed once.
        unsafe { dealloc(at, block.layout) };
        self.add(block.tag, [-(block.layout.size() as i64), -1, 0, 0]);
    }

    /// Puts it on the shelf, for another that someone else left there.
    fn exchange(&mut self, place: usize, block: Block) {
        let mut shelf = SHELF.lock().expect("no panic");
        self.held[place] = if shelf.len() < PLACES {
            None
        } else {
            Some(shelf.swap_remove(place))
        };
        shelf.push(block);
    }

    fn add(&mut self, tag: usize, more: [i64; 4]) {
        for (sum, more) in self.model[tag].iter_mut().zip(more) {
            *sum += more;
        }
    }
}

#[test]
fn ten_million_operations_agree_with_a_model() {
    SHELF.lock().expect("no panic").reserve(PLACES + 1);
    let actors: Vec<Actor> = thread::scope(|scope| {
        let threads: Vec<_> = (1..=THREADS)
            .map(|seed| {
                scope.spawn(move || {
                    let mut actor = Actor {
                        random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
                        held: vec![None; PLACES],
                        model: Model::default(),
                    };
                    (0..OPERATIONS / THREADS).for_each(|_| actor.act());
                    actor
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    let check = |actors: &[Actor]| {
        for (number, tag) in TAGS.iter().enumerate() {
            let sum = |figure: usize| -> i64 {
                actors.iter().map(|actor| actor.model[number][figure]).sum()
            };
            let found = tag.figures();
            let found = [
                found.live_bytes,
                found.live_blocks,
                found.total_bytes,
                found.total_blocks,
            ];
            let expected = [sum(0), sum(1), sum(2), sum(3)].map(|sum| sum as u64);
            assert_eq!(found, expected, "tag {}", tag.name());
        }
    };
    check(&actors);
    let mut actors = actors;
    let shelf = std::mem::take(&mut *SHELF.lock().expect("no panic"));
    for block in shelf {
        actors[0].free(block);
    }
    for actor in &mut actors {
        for place in 0..PLACES {
            if let Some(block) = actor.held[place].take() {
                actor.free(block);
            }
        }
    }
    check(&actors);
    for tag in &TAGS {
        assert_eq!(
            (tag.figures().live_bytes, tag.figures().live_blocks),
            (0, 0)
        );
    }
}
