//! What files may be: damaged, cut, lying about their size. Each is a picture or one clear error, and holds no
//! more bytes than its header was said to need; the ledger counts them (what libjpeg and libwebp take is not in it).

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

mod chunk_sum;
mod peak;

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use chunk_sum::crc32;
use image::{DynamicImage, ImageFormat};
use peak::{alone, peak_bytes};
use plimsoll_booru_picture::read::read_bytes;
use plimsoll_booru_picture::thumbnail::{ThumbnailOptions, thumbnail, write_thumbnail};
use plimsoll_booru_picture::{Format, Limits, header, read};

/// What lists, readers and error texts take.
const SLACK_BYTES: u64 = 64 << 10;

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_picture =
        |path: &PathBuf| !matches!(path.extension().unwrap().to_str(), Some("py" | "txt"));
    files.filter(is_picture).collect()
}

fn fixture(name: &str) -> PathBuf {
    let found = fixtures().into_iter().find(|path| path.ends_with(name));
    found.unwrap()
}

/// A folder of one test, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let name = format!("booru-picture-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn headers_tell_what_reading_takes() {
    let _alone = alone();
    let folder = Folder::new("takes");
    let mut paths = fixtures();
    let photo = DynamicImage::from(image::RgbImage::from_fn(601, 433, |x, y| {
        image::Rgb([(x * y) as u8, (x ^ y) as u8, (x + y) as u8])
    }));
    let kinds = [
        ("rgb", photo.clone()),
        ("rgba", photo.to_rgba8().into()),
        ("grey", photo.to_luma8().into()),
        ("grey-alpha", photo.to_luma_alpha8().into()),
        ("deep", photo.to_rgb16().into()),
        ("deep-alpha", photo.to_rgba16().into()),
        ("deep-grey", photo.to_luma16().into()),
    ];
    for (name, image) in &kinds {
        let path = folder.0.join(format!("{name}.png"));
        image.save(&path).unwrap();
        paths.push(path);
    }
    for (image, name) in [
        (&kinds[0].1, "o.webp"),
        (&kinds[1].1, "a.webp"),
        (&kinds[0].1, "o.bmp"),
        (&kinds[1].1, "a.bmp"),
    ] {
        let path = folder.0.join(name);
        image.save(&path).unwrap();
        paths.push(path);
    }
    let path = folder.0.join("a.gif");
    photo.save_with_format(&path, ImageFormat::Gif).unwrap();
    paths.push(path);
    paths.push(folder.write(
        "lossy.webp",
        &webp::Encoder::from_rgb(photo.as_bytes(), 601, 433).encode(80.0),
    ));
    let rgba = photo.to_rgba8();
    paths.push(folder.write(
        "lossy-a.webp",
        &webp::Encoder::from_rgba(&rgba, 601, 433).encode(80.0),
    ));
    for path in paths {
        let name = path.display();
        let (told, peak) = peak_bytes(|| header(&path, &Limits::BOARD).unwrap());
        assert!(peak <= 192 << 10, "{name}: its header took {peak} bytes");
        let (picture, peak) = peak_bytes(|| read(&path, &Limits::BOARD).unwrap());
        assert!(!picture.is_truncated(), "{name}");
        assert_eq!(*picture.header(), told);
        let stored = picture.stored();
        assert_eq!((stored.width(), stored.height()), (told.width, told.height));
        assert!(
            peak <= told.memory_bytes + SLACK_BYTES,
            "{name}: {peak} bytes, {} were told",
            told.memory_bytes
        );
        // The estimate is no excuse to refuse what is far from the limit.
        let pixels = u64::from(told.width) * u64::from(told.height);
        assert!(
            told.memory_bytes <= pixels * 16 + (1 << 20),
            "{name}: {}",
            told.memory_bytes
        );
        let mut limits = Limits::BOARD;
        limits.memory_bytes_max = told.memory_bytes - 1;
        let error = format!("{:#}", read(&path, &limits).unwrap_err());
        assert!(
            error.contains("the limit is") && error.contains(&*path.to_string_lossy()),
            "{error}"
        );
    }
}

