//! `POST /api/upload`: files of a form are put into the folder for new images, from which they are taken in.
//!
//! A file is written beside its place, piece by piece, and gets its name when it is whole. Memory: some
//! 200 KiB an upload, of which [`UPLOADS_MAX`] are done at once.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::StatusCode;
use axum::routing::post;
use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::task::spawn_blocking;

use super::{Answer, reply};
use crate::web::App;
use crate::web::error::Failure;
use crate::web::holdings::UPLOAD_BYTES;
use crate::web::kind::{is_archive, kind};
use crate::web::paced::{Gathered, Paced};
use crate::web::session::{CSRF_FIELD, Candidate, random};

/// Uploads at once.
pub(in crate::web) const UPLOADS_MAX: usize = 4;
/// Of a whole form: a video of an hour.
pub(in crate::web) const FORM_BYTES_MAX: usize = 2 << 30;
/// Of a form.
const FILES_MAX: usize = 200;
/// Until the next piece arrives.
const PIECE_PATIENCE: Duration = Duration::from_secs(30);
/// Of a name, of the 255 that file systems take: ingest puts an MD5 sum to it.
const NAME_BYTES_MAX: usize = 200;
/// What is taken in, as the original.
const ENDINGS: [&str; 10] = [
    "png", "jpg", "jpeg", "gif", "webp", "bmp", "avif", "mp4", "webm", "zip",
];
/// A file that is not whole; nobody takes it in.
const UNFINISHED: &str = ".upload-";
/// Such a file is a leftover of a killed server.
const UNFINISHED_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/upload", post(upload))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
}

#[derive(Debug, Default, Serialize)]
pub(in crate::web) struct Uploaded {
    pub(in crate::web) files: Vec<Stored>,
    pub(in crate::web) refused: Vec<Refused>,
}

#[derive(Debug, Serialize)]
pub(in crate::web) struct Stored {
    /// As it was sent.
    name: String,
    /// As it lies in the folder.
    stored_as: String,
    bytes: u64,
}

#[derive(Debug, Serialize)]
pub(in crate::web) struct Refused {
    pub(in crate::web) name: String,
    pub(in crate::web) error: String,
}

async fn upload(
    candidate: Candidate,
    State(app): State<Arc<App>>,
    request: Request,
) -> Answer<Uploaded> {
    Ok(reply(receive(candidate, &app, request).await?))
}

/// Puts the files of a form into the folder for new images; which were, and which are none to be taken.
///
/// # Errors
/// A form without files, or with none to be taken; who may not edit; a full disk.
pub(in crate::web) async fn receive(
    candidate: Candidate,
    app: &Arc<App>,
    request: Request,
) -> Result<Uploaded, Failure> {
    candidate.check_may_edit()?;
    let Ok(_turn) = app.uploads.try_acquire() else {
        return Err(Failure::busy());
    };
    let _reserved = app.holdings.reserve(UPLOAD_BYTES)?;
    let gathered = Gathered::default();
    let pace = gathered.clone();
    let request = request.map(|body| Body::new(Paced::new(body, pace)));
    let form = Multipart::from_request(request, app).await;
    let mut form = form.map_err(|error| Failure::new(error.status(), error.body_text()))?;
    let mut unproven = Some(candidate);
    let mut uploaded = Uploaded::default();
    while let Some(field) = in_time(form.next_field()).await? {
        gathered.begin_anew();
        if field.name() == Some(CSRF_FIELD) {
            let token = read_token(field, &gathered).await?;
            if let Some(candidate) = unproven.take() {
                candidate.prove_to_edit(Some(&token))?;
            }
            continue;
        }
        if let Some(candidate) = unproven.take() {
            candidate.prove_to_edit(None)?;
        }
        let Some(name) = field.file_name().map(str::to_owned) else {
            continue;
        };
        if uploaded.files.len() + uploaded.refused.len() >= FILES_MAX {
            return Err(Failure::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("a form has at most {FILES_MAX} files; the first ones were taken"),
            ));
        }
        match store(&app.settings().folders.ingest, &name, field, &gathered).await? {
            Ok(stored) => {
                app.arrivals.forget(&stored.stored_as);
                uploaded.files.push(stored);
            }
            Err(error) => uploaded.refused.push(Refused { name, error }),
        }
    }
    match (uploaded.files.is_empty(), uploaded.refused.first()) {
        (true, Some(refused)) => Err(Failure::invalid(format!(
            "{:?}: {}",
            refused.name, refused.error
        ))),
        (true, None) => Err(Failure::invalid("the form has no file")),
        _ => Ok(uploaded),
    }
}

/// What the form gives, unless it takes too long.
async fn in_time<T>(given: impl Future<Output = Result<T, MultipartError>>) -> Result<T, Failure> {
    match tokio::time::timeout(PIECE_PATIENCE, given).await {
        // What a form stops with is the form's fault, or its sender has gone.
        Ok(given) => given.map_err(|error| match error.status() {
            StatusCode::INTERNAL_SERVER_ERROR => {
                Failure::invalid("the form does not go on as forms do")
            }
            status => Failure::new(status, error.body_text()),
        }),
        Err(_) => Err(Failure::new(
            StatusCode::REQUEST_TIMEOUT,
            "the upload has stopped",
        )),
    }
}

