//! Rules that claim intervals of anonymous memory, one file an owner.
//!
//! Order is precedence: what is proved by the loader or the kernel comes first, then descriptors
//! with several cross-checked fields, then signatures.

use crate::ground::Ground;
use crate::territory::Territory;

/// Runs every rule.
pub(crate) fn claim_all(_ground: &Ground<'_>, _territory: &mut Territory) {}
