//! Frames: a length (`u32`, big endian, of what follows) and as many bytes of JSON.
//!
//! The original sets no maximum; here it is [`BODY_MAX`], above which nothing is allocated. A body
//! grows as it arrives, so a length that is only claimed costs nothing.

use std::io::{self, Read, Write};

/// The longest body: an embedding or all predictions of a tagger take some hundred KiB, and a batch
/// of a thousand images some tens of MiB.
pub const BODY_MAX: usize = 64 << 20;

const LENGTH_BYTES: usize = 4;
/// The first claim on memory for a body.
const FIRST_BYTES: usize = 64 << 10;

/// Writes one frame.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] above [`BODY_MAX`]; what the writer says.
pub fn write(mut to: impl Write, body: &[u8]) -> io::Result<()> {
    if body.len() > BODY_MAX {
        let text = format!(
            "a frame of {} bytes: at most {BODY_MAX} are possible",
            body.len()
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let length = u32::try_from(body.len()).expect("BODY_MAX is below 4 GiB");
    // One write, so that a small frame is one packet.
    let mut bytes = Vec::with_capacity(LENGTH_BYTES + body.len());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(body);
    to.write_all(&bytes)
}

/// Reads one frame; `None` at an end between two frames.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] for a length above [`BODY_MAX`],
/// [`io::ErrorKind::UnexpectedEof`] for an end inside a frame; what the reader says.
pub fn read(mut from: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut prefix = [0; LENGTH_BYTES];
    let mut held = 0;
    while held < LENGTH_BYTES {
        match from.read(&mut prefix[held..]) {
            Ok(0) if held == 0 => return Ok(None),
            Ok(0) => return Err(cut_off()),
            Ok(read) => held += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let length = u32::from_be_bytes(prefix) as usize;
    if length > BODY_MAX {
        let text = format!("its length is said to be {length} bytes, the maximum is {BODY_MAX}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut body = Vec::with_capacity(length.min(FIRST_BYTES));
    from.take(length as u64).read_to_end(&mut body)?;
    match body.len() == length {
        true => Ok(Some(body)),
        false => Err(cut_off()),
    }
}

fn cut_off() -> io::Error {
    let text = "the other side ended inside a frame";
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hostile_frames() {
        let check = |bytes: &[u8], expected: io::ErrorKind| {
            assert_eq!(read(bytes).unwrap_err().kind(), expected, "{bytes:?}");
        };
        check(&[0, 0], io::ErrorKind::UnexpectedEof);
        check(&[0, 0, 0, 2, b'{'], io::ErrorKind::UnexpectedEof);
        check(&[4, 0, 0, 1], io::ErrorKind::InvalidData);
        check(&[255; 9], io::ErrorKind::InvalidData);
        assert!(read(&[][..]).unwrap().is_none());
        assert_eq!(read(&[0; 4][..]).unwrap(), Some(Vec::new()));
        // 64 MiB claimed, three bytes sent.
        check(&[4, 0, 0, 0, 1, 2, 3], io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn the_length_is_big_endian() {
        let mut bytes = Vec::new();
        write(&mut bytes, &[7; 258]).unwrap();
        assert_eq!(bytes[..5], [0, 0, 1, 2, 7]);
        let error = write(io::sink(), &vec![0; BODY_MAX + 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..5)) {
            let mut bytes = Vec::new();
            for body in &bodies {
                write(&mut bytes, body).unwrap();
            }
            let mut from = &bytes[..];
            for body in &bodies {
                let found = read(&mut from).unwrap();
                prop_assert_eq!(found.as_ref(), Some(body));
            }
            prop_assert!(read(&mut from).unwrap().is_none());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut from = &bytes[..];
            while let Ok(Some(body)) = read(&mut from) {
                prop_assert!(body.len() <= bytes.len());
                let _ = crate::message::Request::parse(&body);
            }
        }
    }
}
