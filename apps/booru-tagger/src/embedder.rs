//! The embedding of an image: a vector of length 1 whose inner products are similarities.

use anyhow::{Context, Result, bail, ensure};
use image::DynamicImage;

use crate::layout::{Order, layout};
use crate::preprocess::{self, Scheme};
use crate::runtime::{Model, Tensor};

/// Numbers of an embedding that was not asked for by its length, as in the original.
const USUAL_LENGTHS: std::ops::RangeInclusive<usize> = 512..=2048;

/// What kind of model it is, and so how it is fed.
///
/// # Errors
/// For a kind that is not known.
pub fn scheme(model_type: &str) -> Result<(Scheme, Order, u32)> {
    Ok(match model_type {
        "siglip" => (Scheme::Siglip, Order::Nchw, 384),
        "tagger" => (Scheme::CamieNhwc, Order::Nhwc, 448),
        "wd14" => (Scheme::Wd14, Order::Nhwc, 448),
        _ => bail!("{model_type:?} is no model_type; there are siglip, tagger and wd14"),
    })
}

/// The L2-normalised embedding. `side` is for a model that leaves it open.
///
/// # Errors
/// Where the model is of another kind, has no such output, or fails.
pub fn embed(
    model: &mut dyn Model,
    image: &DynamicImage,
    model_type: &str,
    side: Option<u32>,
    length: Option<usize>,
) -> Result<Vec<f32>> {
    let (scheme, order, usual_side) = scheme(model_type)?;
    let layout = layout(model.input_shape())?;
    ensure!(
        layout.order == order,
        "a model of the type {model_type} has an input in the order {order:?}, this one in {:?}",
        layout.order
    );
    if let (Some(own), Some(asked)) = (layout.side, side)
        && own != asked
    {
        bail!("image_size {asked} is asked for, and the model takes {own} alone");
    }
    let side = layout.side.or(side).unwrap_or(usual_side);
    ensure!(
        (1..=4096).contains(&side),
        "image_size {side} is not from 1 to 4096"
    );
    let outputs = model
        .run(preprocess::tensor(image, side, scheme))
        .context("run the embedder")?;
    normalise(choose(outputs, length)?)
}

fn choose(outputs: Vec<Tensor>, length: Option<usize>) -> Result<Vec<f32>> {
    let lengths: Vec<usize> = outputs.iter().map(|output| output.data.len()).collect();
    let exact = lengths.iter().position(|found| Some(*found) == length);
    let place = exact.or_else(|| {
        lengths
            .iter()
            .position(|found| USUAL_LENGTHS.contains(found))
    });
    let place = place.with_context(|| {
        format!(
            "the model's outputs have {lengths:?} numbers: none has embedding_dim ({}) or from 512 to 2048",
            length.map_or("not given".to_owned(), |length| length.to_string())
        )
    })?;
    let mut outputs = outputs;
    Ok(outputs.swap_remove(place).data)
}

fn normalise(mut numbers: Vec<f32>) -> Result<Vec<f32>> {
    let squares = numbers.iter().map(|number| f64::from(*number).powi(2));
    let norm = squares.sum::<f64>().sqrt();
    ensure!(
        norm.is_finite() && norm > 0.0,
        "the model's output has the norm {norm}, so it has no direction"
    );
    for number in &mut numbers {
        *number = (f64::from(*number) / norm) as f32;
    }
    Ok(numbers)
}
