//! CRC-32 of ISO-HDLC (that of zip and PNG): finds every change of up to 32 bits in a row, and all
//! but one in 4 billion others. Eight bytes a step. Memory: tables of 8 KiB in the program.

/// Bytes a step.
const WIDTH: usize = 8;

/// `TABLES[n][byte]`: the sum of `byte` followed by `n` zero bytes.
static TABLES: [[u32; 256]; WIDTH] = tables();

const fn tables() -> [[u32; 256]; WIDTH] {
    let mut tables = [[0; 256]; WIDTH];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = (value >> 1) ^ (0xedb8_8320 * (value & 1));
            bit += 1;
        }
        tables[0][byte] = value;
        byte += 1;
    }
    let mut at = 1;
    while at < WIDTH {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[at - 1][byte];
            tables[at][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        at += 1;
    }
    tables
}

/// The sum of what it was shown so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checksum(u32);

impl Checksum {
    pub(crate) fn new() -> Checksum {
        Checksum(u32::MAX)
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        let (wide, rest) = bytes.as_chunks::<WIDTH>();
        for chunk in wide {
            let mut mixed = *chunk;
            for (byte, sum) in mixed.iter_mut().zip(self.0.to_le_bytes()) {
                *byte ^= sum;
            }
            let tables = TABLES.iter().rev();
            self.0 = tables
                .zip(mixed)
                .fold(0, |sum, (table, byte)| sum ^ table[usize::from(byte)]);
        }
        for byte in rest {
            let index = (self.0 ^ u32::from(*byte)) & 0xff;
            self.0 = (self.0 >> 8) ^ TABLES[0][index as usize];
        }
    }

    pub(crate) fn sum(self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_known_one() {
        let mut sum = Checksum::new();
        sum.add(b"12345");
        sum.add(b"6789");
        assert_eq!(sum.sum(), 0xcbf4_3926);
        assert_eq!(Checksum::new().sum(), 0);
    }

    #[test]
    fn cuts_do_not_matter() {
        let bytes: Vec<u8> = (0..200_u32).map(|n| (n * 31 % 251) as u8).collect();
        let mut single = Checksum::new();
        bytes.iter().for_each(|byte| single.add(&[*byte]));
        for cut in 0..bytes.len() {
            let mut sum = Checksum::new();
            sum.add(&bytes[..cut]);
            sum.add(&bytes[cut..]);
            assert_eq!(sum.sum(), single.sum(), "cut at {cut}");
        }
    }
}