#[test]
fn names_say_nothing() {
    let _alone = alone();
    let folder = Folder::new("names");
    for (name, format, is_animated) in [
        ("base.jpg", Format::Jpeg, false),
        ("moving.png", Format::Png, true),
        ("moving.gif", Format::Gif, true),
        ("moving.webp", Format::WebP, true),
        ("palette.gif", Format::Gif, false),
        ("lossy.webp", Format::WebP, false),
        ("colors.bmp", Format::Bmp, false),
    ] {
        let path = folder.write("picture.txt", &fs::read(fixture(name)).unwrap());
        let told = header(&path, &Limits::BOARD).unwrap();
        assert_eq!(
            (told.format, told.is_animated),
            (format, is_animated),
            "{name}"
        );
        assert_eq!((told.width, told.height), (141, 93));
    }
    let turned = read(&fixture("turned.jpg"), &Limits::BOARD).unwrap();
    assert_eq!(turned.header().upright_size(), (93, 141));
    assert_eq!(turned.stored().width(), 141);
    let last = turned.stored().to_rgb8().get_pixel(0, 92).0;
    let upright = turned.upright().to_rgb8();
    assert_eq!(
        (upright.dimensions(), upright.get_pixel(0, 0).0),
        ((93, 141), last)
    );
}

#[test]
fn cut_files() {
    let _alone = alone();
    for path in fixtures() {
        let whole = fs::read(&path).unwrap();
        for tenth in 0..10 {
            let cut = &whole[..whole.len() * tenth / 10];
            let name = format!("{} at {tenth} tenths", path.display());
            let most = header(&path, &Limits::BOARD).unwrap().memory_bytes + SLACK_BYTES;
            let (read, peak) = peak_bytes(|| read_bytes(cut, &Limits::BOARD));
            assert!(peak <= most, "{name}: {peak} bytes");
            match read {
                Ok(picture) => {
                    let format = picture.header().format;
                    let is_told = matches!(format, Format::Png | Format::Jpeg);
                    // The last frames of an animation may be what is missing.
                    let is_first_whole = picture.header().is_animated;
                    assert!(
                        picture.is_truncated() || !is_told || is_first_whole,
                        "{name}"
                    );
                }
                Err(error) => assert!(!format!("{error:#}").is_empty()),
            }
        }
    }
    // Half of the pixels are better than none.
    for name in ["base.jpg", "progressive.jpg", "keyed.png"] {
        let whole = fs::read(fixture(name)).unwrap();
        let half = read_bytes(&whole[..whole.len() / 2], &Limits::BOARD).unwrap();
        assert!(half.is_truncated(), "{name}");
    }
}

fn refuse(name: &str, bytes: &[u8], part: &str) {
    let (read, peak) = peak_bytes(|| read_bytes(bytes, &Limits::BOARD));
    let error = format!("{:#}", read.map(|picture| *picture.header()).unwrap_err());
    assert!(error.contains(part), "{name}: {error}");
    assert!(peak <= 512 << 10, "{name}: {peak} bytes for {error}");
}

#[test]
fn sizes_that_are_claimed() {
    let _alone = alone();
    let file = |name: &str| fs::read(fixture(name)).unwrap();
    let mut png = file("keyed.png");
    png[16..24].copy_from_slice(&[0, 0, 0xFF, 0xFF, 0, 0, 0xFF, 0xFF]);
    let sum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&sum.to_be_bytes());
    refuse("png", &png, "");
    png[16..24].copy_from_slice(&[0, 0, 0x4E, 0x20, 0, 0, 0x4E, 0x20]);
    let sum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&sum.to_be_bytes());
    refuse("png of 20000", &png, "limit");
    for name in ["base.jpg", "progressive.jpg", "grey.jpg", "print.jpg"] {
        let mut jpeg = file(name);
        let is_frame = |pair: &[u8]| matches!(pair, [0xFF, 0xC0 | 0xC2]);
        let frame = jpeg.windows(2).position(is_frame).unwrap();
        jpeg[frame + 5..frame + 9].copy_from_slice(&[0xFF; 4]);
        refuse(name, &jpeg, "the limit of a side is 32768");
        // 20,000 x 20,000.
        jpeg[frame + 5..frame + 9].copy_from_slice(&[0x4E, 0x20, 0x4E, 0x20]);
        refuse(name, &jpeg, "the limit is 268435456");
    }
    let mut gif = file("palette.gif");
    gif[6..10].copy_from_slice(&[0xFF; 4]);
    refuse("gif", &gif, "limit");
    let mut bmp = file("colors.bmp");
    bmp[18..26].copy_from_slice(&[0xFF, 0xFF, 0, 0, 0xFF, 0xFF, 0, 0]);
    refuse("bmp", &bmp, "limit");
    // The bitstream says 16,383 x 16,383, also where the canvas is small.
    for name in ["lossy.webp", "alpha.webp", "moving.webp"] {
        let mut webp = file(name);
        let frame = webp.windows(4).position(|name| name == b"VP8 ").unwrap() + 8;
        webp[frame + 6..frame + 10].copy_from_slice(&[0xFF, 0x3F, 0xFF, 0x3F]);
        refuse(name, &webp, "limit");
    }
}

