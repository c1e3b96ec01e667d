//! Filters as links: each leads to the query that is the present one with it, or without.

use super::links;
use crate::query::{Direction, Expression, Has, Order, Pattern, Query, SortKey, Term};

pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) chips: Vec<Chip>,
    /// Whether one of its chips is on without being asked for.
    has_preset: bool,
}

pub(super) struct Chip {
    pub(super) name: &'static str,
    pub(super) href: String,
    pub(super) is_on: bool,
}

impl Group {
    /// Whether it changes what would be found without it.
    pub(super) fn is_used(&self) -> bool {
        let skipped = usize::from(self.has_preset);
        self.chips.iter().skip(skipped).any(|chip| chip.is_on)
    }
}

pub(super) const RATINGS: [&str; 4] = ["general", "sensitive", "questionable", "explicit"];

const ORDERS: &[(&str, Order)] = &[
    (
        "Newest",
        Order::By(SortKey::Ingested, Direction::Descending),
    ),
    ("Oldest", Order::By(SortKey::Ingested, Direction::Ascending)),
    ("Score", Order::By(SortKey::Score, Direction::Descending)),
    (
        "Favourites",
        Order::By(SortKey::Favourites, Direction::Descending),
    ),
    ("Largest", Order::By(SortKey::Pixels, Direction::Descending)),
    (
        "Most tags",
        Order::By(SortKey::TagCount, Direction::Descending),
    ),
    (
        "Fewest tags",
        Order::By(SortKey::TagCount, Direction::Ascending),
    ),
    ("Random", Order::Random(None)),
];

pub(super) fn groups(query: &Query) -> Vec<Group> {
    vec![orders(query), ratings(query), kinds(query)]
}

fn orders(query: &Query) -> Group {
    let chips = ORDERS.iter().map(|(name, order)| Chip {
        name,
        href: href(query.expression.clone(), *order),
        is_on: match order {
            Order::Random(_) => matches!(query.order, Order::Random(_)),
            order => *order == query.order,
        },
    });
    Group {
        name: "Sort",
        chips: chips.collect(),
        has_preset: true,
    }
}

fn ratings(query: &Query) -> Group {
    let conditions = links::conditions(query);
    let mut chosen: Vec<Pattern> = Vec::new();
    let mut others = Vec::new();
    for condition in conditions {
        match condition {
            Expression::Term(Term::Rating(of)) => chosen.extend(of),
            other => others.push(other),
        }
    }
    let chips = RATINGS.iter().map(|name| {
        let rating = Pattern::literal(name);
        let is_on = chosen.contains(&rating);
        let mut toggled = chosen.clone();
        match is_on {
            true => toggled.retain(|one| *one != rating),
            false => toggled.push(rating),
        }
        let mut all = others.clone();
        if !toggled.is_empty() {
            all.push(Expression::Term(Term::Rating(toggled)));
        }
        Chip {
            name,
            href: href(links::one_or_all(all), query.order),
            is_on,
        }
    });
    Group {
        name: "Rating",
        chips: chips.collect(),
        has_preset: false,
    }
}

fn kinds(query: &Query) -> Group {
    let terms = [
        ("Favourites", Term::Favourite),
        ("Videos", Term::Has(Has::Video)),
        ("In a pool", Term::Has(Has::Pool)),
        ("With relations", Term::Has(Has::Relationship)),
        ("Upscaled", Term::Has(Has::Upscaled)),
    ];
    let conditions = links::conditions(query);
    let chips = terms.map(|(name, term)| {
        let condition = Expression::Term(term);
        let is_on = conditions.contains(&condition);
        let mut all = conditions.clone();
        match is_on {
            true => all.retain(|one| *one != condition),
            false => all.push(condition),
        }
        Chip {
            name,
            href: href(links::one_or_all(all), query.order),
            is_on,
        }
    });
    Group {
        name: "Only",
        chips: chips.into(),
        has_preset: false,
    }
}

fn href(expression: Expression, order: Order) -> String {
    links::results(&Query { expression, order }.to_string(), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chip(query: &str, group: usize, name: &str) -> (String, bool) {
        let groups = groups(&query.parse().unwrap());
        let mut chips = groups[group].chips.iter();
        let chip = chips.find(|chip| chip.name == name).unwrap();
        (chip.href.clone(), chip.is_on)
    }

    #[test]
    fn a_chip_leads_to_the_query_with_it_or_without() {
        let check = |query: &str, group: usize, name: &str, href: &str, is_on: bool| {
            assert_eq!(
                chip(query, group, name),
                (href.to_owned(), is_on),
                "{query}"
            );
        };
        check("", 0, "Newest", "/", true);
        check("hat", 0, "Score", "/?query=hat%20order%3Ascore_desc", false);
        check(
            "hat order:score",
            0,
            "Score",
            "/?query=hat%20order%3Ascore_desc",
            true,
        );
        check(
            "order:random:5",
            0,
            "Random",
            "/?query=order%3Arandom",
            true,
        );
        check("hat", 1, "general", "/?query=hat%20rating%3Ageneral", false);
        check("rating:general", 1, "general", "/", true);
        check("rating:g hat", 1, "general", "/?query=hat", true);
        check("is:fav", 2, "Favourites", "/", true);
        check(
            "a or b",
            2,
            "Videos",
            "/?query=%28a%20or%20b%29%20has%3Avideo",
            false,
        );
    }

    #[test]
    fn all_are_off_but_the_order_that_is_usual() {
        let groups = groups(&"".parse().unwrap());
        assert!(!groups.iter().any(Group::is_used));
        let on = groups
            .iter()
            .flat_map(|group| &group.chips)
            .filter(|chip| chip.is_on);
        assert_eq!(on.map(|chip| chip.name).collect::<Vec<_>>(), ["Newest"]);
    }
}
