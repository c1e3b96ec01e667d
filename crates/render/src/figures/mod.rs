//! What is computed from a report once, for every format: pure arithmetic over the model.

pub(crate) mod law_curve;
pub(crate) mod leak_series;
pub(crate) mod lifecycle;
pub(crate) mod moments;
pub(crate) mod receipt;
pub(crate) mod run;
pub(crate) mod scale;
