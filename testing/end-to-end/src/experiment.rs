//! Calls of the verbs that run a subject many times, and questions to the JSON that they print.

use std::ffi::OsStr;

use plimsoll_subjects::Subject;
use serde_json::Value;

use crate::artifact::executable;
use crate::command::Plimsoll;

/// `plimsoll VERB --format json FLAGS… -- COMMAND…`.
#[must_use]
pub fn experiment(verb: &str, flags: &[&str], command: &[impl AsRef<OsStr>]) -> Plimsoll {
    let given = [verb, "--format", "json"];
    let words = given.iter().chain(flags).map(AsRef::as_ref);
    let command = command.iter().map(AsRef::as_ref);
    let divider = (command.len() > 0).then_some(OsStr::new("--"));
    Plimsoll::new(words.chain(divider).chain(command))
}

/// The path of a subject, as a word of a command.
///
/// # Panics
/// Where it can't be built, or the target folder's path is not UTF-8.
#[must_use]
pub fn subject(name: &str) -> String {
    let path = Subject::executable(name);
    path.to_str()
        .expect("the target folder's path is UTF-8")
        .to_owned()
}

/// A script for `sh -c` that starts a subject, marks the moment at which it holds all that it is to
/// hold, and lets it end: at a mark the tool reads memory in full while the script waits, however
/// busy the machine is.
#[must_use]
pub fn marked_when_ready(subject: &str) -> String {
    let plimsoll = executable().display();
    format!(
        "folder=$(mktemp -d) && mkfifo $folder/in $folder/out || exit 1
        {subject} <$folder/in >$folder/out &
        exec 3>$folder/in 4<$folder/out
        rm -r $folder
        read ready <&4 && '{plimsoll}' mark ready && exec 3>&- && wait $!"
    )
}

/// The number at a JSON pointer.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn number(json: &Value, pointer: &str) -> f64 {
    let found = json.pointer(pointer).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("no number at {pointer} in {json:#}"))
}

/// The text at a JSON pointer.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn text<'a>(json: &'a Value, pointer: &str) -> &'a str {
    let found = json.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("no text at {pointer} in {json:#}"))
}

/// The detail of the gap whose `what` begins so.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn gap<'a>(json: &'a Value, what: &str) -> &'a str {
    let gaps = json["gaps"].as_array().into_iter().flatten();
    let found = gaps
        .into_iter()
        .find(|gap| text(gap, "/what").starts_with(what));
    let found = found.unwrap_or_else(|| panic!("no gap {what:?} in {:#}", json["gaps"]));
    text(found, "/detail")
}

/// # Panics
/// Where the number at a JSON pointer is not in a range.
pub fn between(json: &Value, pointer: &str, low: f64, high: f64) {
    let found = number(json, pointer);
    assert!(
        (low..=high).contains(&found),
        "{pointer} is {found}, not from {low} to {high}"
    );
}
