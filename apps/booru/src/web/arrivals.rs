//! What became of files that lay in the folder for new images, by their names there. Memory: the last
//! [`KNOWN_MAX`] of them, some 300 bytes each.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ingest::{Event, Outcome};

/// Files that are known of; a form has 200 at most.
const KNOWN_MAX: usize = 1024;

/// The image that a file is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) image: u32,
    /// It was not on the board before.
    pub(super) is_new: bool,
}

/// The oldest first.
#[derive(Debug, Default)]
pub(super) struct Arrivals(Mutex<VecDeque<(String, Arrival)>>);

impl Arrivals {
    /// Keeps what came of a file, if it lay in `folder` itself.
    pub(super) fn follow(&self, folder: &Path, event: &Event) {
        let (image, is_new) = match event.outcome {
            Outcome::TakenIn { id, .. } => (id, true),
            Outcome::Restored { id } | Outcome::Duplicate { of: id, .. } => (id, false),
            _ => return,
        };
        let name = event.path.file_name().and_then(|name| name.to_str());
        let (Some(name), true) = (name, event.path.parent() == Some(folder)) else {
            return;
        };
        self.forget(name);
        let mut known = self.known();
        if known.len() >= KNOWN_MAX {
            known.pop_front();
        }
        known.push_back((name.to_owned(), Arrival { image, is_new }));
    }

    /// A new file has got this name.
    pub(super) fn forget(&self, name: &str) {
        self.known().retain(|(other, _)| other != name);
    }

    pub(super) fn find(&self, name: &str) -> Option<Arrival> {
        let known = self.known();
        let found = known.iter().find(|(other, _)| other == name);
        found.map(|(_, arrival)| *arrival)
    }

    fn known(&self) -> MutexGuard<'_, VecDeque<(String, Arrival)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_of_the_folder_itself_are_known() {
        let arrivals = Arrivals::default();
        let follow = |path: &str, outcome: Outcome| {
            let path = path.into();
            let event = Event {
                path,
                bytes: 1,
                outcome,
            };
            arrivals.follow(Path::new("/in"), &event);
        };
        let taken_in = |id: u32| Outcome::TakenIn {
            id,
            path: "0ab/a.png".to_owned(),
            note: None,
            queued: Vec::new(),
        };
        follow("/in/a.png", taken_in(1));
        follow("/in/below/b.png", taken_in(2));
        follow("/in/c.png", Outcome::Changed);
        let of = |name: &str| arrivals.find(name).map(|one| (one.image, one.is_new));
        assert_eq!(of("a.png"), Some((1, true)));
        assert_eq!((of("b.png"), of("c.png")), (None, None));
        let duplicate = Outcome::Duplicate {
            of: 3,
            is_removed: true,
        };
        follow("/in/a.png", duplicate);
        assert_eq!(of("a.png"), Some((3, false)));
        arrivals.forget("a.png");
        assert_eq!(of("a.png"), None);
        for id in 0..=KNOWN_MAX as u32 {
            follow(&format!("/in/{id}.png"), taken_in(id));
        }
        assert_eq!((of("0.png"), of("1.png")), (None, Some((1, true))));
        assert_eq!(arrivals.known().len(), KNOWN_MAX);
    }
}
