//! What a worker answers, as far as the board needs it; checked here, since a worker may be the original's
//! or anybody's.

use anyhow::{Context, Result, ensure};
use plimsoll_booru_worker_protocol::message::Cause;
use serde::Deserialize;
use serde_json::Value;

use crate::edit::check_name;
use crate::query::Category;

/// Predictions of one image that are kept: models know 70,000 tags, and images have some dozens.
pub const PREDICTIONS_MAX: usize = 2000;

/// Of a model's name.
const TAGGER_CHARACTERS_MAX: usize = 100;

/// One tag and how certain the model is.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// As a tag of the board is written.
    pub name: String,
    pub category: Category,
    /// From 0 to 1.
    pub confidence: f32,
}

/// What a model said of one image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tagged {
    /// Each name once, the most certain first.
    pub predictions: Vec<Prediction>,
    /// `rating:…` of the most certain rating, if there is one, and how certain it is.
    pub rating: Option<(String, f32)>,
    /// Of the model.
    pub tagger: String,
}

/// Why one image of a batch has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotTagged {
    pub cause: Option<Cause>,
    pub reason: String,
}

#[derive(Deserialize)]
struct TaggedAnswer {
    all_predictions: Vec<PredictionAnswer>,
    #[serde(default)]
    ratings: Vec<PredictionAnswer>,
    #[serde(default)]
    tagger_name: String,
}

#[derive(Deserialize)]
struct PredictionAnswer {
    tag_name: String,
    #[serde(default)]
    category: String,
    confidence: f32,
}

#[derive(Deserialize)]
struct BatchAnswer {
    results: Vec<ImageAnswer>,
}

#[derive(Deserialize)]
struct ImageAnswer {
    image_path: String,
    status: String,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    cause: Option<Cause>,
}

/// The outcome of each of `paths`, in their order.
///
/// # Errors
/// An answer that is not one of these images.
pub fn parse_batch(answer: Value, paths: &[String]) -> Result<Vec<Result<Tagged, NotTagged>>> {
    let answer: BatchAnswer =
        serde_json::from_value(answer).context("read the answer of tag_images")?;
    let found = answer.results.iter().map(|one| &one.image_path);
    ensure!(
        found.eq(paths),
        "read the answer of tag_images: it is of other images than were asked for"
    );
    answer.results.into_iter().map(parse_image).collect()
}

fn parse_image(answer: ImageAnswer) -> Result<Result<Tagged, NotTagged>> {
    if answer.status == "success" {
        return parse_tagged(answer.data).map(Ok);
    }
    Ok(Err(NotTagged {
        cause: answer.cause,
        reason: answer
            .error
            .unwrap_or_else(|| "without a reason".to_owned()),
    }))
}

fn parse_tagged(answer: Value) -> Result<Tagged> {
    let answer: TaggedAnswer =
        serde_json::from_value(answer).context("read the tags of an image")?;
    let mut predictions: Vec<Prediction> = Vec::new();
    for one in &answer.all_predictions {
        let is_share = (0.0..=1.0).contains(&one.confidence);
        ensure!(
            is_share,
            "read the tags of an image: {} for {:?} is no share of 1",
            one.confidence,
            one.tag_name
        );
        // Some sidecars write names with blanks. What is no name of a tag even so is none of ours.
        let Ok(name) = check_name(&one.tag_name.trim().replace(' ', "_")) else {
            continue;
        };
        if name.starts_with("rating:") {
            continue;
        }
        predictions.push(Prediction {
            name,
            category: Category::of(&one.category).unwrap_or(Category::General),
            confidence: one.confidence,
        });
    }
    predictions.sort_by(|a, b| {
        b.confidence
            .total_cmp(&a.confidence)
            .then(a.name.cmp(&b.name))
    });
    let mut seen = std::collections::BTreeSet::new();
    predictions.retain(|one| seen.insert(one.name.clone()));
    predictions.truncate(PREDICTIONS_MAX);
    let tagger: String = answer
        .tagger_name
        .chars()
        .take(TAGGER_CHARACTERS_MAX)
        .collect();
    Ok(Tagged {
        predictions,
        rating: rating(&answer.ratings),
        tagger,
    })
}

