//! Pictures that look alike: all pairs whose perceptual hashes differ in few bits, a queue in which a person
//! looks at them, and what comes of that.
//!
//! The tables are the original's: `duplicate_pairs` with every pair within a distance, `image_relations` with what
//! was said of pairs, which leave the queue by it, and `duplicate_pair_suggestions` with how much the two pictures
//! of a pair differ to the eye.
//!
//! **Cost.** Nothing while nobody asks. A search for all pairs holds 36 bytes an image and 12 a pair, and then
//! nothing again; a page of the queue what is on it.

mod command;
mod commit;
mod difference;
mod folders;
mod hashes;
mod missing;
mod pairs;
mod queue;
mod similar;

pub use command::DuplicatesCommand;
pub(crate) use command::execute;
pub use commit::commit;
pub(crate) use difference::PairSuggestion;
pub use difference::{Label, Suggested, Suggestion};
pub use folders::Folders;
pub(crate) use hashes::Hashes;
pub use missing::Filled;
pub(crate) use missing::ImageHashes;
pub use pairs::PAIRS_MAX;
pub(crate) use pairs::{Pair, find_pairs};
pub use queue::{PAGE_PAIRS, PAGE_PAIRS_MAX, QueueOrder, QueuePage, QueuedImage, QueuedPair};
pub use similar::{SIMILAR_MAX, Similar};

/// Bits in which hashes of stored pairs differ at most: the range of the queue's slider.
pub const STORED_DISTANCE_MAX: u32 = 15;
/// Bits in which hashes of queued pairs differ at most, unless more is asked for.
pub const QUEUE_DISTANCE: u32 = 5;
