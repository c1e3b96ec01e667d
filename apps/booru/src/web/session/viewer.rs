//! Who asks: who may read, who may change the board, and who has still to show the token for it.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::HeaderName;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::{check_origin, cookie};
use crate::store::Access;
use crate::web::body::{self, parse_form};
use crate::web::error::Failure;
use crate::web::{App, Room};

const CSRF: HeaderName = HeaderName::from_static("x-csrf-token");

/// The field of a form that has the token.
pub const CSRF_FIELD: &str = "csrf_token";

/// Who may read.
#[derive(Clone, Debug)]
pub struct Viewer {
    pub(super) key: Option<String>,
    is_password_set: bool,
    may_edit: bool,
    csrf_token: String,
}

impl Viewer {
    /// By the password; not where none is set.
    #[must_use]
    pub fn is_logged_in(&self) -> bool {
        self.key.is_some()
    }

    /// Whether there is a password to log in by.
    #[must_use]
    pub fn is_password_set(&self) -> bool {
        self.is_password_set
    }

    /// Whether an edit would be taken.
    #[must_use]
    pub fn may_edit(&self) -> bool {
        self.may_edit
    }

    /// What pages of this viewer send along with each change.
    #[must_use]
    pub fn csrf_token(&self) -> &str {
        &self.csrf_token
    }
}

/// What is known of who asks, whether it may or not: for the page to log in by.
#[derive(Clone, Debug)]
pub struct Visitor {
    pub viewer: Viewer,
    pub may_read: bool,
}

impl FromRequestParts<Arc<App>> for Visitor {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Visitor, Failure> {
        let is_password_set = app.password.is_some();
        let key = cookie(&parts.headers, app.cookie_name());
        let key = key.filter(|key| is_password_set && app.sessions.is_open(key, Instant::now()));
        let is_trusted = key.is_some() || !is_password_set;
        let viewer = Viewer {
            is_password_set,
            may_edit: is_trusted && app.settings.store.access == Access::InPlace,
            csrf_token: app.sessions.token(key).to_hex().to_string(),
            key: key.map(str::to_owned),
        };
        Ok(Visitor {
            viewer,
            may_read: is_trusted || app.settings.public_read,
        })
    }
}

impl FromRequestParts<Arc<App>> for Viewer {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Viewer, Failure> {
        let visitor = Visitor::from_request_parts(parts, app).await?;
        match visitor.may_read {
            true => Ok(visitor.viewer),
            false => Err(Failure::not_logged_in()),
        }
    }
}

/// Who asks for something from a page of the board, and has still to show the token.
#[derive(Clone, Debug)]
pub struct Candidate {
    viewer: Viewer,
    header: Option<String>,
    is_read_only: bool,
}

impl FromRequestParts<Arc<App>> for Candidate {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Candidate, Failure> {
        check_origin(parts, app)?;
        let visitor = Visitor::from_request_parts(parts, app).await?;
        let header = parts.headers.get(CSRF);
        let header = header.and_then(|token| token.to_str().ok());
        Ok(Candidate {
            header: header.map(str::to_owned),
            viewer: visitor.viewer,
            is_read_only: app.settings.store.access == Access::ReadOnly,
        })
    }
}

impl Candidate {
    /// Takes the token of the header, or else that of a field.
    ///
    /// # Errors
    /// There is none, or another.
    pub fn prove(self, field: Option<&str>) -> Result<Viewer, Failure> {
        let given = self.header.as_deref().or(field).unwrap_or("");
        let right = blake3::Hash::from_hex(&self.viewer.csrf_token);
        // Hashes are compared in constant time.
        match (blake3::Hash::from_hex(given), right) {
            (Ok(given), Ok(right)) if given == right => Ok(self.viewer),
            _ => Err(Failure::forbidden(
                "the page is out of date, or none of the board's: reload it and do it again",
            )),
        }
    }

    /// Whether this is somebody who may change the board, the token apart.
    ///
    /// # Errors
    /// It is not.
    pub fn check_may_edit(&self) -> Result<(), Failure> {
        if self.viewer.is_password_set && !self.viewer.is_logged_in() {
            return Err(Failure::not_logged_in());
        }
        match self.is_read_only {
            true => Err(Failure::forbidden(
                "nothing can be changed: the server was started with --read-only",
            )),
            false => Ok(()),
        }
    }

    /// As [`Candidate::prove`], of who may change the board.
    ///
    /// # Errors
    /// Who may not, and what [`Candidate::prove`] says.
    pub fn prove_to_edit(self, field: Option<&str>) -> Result<Editor, Failure> {
        self.check_may_edit()?;
        Ok(Editor {
            viewer: self.prove(field)?,
        })
    }
}

/// Who may change the board, and asks for it from a page of it: the token is in the header.
#[derive(Clone, Debug)]
pub struct Editor {
    pub viewer: Viewer,
}

impl FromRequestParts<Arc<App>> for Editor {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Editor, Failure> {
        let candidate = Candidate::from_request_parts(parts, app).await?;
        candidate.prove_to_edit(None)
    }
}

/// A form of a page, whose field `csrf_token` has the token, unless the header has it.
#[derive(Debug)]
pub struct EditorForm<T> {
    pub editor: Editor,
    pub form: T,
    /// What it takes is another's once this is dropped.
    _room: Option<Room>,
}

#[derive(serde::Deserialize)]
struct TokenField {
    #[serde(default)]
    csrf_token: String,
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for EditorForm<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<EditorForm<T>, Failure> {
        let (mut parts, content) = request.into_parts();
        let candidate = Candidate::from_request_parts(&mut parts, app).await?;
        candidate.check_may_edit()?;
        let room = body::room(&parts.headers, app).await?;
        let bytes = body::read(Request::from_parts(parts, content), app).await?;
        let field: TokenField = parse_form(&bytes)?;
        let editor = candidate.prove_to_edit(Some(&field.csrf_token))?;
        let form = parse_form(&bytes)?;
        Ok(EditorForm {
            editor,
            form,
            _room: room,
        })
    }
}