/// The most certain of the four ratings.
fn rating(ratings: &[PredictionAnswer]) -> Option<(String, f32)> {
    let known = ["general", "sensitive", "questionable", "explicit"];
    let named = ratings.iter().filter_map(|one| {
        let name = one.tag_name.to_lowercase();
        let bare = name
            .trim_start_matches("rating:")
            .trim_start_matches("rating_");
        let known = known.iter().find(|known| **known == bare)?;
        Some((format!("rating:{known}"), one.confidence))
    });
    named.max_by(|a, b| a.1.total_cmp(&b.1))
}

/// The vector of `compute_similarity`, of so many numbers and the length 1.
///
/// # Errors
/// One of another dimension, or that has no direction.
pub fn parse_embedding(answer: &Value, dimension: usize) -> Result<Vec<f32>> {
    let numbers = answer["embedding"]
        .as_array()
        .context("the answer has no embedding")?;
    ensure!(
        numbers.len() == dimension,
        "the model makes vectors of {} numbers, and SEMANTIC_EMBEDDING_DIM says {dimension}",
        numbers.len()
    );
    let numbers: Option<Vec<f32>> = numbers
        .iter()
        .map(|number| number.as_f64().map(|number| number as f32))
        .collect();
    let numbers = numbers.context("the embedding has something that is no number")?;
    let squares: f64 = numbers
        .iter()
        .map(|number| f64::from(*number).powi(2))
        .sum();
    ensure!(
        (squares - 1.0).abs() < 1e-2,
        "the embedding has the length {}, and 1 is what can be compared",
        squares.sqrt()
    );
    Ok(numbers)
}

/// The size of an upscaled image, pixels.
///
/// # Errors
/// An answer without one.
pub fn parse_upscaled(answer: &Value) -> Result<(u32, u32)> {
    let side = |place: usize| {
        let number = answer["upscaled_size"][place].as_u64();
        number
            .and_then(|number| u32::try_from(number).ok())
            .filter(|side| *side > 0)
    };
    let size = side(0).zip(side(1));
    size.with_context(|| {
        format!(
            "read the answer of upscale_image: {} is no size",
            answer["upscaled_size"]
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_become_the_board_s() {
        let tagged = parse_tagged(json!({
            "tagger_name": "camie", "tags": {},
            "all_predictions": [
                {"tag_name": "Long Hair", "category": "general", "confidence": 0.7},
                {"tag_name": "long_hair", "category": "general", "confidence": 0.9},
                {"tag_name": "rating_explicit", "category": "rating", "confidence": 0.9},
                {"tag_name": "a\nb", "category": "general", "confidence": 0.9},
                {"tag_name": "2026", "category": "year", "confidence": 0.5},
            ],
            "ratings": [
                {"tag_name": "rating_general", "category": "rating", "confidence": 0.2},
                {"tag_name": "explicit", "category": "rating", "confidence": 0.6},
                {"tag_name": "rating:unheard_of", "category": "rating", "confidence": 0.9},
            ],
        }));
        let tagged = tagged.unwrap();
        let names: Vec<_> = tagged
            .predictions
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        assert_eq!(names, ["long_hair", "2026"]);
        assert_eq!(tagged.predictions[0].confidence, 0.9);
        assert_eq!(tagged.rating, Some(("rating:explicit".to_owned(), 0.6)));
    }

    #[test]
    fn foreign_answers_are_refused() {
        let refuse = |answer: Value| assert!(parse_tagged(answer).is_err());
        refuse(json!({}));
        refuse(json!({"all_predictions": [{"tag_name": "x", "confidence": 2.0}]}));
        refuse(json!({"all_predictions": [{"tag_name": "x"}]}));
        let other = json!({"results": [{"image_path": "b", "status": "success", "data": {}}]});
        assert!(parse_batch(other, &["a".to_owned()]).is_err());
        assert!(parse_embedding(&json!({"embedding": [0.6, 0.8]}), 3).is_err());
        assert!(parse_embedding(&json!({"embedding": [0.0, 0.0]}), 2).is_err());
        assert!(parse_embedding(&json!({"embedding": [0.6, null]}), 2).is_err());
        assert_eq!(
            parse_embedding(&json!({"embedding": [0.6, 0.8]}), 2).unwrap(),
            [0.6, 0.8]
        );
        assert!(parse_upscaled(&json!({"upscaled_size": [0, 4]})).is_err());
        assert!(parse_upscaled(&json!({})).is_err());
        assert_eq!(
            parse_upscaled(&json!({"upscaled_size": [8, 4]})).unwrap(),
            (8, 4)
        );
    }
}
