//! Answers of real models, beside what Pillow and numpy computed (tests/fixtures/make.py), by every
//! runtime that is there.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use plimsoll_booru_picture::pixels::drop_alpha;
use plimsoll_booru_tagger::models::Models;
use plimsoll_booru_tagger::runtime::{Backend, Device, Engine, Placement, Tensor};
use plimsoll_booru_tagger::work::Work;
use plimsoll_booru_tagger::{embedder, input, preprocess, sidecar, tagger, upscaler};
use plimsoll_booru_worker_protocol::message::{TagImages, Tagging, UpscaleImage};
use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// tract, and ONNX Runtime where Python's package has its library.
fn backends() -> Vec<Backend> {
    let backend = |engine, library| Backend {
        device: Device::Cpu,
        engine,
        library,
        placement: Placement::Mostly,
    };
    let mut found = Vec::new();
    if cfg!(feature = "tract") {
        found.push(backend(Engine::Tract, None));
    }
    match library() {
        Some(library) if cfg!(feature = "onnxruntime") => {
            found.push(backend(Engine::OnnxRuntime, Some(library)));
        }
        _ => eprintln!("SKIPPED with ONNX Runtime: no libonnxruntime.so (pip install onnxruntime)"),
    }
    found
}

fn library() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH") {
        return Some(path.into());
    }
    let script = "import glob,os,importlib.util as u\n\
                  p=os.path.dirname(u.find_spec('onnxruntime').origin)\n\
                  print(glob.glob(p+'/capi/libonnxruntime.so*')[0])";
    let output = Command::new("python3").args(["-c", script]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().into())
}

fn expected() -> Value {
    serde_json::from_slice(&std::fs::read(fixture("expected.json")).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|number| number.as_f64().unwrap())
        .collect()
}

#[test]
fn taggers_are_fed_as_pillow_and_numpy_would() {
    let expected = expected();
    for backend in backends() {
        for (model, given) in [("camie", None), ("wd14", Some("wd14.csv"))] {
            let path = fixture(&format!("{model}.onnx"));
            let mut loaded = backend.load(&path).unwrap();
            let given = given.map(fixture);
            let sidecar = sidecar::read(&path, given.as_deref()).unwrap();
            // Pixels are Pillow's to the last bit; sums of floats are made in another order.
            for (name, near) in [("wide.png", 1e-5), ("clear.png", 1e-5), ("photo.jpg", 1e-5)] {
                let image = input::read(&fixture(name)).unwrap().image;
                let mut tagging = Tagging::new("");
                tagging.storage_threshold = 0.0;
                let tags = tagger::tag(loaded.model.as_mut(), &sidecar, &image, &tagging).unwrap();
                let right = numbers(&expected[name][model]);
                let all: Vec<_> = tags.all_predictions.iter().chain(&tags.ratings).collect();
                assert_eq!(all.len(), right.len());
                for prediction in all {
                    let place = sidecar
                        .tags
                        .iter()
                        .position(|tag| *tag.0 == *prediction.tag_name);
                    let right = right[place.unwrap()];
                    let off = (f64::from(prediction.confidence) - right).abs();
                    assert!(
                        off < near,
                        "{backend:?} {model} {name}: {prediction:?}, not {right}"
                    );
                }
            }
        }
    }
}

#[test]
fn characters_have_a_threshold_of_their_own() {
    for backend in backends() {
        let path = fixture("camie.onnx");
        let mut loaded = backend.load(&path).unwrap();
        let sidecar = sidecar::read(&path, None).unwrap();
        let image = input::read(&fixture("wide.png")).unwrap().image;
        let mut tags = |threshold, character_threshold| {
            let mut tagging = Tagging::new("");
            tagging.threshold = threshold;
            tagging.character_threshold = character_threshold;
            tagger::tag(loaded.model.as_mut(), &sidecar, &image, &tagging).unwrap()
        };
        assert_eq!(tags(0.0, 1.1).tags["character"], Vec::<String>::new());
        assert_eq!(tags(0.0, 1.1).tags["general"].len(), 2);
        assert_eq!(tags(1.1, 0.0).tags["character"].len(), 2);
        assert_eq!(tags(1.1, 0.0).tags["general"], Vec::<String>::new());
        assert_eq!(tags(0.0, 0.0).ratings.len(), 1);
        assert_eq!(tags(0.0, 0.0).tagger_name, "camie-test");
    }
}

