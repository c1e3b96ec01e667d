//! Requests and responses as JSON. Names and defaults are the original's; what is new here says so.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The id of an answer to what had none that could be read.
pub const ID_UNKNOWN: &str = "unknown";
/// Images of one `tag_images`: their predictions fit a frame.
pub const BATCH_MAX: usize = 256;
/// The longest id that is taken: the original's are UUIDs.
pub const ID_MAX: usize = 128;

/// One request as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The caller's; answers carry it, and a second upscale of the same id is not done again.
    pub id: String,
    /// What to do.
    pub task: Task,
}

/// What a worker does.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Task {
    /// Tags of one image.
    TagImage(TagImage),
    /// New: tags of several images, each with its own outcome.
    TagImages(TagImages),
    /// The embedding of one image.
    ComputeSimilarity(ComputeSimilarity),
    /// A larger image.
    UpscaleImage(UpscaleImage),
    /// What the worker is.
    HealthCheck,
    /// Answer, then end.
    Shutdown,
}

impl Task {
    fn name_and_data(&self) -> (&'static str, serde_json::Result<Value>) {
        let empty = || Ok(Value::Object(Map::new()));
        match self {
            Task::TagImage(data) => ("tag_image", serde_json::to_value(data)),
            Task::TagImages(data) => ("tag_images", serde_json::to_value(data)),
            Task::ComputeSimilarity(data) => ("compute_similarity", serde_json::to_value(data)),
            Task::UpscaleImage(data) => ("upscale_image", serde_json::to_value(data)),
            Task::HealthCheck => ("health_check", empty()),
            Task::Shutdown => ("shutdown", empty()),
        }
    }
}

/// `tag_image`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TagImage {
    /// The image's file.
    pub image_path: String,
    /// How.
    #[serde(flatten)]
    pub tagging: Tagging,
}

/// `tag_images`, at most [`BATCH_MAX`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TagImages {
    /// The images' files.
    pub image_paths: Vec<String>,
    /// How.
    #[serde(flatten)]
    pub tagging: Tagging,
}

/// The model and the thresholds of a tagger, probabilities from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tagging {
    /// The ONNX file.
    pub model_path: String,
    /// From here on a tag is the image's.
    #[serde(default = "threshold")]
    pub threshold: f32,
    /// The same for characters. The original is sent it and does not use it.
    #[serde(default = "character_threshold")]
    pub character_threshold: f32,
    /// From here on a prediction is told.
    #[serde(default = "storage_threshold")]
    pub storage_threshold: f32,
    /// Names of the outputs; without it, what lies beside the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_path: Option<String>,
}

fn threshold() -> f32 {
    0.35
}

fn character_threshold() -> f32 {
    0.85
}

fn storage_threshold() -> f32 {
    0.5
}

impl Tagging {
    /// With the usual thresholds.
    #[must_use]
    pub fn new(model_path: impl Into<String>) -> Tagging {
        Tagging {
            model_path: model_path.into(),
            threshold: threshold(),
            character_threshold: character_threshold(),
            storage_threshold: storage_threshold(),
            metadata_path: None,
        }
    }
}

/// `compute_similarity`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComputeSimilarity {
    /// The image's file.
    pub image_path: String,
    /// The ONNX file.
    pub model_path: String,
    /// `siglip`, `tagger` (as the original feeds it) or, new, `wd14` (as such a model was trained).
    #[serde(default = "siglip")]
    pub model_type: String,
    /// Side of the square, for a model that leaves it open; pixels.
    #[serde(default)]
    pub image_size: Option<u32>,
    /// Numbers of the wanted output; without it the first of 512 to 2048.
    #[serde(default)]
    pub embedding_dim: Option<usize>,
}

fn siglip() -> String {
    "siglip".to_owned()
}

