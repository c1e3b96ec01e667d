//! What an image board and its ML worker say to each other, and the board's side of it.
//!
//! The protocol is that of ChibiBooru, so that either side may be the original's: a Unix stream
//! socket, frames of a big-endian length and JSON. [`frame`] and [`message`] are both sides' words;
//! [`Client`] starts a worker when one is needed, asks it, and tries again as the original does. No
//! model runtime is behind this crate: who links it stays small.
//!
//! `plimsoll::worker` is not used here: its child belongs to one supervisor over a private socket,
//! and its frames are its own. The original's worker has a name in the file system, several
//! connections and JSON, and programs that speak it.
//!
//! **Cost.** A client: its options and, while a worker that it started lives, one pipe. A call: a
//! thread of the caller's, the frame sent, the frame received, at most [`frame::BODY_MAX`] each.

mod client;
mod error;
pub mod frame;
pub mod message;
mod peer;
mod socket;
mod start;

pub use client::{CONNECTIONS_MAX, Client, ClientOptions, Session, TRIES_MAX};
pub use error::ClientError;
pub use socket::usual_socket;
