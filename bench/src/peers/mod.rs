//! Other readers of process memory. Who is a program is run where the machine has it; else its
//! row says `skipped: …`.

pub(crate) mod own;
pub(crate) mod plain;
pub(crate) mod procfs;
pub(crate) mod programs;
pub(crate) mod psutil;