/// A WebP file with a chunk behind its others that says how long it is.
fn with_exif(webp: &[u8], exif: &[u8], length: u32) -> Vec<u8> {
    let mut with = webp.to_vec();
    assert_eq!(&with[12..16], b"VP8X");
    // The flag of EXIF data.
    with[20] |= 8;
    with.extend(b"EXIF");
    with.extend(length.to_le_bytes());
    with.extend(exif);
    let riff = u32::try_from(with.len() - 8).unwrap();
    with[4..8].copy_from_slice(&riff.to_le_bytes());
    with
}

#[test]
fn exif_data_of_a_webp_file_take_what_is_there() {
    let _alone = alone();
    // One entry: the orientation, a short number, 6.
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let webp = fs::read(fixture("alpha.webp")).unwrap();
    let (width, height) = read_bytes(&webp, &Limits::BOARD)
        .unwrap()
        .header()
        .upright_size();
    let turned = with_exif(&webp, exif, exif.len() as u32);
    let turned = read_bytes(&turned, &Limits::BOARD).unwrap();
    assert_eq!(turned.header().upright_size(), (height, width));
    // Nearly 4 GiB, of which 26 bytes are there.
    let claimed = with_exif(&webp, exif, u32::MAX - 1);
    let (read, peak) = peak_bytes(|| read_bytes(&claimed, &Limits::BOARD));
    let most = read.unwrap().header().memory_bytes + SLACK_BYTES;
    assert!(peak <= most, "{peak} bytes");
}

#[test]
fn frames_larger_than_their_picture() {
    let _alone = alone();
    let mut gif = fs::read(fixture("palette.gif")).unwrap();
    let table = 13 + (3 << ((gif[10] & 7) + 1));
    let frame = table + gif[table..].iter().position(|byte| *byte == b',').unwrap();
    gif[frame + 5..frame + 9].copy_from_slice(&[0xFF; 4]);
    refuse("gif", &gif, "limit");
}

#[test]
fn bombs() {
    let _alone = alone();
    // 40 million grey pixels in 40 KB.
    let mut png = Cursor::new(Vec::new());
    {
        use image::ImageEncoder;
        let encoder = image::codecs::png::PngEncoder::new(&mut png);
        let pixels = vec![0; 20_000 * 2_000];
        encoder
            .write_image(&pixels, 20_000, 2_000, image::ExtendedColorType::L8)
            .unwrap();
    }
    let mut limits = Limits::BOARD;
    limits.memory_bytes_max = 8 << 20;
    let (read, peak) = peak_bytes(|| read_bytes(png.get_ref(), &limits).map(|_| ()));
    assert!(format!("{:#}", read.unwrap_err()).contains("the limit is 8388608"));
    assert!(peak <= 512 << 10, "{peak} bytes");
    // The same bytes as a colour profile and as a text of a small picture.
    let whole = png.get_ref();
    let packed_at = whole.windows(4).position(|name| name == b"IDAT").unwrap();
    let length = u32::from_be_bytes(whole[packed_at - 4..packed_at].try_into().unwrap());
    let packed = &whole[packed_at + 4..packed_at + 4 + length as usize];
    let small = fs::read(fixture("keyed.png")).unwrap();
    for name in [b"iCCP", b"zTXt"] {
        let mut chunk = name.to_vec();
        chunk.extend(b"a\0\0");
        chunk.extend(packed);
        let mut bomb = small[..33].to_vec();
        bomb.extend((chunk.len() as u32 - 4).to_be_bytes());
        bomb.extend(&chunk);
        bomb.extend(crc32(&chunk).to_be_bytes());
        bomb.extend(&small[33..]);
        let (_, peak) = peak_bytes(|| read_bytes(&bomb, &limits).map(|_| ()));
        assert!(peak <= limits.memory_bytes_max, "{peak} bytes");
    }
}

