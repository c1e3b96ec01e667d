//! Tags of an image: probabilities by a Camie or a WD14 model, sorted by category and threshold.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use image::DynamicImage;
use plimsoll_booru_worker_protocol::message::Tagging;
use serde::Serialize;

use crate::layout::{Order, layout};
use crate::preprocess::{self, Scheme};
use crate::runtime::{Model, Tensor};
use crate::sidecar::{Family, Sidecar};

/// Side where neither model nor sidecar says one: what the families were trained with.
const CAMIE_SIDE: u32 = 512;
const WD14_SIDE: u32 = 448;

/// The result of `tag_image`.
#[derive(Debug, Serialize)]
pub struct Tags {
    /// By category, all six of the original's: those above the thresholds, the most certain first.
    pub tags: BTreeMap<&'static str, Vec<String>>,
    /// From the storage threshold on, the most certain first; ratings are not among them.
    pub all_predictions: Vec<Prediction>,
    /// New: every rating of a model that has them.
    pub ratings: Vec<Prediction>,
    /// The model's name.
    pub tagger_name: String,
}

/// One tag and how certain it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// As the sidecar writes it.
    pub tag_name: String,
    /// Of the original's six, or `rating`.
    pub category: &'static str,
    /// From 0 to 1.
    pub confidence: f32,
}

/// How a tagger is fed: what model and sidecar say together.
#[derive(Clone, Copy, Debug)]
pub struct Feed {
    scheme: Scheme,
    side: u32,
    /// Whether the model leaves open how many images it takes at once.
    pub takes_batches: bool,
}

impl Feed {
    /// Reads it off the model's input and the sidecar.
    ///
    /// # Errors
    /// Where the two do not fit each other.
    pub fn new(model: &dyn Model, sidecar: &Sidecar) -> Result<Feed> {
        let layout = layout(model.input_shape())?;
        let (scheme, usual_side) = match (sidecar.family, layout.order) {
            (Family::Camie, Order::Nchw) => (Scheme::Camie, CAMIE_SIDE),
            (Family::Wd14, Order::Nhwc) => (Scheme::Wd14, WD14_SIDE),
            (family, order) => bail!(
                "the names of tags are {family:?}'s, and the model's input is {order:?}: Camie is Nchw with \
                 a .json, Wd14 is Nhwc with a .csv; is metadata_path another model's?"
            ),
        };
        Ok(Feed {
            scheme,
            side: layout.side.or(sidecar.side).unwrap_or(usual_side),
            takes_batches: model.input_shape().first() == Some(&None),
        })
    }

    /// `image` as the model takes it. O(pixels); 12 bytes a pixel of the model's square.
    #[must_use]
    pub fn tensor(&self, image: &DynamicImage) -> Tensor {
        preprocess::tensor(image, self.side, self.scheme)
    }
}

/// Tags `image`. O(pixels + tags), beside the model's own work.
///
/// # Errors
/// Where model and sidecar do not fit each other, or the model fails.
pub fn tag(
    model: &mut dyn Model,
    sidecar: &Sidecar,
    image: &DynamicImage,
    tagging: &Tagging,
) -> Result<Tags> {
    let input = Feed::new(model, sidecar)?.tensor(image);
    let mut tags = infer(model, sidecar, input, tagging)?;
    tags.pop().context("the model has no answer")
}

/// Tags of each image that stands in `input`, one behind the other on its first axis.
///
/// # Errors
/// Where the model fails, or its answer is not one of so many images.
pub fn infer(
    model: &mut dyn Model,
    sidecar: &Sidecar,
    input: Tensor,
    tagging: &Tagging,
) -> Result<Vec<Tags>> {
    let images = input.shape.first().copied().unwrap_or(0);
    let outputs = model.run(input).context("run the tagger")?;
    let probabilities = probabilities(outputs, sidecar, images)?;
    let each = probabilities.chunks_exact(sidecar.tags.len());
    Ok(each.map(|one| sort(sidecar, one, tagging)).collect())
}

fn probabilities(mut outputs: Vec<Tensor>, sidecar: &Sidecar, images: usize) -> Result<Vec<f32>> {
    // Camie's second output is the refined one.
    let place = match sidecar.family {
        Family::Camie if outputs.len() > 1 => 1,
        _ => 0,
    };
    ensure!(!outputs.is_empty(), "the model has no output");
    ensure!(!sidecar.tags.is_empty(), "the sidecar names no tags");
    let mut numbers = outputs.swap_remove(place).data;
    let (found, named) = (numbers.len(), sidecar.tags.len());
    ensure!(
        found == named * images,
        "the model tells {found} numbers, and {named} tags have names, of {images} images; is the sidecar \
         another model's?"
    );
    if sidecar.family == Family::Camie {
        for number in &mut numbers {
            *number = 1.0 / (1.0 + (-*number).exp());
        }
    }
    if let Some(number) = numbers.iter().find(|number| !(0.0..=1.0).contains(*number)) {
        bail!("the model tells {number}, which is no probability from 0 to 1");
    }
    Ok(numbers)
}

fn sort(sidecar: &Sidecar, probabilities: &[f32], tagging: &Tagging) -> Tags {
    let categories = [
        "general",
        "character",
        "copyright",
        "artist",
        "meta",
        "species",
    ];
    let mut found = Tags {
        tags: categories.map(|category| (category, Vec::new())).into(),
        all_predictions: Vec::new(),
        ratings: Vec::new(),
        tagger_name: sidecar.tagger_name.clone(),
    };
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|a, b| {
        probabilities[*b]
            .total_cmp(&probabilities[*a])
            .then(a.cmp(b))
    });
    for index in order {
        let (name, category) = &sidecar.tags[index];
        let confidence = probabilities[index];
        let prediction = || Prediction {
            tag_name: name.to_string(),
            category,
            confidence,
        };
        if *category == "rating" || name.starts_with("rating") {
            found.ratings.push(prediction());
            continue;
        }
        let threshold = match *category {
            "character" => tagging.character_threshold,
            _ => tagging.threshold,
        };
        if confidence >= threshold
            && let Some(names) = found.tags.get_mut(category)
        {
            names.push(name.to_string());
        }
        if confidence >= tagging.storage_threshold {
            found.all_predictions.push(prediction());
        }
    }
    found
}
