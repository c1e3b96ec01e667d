//! Whole numbers in as few bytes as they need: seven bits a byte, the least significant first.

use anyhow::{Result, bail};

/// Appends a number, 1 to 10 bytes.
pub(crate) fn put_number(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Takes a number from the front.
pub(crate) fn take_number(from: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let Some((&byte, rest)) = from.split_first() else {
            bail!("a number is cut off");
        };
        *from = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            break;
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    bail!("a number is longer than 64 bits");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for bit in 0..64 {
            for value in [(1_u64 << bit) - 1, 1 << bit, u64::MAX - bit] {
                let mut bytes = Vec::new();
                put_number(&mut bytes, value);
                let mut from = &bytes[..];
                assert_eq!(take_number(&mut from).unwrap(), value);
                assert!(from.is_empty());
                assert!(take_number(&mut &bytes[..bytes.len() - 1]).is_err());
            }
        }
        assert!(take_number(&mut &[0xff; 10][..]).is_err());
        assert!(take_number(&mut &[0xff; 20][..]).is_err());
    }
}
