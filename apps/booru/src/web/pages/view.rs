//! The page of one image: itself, its tags by category, its place in the search that it was found by.

mod about;
pub(super) mod delete;
pub(super) mod models;
mod predicted;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use askama::Template;
use axum::extract::{Path, Query as Parameters, State};
use axum::response::Html;
use plimsoll::dictionary::TermId;
use serde::Deserialize;

use super::filters::RATINGS;
use super::links;
use super::review::Suggestion;
use super::shell::Shell;
use super::tiles::{self, Tile};
use super::words;
use crate::board::Board;
use crate::catalog::{Kind, RATING};
use crate::image::Link;
use crate::missing;
use crate::ml::settings::TaggerSettings;
use crate::query::{Category, Expression, Query};
use crate::web::App;
use crate::web::error::Failure;
use about::Fact;
use models::Work;

#[derive(Template)]
#[template(path = "view.html")]
struct ViewPage {
    shell: Shell,
    id: u32,
    name: String,
    alt: String,
    file: String,
    thumb: String,
    size: Option<(i64, i64)>,
    is_video: bool,
    is_favourite: bool,
    upscaled: Option<Upscaled>,
    /// Where the search is gone on with.
    results: String,
    /// "3 of 1,204".
    place: String,
    previous: Option<Neighbour>,
    next: Option<Neighbour>,
    /// What stands behind the addresses of its forms: the search.
    behind: String,
    words: String,
    groups: Vec<TagGroup>,
    ratings: Vec<Rating>,
    facts: Vec<Fact>,
    families: Vec<Family>,
    suggestions: Vec<Suggestion>,
    models: Vec<Work>,
}

struct Neighbour {
    href: String,
    /// What is loaded ahead.
    picture: String,
}

struct Upscaled {
    file: String,
    width: i64,
    height: i64,
}

struct Rating {
    name: &'static str,
    is_on: bool,
}

struct TagGroup {
    name: &'static str,
    class: &'static str,
    tags: Vec<ShownTag>,
}

struct ShownTag {
    name: String,
    count: String,
    href: String,
    with: String,
    without: String,
    origin: Option<Origin>,
    /// It is no tag of the image: a model is so certain that it could be, in hundredths.
    percent: Option<u8>,
}

/// Where it has a tag from, if not from its source.
#[derive(Clone, Copy)]
struct Origin {
    name: &'static str,
    title: &'static str,
}

/// Images that belong to this one.
struct Family {
    name: &'static str,
    tiles: Vec<Tile>,
}

/// In the order in which they are shown.
const GROUPS: [Category; 6] = [
    Category::Artist,
    Category::Copyright,
    Category::Character,
    Category::Species,
    Category::General,
    Category::Meta,
];

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    query: String,
}

