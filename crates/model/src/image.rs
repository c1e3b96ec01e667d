//! A program or library file as the loader sees it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// ELF facts that attribution needs: where segments lie, and the addresses of a few symbols.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// PT_LOAD segments in address order.
    pub segments: Vec<Segment>,
    /// PT_TLS: size of the initial thread-local storage, 0 without one.
    pub tls_size: u64,
    /// PT_INTERP, e.g. /lib64/ld-linux-x86-64.so.2 or /lib/ld-musl-x86_64.so.1.
    pub interpreter: Option<String>,
    /// Whether a `.go.buildinfo` section is there: the program is Go.
    pub is_go: bool,
    /// Whether a symbol table (.symtab) is there; without one only exported symbols are found.
    pub has_symbol_table: bool,
    /// Those of the wanted symbols that the file defines, by name; link-time addresses.
    pub symbols: BTreeMap<String, Symbol>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    pub offset: u64,
    pub address: u64,
    pub file_size: u64,
    pub memory_size: u64,
    pub writable: bool,
    pub executable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symbol {
    /// Link-time address; add the image's load bias.
    pub address: u64,
    pub size: u64,
}
