//! A word of a query: its characters, which of them were written as they are, and patterns of them.

/// Texts with any characters, or none, between them. Texts of one part stand for themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Only the first and the last may be empty, and then there are at least two.
    parts: Vec<String>,
}

impl Pattern {
    /// The text itself.
    #[must_use]
    pub fn literal(text: &str) -> Pattern {
        Pattern {
            parts: vec![text.to_owned()],
        }
    }

    pub(super) fn of(characters: &[Character]) -> Pattern {
        let parts = characters.split(|one| one.is('*'));
        let mut parts: Vec<String> = parts.map(text_of).collect();
        let last = parts.len() - 1;
        let mut index = 0;
        parts.retain(|part| {
            index += 1;
            !part.is_empty() || index == 1 || index == last + 1
        });
        Pattern { parts }
    }

    /// The text, where there is no `*`.
    #[must_use]
    pub fn as_literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [text] => Some(text),
            _ => None,
        }
    }

    /// What stands between the `*`.
    #[must_use]
    pub fn parts(&self) -> &[String] {
        &self.parts
    }

    /// The longest text that is in whatever matches; empty where anything does.
    #[must_use]
    pub fn longest(&self) -> &str {
        let longest = self.parts.iter().max_by_key(|part| part.len());
        longest.map_or("", String::as_str)
    }

    /// Whether it is all of `text`. O(text × parts): each part is taken at its first place.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.parts.split_first() else {
            return text.is_empty();
        };
        let Some((last, middle)) = rest.split_last() else {
            return text == first;
        };
        let Some(text) = text.strip_prefix(first.as_str()) else {
            return false;
        };
        let Some(text) = text.strip_suffix(last.as_str()) else {
            return false;
        };
        follows(text, middle).is_some()
    }

    /// Whether it is a part of `text`.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        follows(text, &self.parts).is_some()
    }
}

/// What is behind the parts, one after the other.
fn follows<'a>(text: &'a str, parts: &[String]) -> Option<&'a str> {
    let mut rest = text;
    for part in parts {
        let at = rest.find(part.as_str())?;
        rest = &rest[at + part.len()..];
    }
    Some(rest)
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Character {
    pub(super) value: char,
    /// Behind a `\` or in quotes: stands for itself.
    pub(super) is_escaped: bool,
    /// How many characters of the query are before it.
    pub(super) at: usize,
}

impl Character {
    pub(super) fn is(self, special: char) -> bool {
        self.value == special && !self.is_escaped
    }
}

/// In lower case.
pub(super) fn text_of(characters: &[Character]) -> String {
    let text: String = characters.iter().map(|one| one.value).collect();
    text.to_lowercase()
}

/// A word and where it began, as the number of characters before it.
#[derive(Clone, Debug)]
pub(super) struct Word {
    pub(super) at: usize,
    pub(super) characters: Vec<Character>,
}

impl Word {
    /// Whether it is this, without any escape, in either case.
    pub(super) fn is(&self, text: &str) -> bool {
        self.characters.iter().all(|one| !one.is_escaped) && text_of(&self.characters) == text
    }

    /// What is before the first `:` that is not escaped, and what follows it.
    pub(super) fn prefix(&self) -> Option<(String, Word)> {
        let colon = self.characters.iter().position(|one| one.is(':'))?;
        let (name, value) = self.characters.split_at(colon);
        if name.iter().any(|one| one.is_escaped) {
            return None;
        }
        let value = Word {
            at: value[0].at + 1,
            characters: value[1..].to_vec(),
        };
        Some((text_of(name), value))
    }

    /// Its parts between commas that are not escaped.
    pub(super) fn entries(&self) -> Vec<Word> {
        let mut at = self.at;
        let mut end = 0;
        let mut entries = Vec::new();
        for characters in self.characters.split(|one| one.is(',')) {
            entries.push(Word {
                at,
                characters: characters.to_vec(),
            });
            // The next one is behind the comma that ended this one.
            end += characters.len();
            at = self.characters.get(end).map_or(at, |comma| comma.at + 1);
            end += 1;
        }
        entries
    }

    pub(super) fn text(&self) -> String {
        text_of(&self.characters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        let characters = text.chars().map(|value| Character {
            value,
            is_escaped: false,
            at: 0,
        });
        Pattern::of(&characters.collect::<Vec<_>>())
    }

    #[test]
    fn a_pattern_takes_any_characters_for_a_star() {
        for (of, whole, part) in [
            ("a*c", &["ac", "abc", "a_b_c"][..], &["xacx", "xabbc"][..]),
            ("*hair", &["hair", "long_hair"], &["hairband"]),
            ("long*", &["long", "long_hair"], &["oblong_"]),
            ("*a*a*", &["aa", "banana"], &["xaxa"]),
            ("*", &["", "x"], &["", "x"]),
            ("ab*ba", &["abba", "abcba"], &["xabbax"]),
        ] {
            for text in whole {
                assert!(pattern(of).matches(text), "{of} {text}");
                assert!(pattern(of).is_in(text), "{of} in {text}");
            }
            for text in part {
                assert!(pattern(of).is_in(text), "{of} in {text}");
            }
        }
        for (of, text) in [
            ("a*c", "abcd"),
            ("ab*ba", "aba"),
            ("*a*a*", "ab"),
            ("a", "aa"),
        ] {
            assert!(!pattern(of).matches(text), "{of} {text}");
        }
        assert_eq!(pattern("a**b"), pattern("a*b"));
        assert_eq!(pattern("ab*bcd*").longest(), "bcd");
    }
}
