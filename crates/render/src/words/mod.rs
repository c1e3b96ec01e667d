//! What is said, in words that every format shares: quantities, and sentences about findings.
//!
//! Pure. Names and units in sentences are foreign and stand in them as they are: who prints a
//! sentence escapes it for its own format.

pub(crate) mod amount;
pub(crate) mod check;
pub(crate) mod claim;
pub(crate) mod component;
pub(crate) mod conditions;
pub(crate) mod fit;
pub(crate) mod interval;
pub(crate) mod law;
pub(crate) mod leak;
pub(crate) mod number;
pub(crate) mod published;
pub(crate) mod stage;
pub(crate) mod subject;
pub(crate) mod time;
pub(crate) mod work;
