//! How a model wants its image, from the shape of its input.

use anyhow::{Result, bail};

/// Sides above this are no image classifier's.
const SIDE_MAX: usize = 4096;

/// The order of axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Image, channel, row, column.
    Nchw,
    /// Image, row, column, channel.
    Nhwc,
}

/// Order of axes, and the side of the square where the model says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The order of axes.
    pub order: Order,
    /// Pixels; `None` for a model that takes any.
    pub side: Option<u32>,
}

/// Reads the layout off the input's `shape`.
///
/// # Errors
/// Where it is not one image of three channels, or no square.
pub fn layout(shape: &[Option<usize>]) -> Result<Layout> {
    let shown = || {
        let axes: Vec<_> = shape
            .iter()
            .map(|axis| axis.map_or("?".to_owned(), |length| length.to_string()))
            .collect();
        format!("[{}]", axes.join(", "))
    };
    let (order, rows, columns) = match shape {
        [None | Some(1), Some(3), rows, columns] => (Order::Nchw, *rows, *columns),
        [None | Some(1), rows, columns, Some(3)] => (Order::Nhwc, *rows, *columns),
        _ => bail!(
            "the model's input is {}; [1, 3, S, S] or [1, S, S, 3] is what an image fits",
            shown()
        ),
    };
    if let (Some(rows), Some(columns)) = (rows, columns)
        && rows != columns
    {
        bail!("the model's input is {}, which is no square", shown());
    }
    let side = match rows.or(columns) {
        Some(side) if (1..=SIDE_MAX).contains(&side) => u32::try_from(side).ok(),
        Some(_) => bail!(
            "the model's input is {}; {SIDE_MAX} is the largest side",
            shown()
        ),
        None => None,
    };
    Ok(Layout { order, side })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts() {
        let check = |shape: &[Option<usize>], order, side| {
            assert_eq!(layout(shape).unwrap(), Layout { order, side });
        };
        check(
            &[Some(1), Some(3), Some(512), Some(512)],
            Order::Nchw,
            Some(512),
        );
        check(
            &[None, Some(448), Some(448), Some(3)],
            Order::Nhwc,
            Some(448),
        );
        check(&[None, Some(3), None, None], Order::Nchw, None);
        let refuse = |shape: &[Option<usize>], part: &str| {
            let text = layout(shape).unwrap_err().to_string();
            assert!(text.contains(part), "{text}");
        };
        refuse(&[Some(1), Some(4), Some(8), Some(8)], "[1, 4, 8, 8]");
        refuse(&[Some(2), Some(3), Some(8), Some(8)], "[2, 3, 8, 8]");
        refuse(&[Some(1), Some(3), Some(8), Some(9)], "no square");
        refuse(&[Some(1), None], "[1, ?]");
        refuse(&[None, Some(3), Some(100_000), None], "largest side");
    }
}
