//! Where the files of a board lie.

use std::path::{Component, Path, PathBuf};

use anyhow::{Result, bail};

use crate::ingest::{Settings, thumbnail_path};

/// Folders that paths in the database are relative to.
#[derive(Clone, Debug)]
pub struct Folders {
    pub images: PathBuf,
    pub thumbnails: PathBuf,
}

impl Folders {
    #[must_use]
    pub fn of(settings: &Settings) -> Folders {
        Folders {
            images: settings.images.clone(),
            thumbnails: settings.thumbnails.clone(),
        }
    }

    /// The file of an image.
    ///
    /// # Errors
    /// A path that leads out of the folder.
    pub fn image(&self, path: &str) -> Result<PathBuf> {
        Ok(self.images.join(inner(path)?))
    }

    /// The thumbnail of an image.
    ///
    /// # Errors
    /// As [`Folders::image`].
    pub fn thumbnail(&self, path: &str) -> Result<PathBuf> {
        inner(path)?;
        Ok(self.thumbnails.join(thumbnail_path(path)))
    }
}

fn inner(path: &str) -> Result<&Path> {
    let relative = Path::new(path);
    let mut parts = relative.components();
    let is_inner = !path.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)));
    if !is_inner {
        bail!("the path {path:?} in the database leads out of the folder of images");
    }
    Ok(relative)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        let folders = Folders {
            images: "/i".into(),
            thumbnails: "/t".into(),
        };
        assert_eq!(
            folders.image("a/b.c.png").unwrap(),
            Path::new("/i/a/b.c.png")
        );
        assert_eq!(
            folders.thumbnail("a/b.c.png").unwrap(),
            Path::new("/t/a/b.c.webp")
        );
        for bad in ["", "/etc/passwd", "../x", "a/../../x"] {
            assert!(folders.image(bad).is_err(), "{bad}");
        }
    }
}