#[test]
fn a_batch_is_answered_as_each_image_by_itself() {
    let names = [
        "wide.png",
        "none.png",
        "clear.png",
        "photo.jpg",
        "huge.png.gone",
    ];
    let paths: Vec<String> = names
        .iter()
        .map(|name| fixture(name).to_str().unwrap().to_owned())
        .collect();
    for backend in backends() {
        let ask = |model: &str, batch_images| {
            let work = Work::new(Models::new(backend.clone()), PathBuf::new(), batch_images);
            let mut tagging = Tagging::new(fixture(model).to_str().unwrap());
            tagging.metadata_path = Some(fixture("camie-metadata.json").to_str().unwrap().into());
            tagging.storage_threshold = 0.0;
            let request = TagImages {
                image_paths: paths.clone(),
                tagging,
            };
            let mut told = 0;
            let answer = work.tag_images(&request, |progress| told = progress.current);
            let answer = answer.map_err(|failure| failure.error).unwrap();
            assert_eq!(told, 5);
            answer["results"].as_array().unwrap().clone()
        };
        let right = ask("camie.onnx", 1);
        for (model, batch_images) in [
            ("camie.onnx", 4),
            ("camie_batch.onnx", 1),
            ("camie_batch.onnx", 2),
            ("camie_batch.onnx", 8),
            ("camie_false_batch.onnx", 8),
        ] {
            let found = ask(model, batch_images);
            for (found, right) in found.iter().zip(&right) {
                let path = &right["image_path"];
                assert_eq!(
                    (&found["status"], &found["image_path"], &found["cause"]),
                    (&right["status"], path, &right["cause"])
                );
                let pairs = found["data"]["all_predictions"].as_array();
                let pairs = pairs.into_iter().flatten();
                let rights = right["data"]["all_predictions"].as_array();
                for (found, right) in pairs.zip(rights.into_iter().flatten()) {
                    assert_eq!(found["tag_name"], right["tag_name"], "{path}");
                    let confidence = |one: &Value| one["confidence"].as_f64().unwrap();
                    let off = (confidence(found) - confidence(right)).abs();
                    assert!(
                        off < 1e-5,
                        "{backend:?} {model} {path}: {found}, not {right}"
                    );
                }
            }
        }
        assert_eq!(right[1]["cause"], "image");
        assert_eq!(
            right[0]["data"]["all_predictions"]
                .as_array()
                .unwrap()
                .len(),
            5
        );
        // The model itself takes three at once, in the order they are given.
        let mut loaded = backend.load(&fixture("camie_batch.onnx")).unwrap();
        let sidecar = sidecar::read(
            &fixture("camie.onnx"),
            Some(&fixture("camie-metadata.json")),
        );
        let sidecar = sidecar.unwrap();
        let feed = tagger::Feed::new(loaded.model.as_ref(), &sidecar).unwrap();
        assert!(feed.takes_batches);
        let mut inputs = Vec::new();
        for path in [&paths[0], &paths[2], &paths[3]] {
            let image = input::read(Path::new(path)).unwrap().image;
            inputs.push(feed.tensor(&image));
        }
        let mut tagging = Tagging::new("");
        tagging.storage_threshold = 0.0;
        let input = Tensor::stacked(&inputs);
        let together = tagger::infer(loaded.model.as_mut(), &sidecar, input, &tagging).unwrap();
        for (tags, right) in together.iter().zip([&right[0], &right[2], &right[3]]) {
            let first = &right["data"]["all_predictions"][0];
            assert_eq!(tags.all_predictions[0].tag_name, first["tag_name"]);
        }
        let mut loaded = backend.load(&fixture("camie_false_batch.onnx")).unwrap();
        let input = Tensor::stacked(&inputs);
        assert!(tagger::infer(loaded.model.as_mut(), &sidecar, input, &tagging).is_err());
    }
}

