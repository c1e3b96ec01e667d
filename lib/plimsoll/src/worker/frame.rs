//! The frames between a supervisor and its worker, as pure functions of bytes.
//!
//! A frame is a length (`u32`, little endian, of what follows), a kind (`u8`), the id of a call (`u64`,
//! little endian) and a body of at most [`BODY_MAX`]. What is longer travels in a memfd beside the
//! frame, whose body is then the length as `u64`. Decoding borrows from the input and allocates
//! nothing, whatever length a frame claims.

use crate::error::{Error, ErrorKind};

/// The longest body: a frame is held whole on both sides, and each call in flight may have one.
pub const BODY_MAX: usize = 64 << 10;

const LENGTH_BYTES: usize = 4;
const HEAD_BYTES: usize = 9;

/// The longest frame, its length prefix included.
pub const FRAME_MAX: usize = LENGTH_BYTES + HEAD_BYTES + BODY_MAX;

/// What a frame says. Below 16 to the worker, from 16 on to the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Kind {
    /// Do this.
    Request = 1,
    /// Do what is in the memfd that comes along.
    RequestShared = 2,
    /// Nobody waits for that call any more; answer it soon, with anything.
    Cancel = 3,
    /// Finish the call that runs, then end.
    Shutdown = 4,
    /// Answer with [`Kind::Pong`].
    Ping = 5,
    /// The call has begun; if the worker dies now, it was this call.
    Started = 16,
    /// The answer to a call.
    Reply = 17,
    /// The answer is in the memfd that comes along.
    ReplyShared = 18,
    /// The call failed; the body is text.
    Failure = 19,
    /// A message about a call that runs.
    Progress = 20,
    /// The answer to [`Kind::Ping`].
    Pong = 21,
}

impl Kind {
    const ALL: [Kind; 11] = [
        Kind::Request,
        Kind::RequestShared,
        Kind::Cancel,
        Kind::Shutdown,
        Kind::Ping,
        Kind::Started,
        Kind::Reply,
        Kind::ReplyShared,
        Kind::Failure,
        Kind::Progress,
        Kind::Pong,
    ];

    fn from_code(code: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u8 == code)
    }

    /// Whether a memfd comes along.
    #[must_use]
    pub fn is_shared(self) -> bool {
        matches!(self, Kind::RequestShared | Kind::ReplyShared)
    }
}

/// One frame; 32 bytes, its body borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it says.
    pub kind: Kind,
    /// The call that it is about.
    pub id: u64,
    /// At most [`BODY_MAX`].
    pub body: &'a [u8],
}

/// The bytes of a frame.
///
/// # Errors
/// [`ErrorKind::Invalid`] for a body above [`BODY_MAX`].
pub fn encode(frame: &Frame<'_>) -> Result<Vec<u8>, Error> {
    if frame.body.len() > BODY_MAX {
        let text = format!(
            "send a frame of {} bytes to or from a worker: at most {BODY_MAX} are possible",
            frame.body.len()
        );
        return Err(Error::new(ErrorKind::Invalid, text));
    }
    let length = HEAD_BYTES + frame.body.len();
    let mut bytes = Vec::with_capacity(LENGTH_BYTES + length);
    let length = u32::try_from(length).expect("BODY_MAX is far below 4 GiB");
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.push(frame.kind as u8);
    bytes.extend_from_slice(&frame.id.to_le_bytes());
    bytes.extend_from_slice(frame.body);
    Ok(bytes)
}

/// The first frame of `bytes` and how many bytes it takes; `None` when more bytes are needed, never
/// more than [`FRAME_MAX`].
///
/// # Errors
/// [`ErrorKind::Malformed`] where no continuation could be a frame.
pub fn decode(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, Error> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(*prefix);
    let fits = usize::try_from(length)
        .ok()
        .filter(|length| (HEAD_BYTES..=HEAD_BYTES + BODY_MAX).contains(length));
    let Some(length) = fits else {
        return Err(malformed(format!("its length is said to be {length}")));
    };
    let kind = match rest.first() {
        None => return Ok(None),
        Some(code) => Kind::from_code(*code)
            .ok_or_else(|| malformed(format!("{code} is the code of no kind")))?,
    };
    if kind.is_shared() && length != HEAD_BYTES + 8 {
        return Err(malformed(format!("{kind:?} of {length} bytes")));
    }
    let Some(whole) = rest.get(1..length) else {
        return Ok(None);
    };
    let Some((id, body)) = whole.split_first_chunk::<8>() else {
        return Ok(None);
    };
    let frame = Frame {
        kind,
        id: u64::from_le_bytes(*id),
        body,
    };
    Ok(Some((frame, LENGTH_BYTES + length)))
}

fn malformed(what: String) -> Error {
    Error::new(
        ErrorKind::Malformed,
        format!("read a frame of a worker: {what}"),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: Kind, body: &[u8]) -> Vec<u8> {
        encode(&Frame { kind, id: 7, body }).unwrap()
    }

    #[test]
    fn hostile_frames() {
        let check = |bytes: &[u8], expected: &str| {
            let error = decode(bytes).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed);
            assert!(error.to_string().contains(expected), "{error}");
        };
        check(&[0xff; 4], "4294967295");
        check(&[0; 4], "said to be 0");
        check(&[8, 0, 0, 0], "said to be 8");
        check(&(9 + (64 << 10) + 1_u32).to_le_bytes(), "65546");
        check(&[9, 0, 0, 0, 0], "0 is the code");
        check(&[9, 0, 0, 0, 22], "22 is the code");
        check(&frame(Kind::ReplyShared, b"short"), "ReplyShared of 14");
        let long = vec![0; BODY_MAX + 1];
        let error = encode(&Frame {
            kind: Kind::Reply,
            id: 0,
            body: &long,
        })
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert_eq!(frame(Kind::Reply, &long[1..]).len(), FRAME_MAX);
    }

    proptest! {
        #[test]
        fn frames_come_back(
            code in 0..Kind::ALL.len(),
            id: u64,
            body in proptest::collection::vec(any::<u8>(), 0..300),
            behind in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let kind = Kind::ALL[code];
            let body = if kind.is_shared() { id.to_le_bytes().to_vec() } else { body };
            let frame = Frame { kind, id, body: &body };
            let mut bytes = encode(&frame).unwrap();
            let length = bytes.len();
            for cut in 0..length {
                prop_assert_eq!(decode(&bytes[..cut]).unwrap(), None);
            }
            bytes.extend(behind);
            prop_assert_eq!(decode(&bytes).unwrap(), Some((frame, length)));
        }

        #[test]
        fn any_bytes(
            length in prop_oneof![0..70_000_u32, any::<u32>()],
            rest in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let bytes = [&length.to_le_bytes()[..], &rest].concat();
            if let Ok(Some((frame, used))) = decode(&bytes) {
                prop_assert_eq!(encode(&frame).unwrap(), &bytes[..used]);
            }
        }
    }
}
