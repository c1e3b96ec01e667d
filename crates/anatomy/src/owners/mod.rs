//! Rules that claim intervals of anonymous memory, one file an owner.
//!
//! Order is precedence: what is proved by the loader or the kernel comes first, then descriptors
//! with several cross-checked fields, then signatures. What glibc mapped on its own comes last: its
//! chains are followed only through what nobody else has claimed.

pub(crate) mod cpython;
#[cfg(test)]
pub(crate) mod fake_image;
pub(crate) mod glibc;
pub(crate) mod go;
pub(crate) mod hotspot;
pub(crate) mod hsperfdata;
pub(crate) mod images;
pub(crate) mod jemalloc;
pub(crate) mod jvm;
pub(crate) mod mimalloc;
pub(crate) mod musl;
pub(crate) mod oilpan;
pub(crate) mod partition_alloc;
pub(crate) mod tcmalloc;
pub(crate) mod threads;
pub(crate) mod v8;
pub(crate) mod words;

use std::sync::OnceLock;

use crate::ground::Ground;
use crate::territory::Territory;

/// Symbols that rules look up in programs and libraries; a probe fetches these and no others.
#[must_use]
pub fn wanted_symbols() -> &'static [&'static str] {
    static WANTED: OnceLock<Vec<&'static str>> = OnceLock::new();
    WANTED.get_or_init(|| {
        [
            cpython::SYMBOLS,
            go::SYMBOLS,
            jvm::SYMBOLS,
            jemalloc::SYMBOLS,
            mimalloc::SYMBOLS,
            musl::SYMBOLS,
            tcmalloc::SYMBOLS,
        ]
        .concat()
    })
}

/// Runs every rule.
pub(crate) fn claim_all(ground: &Ground<'_>, territory: &mut Territory) {
    images::claim(ground, territory);
    threads::claim(ground, territory);
    jemalloc::claim(ground, territory);
    mimalloc::claim(ground, territory);
    musl::claim(ground, territory);
    go::claim(ground, territory);
    jvm::claim(ground, territory);
    v8::claim(ground, territory);
    oilpan::claim(ground, territory);
    partition_alloc::claim(ground, territory);
    cpython::claim(ground, territory);
    glibc::claim_arenas(ground, territory);
    tcmalloc::claim(ground, territory);
    glibc::claim_mapped(ground, territory);
}
