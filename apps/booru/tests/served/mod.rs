//! A board of a test, served by the real command.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rusqlite::Connection;

use crate::collection::{self, Era, Folder, Size};

/// A picture of 8 by 8 (WebP, lossless), for whatever has to be one.
const PICTURE: [u8; 38] = [
    0x52, 0x49, 0x46, 0x46, 0x1e, 0x00, 0x00, 0x00, 0x57, 0x45, 0x42, 0x50, 0x56, 0x50, 0x38, 0x4c,
    0x11, 0x00, 0x00, 0x00, 0x2f, 0x07, 0xc0, 0x01, 0x00, 0x07, 0x50, 0xbc, 0x6a, 0x15, 0xb9, 0xff,
    0x81, 0x88, 0xe8, 0x7f, 0x00, 0x00,
];

pub(crate) struct Served {
    folder: Folder,
    child: Child,
    pub(crate) url: String,
}

/// What is changed of the board before it is served.
pub(crate) struct Preparation<'a> {
    pub(crate) size: Size,
    pub(crate) password: Option<&'a str>,
    pub(crate) fill: &'a dyn Fn(&Connection),
}

impl Preparation<'_> {
    pub(crate) fn usual() -> Preparation<'static> {
        Preparation {
            size: collection::SMALL,
            password: None,
            fill: &|_| {},
        }
    }
}

impl Served {
    /// Thirty images a page.
    pub(crate) fn start(name: &str, preparation: &Preparation<'_>) -> Served {
        let folder = Folder::new(name);
        let path = collection::make(&folder, Era::Now, preparation.size, 7);
        let connection = Connection::open(path).unwrap();
        // A browser plays no picture.
        let sql = "UPDATE images SET filepath = replace(replace(filepath, '.webm', '.png'), '.mp4', '.png')";
        connection.execute(sql, []).unwrap();
        (preparation.fill)(&connection);
        draw(&folder, &connection);
        let mut command = Command::new(env!("CARGO_BIN_EXE_booru"));
        command
            .args(["serve", "--port", "0", "--images-per-page", "30"])
            .arg(folder.root())
            .env_remove("APP_PASSWORD")
            .stdout(Stdio::piped());
        if let Some(password) = preparation.password {
            command.env("APP_PASSWORD", password);
        }
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut line).unwrap();
        let url = line.trim().trim_end_matches('/').to_owned();
        assert!(url.starts_with("http://"), "{line}");
        Served { folder, child, url }
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The database, beside the server.
    pub(crate) fn database(&self) -> Connection {
        Connection::open(self.folder.path("booru.db")).unwrap()
    }
}

/// Puts files where the images and their small pictures are to be.
fn draw(folder: &Folder, connection: &Connection) {
    let mut statement = connection.prepare("SELECT filepath FROM images").unwrap();
    let paths = statement
        .query_map([], |row| row.get::<_, String>(0))
        .unwrap();
    let write = |kind: &str, path: &Path| {
        let path = folder.path("static").join(kind).join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, PICTURE).unwrap();
    };
    for path in paths {
        let path = path.unwrap();
        write("images", Path::new(&path));
        write("thumbnails", &Path::new(&path).with_extension("webp"));
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
