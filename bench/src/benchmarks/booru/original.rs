//! What the original board takes, as it was measured once: Python 3.12, one worker of uvicorn, a virtual
//! machine with two cores, collections of the same numbers of images, tags and pairs. It can't be had here, so
//! these figures stand beside those of a run and are none of it.

/// Numbers of images that there are figures of.
const IMAGES: [usize; 2] = [13_028, 200_000];

/// Milliseconds of `perform_search`, p50, by what a search is called here; of both collections.
const SEARCHES: [(&str, [&str; 2]); 17] = [
    ("empty (home)", ["247", "5380"]),
    ("1 tag, most frequent", ["256", "5241"]),
    ("1 tag, rank 10", ["145", "2532"]),
    ("1 tag, rank 100", ["20.6", "391"]),
    ("1 tag, rank 1,000", ["1.8", "33"]),
    ("1 tag, rare", ["0.17", "0.48"]),
    ("3 tags, frequent", ["107", "2090"]),
    ("3 tags, frequent and 2 rarer", ["8.9", "282"]),
    ("character and 2 general", ["16", "512"]),
    ("tag, not a frequent one", ["103", "1833"]),
    ("not a frequent tag, alone", ["314", "6353"]),
    ("tag of a category", ["308", "6598"]),
    ("tag by score", ["67", "1373"]),
    ("rating", ["121", "2784"]),
    ("source", ["89", "2340"]),
    ("part of a name or path", ["27.7", "-"]),
    ("part of a path", ["75", "2056"]),
];

/// Milliseconds of a suggestion, p50, by what is typed.
const SUGGESTIONS: [(&str, [&str; 2]); 9] = [
    ("lo", ["44.7", "2148"]),
    ("hair", ["25", "1059"]),
    ("blu", ["17.6", "720"]),
    ("ka", ["9.0", "266"]),
    ("1g", ["8.7", "201"]),
    ("looking_at_v", ["8.9", "189"]),
    ("-smi", ["8.9", "178"]),
    ("blue_h", ["4.7", "41.5"]),
    ("qqxqq", ["4.4", "26"]),
];

/// MiB, by what of memory it is.
const MEMORY: [(&str, [&str; 2]); 2] = [
    ("RSS at rest", ["339", "1931"]),
    ("of it anonymous", ["153", "1661"]),
];

pub(super) const NOTE: &str = "The original (Python) was measured once before, at these numbers of images, tags and pairs: its \
                               figures are none of this run.";

pub(super) fn search(what: &str, images: usize) -> String {
    find(&SEARCHES, what, images)
}

pub(super) fn suggestion(typed: &str, images: usize) -> String {
    find(&SUGGESTIONS, typed, images)
}

pub(super) fn memory(what: &str, images: usize) -> String {
    find(&MEMORY, what, images)
}

fn find(figures: &[(&str, [&str; 2])], what: &str, images: usize) -> String {
    let size = IMAGES.iter().position(|known| *known == images);
    let of = figures.iter().find(|(name, _)| *name == what);
    let found = size.and_then(|size| of.map(|(_, both)| both[size]));
    found.unwrap_or("-").to_owned()
}