/// `upscale_image`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpscaleImage {
    /// The image's file.
    pub image_path: String,
    /// Put in place whole or not at all.
    pub output_path: String,
    /// An ONNX file, or the name of one in the worker's folder of models.
    pub model_name: String,
    /// `auto` is the worker's backend.
    #[serde(default = "auto")]
    pub device: String,
    /// Side of a tile, pixels of the input.
    #[serde(default = "tile_size")]
    pub tile_size: u32,
    /// What a tile sees of its neighbours on each side, pixels.
    #[serde(default = "tile_pad")]
    pub tile_pad: u32,
    /// Tiles are halved down to this while memory runs out.
    #[serde(default = "min_tile_size")]
    pub min_tile_size: u32,
    /// Whether the CPU may do what the device can't.
    #[serde(default)]
    pub allow_cpu_fallback: bool,
    /// `png` or `webp`.
    #[serde(default = "png")]
    pub output_format: String,
    /// Of a lossy format. There is none here: WebP is written lossless.
    #[serde(default = "output_quality")]
    pub output_quality: u8,
}

fn auto() -> String {
    "auto".to_owned()
}

fn tile_size() -> u32 {
    256
}

fn tile_pad() -> u32 {
    32
}

fn min_tile_size() -> u32 {
    64
}

fn png() -> String {
    "png".to_owned()
}

fn output_quality() -> u8 {
    95
}

/// What could not be taken as a request, and the id to answer under: the request's own where the
/// shape and the type are right, [`ID_UNKNOWN`] otherwise, as the original does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadRequest {
    /// For the answer.
    pub id: String,
    /// What is wrong.
    pub message: String,
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    #[serde(default)]
    data: Option<Value>,
}

impl Request {
    /// Takes the body of a frame. O(bytes).
    ///
    /// # Errors
    /// [`BadRequest`], to be answered; the connection goes on.
    pub fn parse(body: &[u8]) -> Result<Request, BadRequest> {
        let unknown = |message: String| BadRequest {
            id: ID_UNKNOWN.to_owned(),
            message,
        };
        let envelope: Envelope = serde_json::from_slice(body).map_err(|error| {
            unknown(format!(
                "ValueError: a request is {{\"type\", \"id\", \"data\"}}: {error}"
            ))
        })?;
        let Envelope { kind, id, data } = envelope;
        if id.len() > ID_MAX {
            let text = format!(
                "ValueError: an id of {} bytes, the maximum is {ID_MAX}",
                id.len()
            );
            return Err(unknown(text));
        }
        let data = data.unwrap_or_else(|| Value::Object(Map::new()));
        let task = match kind.as_str() {
            "tag_image" => take(&id, &kind, data).map(Task::TagImage),
            "tag_images" => take(&id, &kind, data).map(Task::TagImages),
            "compute_similarity" => take(&id, &kind, data).map(Task::ComputeSimilarity),
            "upscale_image" => take(&id, &kind, data).map(Task::UpscaleImage),
            "health_check" => Ok(Task::HealthCheck),
            "shutdown" => Ok(Task::Shutdown),
            _ => {
                let kind: String = kind.chars().take(64).collect();
                return Err(unknown(format!(
                    "ValueError: {kind:?} is no type of request; there are tag_image, tag_images, \
                     compute_similarity, upscale_image, health_check and shutdown"
                )));
            }
        }?;
        Ok(Request { id, task })
    }

    /// The body of a frame.
    ///
    /// # Errors
    /// For thresholds that JSON has no number for.
    pub fn to_body(&self) -> serde_json::Result<Vec<u8>> {
        let (kind, data) = self.task.name_and_data();
        serde_json::to_vec(&Envelope {
            kind: kind.to_owned(),
            id: self.id.clone(),
            data: Some(data?),
        })
    }
}

fn take<T: DeserializeOwned>(id: &str, kind: &str, data: Value) -> Result<T, BadRequest> {
    serde_json::from_value(data).map_err(|error| BadRequest {
        id: id.to_owned(),
        message: format!("ValueError: data of {kind}: {error}"),
    })
}

/// Whether more comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The last word, with the result.
    Success,
    /// The last word, with the reason.
    Error,
    /// More comes.
    Progress,
}

/// What a failure lies in. New: an image that can't be read says nothing of the next one, and a model
/// that can't be loaded says all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Cause {
    /// The image: missing, damaged, of an unknown kind, above the limits.
    Image,
    /// The file that was to be written.
    Output,
    /// The model, its sidecar, or what is to run it.
    Model,
}

