//! Bytes and descriptors over a stream socket.
//!
//! The kernel hands out descriptors with the bytes they were sent with, in order, and ends a read at
//! them (unix(7)), so a queue of descriptors beside the bytes keeps them with their frames.

use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use crate::error::{Error, ErrorKind};
use crate::worker::frame::{self, Frame};

/// Descriptors that wait for their frames; a frame has at most one.
const DESCRIPTORS_MAX: usize = 4;

/// Room for the descriptors of one read, aligned as cmsg(3) wants.
#[repr(C, align(8))]
struct Control([MaybeUninit<u8>; 64]);

/// One call of sendmsg; how many bytes went. `descriptor` goes with the first.
pub(super) fn send(
    stream: &UnixStream,
    bytes: &[u8],
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<usize> {
    let mut part = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let mut control = Control([MaybeUninit::zeroed(); 64]);
    // SAFETY: all zeroes is a valid msghdr; the pointers put into it outlive the call; the control
    // block has room for one header and one descriptor, which CMSG_SPACE says is 24 bytes.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        if let Some(descriptor) = descriptor {
            let size = size_of::<libc::c_int>() as libc::c_uint;
            message.msg_control = (&raw mut control).cast();
            message.msg_controllen = libc::CMSG_SPACE(size) as _;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size) as _;
            let place = libc::CMSG_DATA(header).cast::<libc::c_int>();
            place.write_unaligned(descriptor.as_raw_fd());
        }
        loop {
            let sent = libc::sendmsg(stream.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL);
            if let Some(sent) = counted(sent)? {
                return Ok(sent);
            }
        }
    }
}

/// One call of recvmsg; how many bytes came, 0 at the end. Descriptors go to `found`.
fn receive(
    stream: &UnixStream,
    bytes: &mut [u8],
    found: &mut VecDeque<OwnedFd>,
) -> io::Result<usize> {
    let mut part = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    let mut control = Control([MaybeUninit::zeroed(); 64]);
    // SAFETY: all zeroes is a valid msghdr; the pointers put into it outlive the call, with their
    // real sizes; headers are walked as cmsg(3) says; descriptors that came are new and ours alone.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = size_of::<Control>() as _;
        let received = loop {
            let flags = libc::MSG_CMSG_CLOEXEC;
            let received = libc::recvmsg(stream.as_raw_fd(), &raw mut message, flags);
            if let Some(received) = counted(received)? {
                break received;
            }
        };
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                let data = (*header).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let first = libc::CMSG_DATA(header).cast::<libc::c_int>();
                for index in 0..data / size_of::<libc::c_int>() {
                    let descriptor = first.add(index).read_unaligned();
                    found.push_back(OwnedFd::from_raw_fd(descriptor));
                }
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
        if message.msg_flags & libc::MSG_CTRUNC != 0 || found.len() > DESCRIPTORS_MAX {
            return Err(io::Error::other("more descriptors than frames came along"));
        }
        Ok(received)
    }
}

/// What a system call returned; `None` to call it again.
fn counted(result: libc::ssize_t) -> io::Result<Option<usize>> {
    match usize::try_from(result) {
        Ok(count) => Ok(Some(count)),
        Err(_) => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            error => Err(error),
        },
    }
}

/// What came and is not read yet: at most one incomplete frame and one read.
#[derive(Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    used: usize,
    descriptors: VecDeque<OwnedFd>,
}

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    Some,
    /// Nothing now, on a socket that does not wait.
    Nothing,
    End,
}

impl Inbox {
    /// Reads once.
    pub(super) fn fill(&mut self, stream: &UnixStream) -> Result<Filled, Error> {
        self.bytes.drain(..self.used);
        self.used = 0;
        let before = self.bytes.len();
        self.bytes.resize(before + frame::FRAME_MAX, 0);
        let result = receive(stream, &mut self.bytes[before..], &mut self.descriptors);
        self.bytes.truncate(before + *result.as_ref().unwrap_or(&0));
        match result {
            Ok(0) => Ok(Filled::End),
            Ok(_) => Ok(Filled::Some),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Filled::Nothing),
            // What the other side has not read when it ends is told as this.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(Filled::End),
            Err(error) => {
                let text = "read from the socket of a worker";
                Err(Error::with_source(ErrorKind::Malformed, text, error))
            }
        }
    }

    /// The next whole frame, with the descriptor that came along.
    pub(super) fn next(&mut self) -> Result<Option<(Frame<'_>, Option<OwnedFd>)>, Error> {
        let Some((frame, length)) = frame::decode(&self.bytes[self.used..])? else {
            return Ok(None);
        };
        self.used += length;
        let shared = frame.kind.is_shared();
        let descriptor = shared.then(|| self.descriptors.pop_front()).flatten();
        Ok(Some((frame, descriptor)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;
    use crate::worker::frame::{Kind, encode};

    fn frame(kind: Kind, id: u64) -> Vec<u8> {
        let body = 5_u64.to_le_bytes();
        encode(&Frame {
            kind,
            id,
            body: &body,
        })
        .unwrap()
    }

    #[test]
    fn descriptors_stay_with_their_frames() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let file = File::open("/proc/self/status").unwrap();
        for id in 0..12 {
            let shared = id % 3 == 0;
            let kind = if shared {
                Kind::ReplyShared
            } else {
                Kind::Reply
            };
            let bytes = frame(kind, id);
            // In two parts, as a full socket does it.
            assert_eq!(
                send(&ours, &bytes[..7], shared.then(|| file.as_fd())).unwrap(),
                7
            );
            assert_eq!(send(&ours, &bytes[7..], None).unwrap(), bytes.len() - 7);
        }
        drop(ours);
        let mut inbox = Inbox::default();
        let mut next = 0;
        while inbox.fill(&theirs).unwrap() == Filled::Some {
            while let Some((frame, descriptor)) = inbox.next().unwrap() {
                assert_eq!((frame.id, descriptor.is_some()), (next, next % 3 == 0));
                next += 1;
            }
        }
        assert_eq!(next, 12);
    }

    #[test]
    fn descriptors_without_frames_are_refused() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let file = File::open("/proc/self/status").unwrap();
        let mut inbox = Inbox::default();
        let mut results = Vec::new();
        for id in 0..=DESCRIPTORS_MAX as u64 {
            send(&ours, &frame(Kind::Reply, id), Some(file.as_fd())).unwrap();
            results.push(inbox.fill(&theirs).map_err(|error| error.kind()));
        }
        assert_eq!(results.pop(), Some(Err(ErrorKind::Malformed)));
        assert!(results.iter().all(|result| *result == Ok(Filled::Some)));
    }
}
