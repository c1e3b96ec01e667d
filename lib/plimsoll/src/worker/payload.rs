//! What a call carries: bytes in the frame, or a sealed memfd beside it.
//!
//! Sealed, so that neither side can change or cut what the other reads; read by pread, so that no
//! other process can make a read of memory fault. A memfd lives in RAM once, however often it is sent.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::amount::Amount;
use crate::error::{Error, ErrorKind};
use crate::worker::frame::{self, Frame, Kind};

/// The longest request or reply. A wrong length of a damaged worker is told from a real one by it,
/// and each side holds a copy.
pub const PAYLOAD_MAX: u64 = 1 << 30;

const SEALS: libc::c_int = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;

#[derive(Clone, Debug)]
pub(super) enum Payload {
    Inline(Vec<u8>),
    Shared { memfd: Arc<File>, length: u64 },
}

/// A frame to be sent and what comes along.
pub(super) struct Parcel {
    pub(super) bytes: Vec<u8>,
    pub(super) memfd: Option<Arc<File>>,
}

impl Parcel {
    pub(super) fn of(kind: Kind, id: u64, body: &[u8]) -> Result<Parcel, Error> {
        let bytes = frame::encode(&Frame { kind, id, body })?;
        Ok(Parcel { bytes, memfd: None })
    }

    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.memfd.as_ref().map(|memfd| memfd.as_fd())
    }
}

impl Payload {
    /// Copies `bytes`; into a memfd when they are too long for a frame.
    pub(super) fn new(bytes: &[u8]) -> Result<Payload, Error> {
        if bytes.len() <= frame::BODY_MAX {
            return Ok(Payload::Inline(bytes.to_vec()));
        }
        let length = bytes.len() as u64;
        if length > PAYLOAD_MAX {
            let text = format!(
                "hand {} to or from a worker: at most {} are possible; hand over a file's name",
                Amount(length),
                Amount(PAYLOAD_MAX)
            );
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        let memfd = sealed(bytes).map_err(|error| {
            let text = format!("put {} for a worker into a memfd", Amount(length));
            Error::with_source(ErrorKind::Io, text, error)
        })?;
        Ok(Payload::Shared {
            memfd: Arc::new(memfd),
            length,
        })
    }

    /// What came in a frame, checked: a memfd has to be one, sealed, and as long as it is said to be.
    pub(super) fn received(frame: &Frame<'_>, memfd: Option<OwnedFd>) -> Result<Payload, Error> {
        if !frame.kind.is_shared() {
            return Ok(Payload::Inline(frame.body.to_vec()));
        }
        let malformed = |what: &str| {
            let text = format!("take over a memfd of call {}: {what}", frame.id);
            Error::new(ErrorKind::Malformed, text)
        };
        let length = <[u8; 8]>::try_from(frame.body).map_err(|_| malformed("it has no length"))?;
        let length = u64::from_le_bytes(length);
        let memfd = File::from(memfd.ok_or_else(|| malformed("none came along"))?);
        // SAFETY: a question about an open descriptor. Only memfds and their like have seals, so what
        // has them is no pipe or device that a read could wait for.
        let seals = unsafe { libc::fcntl(memfd.as_raw_fd(), libc::F_GET_SEALS) };
        if seals < 0 || seals & SEALS != SEALS {
            return Err(malformed("it is not sealed"));
        }
        let real = memfd.metadata().map_or(0, |metadata| metadata.len());
        if length > PAYLOAD_MAX || real != length {
            return Err(malformed(&format!("it has {real} bytes, not {length}")));
        }
        Ok(Payload::Shared {
            memfd: Arc::new(memfd),
            length,
        })
    }

    pub(super) fn into_bytes(self) -> Result<Vec<u8>, Error> {
        match self {
            Payload::Inline(bytes) => Ok(bytes),
            Payload::Shared { memfd, length } => {
                let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
                memfd.read_exact_at(&mut bytes, 0).map_err(|error| {
                    Error::with_source(ErrorKind::Io, "read a memfd of a worker", error)
                })?;
                Ok(bytes)
            }
        }
    }

    /// As a frame of `inline` or `shared`.
    pub(super) fn parcel(&self, inline: Kind, shared: Kind, id: u64) -> Result<Parcel, Error> {
        match self {
            Payload::Inline(bytes) => Parcel::of(inline, id, bytes),
            Payload::Shared { memfd, length } => Ok(Parcel {
                memfd: Some(memfd.clone()),
                ..Parcel::of(shared, id, &length.to_le_bytes())?
            }),
        }
    }
}

fn sealed(bytes: &[u8]) -> std::io::Result<File> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name is a C string; a descriptor that is returned is new and owned by nobody else.
    let mut file = unsafe {
        let descriptor = libc::memfd_create(c"plimsoll worker".as_ptr(), flags);
        if descriptor < 0 {
            return Err(std::io::Error::last_os_error());
        }
        File::from_raw_fd(descriptor)
    };
    file.write_all(bytes)?;
    // SAFETY: fcntl on a descriptor of ours touches no memory.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, SEALS) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_come_back() {
        for length in [0, 1, frame::BODY_MAX, frame::BODY_MAX + 1, 3 << 20] {
            let bytes: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
            let payload = Payload::new(&bytes).unwrap();
            let parcel = payload.parcel(Kind::Reply, Kind::ReplyShared, 3).unwrap();
            let (frame, _) = frame::decode(&parcel.bytes).unwrap().unwrap();
            let memfd = parcel.memfd.map(|memfd| memfd.try_clone().unwrap().into());
            let back = Payload::received(&frame, memfd).unwrap();
            assert!(back.into_bytes().unwrap() == bytes);
        }
    }

    #[test]
    fn foreign_descriptors_are_refused() {
        let check = |length: u64, memfd: Option<OwnedFd>, expected: &str| {
            let body = length.to_le_bytes();
            let frame = Frame {
                kind: Kind::ReplyShared,
                id: 1,
                body: &body,
            };
            let error = Payload::received(&frame, memfd).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed);
            assert!(error.to_string().contains(expected), "{error}");
        };
        let three = || Some(OwnedFd::from(sealed(b"abc").unwrap()));
        check(3, None, "none came");
        check(
            3,
            Some(File::open("/dev/zero").unwrap().into()),
            "not sealed",
        );
        check(4, three(), "3 bytes, not 4");
        check(u64::MAX, three(), "3 bytes, not 18446744073709551615");
    }
}
