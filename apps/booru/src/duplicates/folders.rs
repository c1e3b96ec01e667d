//! Where the files of a board lie.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Folders that paths in the database are relative to.
#[derive(Clone, Debug)]
pub struct Folders {
    pub images: PathBuf,
    pub thumbnails: PathBuf,
}

impl Folders {
    /// The file of an image.
    ///
    /// # Errors
    /// A path that leads out of the folder.
    pub fn image(&self, path: &str) -> Result<PathBuf> {
        Ok(self.images.join(inner(path)?))
    }

    /// The thumbnail of an image: the same folder and name, with another ending.
    ///
    /// # Errors
    /// As [`Folders::image`].
    pub fn thumbnail(&self, path: &str) -> Result<PathBuf> {
        Ok(self.thumbnails.join(inner(path)?).with_extension("webp"))
    }

    /// Removes the file of an image that is no longer in the database, and its thumbnail; what is not there is
    /// no error.
    ///
    /// # Errors
    /// As [`Folders::image`], and what the system refuses.
    pub fn remove(&self, path: &str) -> Result<()> {
        for file in [self.image(path)?, self.thumbnail(path)?] {
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("remove {}", file.display()));
                }
                _ => {}
            }
        }
        Ok(())
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