/// One answer; a request gets any number with [`Status::Progress`] and one other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The request's.
    pub id: String,
    /// Whether more comes.
    pub status: Status,
    /// The result, or how far the work is.
    #[serde(default)]
    pub data: Value,
    /// The reason.
    #[serde(default)]
    pub error: Option<String>,
    /// The original's stack; always null here.
    #[serde(default)]
    pub traceback: Option<String>,
    /// New: what a failure lies in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

impl Response {
    /// The result.
    #[must_use]
    pub fn success(id: &str, data: Value) -> Response {
        Response::new(id, Status::Success, data, None)
    }

    /// The reason why there is none.
    #[must_use]
    pub fn error(id: &str, message: String) -> Response {
        Response::new(id, Status::Error, Value::Object(Map::new()), Some(message))
    }

    /// The same, with what it lies in.
    #[must_use]
    pub fn with_cause(self, cause: Option<Cause>) -> Response {
        Response { cause, ..self }
    }

    /// How far the work is.
    #[must_use]
    pub fn progress(id: &str, progress: &Progress) -> Response {
        let data = serde_json::to_value(progress).unwrap_or_default();
        Response::new(id, Status::Progress, data, None)
    }

    fn new(id: &str, status: Status, data: Value, error: Option<String>) -> Response {
        Response {
            id: id.to_owned(),
            status,
            data,
            error,
            traceback: None,
            cause: None,
        }
    }
}

/// How far the work is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Done, of `total`.
    pub current: u64,
    /// In all.
    pub total: u64,
    /// From 0 to 100.
    pub percentage: f64,
    /// For people.
    pub message: String,
}

impl Progress {
    /// `current` of `total`, which is not 0.
    #[must_use]
    pub fn new(current: u64, total: u64, message: String) -> Progress {
        let percentage = 100.0 * current as f64 / total.max(1) as f64;
        Progress {
            current,
            total,
            percentage,
            message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_original_s_defaults() {
        let body = br#"{"type":"upscale_image","id":"a","data":{"image_path":"i","output_path":"o","model_name":"m"}}"#;
        let request = Request::parse(body).unwrap();
        let Task::UpscaleImage(data) = &request.task else {
            panic!("{request:?}");
        };
        assert_eq!(
            (data.tile_size, data.tile_pad, data.min_tile_size),
            (256, 32, 64)
        );
        assert_eq!(
            (data.device.as_str(), data.output_format.as_str()),
            ("auto", "png")
        );
        assert_eq!(Request::parse(&request.to_body().unwrap()), Ok(request));
        let body = br#"{"type":"tag_image","id":"b","data":{"image_path":"i","model_path":"m"}}"#;
        let request = Request::parse(body).unwrap();
        let Task::TagImage(data) = &request.task else {
            panic!("{request:?}");
        };
        assert_eq!(data.tagging, Tagging::new("m"));
    }

    #[test]
    fn a_bad_request_is_answered_under_the_id_that_the_original_uses() {
        let check = |body: &str, id: &str, part: &str| {
            let error = Request::parse(body.as_bytes()).unwrap_err();
            assert_eq!(error.id, id, "{body}");
            assert!(error.message.contains(part), "{}", error.message);
        };
        check("", "unknown", "EOF");
        check("[1]", "unknown", "a request is");
        check(r#"{"type":"tag_image"}"#, "unknown", "missing field `id`");
        check(
            r#"{"type":"dance","id":"x"}"#,
            "unknown",
            "is no type of request",
        );
        check(r#"{"type":"tag_image","id":"x"}"#, "x", "image_path");
        check(
            r#"{"type":"tag_image","id":"x","data":7}"#,
            "x",
            "data of tag_image",
        );
        // Deep nesting ends the parser, not the stack.
        let deep = format!(
            r#"{{"type":"health_check","id":"x","data":{}"#,
            "[".repeat(100_000)
        );
        check(&deep, "unknown", "recursion limit");
    }
}
