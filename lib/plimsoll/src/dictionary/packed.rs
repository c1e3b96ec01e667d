//! A fixed number of whole numbers, each in as many bits as the greatest of them needs.
//!
//! Memory: `len * bits / 8` bytes rounded up to 8, and 24 for the value itself. Reading one is a
//! shift over at most two words.

/// Numbers of `bits` bits each, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct PackedInts {
    words: Box<[u64]>,
    bits: u32,
}

impl PackedInts {
    /// `len` zeros with room for numbers up to `max`.
    pub(crate) fn zeros(len: usize, max: u64) -> PackedInts {
        let bits = (u64::BITS - max.leading_zeros()).max(1);
        let words = (len * bits as usize).div_ceil(64);
        PackedInts {
            words: vec![0; words].into_boxed_slice(),
            bits,
        }
    }

    pub(crate) fn from_numbers(numbers: &[u64]) -> PackedInts {
        let max = numbers.iter().copied().max().unwrap_or(0);
        let mut packed = PackedInts::zeros(numbers.len(), max);
        for (index, &number) in numbers.iter().enumerate() {
            packed.fill(index, number);
        }
        packed
    }

    /// Puts a number where a zero is; one that is there already would be mixed with it.
    pub(crate) fn fill(&mut self, index: usize, number: u64) {
        let (word, shift) = self.place(index);
        self.words[word] |= number << shift;
        if shift + self.bits > 64 {
            self.words[word + 1] |= number >> (64 - shift);
        }
    }

    /// The number at `index`, which must be below the length that it was made with.
    pub(crate) fn get(&self, index: usize) -> u64 {
        let (word, shift) = self.place(index);
        let mut number = self.words[word] >> shift;
        if shift + self.bits > 64 {
            number |= self.words[word + 1] << (64 - shift);
        }
        number & (u64::MAX >> (64 - self.bits))
    }

    fn place(&self, index: usize) -> (usize, u32) {
        let bit = index * self.bits as usize;
        (bit / 64, (bit % 64) as u32)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_widths_come_back() {
        for bits in 1..=64_u32 {
            let max = u64::MAX >> (64 - bits);
            let numbers: Vec<u64> = (0..200_u64)
                .map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) & max)
                .chain([max, 0, max])
                .collect();
            let packed = PackedInts::from_numbers(&numbers);
            for (index, &number) in numbers.iter().enumerate() {
                assert_eq!(packed.get(index), number, "{bits} bits, index {index}");
            }
            assert_eq!(packed.heap_bytes(), (203 * bits as usize).div_ceil(64) * 8);
        }
    }
}
