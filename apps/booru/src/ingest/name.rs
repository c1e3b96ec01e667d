//! Where a file is kept below the folder of images: in a folder of three hex digits, by its name, as the
//! original does it.

use std::path::{Component, Path};

use super::content::Content;
use super::digest::md5_hex;
use crate::edit::hex;

/// Bytes of a file name; file systems take 255, and a few more come before it while it is written.
const NAME_BYTES_MAX: usize = 240;

/// Folders that are tried for a name that is taken in its own.
const FOLDERS_MAX: usize = 50;

/// The name that a file gets: with the name of its folder where it lies in one below `root`, else with its MD5
/// sum. What can't stand in a path of the database becomes `_`.
pub(super) fn stored_name(path: &Path, root: &Path, md5: &[u8; 16], content: Content) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = cleaned(&name);
    let (stem, ending) = match name.rsplit_once('.') {
        Some((stem, ending)) if content.endings().contains(&ending.to_lowercase().as_str()) => {
            (stem, ending)
        }
        // Browsers go by the ending: one that is not true is left in the stem.
        _ => (name.as_str(), content.endings()[0]),
    };
    let parent = path.strip_prefix(root).ok().and_then(Path::parent);
    let folder = parent.and_then(|parent| parent.components().next_back());
    let stem = match folder {
        Some(Component::Normal(folder)) => {
            format!("{}_-_{stem}", cleaned(&folder.to_string_lossy()))
        }
        _ => with_sum(stem, md5),
    };
    shortened(&stem, ending)
}

fn with_sum(stem: &str, md5: &[u8; 16]) -> String {
    let sum = hex(md5);
    match stem.contains(&sum) {
        true => stem.to_owned(),
        false => format!("{stem}_{sum}"),
    }
}

/// Paths of the database have no control characters, and no file there is hidden.
fn cleaned(name: &str) -> String {
    let clean = |one: char| match one {
        '/' | '\\' => '_',
        one if one.is_control() => '_',
        one => one,
    };
    let name: String = name.chars().map(clean).collect();
    match name.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None => name,
    }
}

fn shortened(stem: &str, ending: &str) -> String {
    let whole = format!("{stem}.{ending}");
    if whole.len() <= NAME_BYTES_MAX {
        return whole;
    }
    let sum = md5_hex(whole.as_bytes());
    let mut end = NAME_BYTES_MAX - ending.len() - "_.".len() - 8;
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}_{}.{ending}", &stem[..end], &sum[..8])
}

/// Paths below the folder of images for a name, in the order in which they are tried: its own folder, its own
/// with the MD5 sum in the name, then others.
pub(super) fn places(name: &str, md5: &[u8; 16]) -> impl Iterator<Item = String> {
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
    let second = shortened(&with_sum(stem, md5), ending);
    let others = (0..FOLDERS_MAX).map({
        let second = second.clone();
        move |number| {
            let bucket = bucket(&format!("{second}{number}"));
            format!("{bucket}/{second}")
        }
    });
    let first = format!("{}/{name}", bucket(name));
    let with_sum = format!("{}/{second}", bucket(&second));
    [first, with_sum].into_iter().chain(others)
}

/// The folder of a name.
fn bucket(name: &str) -> String {
    md5_hex(name.as_bytes())[..3].to_owned()
}

/// Whether a file lies where one of its name may lie.
pub(super) fn is_place(path: &str) -> bool {
    let Some((folder, name)) = path.split_once('/') else {
        return false;
    };
    let is_bucket = folder.len() == 3 && folder.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_bucket && folder == folder.to_lowercase() && !name.contains('/') && cleaned(name) == name
}

/// Where the small picture of an image lies, below their folder.
#[must_use]
pub fn thumbnail_path(path: &str) -> String {
    let name_at = path.rfind('/').map_or(0, |slash| slash + 1);
    let end = match path[name_at..].rfind('.') {
        Some(dot) if dot > 0 => name_at + dot,
        _ => path.len(),
    };
    format!("{}.webp", &path[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const MD5: [u8; 16] = [0xab; 16];

    #[test]
    fn names_are_those_of_the_original() {
        let check = |path: &str, content: Content, expected: &str| {
            let name = stored_name(Path::new(path), Path::new("/in"), &MD5, content);
            assert_eq!(name, expected, "{path}");
        };
        let sum = "ab".repeat(16);
        check("/in/a.png", Content::Png, &format!("a_{sum}.png"));
        check("/in/x/b.JPG", Content::Jpeg, "x_-_b.JPG");
        check("/in/x/y/b.c.jpeg", Content::Jpeg, "y_-_b.c.jpeg");
        check("/in/x/b.png", Content::Jpeg, "x_-_b.png.jpg");
        check("/in/a", Content::Gif, &format!("a_{sum}.gif"));
        check("/in/.x/.a\n\u{7}.png", Content::Png, "_x_-__a__.png");
        check(
            &format!("/in/{sum}.png"),
            Content::Png,
            &format!("{sum}.png"),
        );
        let long = format!("/in/x/{}.png", "ä".repeat(120));
        let name = stored_name(Path::new(&long), Path::new("/in"), &MD5, Content::Png);
        assert!(name.len() <= 240 && name.ends_with(".png"), "{name}");
        assert!(name.starts_with("x_-_ää") && name[name.len() - 13..].starts_with('_'));
    }

    #[test]
    fn places_are_few_and_differ() {
        let all: Vec<String> = places("a.png", &MD5).collect();
        assert_eq!(all.len(), 52);
        assert_eq!(all[0], "32d/a.png");
        assert!(all[1].ends_with(&format!("/a_{}.png", "ab".repeat(16))));
        assert!(all.iter().all(|path| is_place(path)), "{all:?}");
        let different: std::collections::BTreeSet<&String> = all.iter().collect();
        assert!(different.len() > 45);
        assert!(!is_place("a.png") && !is_place("32D/a.png") && !is_place("32d/b/a.png"));
    }

    #[test]
    fn a_small_picture_has_the_name_of_its_image() {
        assert_eq!(thumbnail_path("a72/b.c.png"), "a72/b.c.webp");
        assert_eq!(thumbnail_path("a.b/c"), "a.b/c.webp");
        assert_eq!(thumbnail_path("a/.c"), "a/.c.webp");
    }
}
