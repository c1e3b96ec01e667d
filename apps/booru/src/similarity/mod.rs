//! What images are like an image.

mod codec;
mod embeddings;
mod frame;
mod index;
mod kernel;
mod select;
mod semantic;
mod sync;
mod vector_file;

pub use codec::{DIMENSIONS_MAX, Kind};
pub use semantic::{MATCHES_MAX, Match, Semantic, SemanticOptions, SemanticStatus, Survey};
