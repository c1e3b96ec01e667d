//! Tags as image collections have them, the same on every run: descriptions, characters with their
//! franchise in brackets, artists; and pictures that carry them, a few tags often and most seldom.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::collections::HashSet;

const COLOURS: &[&str] = &[
    "red",
    "blue",
    "green",
    "yellow",
    "purple",
    "pink",
    "orange",
    "brown",
    "black",
    "white",
    "grey",
    "aqua",
    "silver",
    "gold",
    "multicolored",
    "gradient",
    "two-tone",
    "striped",
    "plaid",
    "torn",
    "frilled",
    "layered",
    "oversized",
    "sleeveless",
    "fur-trimmed",
    "cropped",
    "hooded",
    "unbuttoned",
];
const NOUNS: &[&str] = &[
    "hair",
    "eyes",
    "dress",
    "shirt",
    "skirt",
    "jacket",
    "hat",
    "ribbon",
    "gloves",
    "boots",
    "scarf",
    "necktie",
    "hairband",
    "sweater",
    "kimono",
    "armor",
    "glasses",
    "earrings",
    "umbrella",
    "sleeves",
    "wings",
    "tail",
    "flower",
    "petals",
    "background",
    "shadow",
    "lightning",
    "sword",
    "shield",
    "book",
    "camera",
    "guitar",
    "teapot",
    "chopsticks",
    "strawberry",
    "chocolate",
    "dragon",
    "butterfly",
    "curtain",
    "motorcycle",
    "castle",
    "lighthouse",
    "mountain",
    "classroom",
    "lantern",
    "fireworks",
];
const VERBS: &[&str] = &[
    "holding",
    "wearing",
    "carrying",
    "reading",
    "riding",
    "sitting_on",
    "standing_on",
    "leaning_on",
    "looking_at",
    "reaching_for",
    "hiding_behind",
    "balancing",
];
const SUFFIXES: &[&str] = &[
    "on_head",
    "in_background",
    "focus",
    "print",
    "motif",
    "(symbol)",
    "lift",
    "from_above",
    "reflection",
    "ornament",
    "cosplay",
];
const SYLLABLES: &[&str] = &[
    "ka", "ki", "ku", "sa", "shi", "su", "ta", "chi", "tsu", "to", "na", "ni", "no", "ha", "hi",
    "fu", "ma", "mi", "mo", "ya", "yu", "ra", "ri", "ru", "ro", "wa", "gi", "zu", "da", "bi",
    "kyo", "ryu", "rin", "al", "bel", "cor", "dan", "fen", "gar", "ian", "lan", "mor", "ros",
    "tor", "ver", "eth",
];

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }

    fn word(&mut self) -> String {
        (0..2 + self.below(3)).map(|_| self.of(SYLLABLES)).collect()
    }
}

fn tag(random: &mut Random, franchises: &[String]) -> String {
    let name = random.word();
    match random.below(100) {
        0..16 => format!("{}_{}", random.of(COLOURS), random.of(NOUNS)),
        16..24 => format!("{}_{}", random.of(VERBS), random.of(NOUNS)),
        24..30 => format!("{}_{}", random.of(NOUNS), random.of(SUFFIXES)),
        30..36 => format!(
            "{}_{}_{}",
            random.of(COLOURS),
            random.of(NOUNS),
            random.of(SUFFIXES)
        ),
        36..44 => format!("{name}_{}", random.of(NOUNS)),
        44..57 => {
            // The popular ones have most of the characters.
            let place = (franchises.len() as f64).powf(random.unit()) as usize - 1;
            format!("{name}_{}_({})", random.word(), franchises[place])
        }
        57..63 => format!("{name}_{}", random.word()),
        63..69 => format!("{name}{}", 1 + random.below(9998)),
        69..77 => format!("{name}_({})", random.word()),
        _ => name,
    }
}

/// `count` different tags, in no order.
pub(crate) fn tags(count: usize) -> Vec<String> {
    let mut random = Random(7);
    let franchises: Vec<String> = (0..1 + count / 16)
        .map(|n| match n % 3 {
            0 => format!("{}_no_{}", random.word(), random.word()),
            1 => format!("{}_{}", random.word(), random.word()),
            _ => random.word(),
        })
        .collect();
    let mut seen = HashSet::new();
    let mut tags = Vec::new();
    while tags.len() < count {
        let tag = tag(&mut random, &franchises);
        if seen.insert(tag.clone()) {
            tags.push(tag);
        }
    }
    tags
}

/// 32 hexadecimal digits.
pub(crate) fn hashes(count: usize) -> Vec<String> {
    let mut random = Random(11);
    (0..count)
        .map(|_| format!("{:016x}{:016x}", random.next(), random.next()))
        .collect()
}

/// The tags of each of `images` images: `each` different ones of `tags`, tag n about as often as
/// 1 / (n + 6). Those of the greatest numbers are in few images, as in real collections.
pub(crate) struct Images {
    random: Random,
    tags: usize,
    each: usize,
    left: usize,
}

impl Images {
    pub(crate) fn new(images: usize, tags: usize, each: usize) -> Images {
        Images {
            random: Random(13),
            tags,
            each,
            left: images,
        }
    }
}

impl Iterator for Images {
    type Item = Vec<u32>;

    fn next(&mut self) -> Option<Vec<u32>> {
        self.left = self.left.checked_sub(1)?;
        let mut chosen = Vec::with_capacity(self.each);
        let span = ((self.tags as f64 + 6.0) / 6.0).ln();
        while chosen.len() < self.each {
            let place = 6.0 * (self.random.unit() * span).exp() - 6.0;
            let tag = (place as u32).min(self.tags as u32 - 1);
            if !chosen.contains(&tag) {
                chosen.push(tag);
            }
        }
        Some(chosen)
    }
}
