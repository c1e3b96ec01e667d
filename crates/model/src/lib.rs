//! Plain data of the field: what a probe reads, what anatomy concludes, what a recording keeps
//! and what a renderer prints.
//!
//! Nothing here does I/O, reads a clock or takes a decision. The way of the data is
//! [`Snapshot`] (readings of one process) → [`Breakdown`] (owners of every resident byte) →
//! a renderer; or [`Sample`]s and breakdowns over time → a [`Recorded`] run → a renderer.
//!
//! Units are types: [`Bytes`], [`std::time::Duration`]. `kB` in /proc means 1024 bytes.

mod address;
mod breakdown;
mod bytes;
mod cap;
mod cgroup;
mod check_report;
mod compare_report;
mod comparison;
mod component;
mod cost;
mod counters;
mod estimate;
mod file;
mod fit;
mod gap;
mod growth;
mod image;
mod law;
mod leak_report;
mod mapping;
mod measure;
mod memory_series;
mod process;
mod process_table;
mod published;
mod recorded;
mod scale_report;
mod snapshot;
mod stage;
mod target;
mod trial;
mod verdict;

pub use address::AddressRange;
pub use breakdown::{Breakdown, Scope, Totals};
pub use bytes::{Bytes, PageSize, ParseBytesError};
pub use cap::{CapMechanism, CapRecord};
pub use cgroup::{Cgroup, CgroupLevel, CgroupVersion};
pub use check_report::{CheckReport, CheckResult};
pub use compare_report::{ArmRecord, CompareReport, MeasuredReceipt};
pub use comparison::{
    Claim, Difference, Drift, DriftDoubt, IntervalMethod, Receipt, Step, Unsettled,
};
pub use component::{Component, Exactness, Kind, Reclaim, ReclaimClass, Sharing, Usage, Used};
pub use cost::{Method, ReadingCost};
pub use counters::{Counters, CountersSource};
pub use estimate::Estimate;
pub use file::{CacheState, FileId, MappedFile, Package, PackageManager, ProcessCount};
pub use fit::{CapFit, FitEnd, FitFailure, FitPoint, FitRun, FitTiming};
pub use gap::{Gap, GapReason};
pub use growth::{Doubt, EndAverages, Growth, GrowthClass, GrowthPoint, Teeth};
pub use image::{Image, Segment, Symbol};
pub use law::{
    Fit, Law, LawClass, LawDoubt, LawUndetermined, Prediction, RunnerUp, SizedPeak, TargetCheck,
    TargetDoubt, TestedRange,
};
pub use leak_report::{Drive, LeakReport, MeasuredGrowth};
pub use mapping::{Backing, Mapping, Permissions, VmFlags};
pub use measure::Measure;
pub use memory_series::{MemoryPoint, MemorySeries, OwnerLevel, OwnersPoint};
pub use process::{ProcessId, ProcessInfo, ProcessState, StatusFigures, Thread};
pub use process_table::{ProcessRow, ProcessTable};
pub use published::{
    Counted, Published, PublishedBudget, PublishedConsumer, PublishedStage, PublishedTag,
};
pub use recorded::{
    Event, EventKind, ProcessRecord, Recorded, RecordingMeta, Sample, TimedBreakdown,
};
pub use scale_report::{Axis, AxisLaw, Cell, ScaleReport, Size, TargetResult};
pub use snapshot::{Snapshot, SystemMemory};
pub use stage::{PressureSample, RssParts, Stage, StageSource};
pub use target::{Page, PageRun, Residency, Target};
pub use trial::{OwnerSize, Seen, Trial};
pub use verdict::Verdict;
