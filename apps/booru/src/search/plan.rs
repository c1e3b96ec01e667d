//! What a query asks of a catalog: names are looked up, and what the postings can answer by themselves is
//! put together for them.

use std::ops::ControlFlow;

use anyhow::Result;
use plimsoll::dictionary::TermId;
use plimsoll::postings::{self, Postings};

use super::bits::Bits;
use crate::catalog::{Catalog, Kind, LOCAL_TAGGER, RATING};
use crate::query::{Category, Expression, Field, Has, Interval, Pattern, Term};
use crate::refuse;

/// Terms of a query that read all names or all paths. Each takes some milliseconds at 200,000 images, and a
/// bit for each image.
pub const SCANS_MAX: usize = 16;

/// A pattern of no more tags than this is left to the postings; others become a set of images.
const TERMS_LISTED_MAX: usize = 16;

/// Finds the image with an MD5 sum, which only the database knows.
pub(crate) type FindMd5<'a> = dyn Fn(&[u8; 16]) -> Result<Option<u32>> + 'a;

pub(super) enum Plan<'a> {
    /// Answered by the postings of tags.
    Tags(postings::Query),
    Set(&'a Postings),
    Bits(Bits),
    Number(Field, Vec<Interval>),
    /// A part of the path.
    Path(Pattern),
    Not(Box<Plan<'a>>),
    All(Vec<Plan<'a>>),
    Any(Vec<Plan<'a>>),
}

impl Plan<'_> {
    fn nothing() -> Self {
        Plan::Tags(postings::Query::Any(Vec::new()))
    }

    /// What is cheap and leaves little comes first.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Plan::Tags(_) => 0,
            Plan::Bits(_) | Plan::Set(_) => 1,
            Plan::Number(..) => 2,
            Plan::Not(_) | Plan::All(_) | Plan::Any(_) => 3,
            Plan::Path(_) => 4,
        }
    }
}

pub(super) struct Planner<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) find_md5: &'a FindMd5<'a>,
    pub(super) scans: usize,
}

