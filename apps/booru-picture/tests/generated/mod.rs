//! Pictures from whole numbers alone; tests/fixtures/make.py makes the same.

use image::DynamicImage;

/// splitmix64 of a seed and a place.
fn mix(seed: u64, place: u64) -> u64 {
    let z = seed
        .wrapping_mul(0xD134_2543_DE82_EF95)
        .wrapping_add(place.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Nine by nine random colours, blended, with a little noise.
pub(crate) fn photo(seed: u64, width: u32, height: u32) -> Vec<u8> {
    let grid = |x: u32, y: u32, channel: u32| {
        let place = (y * 9 + x) * 3 + channel;
        (mix(seed, u64::from(place) + 1000) & 255) as i64
    };
    let mut pixels = Vec::new();
    let mut place = 0;
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let (across, down) = (x * 2048 / width, y * 2048 / height);
                let (x0, y0) = (across >> 8, down >> 8);
                let (fx, fy) = (i64::from(across & 255), i64::from(down & 255));
                let upper = grid(x0, y0, channel) * (256 - fx) + grid(x0 + 1, y0, channel) * fx;
                let lower =
                    grid(x0, y0 + 1, channel) * (256 - fx) + grid(x0 + 1, y0 + 1, channel) * fx;
                let blend = (upper * (256 - fy) + lower * fy) >> 16;
                let noise = (mix(seed, place + 5000) % 9) as i64 - 4;
                pixels.push((blend + noise).clamp(0, 255) as u8);
                place += 1;
            }
        }
    }
    pixels
}

/// The picture of a number: noise, slopes, flat, discs, photos, with transparency, grey, boards, tiny, dark.
pub(crate) fn picture(seed: u64) -> DynamicImage {
    let kind = seed % 10;
    let sides = match (kind, seed % 7) {
        (8, _) => 8,
        (_, 0) => 40,
        _ => 260,
    };
    let width = 1 + (mix(seed, 1) % sides) as u32;
    let height = 1 + (mix(seed, 2) % sides) as u32;
    let color = |number: u64| [0, 1, 2].map(|at| (mix(seed, 10 + number * 3 + at) & 255) as u8);
    let by_color = |first: &dyn Fn(i64, i64) -> bool| {
        each(width, height, |x, y| match first(x, y) {
            true => color(0).to_vec(),
            false => color(1).to_vec(),
        })
    };
    let (w, h) = (i64::from(width), i64::from(height));
    let size = 1 + (mix(seed, 3) % 30) as i64;
    let noise = |channels: u64| {
        let bytes = u64::from(width) * u64::from(height) * channels;
        (0..bytes)
            .map(|at| (mix(seed, at + 5000) & 255) as u8)
            .collect()
    };
    let photo = || photo(seed, width, height);
    let (channels, pixels) = match kind {
        0 => (3, noise(3)),
        8 => (4, noise(4)),
        1 => (
            3,
            each(width, height, |x, y| {
                let slope = |at: i64, length: i64| (at * 255 / (length - 1).max(1)) as u8;
                vec![slope(x, w), slope(y, h), ((x + y) & 255) as u8]
            }),
        ),
        2 => (3, by_color(&|_, _| true)),
        3 => (
            3,
            by_color(&|x, y| (2 * x - w).pow(2) + (2 * y - h).pow(2) < w.min(h).pow(2) / 2),
        ),
        7 => (3, by_color(&|x, y| (x / size + y / size) & 1 == 1)),
        5 => {
            let colors = photo();
            let mut pixels = colors.chunks_exact(3);
            (
                4,
                each(width, height, |x, y| {
                    let alpha = (x * 255 / (w - 1).max(1) + y) & 255;
                    let mut pixel = pixels.next().unwrap().to_vec();
                    pixel.push(alpha as u8);
                    pixel
                }),
            )
        }
        6 => (1, photo().chunks_exact(3).map(|pixel| pixel[0]).collect()),
        9 => (3, photo().iter().map(|value| value / 6).collect()),
        _ => (3, photo()),
    };
    match channels {
        1 => image::GrayImage::from_raw(width, height, pixels)
            .unwrap()
            .into(),
        3 => image::RgbImage::from_raw(width, height, pixels)
            .unwrap()
            .into(),
        _ => image::RgbaImage::from_raw(width, height, pixels)
            .unwrap()
            .into(),
    }
}

fn each(width: u32, height: u32, mut pixel: impl FnMut(i64, i64) -> Vec<u8>) -> Vec<u8> {
    let mut pixels = Vec::new();
    for y in 0..i64::from(height) {
        for x in 0..i64::from(width) {
            pixels.extend(pixel(x, y));
        }
    }
    pixels
}
