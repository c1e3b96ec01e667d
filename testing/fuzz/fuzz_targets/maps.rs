//! `parse_maps`: every line is a mapping or malformed, in the order of the text, and what was
//! read of a line comes back when it is printed again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_model::Mapping;
use plimsoll_probe::parse_maps;

fuzz_target!(|text: &[u8]| {
    let parsed = parse_maps(text);
    let lines: Vec<&[u8]> = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(
        parsed.mappings.len() as u64 + parsed.malformed,
        lines.len() as u64
    );

    // No line changes what another means, so the order is that of the text.
    let one_by_one: Vec<Mapping> = lines
        .iter()
        .flat_map(|line| parse_maps(line).mappings)
        .collect();
    assert_eq!(parsed.mappings, one_by_one);

    for mapping in &parsed.mappings {
        assert!(mapping.range.start <= mapping.range.end);
        let again = parse_maps(&print(mapping));
        let [back] = &again.mappings[..] else {
            panic!("{mapping:?} is not a line any more");
        };
        assert_eq!(
            (back.range, back.permissions, back.offset, back.file),
            (
                mapping.range,
                mapping.permissions,
                mapping.offset,
                mapping.file
            )
        );
    }
});

/// The line without its name, which the kernel's escapes make ambiguous.
fn print(mapping: &Mapping) -> Vec<u8> {
    let flag = |set: bool, letter: char| if set { letter } else { '-' };
    let permissions = mapping.permissions;
    let (major, minor, inode) = mapping.file.map_or((0, 0, 0), |file| {
        (file.device_major, file.device_minor, file.inode)
    });
    format!(
        "{:08x}-{:08x} {}{}{}{} {:08x} {major:02x}:{minor:02x} {inode} \n",
        mapping.range.start,
        mapping.range.end,
        flag(permissions.read, 'r'),
        flag(permissions.write, 'w'),
        flag(permissions.execute, 'x'),
        if permissions.shared { 's' } else { 'p' },
        mapping.offset,
    )
    .into_bytes()
}
