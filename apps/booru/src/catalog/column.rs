//! A whole number, or none, for each image. Memory: 4 bytes an image, 8 once a number needs them.

use super::room;

/// Numbers by image.
#[derive(Clone, Debug)]
pub(super) struct Column(Width);

#[derive(Clone, Debug)]
enum Width {
    Narrow(Vec<i32>),
    Wide(Vec<i64>),
}

const NARROW_NONE: i32 = i32::MIN;
const WIDE_NONE: i64 = i64::MIN;

impl Default for Column {
    fn default() -> Column {
        Column(Width::Narrow(Vec::new()))
    }
}

impl Column {
    /// The least number there is becomes the one above it: its place means that there is none.
    pub(super) fn push(&mut self, number: Option<i64>) {
        self.widen_for(number);
        match &mut self.0 {
            Width::Narrow(numbers) => {
                room::make(numbers, 1);
                numbers.push(narrow(number).unwrap_or(NARROW_NONE));
            }
            Width::Wide(numbers) => {
                room::make(numbers, 1);
                numbers.push(wide(number));
            }
        }
    }

    pub(super) fn set(&mut self, image: u32, number: Option<i64>) {
        self.widen_for(number);
        match &mut self.0 {
            Width::Narrow(numbers) => {
                numbers[image as usize] = narrow(number).unwrap_or(NARROW_NONE);
            }
            Width::Wide(numbers) => numbers[image as usize] = wide(number),
        }
    }

    fn widen_for(&mut self, number: Option<i64>) {
        if let Width::Narrow(numbers) = &self.0
            && number.is_some()
            && narrow(number).is_none()
        {
            let widen = |number: &i32| match *number {
                NARROW_NONE => WIDE_NONE,
                number => i64::from(number),
            };
            self.0 = Width::Wide(numbers.iter().map(widen).collect());
        }
    }

    /// The number of an image.
    #[must_use]
    pub(super) fn get(&self, image: u32) -> Option<i64> {
        match &self.0 {
            Width::Narrow(numbers) => {
                let number = numbers[image as usize];
                (number != NARROW_NONE).then_some(i64::from(number))
            }
            Width::Wide(numbers) => {
                let number = numbers[image as usize];
                (number != WIDE_NONE).then_some(number)
            }
        }
    }

    pub(super) fn shrink(&mut self) {
        match &mut self.0 {
            Width::Narrow(numbers) => numbers.shrink_to_fit(),
            Width::Wide(numbers) => numbers.shrink_to_fit(),
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        match &self.0 {
            Width::Narrow(numbers) => numbers.capacity() * 4,
            Width::Wide(numbers) => numbers.capacity() * 8,
        }
    }
}

fn narrow(number: Option<i64>) -> Option<i32> {
    let number = i32::try_from(number?).ok()?;
    (number != NARROW_NONE).then_some(number)
}

fn wide(number: Option<i64>) -> i64 {
    number.map_or(WIDE_NONE, |number| number.max(WIDE_NONE + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_whatever_their_size() {
        let numbers = [
            Some(1),
            None,
            Some(-5),
            Some(i64::from(i32::MAX)),
            Some(i64::from(i32::MIN)),
            None,
            Some(i64::MAX),
        ];
        for end in 0..=numbers.len() {
            let mut column = Column::default();
            numbers[..end]
                .iter()
                .for_each(|number| column.push(*number));
            for (image, number) in numbers[..end].iter().enumerate() {
                assert_eq!(column.get(image as u32), *number);
            }
        }
        let mut column = Column::default();
        column.push(Some(1));
        column.push(None);
        column.set(0, Some(1 << 40));
        assert_eq!((column.get(0), column.get(1)), (Some(1 << 40), None));
    }
}
