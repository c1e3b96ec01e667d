//! Frames: some vectors with what goes with them, written and checked together.
//!
//! ```text
//! frame   "FRAM", rows u32, 8 zero bytes, 16 bytes of BLAKE3 of (offset, rows, body), body
//! body    for each row: image u32, stamp u32, scale f32, error f32, norm f32, state u32
//!         for each row: its codes, dimensions x 4, 2 or 1 bytes
//! ```
//! All little-endian. The offset in the sum makes a frame at another place a damaged one.

use super::codec::{Kind, Scaled, encode};

const MARKER: [u8; 4] = *b"FRAM";
pub(super) const HEAD_BYTES: usize = 32;
const META_BYTES: usize = 24;

/// Of the body of a frame, unless one vector is larger: what is read at a time, and fits a core's cache.
const BODY_BYTES_MAX: usize = 256 << 10;

/// The shape of all rows of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    pub(super) dimensions: usize,
}

impl Shape {
    pub(super) fn code_bytes(self) -> usize {
        self.dimensions * self.kind.bytes()
    }

    pub(super) fn rows_max(self) -> usize {
        (BODY_BYTES_MAX / (META_BYTES + self.code_bytes())).max(1)
    }

    pub(super) fn body_bytes(self, rows: usize) -> usize {
        rows * (META_BYTES + self.code_bytes())
    }

    pub(super) fn frame_bytes(self, rows: usize) -> usize {
        HEAD_BYTES + self.body_bytes(rows)
    }
}

/// What a row says of its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Vector,
    /// The image has none any more.
    Gone,
    /// What the database has is no vector of this length, or none of finite numbers.
    Skipped,
}

impl State {
    fn number(self) -> u32 {
        match self {
            State::Vector => 0,
            State::Gone => 1,
            State::Skipped => 2,
        }
    }

    fn of(number: u32) -> State {
        match number {
            0 => State::Vector,
            1 => State::Gone,
            _ => State::Skipped,
        }
    }
}

/// What goes with the codes of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Meta {
    pub(super) image: u32,
    /// Of when the vector came into the database; see [`super::sync`].
    pub(super) stamp: u32,
    pub(super) scaled: Scaled,
    pub(super) state: State,
}

impl Meta {
    fn parse(bytes: &[u8; META_BYTES]) -> Meta {
        let (words, _) = bytes.as_chunks::<4>();
        let float = |at: usize| f32::from_le_bytes(words[at]);
        Meta {
            image: u32::from_le_bytes(words[0]),
            stamp: u32::from_le_bytes(words[1]),
            scaled: Scaled {
                scale: float(2),
                error: float(3),
                norm: float(4),
            },
            state: State::of(u32::from_le_bytes(words[5])),
        }
    }

    fn put(&self, into: &mut Vec<u8>) {
        into.extend(self.image.to_le_bytes());
        into.extend(self.stamp.to_le_bytes());
        into.extend(self.scaled.scale.to_le_bytes());
        into.extend(self.scaled.error.to_le_bytes());
        into.extend(self.scaled.norm.to_le_bytes());
        into.extend(self.state.number().to_le_bytes());
    }
}

/// The rows of a body with their codes.
pub(super) fn rows(shape: Shape, body: &[u8], rows: usize) -> impl Iterator<Item = (Meta, &[u8])> {
    let (metas, codes) = body.split_at(rows * META_BYTES);
    metas_of(metas).zip(codes.chunks_exact(shape.code_bytes().max(1)))
}

/// What goes with the rows of a body, of which only that much is given.
pub(super) fn metas_of(bytes: &[u8]) -> impl Iterator<Item = Meta> {
    let (metas, _) = bytes.as_chunks::<META_BYTES>();
    metas.iter().map(Meta::parse)
}

pub(super) fn metas_bytes(rows: usize) -> usize {
    rows * META_BYTES
}

/// How many rows a head announces, and the sum of them; `None` where it is no head.
pub(super) fn parse_head(head: &[u8; HEAD_BYTES], shape: Shape) -> Option<(usize, [u8; 16])> {
    let rows = u32::from_le_bytes(head[4..8].try_into().ok()?) as usize;
    let is_head = head[..4] == MARKER && head[8..16] == [0; 8];
    let sum = head[16..].try_into().ok()?;
    (is_head && (1..=shape.rows_max()).contains(&rows)).then_some((rows, sum))
}

pub(super) fn sum_of(offset: u64, rows: usize, body: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&offset.to_le_bytes());
    hasher.update(&(rows as u32).to_le_bytes());
    hasher.update(body);
    let mut sum = [0; 16];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    sum
}

/// A frame as it is filled. Holds at most the bytes of one.
#[derive(Debug)]
pub(super) struct FrameBuilder {
    shape: Shape,
    metas: Vec<u8>,
    codes: Vec<u8>,
    rows: usize,
}

impl FrameBuilder {
    pub(super) fn new(shape: Shape) -> FrameBuilder {
        FrameBuilder {
            shape,
            metas: Vec::new(),
            codes: Vec::new(),
            rows: 0,
        }
    }

    /// Puts in a vector of the file's length and of finite numbers.
    pub(super) fn push_vector(&mut self, image: u32, stamp: u32, vector: &[f32]) {
        let scaled = encode(self.shape.kind, vector, &mut self.codes);
        self.push_meta(Meta {
            image,
            stamp,
            scaled,
            state: State::Vector,
        });
    }

    /// Puts in a row without a vector.
    pub(super) fn push_other(&mut self, image: u32, stamp: u32, state: State) {
        self.codes
            .resize(self.codes.len() + self.shape.code_bytes(), 0);
        self.push_meta(Meta {
            image,
            stamp,
            scaled: Scaled::default(),
            state,
        });
    }

    fn push_meta(&mut self, meta: Meta) {
        meta.put(&mut self.metas);
        self.rows += 1;
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows == self.shape.rows_max()
    }

    /// The frame for this place of a file, and how many rows it has; then it is empty.
    pub(super) fn take(&mut self, offset: u64) -> (Vec<u8>, usize) {
        let rows = self.rows;
        let mut frame = Vec::with_capacity(self.shape.frame_bytes(rows));
        frame.extend([0; HEAD_BYTES]);
        frame.append(&mut self.metas);
        frame.append(&mut self.codes);
        self.rows = 0;
        let sum = sum_of(offset, rows, &frame[HEAD_BYTES..]);
        frame[..4].copy_from_slice(&MARKER);
        frame[4..8].copy_from_slice(&(rows as u32).to_le_bytes());
        frame[16..HEAD_BYTES].copy_from_slice(&sum);
        (frame, rows)
    }
}
