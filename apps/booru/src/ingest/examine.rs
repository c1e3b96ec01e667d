//! What is found out of a file before it is taken in: what it is, its sums, size, small picture and hashes. Done
//! by several threads at once, behind one budget of bytes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use plimsoll::budget::Consumer;
use plimsoll_booru_picture::colorhash::colorhash;
use plimsoll_booru_picture::header;
use plimsoll_booru_picture::phash::phash;
use plimsoll_booru_picture::read;
use plimsoll_booru_picture::thumbnail::{self, thumbnail};

use super::Mode;
use super::content::Content;
use super::digest::{Digest, Stamp, copy_to, digest};
use super::incoming::{Incoming, Waiting};
use super::settings::Settings;
use super::sidecar::Sidecars;
use super::trash::is_to_go;
use super::{frame, name, set_aside};
use crate::edit::NewImage;
use crate::query::moment;
use crate::store::Store;

/// A file to look at.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// The folder that was walked, which its name tells nothing of.
    pub(super) root: PathBuf,
    pub(super) mode: Mode,
}

/// A file that can be taken in.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) stamp: Stamp,
    pub(super) digest: Digest,
    /// What it is to be called.
    pub(super) name: String,
    pub(super) bytes_from: BytesFrom,
    /// Without its path.
    pub(super) image: NewImage,
    pub(super) sidecars: Sidecars,
    pub(super) thumbnail: Option<Vec<u8>>,
    /// What is worth telling, though it is taken in.
    pub(super) note: Option<String>,
}

/// How the bytes come to their place.
#[derive(Debug)]
pub(super) enum BytesFrom {
    /// A durable copy.
    Copy(Waiting),
    /// By a second name; the first one goes when all is done.
    Link,
    /// They are there, below the folder of images.
    Place(String),
}

/// What came of a look.
#[derive(Debug)]
pub(super) enum Looked {
    Ready(Box<Ready>),
    /// An image has this MD5 sum.
    Duplicate {
        stamp: Stamp,
        digest: Digest,
    },
    /// It is an image of the board, where it lies.
    Stored,
    /// It is the file of a deleted image, and is to go.
    ToGo,
    /// It was set aside as it is.
    StillAside,
    /// It is not there any more, or somebody writes to it.
    Changed,
    Refused {
        stamp: Stamp,
        reason: String,
    },
}

/// What a thread looks with.
#[derive(Debug)]
pub(super) struct Examiner<'a> {
    pub(super) settings: &'a Settings,
    pub(super) incoming: &'a Incoming,
    /// The folder of images, without links in its path.
    pub(super) images: &'a Path,
    /// Its file system.
    pub(super) device: u64,
    /// Looks again at what was set aside as it is.
    pub(super) retries: bool,
    pub(super) decoding: Consumer,
    pub(super) store: Store,
}

