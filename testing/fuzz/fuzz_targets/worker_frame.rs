//! `worker::frame`: what is decoded is encoded to the same bytes, a cut frame asks for more, and no
//! input has it read past the longest frame.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::worker::frame::{FRAME_MAX, decode, encode};

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    loop {
        match decode(rest) {
            Ok(Some((frame, used))) => {
                let encoded = encode(&frame).expect("a body that was decoded is short enough");
                assert_eq!(encoded, rest[..used]);
                assert!(matches!(decode(&rest[..used - 1]), Ok(None)));
                rest = &rest[used..];
            }
            Ok(None) => {
                assert!(rest.len() < FRAME_MAX);
                break;
            }
            Err(_) => {
                // More bytes don't mend it.
                assert!(decode(&[rest, &[0; 20]].concat()).is_err());
                break;
            }
        }
    }
});
