//! The mirror's `bbolt::Database`: any bytes are a database or an error, keys rise, and there are no more of
//! them than there is room for. Checksums of the meta pages are made right in half of the runs: else no
//! input would reach what is behind them.

#![no_main]

use libfuzzer_sys::fuzz_target;

// The file alone: the mirror would have TLS and HTTP built with sanitizers.
#[path = "../../../apps/mirror/src/import/bbolt.rs"]
#[allow(unreachable_pub, reason = "it is public where it belongs")]
mod bbolt;

use bbolt::Database;

/// Of bytes 16 to 72 of a page, at the end of its meta.
fn sum(page: &mut [u8]) {
    if page.len() < 80 {
        return;
    }
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in &page[16..72] {
        hash ^= u64::from(*byte);
        hash = hash.wrapping_mul(0x0100_0000_01b3);
    }
    page[72..80].copy_from_slice(&hash.to_le_bytes());
}

fn read(bytes: &[u8]) -> Option<Vec<(Vec<u8>, usize)>> {
    let database = Database::open(bytes).ok()?;
    let mut entries = database.bucket(b"files").ok()?;
    let mut found: Vec<(Vec<u8>, usize)> = Vec::new();
    loop {
        match entries.advance() {
            Ok(true) => {}
            Ok(false) => return Some(found),
            Err(_) => return None,
        }
        let key = entries.key().to_vec();
        assert!(found.last().is_none_or(|(last, _)| *last < key));
        found.push((key, entries.value().len()));
        assert!(found.len() <= bytes.len() / 16);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((way, rest)) = bytes.split_first() else {
        return;
    };
    let mut rest = rest.to_vec();
    if way % 2 == 0 {
        sum(&mut rest);
        for page in [1024, 4096] {
            if let Some(page) = rest.get_mut(page..) {
                sum(page);
            }
        }
    }
    assert_eq!(read(&rest), read(&rest));
});
