//! A deterministic S3 for scale and faults: as many objects as a test wants, with keys in order, sizes,
//! times and ETags that are a pure function of a seed, so that 100 million of them cost no memory.
//!
//! [`bucket`] says which objects there are, [`listing`] answers `ListObjectsV2` over them, and a
//! [`server::Server`] speaks HTTP, counts requests, and does what a script of [`faults`] says. An FTP
//! [`sink`] takes files and remembers eight bytes of each name and of each content, so that a million uploads can be compared
//! with the bucket.
//!
//! It is no proof that a client speaks S3 or FTP: whoever wrote both sides makes the same mistake twice.
//! Independent servers prove that, with fewer objects. Signatures are not checked.

pub mod bucket;
pub mod faults;
mod http;
pub mod layout;
pub mod listing;
mod noise;
pub mod server;
pub mod sink;

pub use bucket::{Bucket, Churn, Contents};
pub use layout::Layout;
pub use server::Server;
pub use sink::Sink;
