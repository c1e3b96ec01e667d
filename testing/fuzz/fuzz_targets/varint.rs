//! Varints of dictionaries and postings, their very source: a number that is taken and put again is
//! read as itself and takes what it is told to take; none is read past the end.

#![no_main]

#[path = "../../../lib/plimsoll/src/varint.rs"]
mod varint;

use libfuzzer_sys::fuzz_target;
use varint::{VARINT_BYTES_MAX, put_varint, take_varint, varint_len};

fuzz_target!(|bytes: &[u8]| {
    let mut position = 0;
    loop {
        let before = position;
        let taken = take_varint(bytes, &mut position);
        assert!(position <= bytes.len());
        assert!(position - before <= VARINT_BYTES_MAX);
        let Some(number) = taken else { break };
        let mut put = Vec::new();
        put_varint(&mut put, number);
        // The same number may have been written with zeros behind it.
        assert!(put.len() <= position - before);
        assert_eq!(put.len(), varint_len(number));
        let mut end = 0;
        assert_eq!(take_varint(&put, &mut end), Some(number));
        assert_eq!(end, put.len());
        for cut in 0..put.len() {
            assert_eq!(take_varint(&put[..cut], &mut 0), None);
        }
    }
});
