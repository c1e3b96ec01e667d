//! Makes an FTP server hold what an S3 bucket holds, and transfers only what changed.
//!
//! A run lists the bucket ([`listing`]) beside what is known of every key ([`scan`]), publishes the result as the next
//! generation of the [`state`], and then uploads and deletes what that says. What a [`record`] may
//! become, and which [`key`]s are mirrored, is decided without any I/O.
//!
//! Memory does not grow with the number of files: the state is read and written as sorted runs, beside
//! the sorted listing.

pub mod adopt;
pub mod bandwidth;
pub mod config;
mod divide;
pub mod ftp;
pub mod import;
pub mod key;
pub mod listing;
mod look;
pub mod memory;
pub mod metrics;
mod number;
mod range;
pub mod record;
pub mod report;
pub mod run;
pub mod s3;
pub mod scan;
pub mod state;
pub mod work;

#[cfg(test)]
mod testing;
