//! From trials and series to whole reports: which measures are judged, and by what.

pub mod compare;
pub mod leak;
#[cfg(test)]
mod made;
pub mod scale;