/// `image` is an id, or the path of a file as the original has it.
pub(super) async fn page(
    State(app): State<Arc<App>>,
    shell: Shell,
    Path(image): Path<String>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Html<String>, Failure> {
    let shell = Shell {
        query: wanted.query.trim().to_owned(),
        ..shell
    };
    let per_page = app.settings().images_per_page;
    let kinds = match shell.can_edit {
        true => app.kinds_set_up(),
        false => Vec::new(),
    };
    let tagger = app.settings().models.tagger.clone();
    let page = app.read(move |board| {
        let mut page = ViewPage::read(board, shell, &image, per_page, &tagger)?;
        // Models look at pictures.
        if !page.is_video {
            page.models = models::read(board, page.id, &kinds)?;
        }
        Ok(page)
    });
    super::html(&page.await?)
}

impl ViewPage {
    fn read(
        board: &Board,
        shell: Shell,
        image: &str,
        per_page: usize,
        tagger: &TaggerSettings,
    ) -> Result<ViewPage> {
        let id = find(board, image)?;
        let image = board.image(id)?;
        // A search that is none finds nothing: the image is shown all the same.
        let query: Query = shell.query.parse().unwrap_or_default();
        let tags = Tags::read(board, id, &query, tagger)?;
        let place = board.place(&query, id, 0)?;
        let neighbour = |id: Option<u32>| {
            let neighbour = id.map(|id| Neighbour::read(board, id, &shell.query));
            neighbour.transpose().map(Option::flatten)
        };
        let number = place.map_or(1, |place| place.position / per_page + 1);
        let families = [
            ("Parent", &image.parents),
            ("Children", &image.children),
            ("Siblings", &image.siblings),
        ];
        let families = families
            .into_iter()
            .map(|(name, links)| Family::read(board, name, links));
        Ok(ViewPage {
            id,
            name: image
                .filepath
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned(),
            alt: tags.describe(id),
            file: links::file(&image.filepath),
            thumb: links::thumbnail(&image.filepath),
            size: about::size(&image),
            is_video: tiles::is_video(&image.filepath),
            is_favourite: image.is_favourite,
            upscaled: about::both(image.upscaled_width, image.upscaled_height).map(
                |(width, height)| Upscaled {
                    file: links::upscaled(&image.filepath),
                    width,
                    height,
                },
            ),
            results: links::results(&shell.query, number),
            place: match place {
                Some(place) => format!(
                    "{} of {}",
                    links::grouped(place.position as u64 + 1),
                    links::grouped(place.total as u64)
                ),
                None => "To the search".to_owned(),
            },
            previous: neighbour(place.and_then(|place| place.previous))?,
            next: neighbour(place.and_then(|place| place.next))?,
            behind: behind(&shell.query),
            ratings: RATINGS
                .iter()
                .map(|name| Rating {
                    name,
                    is_on: tags.rating.as_deref() == Some(name),
                })
                .collect(),
            words: tags.words,
            groups: tags.groups,
            facts: about::facts(&image),
            families: families
                .collect::<Result<Vec<_>>>()?
                .into_iter()
                .flatten()
                .collect(),
            suggestions: Suggestion::of_image(board, id)?,
            models: Vec::new(),
            shell,
        })
    }
}

/// What stands behind addresses to keep the search.
fn behind(query: &str) -> String {
    match query.is_empty() {
        true => String::new(),
        false => format!("?query={}", links::encode(query)),
    }
}

/// The image that an address means.
fn find(board: &Board, image: &str) -> Result<u32> {
    if let Ok(id) = image.parse() {
        if board.catalog().images().of_id(id).is_some() {
            return Ok(id);
        }
        missing!("there is no image {id}");
    }
    let path = image.strip_prefix("images/").unwrap_or(image);
    match board.find_image(path)? {
        Some(id) => Ok(id),
        None => missing!("there is no image {path:?}"),
    }
}

impl Neighbour {
    fn read(board: &Board, id: u32, query: &str) -> Result<Option<Neighbour>> {
        let path = board.find_path(id)?;
        Ok(path.map(|path| Neighbour {
            href: links::view(id, query),
            // A video is not loaded before it is wanted.
            picture: match tiles::is_video(&path) {
                true => links::thumbnail(&path),
                false => links::file(&path),
            },
        }))
    }
}

impl Family {
    /// `None` where there is nobody.
    fn read(board: &Board, name: &'static str, members: &[Link]) -> Result<Option<Family>> {
        let ids: Vec<u32> = members.iter().map(|link| link.id).collect();
        let tiles = tiles::read(board, &ids, "")?;
        Ok((!tiles.is_empty()).then_some(Family { name, tiles }))
    }
}

/// The tags of an image as they are shown, and as words to edit.
struct Tags {
    groups: Vec<TagGroup>,
    words: String,
    rating: Option<String>,
}

impl Tags {
    fn read(board: &Board, id: u32, query: &Query, tagger: &TaggerSettings) -> Result<Tags> {
        let mut by_category: BTreeMap<Option<Category>, Vec<ShownTag>> = BTreeMap::new();
        let mut rating = None;
        let rows = words::tags_of(board, id)?;
        let has: Vec<TermId> = rows.iter().map(|(term, _)| *term).collect();
        let predicted = predicted::read(board, id, &has, tagger)?;
        let catalog = board.catalog();
        for (term, source) in rows {
            let kind = catalog.tags.kind(term);
            let name = catalog.tags.name(term);
            if kind == Kind::Rating {
                rating = name.strip_prefix(RATING).map(str::to_owned);
            }
            let tags = by_category.entry(kind.category()).or_default();
            tags.push(ShownTag {
                origin: origin(source.as_deref()),
                ..ShownTag::new(name, tiles::count(&catalog, term), query)
            });
        }
        for one in predicted {
            let count = one
                .term
                .map_or_else(|| links::grouped(0), |term| tiles::count(&catalog, term));
            let tags = by_category.entry(Some(one.category)).or_default();
            tags.push(ShownTag {
                percent: Some(one.percent),
                ..ShownTag::new(one.name, count, query)
            });
        }
        drop(catalog);
        let order = GROUPS.into_iter().map(Some).chain([None]);
        let groups = order.filter_map(|category| {
            let mut tags = by_category.remove(&category)?;
            tags.sort_by(|a, b| a.name.cmp(&b.name));
            Some(TagGroup {
                name: category.map_or("Rating", links::heading),
                class: category.map_or("rating", Category::name),
                tags,
            })
        });
        let groups: Vec<TagGroup> = groups.collect();
        // In the order in which they are shown.
        let words = groups.iter().map(TagGroup::words);
        let words: Vec<_> = words.filter(|words| !words.is_empty()).collect();
        let words = words.join("\n");
        Ok(Tags {
            groups,
            words,
            rating,
        })
    }
}

impl ShownTag {
    fn new(name: String, count: String, query: &Query) -> ShownTag {
        let condition = Expression::Term(links::term_of_tag(&name));
        let negated = Expression::Not(Box::new(condition.clone()));
        let found = |query: &Query| links::results(&query.to_string(), 1);
        let alone = Query {
            expression: condition.clone(),
            ..Query::default()
        };
        ShownTag {
            href: found(&alone),
            with: found(&links::and(query, condition)),
            without: found(&links::and(query, negated)),
            origin: None,
            percent: None,
            count,
            name,
        }
    }
}

impl TagGroup {
    /// The tags of it that the image has.
    fn words(&self) -> String {
        let tags = self.tags.iter().filter(|tag| tag.percent.is_none());
        let names: Vec<&str> = tags.map(|tag| tag.name.as_str()).collect();
        names.join(" ")
    }
}

impl Tags {
    /// What the image is, in a few words.
    fn describe(&self, id: u32) -> String {
        let of = |category: Category| {
            let group = self
                .groups
                .iter()
                .find(|group| group.class == category.name())?;
            Some(group.words()).filter(|words| !words.is_empty())
        };
        tiles::describe(
            id,
            of(Category::Character),
            of(Category::Copyright),
            of(Category::Artist),
        )
    }
}

fn origin(source: Option<&str>) -> Option<Origin> {
    let (name, title) = match source? {
        "ai_inference" => ("model", "A model said so"),
        "implication" => ("implied", "Another tag implies it"),
        _ => return None,
    };
    Some(Origin { name, title })
}
