//! Numbers without a pattern, and numbers as text, both cheap: a page of a listing has thousands.

/// A number that follows from both and looks like neither (the mix of SplitMix64).
pub(crate) fn mix(seed: u64, n: u64) -> u64 {
    let mixed = seed ^ (n.wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Appends the lowest `digits` hexadecimal digits.
pub(crate) fn put_hex(out: &mut Vec<u8>, number: u64, digits: u32) {
    let mut text = [0; 16];
    for (at, digit) in text.iter_mut().enumerate() {
        *digit = DIGITS[(number >> (60 - 4 * at) & 15) as usize];
    }
    out.extend_from_slice(&text[16 - digits as usize..]);
}

/// Appends a number with at least `width` digits.
pub(crate) fn put_decimal(out: &mut Vec<u8>, mut number: u64, width: usize) {
    let mut text = [b'0'; 20];
    let mut at = text.len();
    while number > 0 || at == text.len() {
        at -= 1;
        text[at] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    let at = at.min(text.len() - width.min(text.len()));
    out.extend_from_slice(&text[at..]);
}

/// A hash of bytes (FNV-1a, mixed once more).
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mix(0, fnv)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_std_does() {
        for number in [0, 1, 9, 10, 15, 16, 4711, u64::from(u32::MAX), u64::MAX] {
            let mut text = Vec::new();
            put_hex(&mut text, number, 16);
            assert_eq!(text, format!("{number:016x}").as_bytes());
            for width in [0, 1, 4, 20] {
                text.clear();
                put_decimal(&mut text, number, width);
                assert_eq!(text, format!("{number:0width$}").as_bytes());
            }
        }
        let mut text = Vec::new();
        put_hex(&mut text, 0xabcdef, 4);
        assert_eq!(text, b"cdef");
    }
}
