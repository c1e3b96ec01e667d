//! Does it leak? A series of (work, bytes) becomes a verdict on growth.
//!
//! [`judge()`] is the entry; its parts are pure and know nothing of each other:
//! a checked series, its teeth, its warm-up, the noise around a trend, and the trend itself.

mod floors;
mod judge;
mod level;
mod noise;
mod rules;
mod series;
mod stillness;
mod teeth;
mod trend;
mod warm_up;

pub use judge::{LeakOptions, judge};
