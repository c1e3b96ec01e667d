//! Tags in memory: names, ids of the database, categories, aliases, and the names once more in the order
//! of their counts, for autocomplete and patterns.
//!
//! Memory a tag, for names of 16 bytes: 15 in the dictionary, 4 for the id of the database, 1 for the
//! category, 17 for the second copy of the name and 8 for its place.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

use anyhow::{Context, Result, bail};
use plimsoll::dictionary::{Dictionary, DictionaryView, TermId};

use super::Membership;
use super::texts::Texts;
use crate::missing;
use crate::query::{Category, Pattern};

/// Tags whose name or count has changed since the names were put in order, before they are put in order
/// anew: each is looked at by itself in every search for parts of names.
const CHANGED_MAX: usize = 256;

/// What the names of ratings begin with.
pub(crate) const RATING: &str = "rating:";

/// What a tag is said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Of(Category),
    Rating,
    /// No category, which is shown and stored as general.
    Unknown,
    /// A category that the original does not have.
    Foreign,
    /// Deleted; its number is not used again.
    Gone,
}

impl Kind {
    pub(crate) fn of(category: Option<&str>, name: &str) -> Kind {
        match category {
            Some("rating") => Kind::Rating,
            Some(category) => Category::of(category).map_or(Kind::Foreign, Kind::Of),
            None if name.starts_with(RATING) => Kind::Rating,
            None => Kind::Unknown,
        }
    }

    /// The category by which it is searched and shown; `None` for ratings and deleted ones.
    #[must_use]
    pub fn category(self) -> Option<Category> {
        match self {
            Kind::Of(category) => Some(category),
            Kind::Unknown | Kind::Foreign => Some(Category::General),
            Kind::Rating | Kind::Gone => None,
        }
    }
}

/// All tags. Terms are numbered in the order of the ids of the database.
#[derive(Debug, Default)]
pub struct Tags {
    names: Dictionary,
    /// By term, ascending.
    ids: Vec<u32>,
    kinds: Vec<Kind>,
    /// Tags whose names are not in lower case, by that.
    folded: BTreeMap<Box<str>, Vec<TermId>>,
    /// In lower case, as they are asked for.
    aliases: BTreeMap<Box<str>, TermId>,
    by_count: Texts,
    /// Which tag each text of `by_count` is.
    ranked: Vec<u32>,
    /// Not to be taken from `by_count`.
    changed: BTreeSet<TermId>,
    gone: usize,
}

impl Tags {
    /// Puts in a tag whose id is above all before it.
    pub(crate) fn push(&mut self, id: u32, name: &str, kind: Kind) -> Result<TermId> {
        let len = self.names.len();
        if self.ids.last().is_some_and(|last| *last >= id) {
            bail!("take tag {id} {name:?}: its id is not above all others");
        }
        let term = self
            .names
            .insert(name)
            .with_context(|| format!("take tag {id}"))?;
        if term.get() != len {
            let other = self.ids[term.index()];
            bail!(
                "take tag {id}: tag {other} has its name {name:?} too; `booru doctor` lists such tags"
            );
        }
        self.ids.push(id);
        self.kinds.push(kind);
        self.fold(term, name);
        Ok(term)
    }

    fn fold(&mut self, term: TermId, name: &str) {
        let lower = name.to_lowercase();
        if lower != name {
            self.folded.entry(lower.into()).or_default().push(term);
        }
    }

    fn unfold(&mut self, term: TermId, name: &str) {
        let lower: Box<str> = name.to_lowercase().into();
        if let Some(terms) = self.folded.get_mut(&lower) {
            terms.retain(|other| *other != term);
            if terms.is_empty() {
                self.folded.remove(&lower);
            }
        }
    }

    pub(crate) fn rename(&mut self, term: TermId, name: &str) -> Result<()> {
        let old = self.name(term);
        self.names.rename(term, name)?;
        self.unfold(term, &old);
        self.fold(term, name);
        self.changed.insert(term);
        Ok(())
    }

    pub(crate) fn set_kind(&mut self, term: TermId, kind: Kind) {
        self.kinds[term.index()] = kind;
    }

    /// Its name is free, its number is not.
    pub(crate) fn remove(&mut self, term: TermId) -> Result<()> {
        // No name of a tag has a border in it, so this one is nobody's.
        self.rename(term, &format!("\n{}", term.get()))?;
        self.kinds[term.index()] = Kind::Gone;
        self.aliases.retain(|_, of| *of != term);
        self.gone += 1;
        Ok(())
    }

    pub(crate) fn set_alias(&mut self, alias: &str, of: TermId) {
        self.aliases.insert(alias.to_lowercase().into(), of);
    }

    pub(crate) fn remove_alias(&mut self, alias: &str) {
        self.aliases.remove(alias.to_lowercase().as_str());
    }

    /// Says that the count of a tag is another.
    pub(crate) fn touch(&mut self, term: TermId) {
        self.changed.insert(term);
    }

    /// Whether so many have changed that the names should be put in order anew.
    pub(crate) fn is_stale(&self) -> bool {
        self.changed.len() > CHANGED_MAX
    }

