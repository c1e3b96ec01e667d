//! Room for what grows, in small steps: an eighth of the length instead of the whole of it.
//!
//! A `Vec` that doubles holds up to as much again as is in it. With an eighth, each byte is moved
//! about eight times more while it grows, and at most 12.5 % is held in vain.

/// Makes room for `more` elements, and for an eighth of the length if it has to.
pub(crate) fn vec<T>(vec: &mut Vec<T>, more: usize) {
    if vec.capacity() - vec.len() < more {
        vec.reserve_exact(step(vec.len(), more));
    }
}

/// The same for a string.
pub(crate) fn string(string: &mut String, more: usize) {
    if string.capacity() - string.len() < more {
        string.reserve_exact(step(string.len(), more));
    }
}

fn step(len: usize, more: usize) -> usize {
    more.max(len / 8)
}
