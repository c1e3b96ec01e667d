//! Which package installed this file?
//!
//! [`Provenance`] answers for a batch of paths under one root: `/`, or `/proc/PID/root` for a
//! process in a container. It reads the records of package managers and runs none of them; a
//! file that no record claims is grouped by its folder. Nothing is cached between batches, and
//! the memory held is a few reused buffers, bounded by the constants next to each reader.

mod apk;
mod dpkg;
mod folder;
mod lines;
mod lookup;
mod npm;
mod provenance;
mod python;
mod root;
mod rpm;
mod spelling;

pub use provenance::Provenance;
