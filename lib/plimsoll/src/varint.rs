//! Whole numbers in as few bytes as they need: seven bits a byte, the least significant first, the
//! high bit set on all bytes but the last. 1 byte below 128, 2 below 16,384, at most 5.

/// The most bytes that one number takes.
pub(crate) const VARINT_BYTES_MAX: usize = 5;

/// Appends `value`.
pub(crate) fn put_varint(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// How many bytes [`put_varint`] appends for `value`.
pub(crate) fn varint_len(value: u32) -> usize {
    match value {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        0x20_0000..=0xfff_ffff => 4,
        _ => VARINT_BYTES_MAX,
    }
}

/// Takes the number at `position` and moves on; `None` if the bytes end in it or it is no `u32`.
#[inline]
pub(crate) fn take_varint(bytes: &[u8], position: &mut usize) -> Option<u32> {
    let first = *bytes.get(*position)?;
    *position += 1;
    if first < 0x80 {
        return Some(u32::from(first));
    }
    if let Some(&second) = bytes.get(*position)
        && second < 0x80
    {
        *position += 1;
        return Some(u32::from(first & 0x7f) | u32::from(second) << 7);
    }
    take_rest(bytes, position, first)
}

/// The bytes behind a first one, of which there are two or more.
fn take_rest(bytes: &[u8], position: &mut usize, first: u8) -> Option<u32> {
    let mut value = u32::from(first & 0x7f);
    let mut shift = 7;
    loop {
        let byte = *bytes.get(*position)?;
        *position += 1;
        let bits = u32::from(byte & 0x7f);
        if shift == 28 && byte > 0x0f {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Some(value);
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_take_the_bytes_that_are_told() {
        let mut numbers = vec![0, u32::MAX];
        numbers.extend((0..32).flat_map(|bit| [(1_u32 << bit) - 1, 1 << bit, (1 << bit) + 1]));
        let mut bytes = Vec::new();
        for &number in &numbers {
            let before = bytes.len();
            put_varint(&mut bytes, number);
            assert_eq!(bytes.len() - before, varint_len(number), "{number}");
        }
        let mut position = 0;
        for &number in &numbers {
            assert_eq!(take_varint(&bytes, &mut position), Some(number));
        }
        assert_eq!(take_varint(&bytes, &mut position), None);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let check = |bytes: &[u8]| assert_eq!(take_varint(bytes, &mut 0), None, "{bytes:?}");
        check(&[]);
        check(&[0x80]);
        check(&[0xff, 0xff, 0xff, 0xff, 0x10]);
        check(&[0xff, 0xff, 0xff, 0xff, 0xff]);
    }
}