#[test]
fn a_pipe_is_no_picture_and_keeps_nobody_waiting() {
    let folder = std::env::temp_dir().join(format!("booru-tagger-pipe-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let pipe = folder.join("pipe.png");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let error = input::read(&pipe).unwrap_err();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(
        format!("{error:#}").contains("no regular file"),
        "{error:#}"
    );
}

#[test]
fn embeddings_point_where_numpy_s_do() {
    let expected = expected();
    for backend in backends() {
        for (model, kind) in [
            ("siglip", "siglip"),
            ("wd14_embedder", "tagger"),
            ("wd14_embedder", "wd14"),
        ] {
            let mut loaded = backend.load(&fixture(&format!("{model}.onnx"))).unwrap();
            let model = loaded.model.as_mut();
            for name in ["wide.png", "clear.png"] {
                let image = input::read(&fixture(name)).unwrap().image;
                let found = embedder::embed(model, &image, kind, None, Some(512)).unwrap();
                let right = numbers(&expected[name][format!("embed_{kind}")]);
                let product: f64 = found
                    .iter()
                    .zip(&right)
                    .map(|(a, b)| f64::from(*a) * b)
                    .sum();
                let norm: f64 = found.iter().map(|a| f64::from(*a).powi(2)).sum();
                assert!((norm - 1.0).abs() < 1e-5, "{norm}");
                assert!(
                    product > 1.0 - 1e-5,
                    "{backend:?} {kind} {name}: cosine {product}"
                );
            }
            let image = input::read(&fixture("wide.png")).unwrap().image;
            let error = embedder::embed(model, &image, kind, Some(99), None).unwrap_err();
            assert!(error.to_string().contains("99"), "{error}");
        }
    }
}

fn upscale_request(output: &Path, tile: u32, format: &str) -> UpscaleImage {
    let text = format!(
        r#"{{"image_path":"", "model_name":"", "output_path":{:?}, "output_format":{format:?},
            "tile_size":{tile}, "tile_pad":4}}"#,
        output.to_str().unwrap()
    );
    serde_json::from_str(&text).unwrap()
}