/// A token has 64 digits; what is longer is none.
async fn read_token(mut field: Field<'_>, gathered: &Gathered) -> Result<String, Failure> {
    let mut token = Vec::new();
    while let Some(piece) = in_time(field.chunk()).await? {
        gathered.begin_anew();
        if token.len() + piece.len() > 128 {
            return Err(Failure::invalid("the token of the form is none"));
        }
        token.extend_from_slice(&piece);
    }
    Ok(String::from_utf8(token).unwrap_or_default())
}

/// Puts a file into the folder, or says why it is none to be taken.
async fn store(
    folder: &Path,
    name: &str,
    mut field: Field<'_>,
    gathered: &Gathered,
) -> Result<Result<Stored, String>, Failure> {
    let clean = clean_name(name);
    let mut refusal = refusal_of_name(&clean);
    let mut file = match refusal {
        None => Some(Unfinished::create(folder).await?),
        Some(_) => None,
    };
    let mut bytes = 0;
    let mut head = Vec::new();
    // What is refused is read all the same: the files behind it may be right.
    while let Some(piece) = in_time(field.chunk()).await? {
        gathered.begin_anew();
        bytes += piece.len() as u64;
        let Some(unfinished) = &mut file else {
            continue;
        };
        if head.len() < HEAD_BYTES {
            head.extend_from_slice(&piece[..piece.len().min(HEAD_BYTES - head.len())]);
            if head.len() == HEAD_BYTES && !is_picture(&head) {
                refusal = Some("it is no image, video or archive of these kinds".to_owned());
                file = None;
                continue;
            }
        }
        unfinished.write(&piece).await?;
    }
    if refusal.is_none() && head.len() < HEAD_BYTES {
        refusal = Some("it is too short to be an image".to_owned());
    }
    match (file, refusal) {
        (Some(file), None) => Ok(Ok(Stored {
            stored_as: file.finish(clean).await?,
            name: name.to_owned(),
            bytes,
        })),
        (_, refusal) => Ok(Err(refusal.unwrap_or_default())),
    }
}

const HEAD_BYTES: usize = 16;

fn is_picture(head: &[u8]) -> bool {
    kind(head).is_some() || is_archive(head)
}

fn refusal_of_name(clean: &str) -> Option<String> {
    let ending = clean
        .rsplit_once('.')
        .map(|(_, ending)| ending.to_lowercase());
    let is_known = ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()));
    (!is_known).then(|| format!("its name has to end with one of {}", ENDINGS.join(", ")))
}

/// A name without folders and without what file systems, shells and pages take for something else.
fn clean_name(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or("");
    let is_plain = |one: char| one.is_alphanumeric() || " ._-()[]+,=@#!&'~".contains(one);
    let plain: String = name
        .chars()
        .map(|one| if is_plain(one) { one } else { '_' })
        .collect();
    // Hidden files are not taken in.
    let plain = plain.trim_start_matches(['.', ' ', '-']).trim_end();
    let (stem, ending) = plain.rsplit_once('.').unwrap_or((plain, ""));
    let mut stem = stem.trim_end().to_owned();
    while stem.len() + ending.len() + 1 > NAME_BYTES_MAX && stem.pop().is_some() {}
    if stem.is_empty() {
        stem.push_str("upload");
    }
    match ending.is_empty() || ending.len() >= NAME_BYTES_MAX {
        true => stem,
        false => format!("{stem}.{ending}"),
    }
}

/// A file that is being written; gone unless it is finished.
struct Unfinished {
    file: tokio::fs::File,
    path: PathBuf,
}

impl Unfinished {
    async fn create(folder: &Path) -> Result<Unfinished, Failure> {
        let folder = folder.to_owned();
        // Made here, so that it goes where its client has gone meanwhile.
        let create = move || -> Result<Unfinished> {
            let random = blake3::Hash::from_bytes(random()?).to_hex();
            let path = folder.join(format!("{UNFINISHED}{}", &random[..16]));
            let making = || format!("make {}", path.display());
            fs::create_dir_all(&folder).with_context(making)?;
            let file = fs::File::create_new(&path).with_context(making)?;
            let mut file = tokio::fs::File::from_std(file);
            file.set_max_buf_size(64 << 10);
            Ok(Unfinished { file, path })
        };
        blocking(create).await
    }

    async fn write(&mut self, piece: &[u8]) -> Result<(), Failure> {
        let done = self.file.write_all(piece).await;
        done.map_err(|error| failed(&anyhow::Error::new(error).context("write an upload")))
    }