impl<'a> Planner<'a> {
    pub(super) fn plan(&mut self, expression: &Expression) -> Result<Plan<'a>> {
        Ok(match expression {
            Expression::Term(term) => self.plan_term(term)?,
            Expression::Not(inner) => match self.plan(inner)? {
                Plan::Tags(query) => Plan::Tags(query.negated()),
                other => Plan::Not(Box::new(other)),
            },
            Expression::All(parts) => self.join(parts, postings::Query::All, Plan::All)?,
            Expression::Any(parts) => self.join(parts, postings::Query::Any, Plan::Any)?,
        })
    }

    /// Parts that the postings can answer become one.
    fn join(
        &mut self,
        parts: &[Expression],
        tags: fn(Vec<postings::Query>) -> postings::Query,
        others: fn(Vec<Plan<'a>>) -> Plan<'a>,
    ) -> Result<Plan<'a>> {
        let mut of_tags = Vec::new();
        let mut of_others = Vec::new();
        for part in parts {
            match self.plan(part)? {
                Plan::Tags(query) => of_tags.push(query),
                other => of_others.push(other),
            }
        }
        if of_others.is_empty() {
            return Ok(Plan::Tags(tags(of_tags)));
        }
        if !of_tags.is_empty() {
            of_others.push(Plan::Tags(tags(of_tags)));
        }
        of_others.sort_by_key(Plan::rank);
        Ok(others(of_others))
    }

    fn plan_term(&mut self, term: &Term) -> Result<Plan<'a>> {
        let facets = &self.catalog.facets;
        Ok(match term {
            Term::Word(pattern) => match pattern.as_literal() {
                Some(name) => match self.catalog.tags.named(name) {
                    terms if terms.is_empty() => self.plan_text(name)?,
                    terms => tags_of(terms),
                },
                None => self.plan_pattern(pattern, |_| true)?,
            },
            Term::Text(text) => self.plan_text(text)?,
            Term::Tag(category, pattern) => self.plan_tag(*category, pattern)?,
            Term::Rating(ratings) => {
                let mut terms = Vec::new();
                for rating in ratings {
                    terms.extend(self.ratings(rating)?);
                }
                tags_of(terms)
            }
            Term::Source(names) => {
                let is_named = |name: &str| names.iter().any(|pattern| pattern.matches(name));
                let sets = facets.sources.iter().filter(|(name, _)| is_named(name));
                Plan::Any(sets.map(|(_, images)| Plan::Set(images)).collect())
            }
            Term::Path(pattern) => {
                self.count_scan()?;
                Plan::Path(pattern.clone())
            }
            Term::Pool(pattern) => {
                let pools = facets.pools.iter().filter(|pool| pattern.is_in(&pool.name));
                let sets: Vec<&Postings> = pools.map(|pool| &pool.images).collect();
                self.union(&sets)
            }
            Term::MetadataMissing => {
                let real = facets
                    .sources
                    .iter()
                    .filter(|(name, _)| &***name != LOCAL_TAGGER);
                let sets: Vec<&Postings> = real.map(|(_, images)| images).collect();
                Plan::Not(Box::new(self.union(&sets)))
            }
            Term::Extension(names) => self.plan_extensions(names.iter().map(String::as_str)),
            Term::Has(has) => match has {
                Has::Parent => Plan::Set(&facets.parents),
                Has::Child => Plan::Set(&facets.children),
                Has::Relationship => Plan::Any(vec![
                    Plan::Set(&facets.parents),
                    Plan::Set(&facets.children),
                ]),
                Has::Pool => {
                    let sets: Vec<&Postings> =
                        facets.pools.iter().map(|pool| &pool.images).collect();
                    self.union(&sets)
                }
                Has::Upscaled => Plan::Set(&facets.upscaled),
                Has::Video => self.plan_extensions(["mp4", "webm"]),
            },
            Term::Favourite => Plan::Set(&facets.favourites),
            Term::Md5(sums) => {
                let mut bits = Bits::none(self.catalog.images.numbers());
                for sum in sums {
                    let id = (self.find_md5)(sum)?;
                    let image = id.and_then(|id| self.catalog.images.of_id(id));
                    bits.add_all(image);
                }
                Plan::Bits(bits)
            }
            Term::Number(field, intervals) => Plan::Number(*field, intervals.clone()),
        })
    }

    /// Tags of ratings, which are few; a pattern looks at all tags for them.
    fn ratings(&mut self, pattern: &Pattern) -> Result<Vec<TermId>> {
        let tags = &self.catalog.tags;
        if let Some(name) = pattern.as_literal() {
            return Ok(tags.named(&format!("{RATING}{name}")));
        }
        self.count_scan()?;
        let ratings = tags.terms().filter(|(_, kind)| *kind == Kind::Rating);
        let named = ratings.filter(|(term, _)| {
            let name = tags.name(*term).to_lowercase();
            name.strip_prefix(RATING)
                .is_some_and(|rating| pattern.matches(rating))
        });
        Ok(named.map(|(term, _)| term).collect())
    }

    fn union(&self, sets: &[&'a Postings]) -> Plan<'a> {
        if let [set] = sets {
            return Plan::Set(set);
        }
        let mut bits = Bits::none(self.catalog.images.numbers());
        sets.iter().for_each(|set| bits.add_all(*set));
        Plan::Bits(bits)
    }

    fn plan_extensions<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Plan<'a> {
        let known = &self.catalog.facets.extensions;
        let sets = names.into_iter().filter_map(|name| known.get(name));
        Plan::Any(sets.map(Plan::Set).collect())
    }

    fn plan_tag(&mut self, category: Category, pattern: &Pattern) -> Result<Plan<'a>> {
        let tags = &self.catalog.tags;
        let is_of = |term: TermId| tags.kind(term).category() == Some(category);
        match pattern.as_literal() {
            Some(name) => {
                let mut terms = tags.named(name);
                terms.retain(|term| is_of(*term));
                Ok(tags_of(terms))
            }
            None => self.plan_pattern(pattern, is_of),
        }
    }

    fn count_scan(&mut self) -> Result<()> {
        self.scans += 1;
        if self.scans > SCANS_MAX {
            refuse!(
                "search: more than {SCANS_MAX} terms look for parts of names or paths; use whole names of \
                 tags, or ask for less at once"
            );
        }
        Ok(())
    }

    fn plan_pattern(
        &mut self,
        pattern: &Pattern,
        is_of: impl Fn(TermId) -> bool,
    ) -> Result<Plan<'a>> {
        self.count_scan()?;
        Ok(self.any_tag(pattern, |name| pattern.matches(name), is_of))
    }

    /// Images with a part in their path, or in the name of a tag, where blanks are `_`.
    fn plan_text(&mut self, text: &str) -> Result<Plan<'a>> {
        self.count_scan()?;
        self.count_scan()?;
        let in_names = Pattern::literal(&text.replace(char::is_whitespace, "_"));
        let of_tags = self.any_tag(&in_names, |name| in_names.is_in(name), |_| true);
        Ok(Plan::Any(vec![of_tags, Plan::Path(Pattern::literal(text))]))
    }

    /// Images with any tag of those wanted. The most used tags come first, so all images are soon there
    /// where nearly all will be. O(names + pairs of those tags), and no more memory than a bit an image.
    fn any_tag(
        &self,
        pattern: &Pattern,
        is_wanted: impl Fn(&str) -> bool,
        is_of: impl Fn(TermId) -> bool,
    ) -> Plan<'a> {
        let mut terms = Vec::with_capacity(TERMS_LISTED_MAX);
        let mut bits: Option<Bits> = None;
        let mut since_full = 0;
        self.catalog.tags.find(pattern, is_wanted, |term| {
            if !is_of(term) {
                return ControlFlow::Continue(());
            }
            let Catalog { postings, tags, .. } = self.catalog;
            if postings.count_of(term) == 0 {
                return ControlFlow::Continue(());
            }
            if bits.is_none() && terms.len() < TERMS_LISTED_MAX {
                terms.push(term);
                return ControlFlow::Continue(());
            }
            let bits = bits.get_or_insert_with(|| {
                let mut bits = Bits::none(self.catalog.images.numbers());
                for term in &terms {
                    bits.add_all(&*postings.images_of(tags, *term));
                }
                bits
            });
            bits.add_all(&*postings.images_of(tags, term));
            since_full += postings.count_of(term);
            // Looked at after as many insertions as looking costs.
            if since_full > FULL_EVERY {
                since_full = 0;
                if bits.count() == self.catalog.images.len() {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        match bits {
            Some(bits) => Plan::Bits(bits),
            None => tags_of(terms),
        }
    }
}

/// Images put into a set between two looks at whether it has all, which take a step for each 64 images
/// there are.
const FULL_EVERY: u64 = 4096;

fn tags_of(terms: Vec<TermId>) -> Plan<'static> {
    match terms.as_slice() {
        [] => Plan::nothing(),
        [term] => Plan::Tags(postings::Query::Term(*term)),
        _ => {
            let terms = terms.into_iter().map(postings::Query::Term);
            Plan::Tags(postings::Query::Any(terms.collect()))
        }
    }
}
