//! What is known of a component beside its bytes, in a few words each: what is in use inside it,
//! the state of its file in the page cache, with whom it is shared.
//!
//! Shared by text and HTML, so that both say the same.

use plimsoll_model::Component;

use crate::printable::printable;
use crate::words::number::{count, percent};

/// "61.2 MiB live, 33.8 MiB freed but held (chunk walk)".
pub(crate) fn used_words(component: &Component) -> Option<String> {
    let used = component.used.as_ref()?;
    let method = if used.method.is_empty() {
        String::new()
    } else {
        format!(" ({})", printable(&used.method))
    };
    Some(format!(
        "{} live, {} freed but held{method}",
        used.live, used.held_free
    ))
}

/// "546 MiB file, 37% cached, 0 B dirty".
pub(crate) fn cache_words(component: &Component) -> Option<String> {
    let mut words = Vec::new();
    if let Some(size) = component.file_size {
        words.push(format!("{size} file"));
    }
    if let Some(cache) = &component.cache {
        words.push(match component.file_size {
            Some(size) => format!("{} cached", percent(cache.cached.min(size), size)),
            None => format!("{} cached", cache.cached),
        });
        if let Some(dirty) = cache.dirty {
            words.push(format!("{dirty} dirty"));
        }
        if let Some(writeback) = cache.writeback.filter(|bytes| !bytes.is_zero()) {
            words.push(format!("{writeback} being written back"));
        }
        if let Some(evicted) = cache.recently_evicted.filter(|bytes| !bytes.is_zero()) {
            words.push(format!("{evicted} recently evicted"));
        }
    }
    (!words.is_empty()).then(|| words.join(", "))
}

/// "12 mappings, 201 MiB distinct, shared by 3 processes": only what is more than one.
pub(crate) fn sharing_words(component: &Component) -> Option<String> {
    let sharing = &component.sharing;
    let mut words = Vec::new();
    if component.usage.distinct < component.usage.resident {
        words.push(count(sharing.mappings.into(), "mapping", "mappings"));
        words.push(format!("{} distinct", component.usage.distinct));
    }
    if let Some(processes) = sharing.processes.filter(|processes| processes.count > 1) {
        words.push(format!("shared by {processes} processes"));
    }
    (!words.is_empty()).then(|| words.join(", "))
}
