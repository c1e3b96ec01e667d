//! The ML worker of an image board: tags, embeddings and upscaled images by ONNX models, in a process
//! of its own, so that the board pays nothing for it while nobody asks.
//!
//! `server` is its life, `work` what it does; models run by `runtime`. The words it speaks are in
//! `plimsoll-booru-worker-protocol`. README.md has the figures.

#![expect(
    missing_debug_implementations,
    reason = "types of one program, which prints none of them"
)]

pub mod config;
pub mod embedder;
pub mod encode;
pub mod env_file;
pub mod gate;
pub mod input;
pub mod layout;
pub mod listener;
pub mod models;
pub mod once;
pub mod preprocess;
pub mod runtime;
pub mod server;
pub mod setup;
pub mod sidecar;
pub mod tagger;
pub mod upscaler;
pub mod work;
