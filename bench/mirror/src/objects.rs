//! The bucket of the simulator as a listing, without HTTP: what state work is measured with.

use anyhow::Result;
use plimsoll_mirror::record::{Etag, Meta};
use plimsoll_mirror::scan::Listing;
use plimsoll_s3_simulator::{Bucket, Contents};

/// A bucket whose ETags cost nothing to make up.
pub(crate) fn bucket(count: u64) -> Bucket {
    Bucket {
        contents: Contents::Photos,
        ..Bucket::new(1, count)
    }
}

/// Objects in the order of their keys.
#[derive(Debug)]
pub(crate) struct Objects {
    bucket: Bucket,
    slot: u64,
    key: Vec<u8>,
    meta: Meta,
}

impl Objects {
    pub(crate) fn new(bucket: Bucket) -> Objects {
        Objects {
            bucket,
            slot: 0,
            key: Vec::new(),
            meta: Meta {
                size_bytes: 0,
                modified: 0,
                etag: Etag::None,
            },
        }
    }
}

impl Listing for Objects {
    fn advance(&mut self) -> Result<bool> {
        while self.slot < self.bucket.slots() {
            let slot = self.slot;
            self.slot += 1;
            if self.bucket.has(slot) {
                self.bucket.key(slot, &mut self.key);
                let object = self.bucket.object(slot);
                self.meta = Meta {
                    size_bytes: object.size_bytes,
                    modified: object.modified as i64,
                    etag: Etag::Md5(object.etag),
                };
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn key(&self) -> &[u8] {
        &self.key
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}
