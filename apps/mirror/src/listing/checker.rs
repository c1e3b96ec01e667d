//! Whether a page can be what was asked for. Pure.
//!
//! What a listing leaves out is deleted at the destination, so one that is dubious in any way is none:
//! keys have to rise strictly, to be above what the page was asked to begin after, to have the prefix,
//! and to be as many as the page counts; a page that is not the last has to say where the next one
//! begins, and not where it began itself.

use std::fmt;

use anyhow::{Result, bail};

use crate::s3::{Page, Place};

/// Pages without objects in a row: a server may send some, but not go on for ever.
const EMPTY_PAGES_MAX: u32 = 100;

/// The source does not list its keys in order.
#[derive(Debug)]
pub struct Unordered(String);

/// The source begins elsewhere than after the key that it was asked to begin after.
#[derive(Debug)]
pub struct IgnoresStartAfter(String);

impl fmt::Display for Unordered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for IgnoresStartAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unordered {}
impl std::error::Error for IgnoresStartAfter {}

/// What the pages so far of one sequence say of those that may follow.
#[derive(Clone, Debug, Default)]
pub(super) struct Sequence {
    /// What the next page is asked for by; none asks for the first.
    pub(super) token: Option<String>,
    empty: u32,
}

/// The objects of a page that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) first: Place,
    pub(super) last: Place,
}

impl Sequence {
    /// A page that follows `after`, the last key before it or what it was asked to begin after.
    ///
    /// # Errors
    /// [`Unordered`], [`IgnoresStartAfter`], or what else is dubious.
    pub(super) fn check(
        &mut self,
        page: &Page,
        prefix: &[u8],
        after: Option<&[u8]>,
    ) -> Result<Option<Ends>> {
        let is_first = self.token.is_none();
        let mut before = after;
        let mut ends: Option<Ends> = None;
        for place in page.places() {
            let key = page.key(place);
            if let Some(before) = before
                && key <= before
            {
                return Err(out_of_order(key, before, is_first && ends.is_none()));
            }
            before = Some(key);
            let first = ends.map_or(place, |ends| ends.first);
            ends = Some(Ends { first, last: place });
        }
        // Between two keys that have the prefix, in order, all have it.
        if let Some(ends) = ends {
            check_prefix(page.key(ends.first), prefix)?;
            check_prefix(page.key(ends.last), prefix)?;
        }
        self.check_counts(page, page.folders().len())?;
        Ok(ends)
    }

    /// All but the order.
    pub(super) fn check_unordered(&mut self, page: &Page, prefix: &[u8]) -> Result<()> {
        page.keys().try_for_each(|key| check_prefix(key, prefix))?;
        self.check_counts(page, page.folders().len())
    }

    fn check_counts(&mut self, page: &Page, folders: usize) -> Result<()> {
        let count = (page.len() + folders) as u64;
        if page.key_count().is_some_and(|told| told != count) {
            bail!(
                "the source sends {count} keys and counts {}: the listing can't be trusted",
                page.key_count().unwrap_or_default()
            );
        }
        self.empty = if count == 0 { self.empty + 1 } else { 0 };
        if !page.is_truncated() {
            return Ok(());
        }
        let Some(token) = page.next_token().filter(|token| !token.is_empty()) else {
            bail!(
                "the source says that there is more, but not where: the listing can't be trusted"
            );
        };
        if self.token.as_deref() == Some(token) || self.empty > EMPTY_PAGES_MAX {
            bail!("the source sends the same page again and again: the listing can't be trusted");
        }
        self.token = Some(token.to_owned());
        Ok(())
    }
}

fn out_of_order(key: &[u8], before: &[u8], is_start: bool) -> anyhow::Error {
    let (key, before) = (key.escape_ascii(), before.escape_ascii());
    if is_start {
        let text =
            format!("the source was asked to begin after \"{before}\", and begins with \"{key}\"");
        return IgnoresStartAfter(text).into();
    }
    Unordered(format!(
        "the source lists \"{key}\" after \"{before}\": keys do not rise"
    ))
    .into()
}

fn check_prefix(key: &[u8], prefix: &[u8]) -> Result<()> {
    if !key.starts_with(prefix) {
        bail!(
            "the source lists \"{}\", which has not the prefix that was asked for: the listing can't \
             be trusted",
            key.escape_ascii()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(keys: &[&str], rest: &str) -> Page {
        let objects: String = keys
            .iter()
            .map(|key| {
                format!(
                    "<Contents><Key>{key}</Key><LastModified>2020-01-01T00:00:00Z</LastModified>\
                     <Size>1</Size></Contents>"
                )
            })
            .collect();
        let text = format!("<ListBucketResult>{objects}{rest}</ListBucketResult>");
        Page::parse(text.as_bytes()).unwrap()
    }

    const MORE: &str = "<IsTruncated>true</IsTruncated>";

    fn token(token: &str) -> String {
        format!("{MORE}<NextContinuationToken>{token}</NextContinuationToken>")
    }

    /// Checks pages of one sequence that begins after `after`.
    fn check_all(pages: Vec<Page>, after: Option<&str>) -> Result<()> {
        let mut sequence = Sequence::default();
        let mut after = after.map(|key| key.as_bytes().to_vec());
        for page in pages {
            let ends = sequence.check(&page, b"a", after.as_deref())?;
            if let Some(ends) = ends {
                after = Some(page.key(ends.last).to_vec());
            }
        }
        Ok(())
    }

    #[test]
    fn pages_in_order_pass() {
        let pages = vec![
            page(&["a1", "a2"], &token("1")),
            page(&[], &token("2")),
            page(&["a3"], "<KeyCount>1</KeyCount>"),
        ];
        check_all(pages, Some("a0")).unwrap();
    }

    #[test]
    fn dubious_pages_are_refused() {
        let check = |pages: Vec<Page>, expected: &str| {
            let error = check_all(pages, None).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(vec![page(&["a2", "a1"], "")], "\"a1\" after \"a2\"");
        check(vec![page(&["a2", "a2"], "")], "keys do not rise");
        check(
            vec![page(&["a2"], &token("1")), page(&["a2"], "")],
            "keys do not rise",
        );
        check(vec![page(&["b"], "")], "has not the prefix");
        check(vec![page(&["A", "a"], "")], "has not the prefix");
        check(
            vec![page(&["a"], "<KeyCount>2</KeyCount>")],
            "sends 1 keys and counts 2",
        );
        check(vec![page(&["a"], MORE)], "but not where");
        check(vec![page(&["a"], &token(""))], "but not where");
        check(
            vec![page(&["a1"], &token("1")), page(&["a2"], &token("1"))],
            "again and again",
        );
        let empty = (0..=EMPTY_PAGES_MAX + 1).map(|n| page(&[], &token(&n.to_string())));
        check(empty.collect(), "again and again");
    }

    /// Only the first page of a sequence tells that `start-after` is ignored: later ones follow tokens.
    #[test]
    fn a_start_that_is_ignored_is_told_apart_from_disorder() {
        for first in ["a0", "a1"] {
            let error = check_all(vec![page(&[first], "")], Some("a1")).unwrap_err();
            assert!(error.is::<IgnoresStartAfter>(), "{error}");
        }
        let pages = vec![page(&["a2"], &token("1")), page(&["a1"], "")];
        assert!(check_all(pages, Some("a1")).unwrap_err().is::<Unordered>());
        let error = check_all(vec![page(&["a3", "a2"], "")], Some("a1")).unwrap_err();
        assert!(error.is::<Unordered>());
    }
}