#[test]
fn tiles_leave_no_seams() {
    let folder = std::env::temp_dir().join(format!("booru-tagger-seams-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let right = image::open(fixture("wide_x4.png")).unwrap().to_rgb8();
    let input = drop_alpha(&input::read(&fixture("wide.png")).unwrap().image);
    for backend in backends() {
        for (tile, format) in [(16, "png"), (17, "webp"), (1024, "png")] {
            let output = folder.join(format!("large.{format}"));
            let request = upscale_request(&output, tile, format);
            let mut loaded = backend.load(&fixture("x4.onnx")).unwrap();
            let mut last = None;
            let upscaled = upscaler::upscale(loaded.model.as_mut(), &input, &request, |progress| {
                last = Some(progress.clone());
            });
            assert_eq!(upscaled.unwrap().size, (244, 160));
            let last = last.unwrap();
            let tiles = u64::from(61_u32.div_ceil(tile) * 40_u32.div_ceil(tile));
            assert_eq!((last.current, last.total), (tiles, tiles));
            let found = image::open(&output).unwrap().to_rgb8();
            assert_eq!(found.dimensions(), right.dimensions());
            let most = found
                .as_raw()
                .iter()
                .zip(right.as_raw())
                .map(|(a, b)| a.abs_diff(*b))
                .max();
            // The sums of a convolution are rounded in another order.
            assert!(
                most <= Some(1),
                "{backend:?}, tiles of {tile}: {most:?} off"
            );
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn inputs() {
    let turned = input::read(&fixture("turned.png")).unwrap().image;
    assert_eq!((turned.width(), turned.height()), (40, 61));
    let cut = input::read(&fixture("cut.png")).unwrap();
    let whole = input::read(&fixture("wide.png")).unwrap();
    assert!(cut.is_truncated && !whole.is_truncated);
    let (cut, whole) = (cut.image.to_rgb8(), whole.image.to_rgb8());
    assert_eq!(
        cut.rows().next().unwrap().collect::<Vec<_>>(),
        whole.rows().next().unwrap().collect::<Vec<_>>()
    );
    assert_ne!(cut.as_raw(), whole.as_raw());
    assert!(input::require_still(&fixture("moving.gif")).is_err());
    input::require_still(&fixture("wide.png")).unwrap();
    let refuse = |bytes: &[u8], part: &str| {
        let path = std::env::temp_dir().join(format!("booru-tagger-bad-{}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        let text = format!("{:#}", input::read(&path).unwrap_err());
        std::fs::remove_file(&path).unwrap();
        assert!(
            text.contains(part) && text.contains("booru-tagger-bad"),
            "{text}"
        );
    };
    refuse(b"", "no PNG, JPEG");
    refuse(b"hello", "no PNG, JPEG");
    refuse(&std::fs::read(fixture("wide.png")).unwrap()[..40], "");
    // A header that claims 30,000 x 30,000 pixels.
    let mut giant = std::fs::read(fixture("wide.png")).unwrap();
    giant[16..24].copy_from_slice(&[0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30]);
    let checksum = crc32(&giant[12..29]);
    giant[29..33].copy_from_slice(&checksum.to_be_bytes());
    refuse(&giant, "limit");
}

/// Of a PNG chunk.
fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 {
                (sum >> 1) ^ 0xEDB8_8320
            } else {
                sum >> 1
            };
        }
    }
    !sum
}

#[test]
fn wrong_models_and_sidecars_are_told_apart() {
    let image = input::read(&fixture("wide.png")).unwrap().image;
    for backend in backends() {
        let check = |outcome: anyhow::Result<()>, part: &str| {
            let text = format!("{:#}", outcome.unwrap_err());
            assert!(text.contains(part), "{backend:?}: {text}");
        };
        check(backend.load(&fixture("none.onnx")).map(|_| ()), "none.onnx");
        check(backend.load(&fixture("wd14.csv")).map(|_| ()), "wd14.csv");
        check(backend.load(Path::new("/tmp")).map(|_| ()), "no file");
        // Damage may show at loading or at running, and is an error in either case.
        let damaged = backend
            .load(&fixture("damaged.onnx"))
            .and_then(|mut loaded| {
                let side = preprocess::tensor(&image, 24, preprocess::Scheme::Camie);
                loaded.model.run(side).map(|_| ())
            });
        check(damaged, "");
        let mut loaded = backend.load(&fixture("camie.onnx")).unwrap();
        let model = loaded.model.as_mut();
        let names = |path: &str| sidecar::read(&fixture("camie.onnx"), Some(&fixture(path)));
        let tagging = Tagging::new("");
        let wrong = names("wd14.csv").unwrap();
        check(
            tagger::tag(model, &wrong, &image, &tagging).map(|_| ()),
            "another model's",
        );
        let mut short = names("camie-metadata.json").unwrap();
        short.tags.pop();
        check(
            tagger::tag(model, &short, &image, &tagging).map(|_| ()),
            "6 numbers, and 5 tags",
        );
        check(names("expected.json").map(|_| ()), "dataset_info");
        check(names("none.json").map(|_| ()), "none.json");
        check(
            sidecar::read(&fixture("x4.onnx"), None).map(|_| ()),
            "metadata_path",
        );
        let embedded = embedder::embed(model, &image, "siglip", None, None).map(|_| ());
        check(embedded, "none has embedding_dim");
        let embedded = embedder::embed(model, &image, "tagger", None, None).map(|_| ());
        check(embedded, "Nhwc");
    }
}
