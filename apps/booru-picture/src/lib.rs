//! Pictures of an image board: read within limits, resized as Pillow does, hashed as imagehash does.
//!
//! [`header()`] tells what a file is before its pixels are read, and how many bytes that will take;
//! [`read()`] reads them. A [`Picture`] becomes a [`thumbnail`], a perceptual hash ([`phash`]), a hash of its
//! colours ([`colorhash`]), or a preview that another one is compared with ([`difference`]).

pub mod colorhash;
pub mod difference;
mod giffile;
pub mod header;
mod jpegfile;
mod kind;
pub mod phash;
pub mod pixels;
mod pngfile;

pub mod read;
pub mod resize;
pub mod thumbnail;
mod transform;
mod vp8file;
mod vp8lfile;
mod webpfile;

pub use header::{Format, Header, Limits, header};
pub use read::{Picture, read};
