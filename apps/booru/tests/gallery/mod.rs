//! A board with folders, and pictures to take in: each number gives another one, always the same.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use image::{ImageFormat, Rgb, RgbImage};
use plimsoll_booru::ingest::{Event, Ingest, Mode, Outcome, Settings, Totals};
use plimsoll_booru::store::{Access, Store};
use rusqlite::Connection;

use crate::collection::{Folder, options};

pub(crate) struct Gallery {
    pub(crate) folder: Folder,
    pub(crate) database: PathBuf,
    pub(crate) settings: Settings,
}

impl Gallery {
    pub(crate) fn new(name: &str) -> Gallery {
        let folder = Folder::new(name);
        let database = folder.path("data/booru.db");
        Store::create(&database).unwrap();
        let settings = Settings {
            images: folder.path("static/images"),
            thumbnails: folder.path("static/thumbnails"),
            ingest: folder.path("ingest"),
            trash: folder.path("trash"),
            ..Settings::default()
        };
        fs::create_dir(&settings.ingest).unwrap();
        Gallery {
            folder,
            database,
            settings,
        }
    }

    pub(crate) fn ingest(&self) -> Ingest {
        let board = plimsoll_booru::board::Board::open(&self.database, options(Access::InPlace));
        let writer = Arc::new(Mutex::new(board.unwrap()));
        Ingest::open(self.settings.clone(), writer, Duration::from_secs(5)).unwrap()
    }

    pub(crate) fn import(&self, path: &Path, mode: Mode) -> (Totals, Vec<Event>) {
        let mut events = Vec::new();
        let mut note = |event: &Event| events.push(event.clone());
        let paths = [path.to_owned()];
        let totals = self.ingest().import(&paths, mode, &mut note).unwrap();
        (totals, events)
    }

    pub(crate) fn connection(&self) -> Connection {
        Connection::open(&self.database).unwrap()
    }

    pub(crate) fn count(&self, sql: &str) -> u64 {
        self.connection()
            .query_row(sql, [], |row| row.get(0))
            .unwrap_or_else(|error| panic!("{error}: {sql}"))
    }

    /// Paths and MD5 sums of all rows.
    pub(crate) fn rows(&self) -> Vec<(String, String)> {
        let connection = self.connection();
        let mut statement = connection
            .prepare("SELECT filepath, md5 FROM images ORDER BY id")
            .unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }

    /// Each row has its file, whole; there is one row for each file and the tables agree.
    pub(crate) fn check_whole(&self, what: &str) {
        for (path, md5) in self.rows() {
            let bytes = fs::read(self.settings.images.join(&path))
                .unwrap_or_else(|error| panic!("{path}: {error} {what}"));
            assert_eq!(md5_of(&bytes), md5, "{path} {what}");
            let small = plimsoll_booru::ingest::thumbnail_path(&path);
            let small = fs::read(self.settings.thumbnails.join(&small))
                .unwrap_or_else(|error| panic!("{small}: {error} {what}"));
            assert!(small.starts_with(b"RIFF"), "{path} {what}");
        }
        let images = self.count("SELECT count(*) FROM images");
        assert_eq!(
            self.count("SELECT count(*) FROM images_fts"),
            images,
            "{what}"
        );
        let connection = self.connection();
        let state: String = connection
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(state, "ok", "{what}");
    }
}

pub(crate) fn md5_of(bytes: &[u8]) -> String {
    use md5::Digest as _;
    let sum = md5::Md5::digest(bytes);
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Some waves in three colours, other ones for each number.
pub(crate) fn picture(number: u32, width: u32, height: u32) -> Vec<u8> {
    let image = RgbImage::from_fn(width, height, |x, y| {
        let wave = |by: u32| (((x * by + y * (number % 7 + 1)) / 3 + number * 13) % 256) as u8;
        Rgb([wave(1), wave(number % 5 + 1), wave(3)])
    });
    let mut bytes = Vec::new();
    let format = match number % 3 {
        0 => ImageFormat::Bmp,
        _ => ImageFormat::Png,
    };
    image
        .write_to(&mut std::io::Cursor::new(&mut bytes), format)
        .unwrap();
    // Behind the picture decoders read nothing: each number has a sum of its own.
    bytes.extend(number.to_le_bytes());
    bytes
}

pub(crate) fn ending(number: u32) -> &'static str {
    match number % 3 {
        0 => "bmp",
        _ => "png",
    }
}

/// Writes a picture with tags beside it; its path.
pub(crate) fn put(folder: &Path, number: u32) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    let path = folder.join(format!("{number}.{}", ending(number)));
    fs::write(&path, picture(number, 40 + number % 30, 50)).unwrap();
    path
}

pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

pub(crate) fn reason(events: &[Event], name: &str) -> String {
    let event = events.iter().find(|event| event.path.ends_with(name));
    match event.map(|event| &event.outcome) {
        Some(Outcome::SetAside { reason }) => reason.clone(),
        other => panic!("{name}: {other:?}"),
    }
}