impl Examiner<'_> {
    /// Looks at a file. What is wrong with it is [`Looked::Refused`].
    ///
    /// # Errors
    /// What would stop other files too: the database, the folder of images.
    pub(super) fn look(&self, found: &Found) -> Result<Looked> {
        let Ok(stamp) = Stamp::of(&found.path) else {
            return Ok(Looked::Changed);
        };
        let place = self.place_of(&found.path);
        if let Some(place) = &place
            && self.has_path(place)?
        {
            return Ok(Looked::Stored);
        }
        if let Some(place) = &place
            && is_to_go(&self.store, place)?
        {
            return Ok(Looked::ToGo);
        }
        if !self.retries && set_aside::is_known(&self.store, &found.path, &stamp)? {
            return Ok(Looked::StillAside);
        }
        // Of a file that another importer has moved away nothing is wrong.
        let refused = |error: &anyhow::Error| match is_still(&found.path, &stamp) {
            true => Looked::Refused {
                stamp,
                reason: format!("{error:#}"),
            },
            false => Looked::Changed,
        };
        let read = Content::of(&found.path)
            .and_then(|content| Ok((content, digest(&found.path)?)))
            .and_then(|(content, digest)| Ok((content, digest, Sidecars::read(&found.path)?)));
        let (content, digest, sidecars) = match read {
            Ok(read) => read,
            Err(error) => return Ok(refused(&error)),
        };
        if self.has_md5(&digest.md5)? {
            return Ok(Looked::Duplicate { stamp, digest });
        }
        let mut image = NewImage {
            md5: digest.md5,
            ingested: Some(moment::now()),
            ..NewImage::default()
        };
        sidecars.describe(&mut image, self.settings);
        let (thumbnail, note) = match self.look_at_picture(found, content, &mut image) {
            Ok(looked) => looked,
            Err(error) => return Ok(refused(&error)),
        };
        let Some(bytes_from) = self.bytes_from(found, &stamp, &digest, place)? else {
            return Ok(Looked::Changed);
        };
        let notes: Vec<String> = note.into_iter().chain(sidecars.note()).collect();
        Ok(Looked::Ready(Box::new(Ready {
            stamp,
            digest,
            name: name::stored_name(&found.path, &found.root, &digest.md5, content),
            bytes_from,
            image,
            sidecars,
            thumbnail,
            note: (!notes.is_empty()).then(|| notes.join("; ")),
        })))
    }

    /// Where a file lies below the folder of images, if it may stay there.
    fn place_of(&self, path: &Path) -> Option<String> {
        let place = path.strip_prefix(self.images).ok()?.to_str()?;
        Some(place.to_owned())
    }

    fn has_path(&self, path: &str) -> Result<bool> {
        let sql = "SELECT 1 FROM images WHERE filepath = ?1";
        let found = self
            .store
            .query_row("look for an image", sql, &[path.into()], |_| Ok(()))?;
        Ok(found.is_some())
    }

    fn has_md5(&self, md5: &[u8; 16]) -> Result<bool> {
        let sql = "SELECT 1 FROM images WHERE md5 = ?1";
        let sum = crate::edit::hex(md5);
        let found = self
            .store
            .query_row("look for an image", sql, &[(&sum).into()], |_| Ok(()))?;
        Ok(found.is_some())
    }

    /// Its size, hashes and small picture.
    fn look_at_picture(
        &self,
        found: &Found,
        content: Content,
        image: &mut NewImage,
    ) -> Result<(Option<Vec<u8>>, Option<String>)> {
        let inside = match content {
            Content::Mp4 | Content::WebM => match frame::of_video(&found.path, self.incoming)? {
                Some(frame) => Some(frame),
                None => {
                    let note = "no size and no small picture: ffmpeg is not installed";
                    return Ok((None, Some(note.to_owned())));
                }
            },
            Content::Zip => Some(frame::of_archive(&found.path, self.incoming)?),
            _ => None,
        };
        let path = inside.as_ref().map_or(&found.path, |inside| &inside.path);
        let limits = self.settings.limits();
        let header = header(path, &limits)?;
        let pixels = u64::from(header.width) * u64::from(header.height);
        let work_bytes = thumbnail::memory_bytes(pixels, &self.settings.thumbnail);
        let bytes = header.memory_bytes + work_bytes;
        let _reserved = self.decoding.reserve_wait(bytes, Duration::MAX)?;
        let picture = read(path, &limits)?;
        let (width, height) = picture.header().upright_size();
        image.width = Some(width);
        image.height = Some(height);
        image.phash = Some(phash(&picture, self.settings.hash_size).to_string());
        image.colorhash = Some(colorhash(&picture).to_string());
        let small = thumbnail(&picture, &self.settings.thumbnail)?;
        let note = picture
            .is_truncated()
            .then(|| "the file ends too early; it is shown as far as it goes".to_owned());
        Ok((Some(small), note))
    }

    /// Makes the bytes durable where they are not; `None` where the file has changed meanwhile.
    fn bytes_from(
        &self,
        found: &Found,
        stamp: &Stamp,
        digest: &Digest,
        place: Option<String>,
    ) -> Result<Option<BytesFrom>> {
        let is_still = || is_still(&found.path, stamp);
        let synced = |from: BytesFrom| match sync(&found.path) {
            Err(error) if is_still() => Err(error),
            _ => Ok(is_still().then_some(from)),
        };
        if let Some(place) = place.filter(|place| name::is_place(place)) {
            return synced(BytesFrom::Place(place));
        }
        if found.mode == Mode::Move && stamp.device == self.device {
            return synced(BytesFrom::Link);
        }
        copied(&found.path, digest, self.incoming, is_still).map(|copy| copy.map(BytesFrom::Copy))
    }
}

/// A durable copy of just the bytes whose sums are known; `None` where the file has others now.
///
/// # Errors
/// A folder that can't be written.
pub(super) fn copied(
    path: &Path,
    digest: &Digest,
    incoming: &Incoming,
    is_still: impl Fn() -> bool,
) -> Result<Option<Waiting>> {
    let mut copy = incoming.file("copy")?;
    match copy_to(path, &mut copy.file) {
        Ok(copied) if copied == *digest && is_still() => {}
        Ok(_) => return Ok(None),
        Err(_) if !is_still() => return Ok(None),
        Err(error) => return Err(error),
    }
    let writing = || format!("write {}", copy.path.display());
    copy.file.sync_all().with_context(writing)?;
    Ok(Some(copy))
}

fn is_still(path: &Path, stamp: &Stamp) -> bool {
    Stamp::of(path).is_ok_and(|now| now == *stamp)
}

fn sync(path: &Path) -> Result<()> {
    let file = std::fs::File::open(path);
    let synced = file.and_then(|file| file.sync_all());
    synced.with_context(|| format!("make {} durable", path.display()))
}
