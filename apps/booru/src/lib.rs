//! An image board whose memory is its data: search, autocomplete and edits of tags over a ChibiBooru
//! database, or a new one like it.
//!
//! A [`board`] is a [`store`], the truth, and a [`catalog`] of it in memory that follows each [`edit`]. A
//! [`query`] is text parsed without a database; [`search`] and [`suggest`] answer from the catalog alone.
//! [`web`] serves it all to browsers.

pub mod board;
pub mod browse;
pub mod catalog;
pub mod command;
pub mod config;
pub mod deltas;
pub mod doctor;
pub mod duplicates;
pub mod edit;
pub mod family;
pub mod image;
pub mod ingest;
pub mod memory;
pub mod ml;
pub mod pools;
pub mod post_ids;
pub mod query;
pub mod refusal;
pub mod relations;
pub mod rules;
pub mod search;
pub mod similarity;
pub mod stats;
pub mod store;
pub mod suggest;
pub mod web;