    /// Gives it its name, or one like it that is free; which.
    async fn finish(mut self, name: String) -> Result<String, Failure> {
        let flushed = self.file.flush().await;
        flushed.map_err(|error| failed(&anyhow::Error::new(error).context("write an upload")))?;
        blocking(move || {
            let path = &self.path;
            let file = fs::File::open(path).context("open an upload")?;
            file.sync_all().context("write an upload")?;
            let folder = path.parent().unwrap_or(Path::new("."));
            for number in 1..=NAMES_MAX {
                let name = numbered(&name, number);
                match rename_to_free(path, &folder.join(&name)) {
                    Ok(()) => {
                        let folder = fs::File::open(folder).and_then(|folder| folder.sync_all());
                        folder.context("write an upload")?;
                        return Ok(name);
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(error).context("give an upload its name"),
                }
            }
            crate::refuse!("there are {NAMES_MAX} files of this name already")
        })
        .await
    }
}

/// Files of one name that wait to be taken in.
const NAMES_MAX: u32 = 1000;

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Of one that is finished nothing is left under this name.
        let _ = fs::remove_file(&self.path);
    }
}

fn numbered(name: &str, number: u32) -> String {
    match (number, name.rsplit_once('.')) {
        (1, _) => name.to_owned(),
        (_, Some((stem, ending))) => format!("{stem} ({number}).{ending}"),
        (_, None) => format!("{name} ({number})"),
    }
}

/// Renames, but over nothing that is there.
fn rename_to_free(from: &Path, to: &Path) -> std::io::Result<()> {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;

    let text = |path: &Path| CString::new(path.as_os_str().as_bytes());
    let (from_text, to_text) = (text(from)?, text(to)?);
    // SAFETY: both texts end with a zero and outlive the call.
    let done = unsafe {
        libc::renameat2(
            libc::AT_FDCWD,
            from_text.as_ptr(),
            libc::AT_FDCWD,
            to_text.as_ptr(),
            libc::RENAME_NOREPLACE,
        )
    };
    if done == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    match error.raw_os_error() {
        // A file system that can't: a second name is made, which also fails where there is one.
        Some(libc::EINVAL | libc::ENOSYS) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        _ => Err(error),
    }
}

async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T, Failure> {
    match spawn_blocking(act).await {
        Ok(done) => done.map_err(|error| failed(&error)),
        Err(error) => Err(Failure::internal(format_args!("write an upload: {error}"))),
    }
}

fn failed(error: &anyhow::Error) -> Failure {
    let code = error.chain().find_map(|cause| {
        let cause: &std::io::Error = cause.downcast_ref()?;
        cause.raw_os_error()
    });
    if let Some(libc::ENOSPC | libc::EDQUOT) = code {
        eprintln!("booru: {error:#}");
        return Failure::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "the disk of the server is full",
        );
    }
    if let Some(refusal) = crate::refusal::Refusal::of(error) {
        return Failure::invalid(refusal.to_string());
    }
    Failure::internal(format_args!("{error:#}"))
}

/// Takes away what a killed server has left in the folder for new images.
pub(in crate::web) fn remove_leftovers(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let is_ours = entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(UNFINISHED.as_bytes());
        let age = entry.metadata().and_then(|metadata| metadata.modified());
        let age = age.ok().and_then(|modified| modified.elapsed().ok());
        if is_ours && age.is_some_and(|age| age >= UNFINISHED_AGE_MAX) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_files_in_the_folder_itself() {
        for (name, expected) in [
            ("a b.png", "a b.png"),
            ("../../etc/passwd.png", "passwd.png"),
            ("C:\\x\\y.png", "y.png"),
            (".hidden.png", "hidden.png"),
            ("--rf.png", "rf.png"),
            ("a\0b\nc<d>.png", "a_b_c_d_.png"),
            ("\u{202e}gnp.png", "_gnp.png"),
            ("絵.jpg", "絵.jpg"),
            (".png", "png"),
            ("", "upload"),
            ("..", "upload"),
            ("a.tar.gz", "a.tar.gz"),
        ] {
            assert_eq!(clean_name(name), expected, "{name:?}");
        }
        let long = clean_name(&format!("{}.png", "ü".repeat(300)));
        assert!(long.len() <= NAME_BYTES_MAX && long.ends_with("ü.png"));
        assert!(clean_name(&format!("a.{}", "x".repeat(300))).len() <= NAME_BYTES_MAX);
        assert!(refusal_of_name("a.svg").is_some() && refusal_of_name("png").is_some());
        assert!(refusal_of_name("a.JPG").is_none());
    }

    #[test]
    fn a_name_that_is_taken_is_numbered() {
        assert_eq!(numbered("a.png", 1), "a.png");
        assert_eq!(numbered("a.png", 2), "a (2).png");
        assert_eq!(numbered("a", 3), "a (3)");
        let folder = std::env::temp_dir().join(format!("booru-names-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = |name: &str| folder.join(name);
        fs::write(path("from"), "1").unwrap();
        fs::write(path("to"), "2").unwrap();
        let error = rename_to_free(&path("from"), &path("to")).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(path("to")).unwrap(), "2");
        rename_to_free(&path("from"), &path("free")).unwrap();
        assert!(!path("from").exists() && path("free").exists());
        fs::remove_dir_all(&folder).unwrap();
    }
}
