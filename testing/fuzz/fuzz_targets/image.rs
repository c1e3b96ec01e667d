//! `read_image` of a file whose every byte is hostile: segments in address order, no more of them
//! than the file has room for, only wanted symbols, and the same answer twice.

#![no_main]

use std::fs::File;
use std::io::Write;

use libfuzzer_sys::fuzz_target;
use plimsoll_probe::read_image;

/// Symbols of crates/probe/fixtures/elf/tiny.c, exported and hidden, and names that it lacks.
const WANTED: &[&str] = &[
    "plain_state",
    "hidden_state",
    "thread_state",
    "main_arena",
    "",
];
/// Size of an entry in the program header table of a 64-bit file, see elf(5).
const PROGRAM_HEADER: usize = 56;

fuzz_target!(|bytes: &[u8]| {
    let file = file_of(bytes);
    let image = read_image(&file, WANTED);
    assert_eq!(image, read_image(&file, WANTED));
    let plain = read_image(&file, &[]);
    let Some(image) = image else {
        assert_eq!(plain, None);
        return;
    };
    assert!(image.segments.is_sorted_by_key(|segment| segment.address));
    assert!(image.segments.len() <= bytes.len() / PROGRAM_HEADER);
    assert!(
        image
            .symbols
            .keys()
            .all(|name| WANTED.contains(&name.as_str()))
    );
    assert!(
        image
            .interpreter
            .as_ref()
            .is_none_or(|path| !path.contains('\0'))
    );

    // Symbols that nobody asked for are the only difference.
    let mut without_symbols = image;
    without_symbols.symbols.clear();
    assert_eq!(plain, Some(without_symbols));
});

/// A file without a name; in memory where TMPDIR is.
fn file_of(bytes: &[u8]) -> File {
    let path = std::env::temp_dir().join(format!("plimsoll-fuzz-image-{}", std::process::id()));
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .expect("the folder for temporary files can be written");
    std::fs::remove_file(&path).expect("the file was created just now");
    file.write_all(bytes)
        .expect("the folder for temporary files has room");
    file
}