#[test]
fn what_is_no_picture() {
    let _alone = alone();
    refuse("nothing", b"", "no PNG, JPEG");
    refuse("text", b"hello", "no PNG, JPEG");
    let starts: [&[u8]; 5] = [
        b"\x89PNG\r\n\x1a\n",
        b"\xFF\xD8\xFF",
        b"GIF89a",
        b"BM",
        b"RIFF\x20\0\0\0WEBPVP8 ",
    ];
    let mut state = 1_u64;
    for round in 0..400 {
        let mut bytes = starts[round % 5].to_vec();
        for _ in 0..round * 3 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            bytes.push((state >> 56) as u8);
        }
        let (_, peak) = peak_bytes(|| read_bytes(&bytes, &Limits::BOARD).map(|_| ()));
        assert!(peak <= Limits::BOARD.memory_bytes_max, "{peak} bytes");
    }
    let folder = Folder::new("none");
    let missing = folder.0.join("none.png");
    let error = format!("{:#}", read(&missing, &Limits::BOARD).unwrap_err());
    assert!(error.contains("none.png"), "{error}");
    let error = format!("{:#}", read(&folder.0, &Limits::BOARD).unwrap_err());
    assert!(error.contains("no regular file"), "{error}");
    let path = folder.write("large.png", &[0; 100]);
    let mut limits = Limits::BOARD;
    limits.file_bytes_max = 99;
    let error = format!("{:#}", header(&path, &limits).unwrap_err());
    assert!(
        error.contains("it has 100 bytes, the limit is 99"),
        "{error}"
    );
}

#[test]
fn thumbnails() {
    let _alone = alone();
    let folder = Folder::new("thumbnails");
    let options = ThumbnailOptions::default();
    let mut small = options;
    small.side_max = 50;
    for path in fixtures() {
        let picture = read(&path, &Limits::BOARD).unwrap();
        let upright = picture.header().upright_size();
        // Never enlarged.
        let bytes = thumbnail(&picture, &options).unwrap();
        let back = image::load_from_memory_with_format(&bytes, ImageFormat::WebP).unwrap();
        assert_eq!((back.width(), back.height()), upright, "{}", path.display());
        assert!(!back.color().has_alpha());
        let place = folder.0.join("a/b.webp");
        write_thumbnail(&picture, &place, &small).unwrap();
        let back = image::open(&place).unwrap().to_rgb8();
        let right = if upright == (141, 93) {
            (50, 33)
        } else {
            (33, 50)
        };
        assert_eq!(back.dimensions(), right, "{}", path.display());
    }
    // White where nothing is, and the picture where it is whole.
    let path = fixture("alpha.webp");
    let bytes = thumbnail(&read(&path, &Limits::BOARD).unwrap(), &options).unwrap();
    let back = image::load_from_memory_with_format(&bytes, ImageFormat::WebP)
        .unwrap()
        .to_rgb8();
    assert!(
        back.get_pixel(0, 50).0.iter().all(|value| *value > 245),
        "{:?}",
        back.get_pixel(0, 50)
    );
    small.side_max = 0;
    let picture = read(&path, &Limits::BOARD).unwrap();
    assert!(thumbnail(&picture, &small).is_err());
    small.side_max = 10;
    small.quality = 400.0;
    assert!(thumbnail(&picture, &small).is_err());
}

#[test]
fn a_thumbnail_takes_little_beside_its_picture() {
    let _alone = alone();
    let pixels: Vec<u8> = (0..4000 * 3000 * 3).map(|at: u32| (at / 7) as u8).collect();
    let image = image::RgbImage::from_raw(4000, 3000, pixels).unwrap();
    let mut bmp = Cursor::new(Vec::new());
    image.write_to(&mut bmp, ImageFormat::Bmp).unwrap();
    let picture = read_bytes(bmp.get_ref(), &Limits::BOARD).unwrap();
    let (bytes, peak) = peak_bytes(|| thumbnail(&picture, &ThumbnailOptions::default()).unwrap());
    let back = image::load_from_memory_with_format(&bytes, ImageFormat::WebP).unwrap();
    assert_eq!((back.width(), back.height()), (800, 600));
    assert!(peak <= 3 << 20, "{peak} bytes");
    let (_, peak) = peak_bytes(|| {
        plimsoll_booru_picture::phash::phash(
            &picture,
            plimsoll_booru_picture::phash::HashSize::Bits256,
        )
    });
    assert!(peak <= 512 << 10, "{peak} bytes");
}
