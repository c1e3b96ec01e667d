//! Pure: a snapshot becomes components that own every resident byte.
//!
//! The unit of attribution is the address interval joined to page residency. Rules in
//! `owners` claim intervals of anonymous memory, each with the structure that proves it; a
//! claim never takes bytes that another one holds, and what no rule claims is `unattributed`.
//! No I/O, no clock: what must be asked of the live process goes through
//! [`plimsoll_model::Target`].

pub mod beacon;
mod breakdown;
mod distinct;
#[cfg(test)]
mod fake;
mod ground;
mod grouping;
mod holding;
mod naming;
mod owners;
mod reclaim;
mod territory;
mod verdict;
mod window;

pub use breakdown::{breakdown, tree_breakdown};
pub use owners::wanted_symbols;
