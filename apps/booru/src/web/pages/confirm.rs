//! The question before what can't be undone, where no script asks it.

use askama::Template;

use super::shell::Shell;

#[derive(Template)]
#[template(path = "confirm.html")]
pub(super) struct ConfirmPage {
    pub(super) shell: Shell,
    pub(super) question: String,
    pub(super) lines: Vec<String>,
    pub(super) warning: &'static str,
    /// Where the form is sent to.
    pub(super) action: String,
    pub(super) answer: &'static str,
    pub(super) offers_keep: bool,
    /// Where one goes who leaves it.
    pub(super) back: String,
    pub(super) fields: Vec<(String, String)>,
}
