//! What all pages have around them: who looks, how they want it shown, where one can go.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Redirect, Response};

use super::{assets, links};
use crate::web::App;
use crate::web::error::Failure;
use crate::web::session::Visitor;

/// Made for each request from who asks.
#[derive(Clone, Debug, Default)]
pub(super) struct Shell {
    pub(super) app_name: String,
    /// What stands in the field of the search.
    pub(super) query: String,
    pub(super) csrf: String,
    /// The address of the menu that this page is.
    pub(super) current: &'static str,
    pub(super) can_read: bool,
    pub(super) can_edit: bool,
    pub(super) can_log_in: bool,
    pub(super) can_log_out: bool,
    /// How they want it shown, which is kept in cookies.
    pub(super) theme: Option<&'static str>,
    pub(super) tiles: Option<&'static str>,
    pub(super) fit: Option<&'static str>,
}

pub(super) struct MenuEntry {
    pub(super) href: &'static str,
    pub(super) name: &'static str,
}

/// Address, name, and whether only those who may edit are shown it.
const MENU: &[(&str, &str, bool)] = &[
    ("/tags", "Tags", false),
    ("/implications", "Implications", false),
    ("/pools", "Pools", false),
    ("/review", "Review", true),
    ("/duplicates", "Duplicates", true),
    ("/upload", "Upload", true),
    ("/system", "System", false),
];

impl Shell {
    pub(super) fn of(app: &App, visitor: &Visitor, headers: &HeaderMap) -> Shell {
        let viewer = &visitor.viewer;
        let chosen = |name, of: &[&'static str]| choice(headers, name, of);
        Shell {
            app_name: app.settings().app_name.clone(),
            csrf: viewer.csrf_token().to_owned(),
            can_read: visitor.may_read,
            can_edit: visitor.may_read && viewer.may_edit(),
            can_log_in: viewer.is_password_set() && !viewer.is_logged_in(),
            can_log_out: viewer.is_logged_in(),
            theme: chosen("theme", &["light", "dark"]),
            tiles: chosen("tiles", &["small", "large"]),
            fit: chosen("fit", &["whole"]),
            ..Shell::default()
        }
    }

    /// The same, as one of the pages in the menu.
    pub(super) fn at(self, current: &'static str) -> Shell {
        Shell { current, ..self }
    }

    pub(super) fn asset(&self, name: &str) -> String {
        assets::address(name)
    }

    pub(super) fn menu(&self) -> Vec<MenuEntry> {
        let shown = MENU
            .iter()
            .filter(|(_, _, is_for_editors)| self.can_read && (self.can_edit || !is_for_editors));
        shown
            .map(|(href, name, _)| MenuEntry { href, name })
            .collect()
    }
}

impl FromRequestParts<Arc<App>> for Shell {
    type Rejection = Response;

    /// Who may not read is led to the login, and from there back.
    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Shell, Response> {
        let visitor = Visitor::from_request_parts(parts, app)
            .await
            .map_err(IntoResponse::into_response)?;
        if !visitor.may_read {
            return Err(to_login(parts));
        }
        Ok(Shell::of(app, &visitor, &parts.headers))
    }
}

/// What a page that is for editors alone has around it.
pub(super) struct EditorShell(pub(super) Shell);

impl FromRequestParts<Arc<App>> for EditorShell {
    type Rejection = Response;

    /// Who could edit after a login is led to it, and from there back.
    async fn from_request_parts(
        parts: &mut Parts,
        app: &Arc<App>,
    ) -> Result<EditorShell, Response> {
        let shell = Shell::from_request_parts(parts, app).await?;
        if shell.can_edit {
            return Ok(EditorShell(shell));
        }
        if shell.can_log_in {
            return Err(to_login(parts));
        }
        let failure = Failure::forbidden(
            "this page is to change the board, and the server was started with --read-only",
        );
        Err(failure.into_response())
    }
}

fn to_login(parts: &Parts) -> Response {
    let here = parts.uri.path_and_query();
    let here = here.filter(|_| parts.method == Method::GET);
    let next = here.map_or("/", |here| here.as_str());
    Redirect::to(&format!("/login?next={}", links::encode(next))).into_response()
}

/// What a cookie chooses, if it is one of these.
fn choice(headers: &HeaderMap, name: &str, of: &[&'static str]) -> Option<&'static str> {
    let lines = headers.get_all(COOKIE).iter();
    let mut pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    let value = pairs.find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))?;
    of.iter().copied().find(|one| *one == value)
}
