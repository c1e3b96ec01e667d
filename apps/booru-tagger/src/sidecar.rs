//! The names of a tagger's outputs: Camie's metadata JSON or WD14's `selected_tags.csv`.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// Bytes of a sidecar: 70,000 tags take 5 MiB.
const FILE_MAX: u64 = 64 << 20;

/// Which family of taggers a sidecar is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// JSON; logits.
    Camie,
    /// CSV; probabilities.
    Wd14,
}

/// Name and category of each output. Some 60 bytes a tag.
#[derive(Debug)]
pub struct Sidecar {
    /// Whose it is.
    pub family: Family,
    /// For the answer.
    pub tagger_name: String,
    /// Pixels, where it says so.
    pub side: Option<u32>,
    /// In the order of the outputs: name, category.
    pub tags: Vec<(Box<str>, &'static str)>,
}

/// The categories of an answer, and `rating`.
const CATEGORIES: [&str; 7] = [
    "general",
    "character",
    "copyright",
    "artist",
    "meta",
    "species",
    "rating",
];

/// Finds and reads the sidecar: `given`, or what lies beside the model.
///
/// # Errors
/// Where there is none, or it is not what it should be; says what was looked for.
pub fn read(model: &Path, given: Option<&Path>) -> Result<Sidecar> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => find(model)?,
    };
    let name = model.file_stem().unwrap_or_default().to_string_lossy();
    parse_file(&path, &name).with_context(|| format!("read the names of tags, {}", path.display()))
}

fn find(model: &Path) -> Result<PathBuf> {
    let folder = model.parent().unwrap_or(Path::new("."));
    let stem = model.file_stem().unwrap_or_default().to_string_lossy();
    let names = [
        format!("{stem}-metadata.json"),
        format!("{stem}.json"),
        format!("{stem}.csv"),
        "metadata.json".to_owned(),
        "selected_tags.csv".to_owned(),
    ];
    let found = names
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file());
    found.with_context(|| {
        format!(
            "find the names of tags of {}: beside it is none of {}; metadata_path says where they are",
            model.display(),
            names.join(", ")
        )
    })
}

fn parse_file(path: &Path, model_name: &str) -> Result<Sidecar> {
    let file = File::open(path)?;
    let mut text = String::new();
    file.take(FILE_MAX + 1).read_to_string(&mut text)?;
    ensure!(
        text.len() as u64 <= FILE_MAX,
        "it has more than {FILE_MAX} bytes"
    );
    match path.extension().and_then(|name| name.to_str()) {
        Some("json") => parse_json(&text, model_name),
        Some("csv") => parse_csv(&text, model_name),
        _ => bail!("its name ends neither in .json nor in .csv"),
    }
}

fn category(name: &str) -> &'static str {
    let known = CATEGORIES.iter().find(|known| **known == name);
    known.copied().unwrap_or("general")
}

#[derive(Deserialize)]
struct Metadata {
    dataset_info: DatasetInfo,
    #[serde(default)]
    model_info: ModelInfo,
}

#[derive(Deserialize)]
struct DatasetInfo {
    tag_mapping: TagMapping,
}

#[derive(Deserialize)]
struct TagMapping {
    idx_to_tag: HashMap<String, String>,
    tag_to_category: HashMap<String, String>,
}

#[derive(Default, Deserialize)]
struct ModelInfo {
    name: Option<String>,
    img_size: Option<u32>,
}

fn parse_json(text: &str, model_name: &str) -> Result<Sidecar> {
    let metadata: Metadata = serde_json::from_str(text)?;
    let TagMapping {
        idx_to_tag,
        tag_to_category,
    } = metadata.dataset_info.tag_mapping;
    let count = idx_to_tag.len();
    let mut tags = Vec::with_capacity(count);
    for index in 0..count {
        let name = idx_to_tag.get(&index.to_string()).with_context(|| {
            format!("idx_to_tag has {count} tags, but none of the number {index}")
        })?;
        let category = category(tag_to_category.get(name).map_or("general", String::as_str));
        tags.push((name.as_str().into(), category));
    }
    Ok(Sidecar {
        family: Family::Camie,
        tagger_name: metadata
            .model_info
            .name
            .unwrap_or_else(|| model_name.to_owned()),
        side: metadata.model_info.img_size,
        tags,
    })
}

fn parse_csv(text: &str, model_name: &str) -> Result<Sidecar> {
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let columns: Vec<&str> = header.split(',').map(str::trim).collect();
    let place = |name: &str| {
        let found = columns.iter().position(|column| *column == name);
        found.with_context(|| format!("its first line {header:?} has no column {name:?}"))
    };
    let (name_place, category_place) = (place("name")?, place("category")?);
    let mut tags = Vec::new();
    for (number, line) in lines
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let fields = fields(line);
        let field = |place: usize| {
            let found = fields.get(place);
            found.with_context(|| format!("its line {} has too few fields", number + 2))
        };
        // The numbers are Danbooru's.
        let category = match field(category_place)?.trim() {
            "9" => "rating",
            "4" => "character",
            "3" => "copyright",
            "1" => "artist",
            "5" => "meta",
            _ => "general",
        };
        tags.push((field(name_place)?.as_str().into(), category));
    }
    Ok(Sidecar {
        family: Family::Wd14,
        tagger_name: model_name.to_owned(),
        side: None,
        tags,
    })
}

/// Fields of a line; a quoted one may hold commas and doubled quotes, as names of tags do.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let field = fields.last_mut().expect("there is always one");
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv() {
        let text = "tag_id,name,category,count\n1,general,9,5\n2,\"a,\"\"b\",0,4\n3,miku,4,3\n";
        let sidecar = parse_csv(text, "wd").unwrap();
        let tags: Vec<_> = sidecar
            .tags
            .iter()
            .map(|(name, kind)| (&**name, *kind))
            .collect();
        let expected = [
            ("general", "rating"),
            ("a,\"b", "general"),
            ("miku", "character"),
        ];
        assert_eq!(tags, expected);
        let refuse = |text: &str, part: &str| {
            let error = parse_csv(text, "wd").unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        refuse("", "no column");
        refuse("tag_id,name\n", "no column \"category\"");
        refuse("name,category\nx\n", "line 2 has too few fields");
    }

    #[test]
    fn json() {
        let text = r#"{"dataset_info":{"tag_mapping":{"idx_to_tag":{"0":"a","1":"b"},
            "tag_to_category":{"b":"species","a":"year"}}},"model_info":{"img_size":64}}"#;
        let sidecar = parse_json(text, "camie").unwrap();
        assert_eq!(
            (sidecar.side, sidecar.tagger_name.as_str()),
            (Some(64), "camie")
        );
        assert_eq!(sidecar.tags[0].1, "general");
        assert_eq!(sidecar.tags[1].1, "species");
        let text = text.replace("\"1\":\"b\"", "\"7\":\"b\"");
        let error = parse_json(&text, "camie").unwrap_err().to_string();
        assert!(error.contains("none of the number 1"), "{error}");
    }
}
