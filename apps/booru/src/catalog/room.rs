//! Room for lists that grow while images come: an eighth of the length instead of the whole of it, so that
//! one image more does not double what a catalog holds.

/// Makes room for `more` elements, and for an eighth of the length where it has to.
pub(super) fn make<T>(list: &mut Vec<T>, more: usize) {
    if list.capacity() - list.len() < more {
        list.reserve_exact(more.max(list.len() / 8));
    }
}