    /// Puts the names in the order of their counts. O(n log n) and a second copy of the names meanwhile.
    pub(crate) fn rank(&mut self, postings: &Membership) -> Result<()> {
        self.names.rebuild();
        let mut ranked: Vec<u32> = (0..self.names.len()).collect();
        ranked.retain(|term| self.kinds[*term as usize] != Kind::Gone);
        ranked.sort_by_key(|term| std::cmp::Reverse(postings.count_of(TermId::new(*term))));
        let view = self.names.view();
        let mut by_count = Texts::with_capacity(ranked.len(), self.by_count.heap_bytes());
        let mut name = String::new();
        for term in &ranked {
            view.read_term(TermId::new(*term), &mut name);
            by_count.push(&name)?;
        }
        by_count.shrink();
        ranked.shrink_to_fit();
        self.by_count = by_count;
        self.ranked = ranked;
        self.changed.clear();
        self.ids.shrink_to_fit();
        self.kinds.shrink_to_fit();
        Ok(())
    }

    /// All tags and what they are, in the order of their ids.
    pub fn terms(&self) -> impl Iterator<Item = (TermId, Kind)> + '_ {
        let kinds = self.kinds.iter().enumerate();
        let there = kinds.filter(|(_, kind)| **kind != Kind::Gone);
        there.map(|(number, kind)| (TermId::new(number as u32), *kind))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len() - self.gone
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tag of this id of the database. O(log n).
    #[must_use]
    pub fn term_of_id(&self, id: u32) -> Option<TermId> {
        let term = TermId::new(self.ids.binary_search(&id).ok()? as u32);
        (self.kind(term) != Kind::Gone).then_some(term)
    }

    /// The id of the database.
    #[must_use]
    pub fn id(&self, term: TermId) -> u32 {
        self.ids[term.index()]
    }

    #[must_use]
    pub fn kind(&self, term: TermId) -> Kind {
        self.kinds[term.index()]
    }

    /// Names in byte order, as they are now: see [`DictionaryView::walk`]. It names tags that are gone too.
    pub(crate) fn names(&self) -> DictionaryView {
        self.names.view()
    }

    #[must_use]
    pub fn name(&self, term: TermId) -> String {
        self.names.term(term).unwrap_or_default()
    }

    /// The tag of exactly this name.
    #[must_use]
    pub fn term(&self, name: &str) -> Option<TermId> {
        self.names.id(name)
    }

    /// Tags of this name in lower case, or else the one that it is an alias of.
    #[must_use]
    pub fn named(&self, lower: &str) -> Vec<TermId> {
        let mut terms: Vec<TermId> = self.names.id(lower).into_iter().collect();
        terms.extend(self.folded.get(lower).into_iter().flatten());
        if terms.is_empty() {
            terms.extend(self.aliases.get(lower));
        }
        terms
    }

    /// The tag of a name, or of one that is it but for case, or that it is an alias of.
    #[must_use]
    pub fn find_name(&self, name: &str) -> Option<TermId> {
        let alike = || self.named(&name.to_lowercase()).first().copied();
        self.term(name).or_else(alike)
    }

    /// As [`Tags::find_name`].
    ///
    /// # Errors
    /// Where there is none.
    pub fn expect(&self, name: &str) -> Result<TermId> {
        match self.find_name(name) {
            Some(term) => Ok(term),
            None => missing!("there is no tag {name:?}"),
        }
    }

    /// Which tag a name stands for besides its own.
    #[must_use]
    pub fn alias(&self, name: &str) -> Option<TermId> {
        self.aliases.get(name.to_lowercase().as_str()).copied()
    }

    pub(crate) fn alias_count(&self) -> usize {
        self.aliases.len()
    }

    /// The other names of a tag.
    pub(crate) fn aliases_of(&self, term: TermId) -> Vec<String> {
        let aliases = self.aliases.iter().filter(|(_, of)| **of == term);
        aliases.map(|(name, _)| name.to_string()).collect()
    }

    /// Visits tags in whose names, in lower case, `is_wanted` finds what it looks for, among those that
    /// have the longest text of `pattern`. Those in `by_count` come first, the most used first, until a
    /// break; then in any case those that have changed since, by number.
    pub(crate) fn find(
        &self,
        pattern: &Pattern,
        is_wanted: impl Fn(&str) -> bool,
        mut visit: impl FnMut(TermId) -> ControlFlow<()>,
    ) {
        self.by_count.find(pattern, &is_wanted, |rank| {
            let term = TermId::new(self.ranked[rank]);
            match self.changed.contains(&term) {
                true => ControlFlow::Continue(()),
                false => visit(term),
            }
        });
        for term in self.changed.iter().copied() {
            let is_there = self.kind(term) != Kind::Gone;
            if is_there && is_wanted(&self.name(term).to_lowercase()) {
                let _ = visit(term);
            }
        }
    }

    /// Bytes held, by part: dictionary, names by count, the rest.
    #[must_use]
    pub fn bytes(&self) -> TagBytes {
        let text = |text: &str| text.len() + size_of::<(Box<str>, Vec<TermId>)>();
        let folded = self
            .folded
            .iter()
            .map(|(lower, terms)| text(lower) + terms.capacity() * 4);
        let aliases = self.aliases.keys().map(|alias| text(alias));
        TagBytes {
            dictionary: self.names.size_bytes(),
            by_count: self.by_count.heap_bytes() + self.ranked.capacity() * 4,
            rest: self.ids.capacity() * 4
                + self.kinds.capacity() * size_of::<Kind>()
                + self.changed.len() * size_of::<TermId>()
                + folded.sum::<usize>()
                + aliases.sum::<usize>(),
        }
    }
}

/// What [`Tags`] holds. Maps with few entries are counted by their entries, without their nodes.
#[derive(Clone, Copy, Debug)]
pub struct TagBytes {
    pub dictionary: usize,
    pub by_count: usize,
    pub rest: usize,
}
