//! The page to log in by.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::{HeaderMap, SET_COOKIE};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::shell::Shell;
use crate::web::App;
use crate::web::body::{self, parse_form};
use crate::web::error::Failure;
use crate::web::session::{self, Candidate, Visitor, check_origin};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    shell: Shell,
    next: String,
    wrong: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    next: String,
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Failure> {
    if !visitor.viewer.is_password_set() || visitor.viewer.is_logged_in() {
        return Ok(Redirect::to(local(&wanted.next)).into_response());
    }
    let page = LoginPage {
        shell: Shell {
            can_log_in: false,
            ..Shell::of(&app, &visitor, &headers)
        },
        next: local(&wanted.next).to_owned(),
        wrong: None,
    };
    Ok(super::html(&page)?.into_response())
}

#[derive(Deserialize)]
struct Given {
    #[serde(default)]
    password: String,
    #[serde(default)]
    next: String,
}

pub(super) async fn log_in(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, content) = request.into_parts();
    check_origin(&parts, &app)?;
    let bytes = body::read(Request::from_parts(parts.clone(), content), &app).await?;
    let given: Given = parse_form(&bytes)?;
    let next = local(&given.next);
    match session::log_in(&app, &parts, given.password).await {
        Ok(cookie) => Ok(([(SET_COOKIE, cookie)], Redirect::to(next)).into_response()),
        Err(failure) => {
            let is_of_page = matches!(
                failure.status,
                StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS
            );
            if !is_of_page {
                return Err(failure);
            }
            let page = LoginPage {
                shell: Shell {
                    can_log_in: false,
                    ..Shell::of(&app, &visitor, &parts.headers)
                },
                next: next.to_owned(),
                wrong: Some(failure.message),
            };
            Ok((failure.status, super::html(&page)?).into_response())
        }
    }
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    csrf_token: String,
}

pub(super) async fn log_out(
    State(app): State<Arc<App>>,
    candidate: Candidate,
    request: Request,
) -> Result<Response, Failure> {
    let bytes = body::read(request, &app).await?;
    let token: Token = parse_form(&bytes)?;
    let viewer = candidate.prove(Some(&token.csrf_token))?;
    let cookie = session::log_out(&app, &viewer);
    Ok(([(SET_COOKIE, cookie)], Redirect::to("/login")).into_response())
}

/// An address within the board: a login leads nowhere else.
fn local(next: &str) -> &str {
    let is_local = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains(['\\', '\r', '\n', '\t'])
        && next.is_ascii();
    match is_local {
        true => next,
        false => "/",
    }
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn a_login_leads_to_this_board_alone() {
        for (next, expected) in [
            ("/view/3?query=a%20b", "/view/3?query=a%20b"),
            ("", "/"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("/\t/evil.example", "/"),
            ("https://evil.example", "/"),
            ("javascript:alert(1)", "/"),
        ] {
            assert_eq!(local(next), expected, "{next}");
        }
    }
}
