//! `Dictionary::read_from`: any bytes are a dictionary or an error, and what is a dictionary is
//! written again to what reads the same. Checksums are made right in half of the runs: else no input
//! would reach what is behind them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::dictionary::Dictionary;

/// Of the crate `crc`, not the library's own.
fn sum(bytes: &[u8]) -> [u8; 4] {
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    crc.checksum(bytes).to_le_bytes()
}

/// A header and frames around the bytes, with the checksums that hold.
fn framed(bytes: &[u8]) -> Vec<u8> {
    let Some((head, mut rest)) = bytes.split_at_checked(4) else {
        return Vec::new();
    };
    let mut summed = b"plimdict\x01\0\0\0".to_vec();
    // Few strings: more than a frame has is refused at once.
    summed.extend_from_slice(&[head[0], head[1] & 1, 0, 0]);
    let mut stored = summed.clone();
    stored.extend_from_slice(&sum(&summed));
    let frame_bytes = 1 + usize::from(head[2]);
    loop {
        let frame;
        (frame, rest) = rest.split_at(frame_bytes.min(rest.len()));
        let len = (frame.len() as u32).to_le_bytes();
        for part in [&len[..], frame] {
            summed.extend_from_slice(part);
            stored.extend_from_slice(part);
        }
        stored.extend_from_slice(&sum(&summed));
        if frame.is_empty() {
            return stored;
        }
    }
}

fn check(bytes: &[u8]) {
    let Ok(dictionary) = Dictionary::read_from(bytes) else {
        return;
    };
    let view = dictionary.view();
    let mut written = Vec::new();
    dictionary.write_to(&mut written).expect("a Vec takes all");
    let again = Dictionary::read_from(written.as_slice()).expect("what was written is read");
    let mut walk = view.walk("");
    let mut count = 0;
    while let Some((id, text)) = walk.next_term() {
        assert_eq!(again.id(text), Some(id));
        assert_eq!(dictionary.id(text), Some(id));
        count += 1;
    }
    assert_eq!((count, again.len()), (dictionary.len(), dictionary.len()));
}

fuzz_target!(|bytes: &[u8]| {
    match bytes {
        [way, rest @ ..] if way % 2 == 0 => check(rest),
        [_, rest @ ..] => check(&framed(rest)),
        [] => check(&[]),
    }
});
