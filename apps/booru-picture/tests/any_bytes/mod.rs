//! What holds of any bytes that are taken for a picture file: they are one within the limits, or an error.
//!
//! Peaks are those of the ledger, where that is the allocator; what libjpeg and libwebp take is not in it.

use image::{DynamicImage, ImageFormat};
use plimsoll::stage::Stage;
use plimsoll_booru_picture::colorhash::colorhash;
use plimsoll_booru_picture::difference::Preview;
use plimsoll_booru_picture::header::header_of_bytes;
use plimsoll_booru_picture::phash::{HashSize, Phash, phash};
use plimsoll_booru_picture::read::read_bytes;
use plimsoll_booru_picture::thumbnail::{ThumbnailOptions, memory_bytes, thumbnail};
use plimsoll_booru_picture::{Limits, Picture};

/// Small, so that files reach them often.
pub(crate) const LIMITS: Limits = Limits {
    side_max: 400,
    memory_bytes_max: 1 << 20,
    file_bytes_max: 32 << 10,
};

const SMALL: ThumbnailOptions = ThumbnailOptions {
    side_max: 48,
    quality: 85.0,
};

/// What looking at a header takes beside the bytes of the file.
const HEADER_BYTES: u64 = 192 << 10;
/// What lists, readers and error texts take.
const SLACK_BYTES: u64 = 64 << 10;

fn within<T>(most: u64, what: &str, work: impl FnOnce() -> T) -> T {
    let stage = Stage::begin("work");
    let done = work();
    if let Some(live) = stage.end().live
        && let Some(peak) = live.peak_bytes
    {
        let taken = peak.saturating_sub(live.begin_bytes);
        assert!(
            taken <= most,
            "{what} took {taken} bytes, {most} are its limit"
        );
    }
    done
}

/// Whether it was a picture.
///
/// # Panics
/// Where something does not hold.
pub(crate) fn check(bytes: &[u8]) -> bool {
    let header_most = HEADER_BYTES + bytes.len() as u64 * 2;
    let told = within(header_most, "the header", || {
        header_of_bytes(bytes, &LIMITS)
    });
    let most = told.as_ref().map_or(0, |told| told.memory_bytes);
    let most = most.max(header_most) + SLACK_BYTES;
    let picture = within(most, "reading", || read_bytes(bytes, &LIMITS));
    let (told, picture) = match (told, picture) {
        (Ok(told), Ok(picture)) => (told, picture),
        (Err(told), Err(error)) => {
            assert_eq!(format!("{told:#}"), format!("{error:#}"));
            return false;
        }
        (Ok(_), Err(error)) => {
            assert!(!format!("{error:#}").is_empty());
            return false;
        }
        (Err(error), Ok(_)) => panic!("it is read, and its header is not: {error:#}"),
    };
    assert!(told.memory_bytes <= LIMITS.memory_bytes_max);
    assert!((1..=LIMITS.side_max).contains(&told.width));
    assert!((1..=LIMITS.side_max).contains(&told.height));
    assert!(bytes.len() as u64 <= LIMITS.file_bytes_max);
    assert_eq!(*picture.header(), told);
    let stored = picture.stored();
    assert_eq!((stored.width(), stored.height()), (told.width, told.height));
    assert!(matches!(
        stored,
        DynamicImage::ImageRgb8(_) | DynamicImage::ImageRgba8(_)
    ));
    assert!(stored.as_bytes().len() as u64 <= told.memory_bytes);
    // Pixels that nobody wrote would be others each time.
    let again = read_bytes(bytes, &LIMITS).expect("it was read before");
    assert_eq!(again.stored().as_bytes(), stored.as_bytes());
    assert_eq!(again.is_truncated(), picture.is_truncated());
    check_hashes(&picture);
    check_thumbnail(&picture);
    let upright = again.upright();
    assert_eq!((upright.width(), upright.height()), told.upright_size());
    true
}

fn check_hashes(picture: &Picture) {
    for size in [HashSize::Bits64, HashSize::Bits256] {
        let hash = phash(picture, size);
        let printed = hash.to_string();
        assert_eq!(printed.len() as u32 * 4, size.bits());
        assert_eq!(printed.parse::<Phash>().ok(), Some(hash));
    }
    assert_eq!(colorhash(picture).to_string().len(), 11);
    let preview = Preview::new(picture);
    // None of a picture of which nothing is seen.
    let difference = preview.compare(&preview);
    assert!(difference.is_none_or(|difference| difference.signal() == 0.0));
}

fn check_thumbnail(picture: &Picture) {
    let (width, height) = picture.header().upright_size();
    let most = memory_bytes(u64::from(width) * u64::from(height), &SMALL);
    let small = within(most, "the thumbnail", || thumbnail(picture, &SMALL));
    let small = small.expect("the options are in range");
    let small = image::load_from_memory_with_format(&small, ImageFormat::WebP);
    let small = small.expect("a thumbnail is a WebP file");
    let (across, down) = (small.width(), small.height());
    // Never larger than the picture, nor than asked for; one side is as long as may be.
    assert_eq!(across.max(down), width.max(height).min(SMALL.side_max));
    assert!(across <= width && down <= height && !small.color().has_alpha());
}
