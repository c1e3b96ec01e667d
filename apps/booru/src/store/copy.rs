//! A whole board from one database into another: all of it, compared row by row, or nothing.
//!
//! Memory: a row, and what is sent of rows at once; not the tables.

use std::borrow::Cow;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::database::{Database, Shape};
use super::postgres::PostgresTarget;
use super::sqlite_target::SqliteTarget;
use super::table::{Class, Table, tables};
use super::{Access, Place, Row, Store, StoreOptions, Value};

/// What was copied of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedTable {
    pub name: String,
    pub rows: u64,
    /// Of all rows in any order: the sum of their BLAKE3 sums, the first 16 bytes of each.
    pub sum: u128,
    /// Whether rows refer to others that are not there. They are copied as they are.
    pub leads_nowhere: bool,
}

/// A database that is being filled. Nobody else sees it until it is finished; dropped before, it is gone.
pub(super) trait Target {
    fn begin_table(&mut self, table: &Table, columns: &[(String, Class)]) -> Result<()>;

    /// One row of the table, values as the columns were told.
    fn put(&mut self, values: &[Value<'_>]) -> Result<()>;

    fn end_table(&mut self) -> Result<()>;

    /// To read again what was put.
    fn database(&self) -> &dyn Database;

    /// Puts the whole in place, with the indexes of others and the last id that each table has given out.
    /// Tells which tables have rows that lead nowhere.
    fn finish(
        self: Box<Self>,
        indexes: &[String],
        counters: &[(String, i64)],
    ) -> Result<Vec<String>>;
}

/// A table with those of its columns that the source has.
struct Plan {
    table: Table,
    columns: Vec<(String, Class)>,
    /// Of a table of others.
    indexes: Vec<String>,
    counter: Option<i64>,
}

impl Plan {
    fn names(&self) -> String {
        let names = self.columns.iter().map(|(name, _)| format!("\"{name}\""));
        names.collect::<Vec<_>>().join(", ")
    }
}

/// Copies a board. `tell` is called for each table that is whole.
///
/// # Errors
/// A target that is there already, or is not empty; what either database says; a value that the target can't
/// hold; rows that came out otherwise than they went in. Nothing is kept then.
pub fn copy(
    from: &Path,
    to: &Path,
    options: StoreOptions,
    mut tell: impl FnMut(&CopiedTable) -> Result<()>,
) -> Result<Vec<CopiedTable>> {
    let options = StoreOptions {
        access: Access::ReadOnly,
        ..options
    };
    let source = Store::open(from, options)?;
    let (plans, target, mut copied) = source.read_at_once(|| {
        let plans = plan(source.shapes()?)?;
        let mut target: Box<dyn Target> = match Place::of(to)? {
            Place::File(path) => Box::new(SqliteTarget::begin(&path)?),
            Place::Server { address, .. } => Box::new(PostgresTarget::begin(&address)?),
        };
        let mut copied = Vec::with_capacity(plans.len());
        for plan in &plans {
            let name = &plan.table.name;
            let copying = || format!("copy the table {name}");
            let put = fill(&source, plan, target.as_mut()).with_context(copying)?;
            let kept = read_back(plan, target.database()).with_context(copying)?;
            if put != kept {
                bail!(
                    "copy the table {name}: {} rows went in, {} are there, and their sums are {:032x} and {:032x}",
                    put.rows,
                    kept.rows,
                    put.sum,
                    kept.sum
                );
            }
            let one = CopiedTable {
                name: name.clone(),
                rows: put.rows,
                sum: put.sum,
                leads_nowhere: false,
            };
            tell(&one)?;
            copied.push(one);
        }
        Ok((plans, target, copied))
    })?;
    // The source has said all that it has to: indexes take their time, in which it need not wait.
    let counters = plans.iter().filter_map(|plan| {
        let counter = plan.counter?;
        Some((plan.table.name.clone(), counter))
    });
    let counters: Vec<_> = counters.collect();
    let indexes = plans.iter().flat_map(|plan| plan.indexes.iter().cloned());
    let nowhere = target.finish(&indexes.collect::<Vec<_>>(), &counters)?;
    for table in &mut copied {
        table.leads_nowhere = nowhere.contains(&table.name);
    }
    Ok(copied)
}

/// The tables to be made: the original's and ours, whether the source has them or not, and others.
fn plan(mut shapes: Vec<Shape>) -> Result<Vec<Plan>> {
    let mut plans = Vec::new();
    for table in tables()? {
        let place = shapes.iter().position(|shape| shape.name == table.name);
        let shape = place.map(|place| shapes.remove(place));
        // Its indexes are made as the target has them.
        let plan = plan_of(table, shape);
        plans.push(Plan {
            indexes: Vec::new(),
            ..plan
        });
    }
    for shape in shapes {
        let making = || {
            format!(
                "copy the table {:?}: it was not made by booru or ChibiBooru, and how it was is not known; drop \
                 it, or move it to another schema",
                shape.name
            )
        };
        let written = shape.written.clone().with_context(making)?;
        let table = Table::parse(&written)?.with_context(making)?;
        plans.push(plan_of(table, Some(shape)));
    }
    Ok(plans)
}

fn plan_of(table: Table, shape: Option<Shape>) -> Plan {
    let Some(shape) = shape else {
        return Plan {
            table,
            columns: Vec::new(),
            indexes: Vec::new(),
            counter: None,
        };
    };
    let class_of = |name: &String| {
        let mut known = table.columns.iter();
        known.find(|one| one.0 == *name).map(|one| one.1)
    };
    let columns = shape.columns.into_iter().map(|(name, class)| {
        let class = class_of(&name).unwrap_or(class);
        (name, class)
    });
    Plan {
        columns: columns.collect(),
        indexes: shape.indexes,
        counter: shape.counter,
        table,
    }
}

/// How many rows, and their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    rows: u64,
    sum: u128,
}

impl Tally {
    fn add(&mut self, values: &[Value<'_>]) {
        let mut hasher = blake3::Hasher::new();
        for value in values {
            let (kind, number, bytes): (u8, u64, &[u8]) = match value {
                Value::Null => (0, 0, &[]),
                Value::Integer(number) => (1, *number as u64, &[]),
                Value::Real(number) => (2, number.to_bits(), &[]),
                Value::Text(text) => (3, text.len() as u64, text.as_bytes()),
                Value::Bytes(bytes) => (4, bytes.len() as u64, bytes),
            };
            hasher.update(&[kind]);
            hasher.update(&number.to_le_bytes());
            hasher.update(bytes);
        }
        let mut first = [0; 16];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        self.rows += 1;
        self.sum = self.sum.wrapping_add(u128::from_le_bytes(first));
    }
}

fn fill(source: &Store, plan: &Plan, target: &mut dyn Target) -> Result<Tally> {
    let mut tally = Tally::default();
    target.begin_table(&plan.table, &plan.columns)?;
    if !plan.columns.is_empty() {
        let sql = format!("SELECT {} FROM {}", plan.names(), plan.table.name);
        source.each_row("read what is copied", &sql, &[], |row| {
            with_values(row, &plan.columns, |values| {
                tally.add(values);
                target.put(values)
            })
        })?;
    }
    target.end_table()?;
    Ok(tally)
}

fn read_back(plan: &Plan, target: &dyn Database) -> Result<Tally> {
    let mut tally = Tally::default();
    if plan.columns.is_empty() {
        return Ok(tally);
    }
    let sql = format!("SELECT {} FROM {}", plan.names(), plan.table.name);
    let reading = || "read what was copied".to_owned();
    target.each_row(&reading, &sql, &[], &mut |row| {
        with_values(row, &plan.columns, |values| {
            tally.add(values);
            Ok(std::ops::ControlFlow::Continue(()))
        })
    })?;
    Ok(tally)
}

/// The values of a row as their columns hold them.
fn with_values<T>(
    row: &Row<'_>,
    columns: &[(String, Class)],
    act: impl FnOnce(&[Value<'_>]) -> Result<T>,
) -> Result<T> {
    let mut texts: Vec<Option<Cow<'_, str>>> = Vec::with_capacity(columns.len());
    let mut values = Vec::with_capacity(columns.len());
    for (place, (name, class)) in columns.iter().enumerate() {
        let value = row.value(place)?;
        let fitted = fit(value, *class);
        let (value, text) = fitted.with_context(|| {
            let first = row.value(0);
            let first = first.map_or_else(|_| String::new(), |first| format!("{first:?}"));
            format!(
                "in the row whose {} is {first}, {name} is {value:?}, which its column of {} can't hold; put \
                 it right first",
                columns[0].0,
                class.postgres()
            )
        })?;
        values.push(value);
        texts.push(text);
    }
    // Numbers in columns of text, which SQLite makes of texts that look like one.
    let texts = &texts;
    let with_texts = values.into_iter().zip(texts).map(|(value, text)| {
        let text = text.as_deref().map(Value::Text);
        text.unwrap_or(value)
    });
    act(&with_texts.collect::<Vec<_>>())
}

/// A value as a column of this class holds it, or its text.
fn fit<'a>(value: Value<'a>, class: Class) -> Option<(Value<'a>, Option<Cow<'a, str>>)> {
    let fitted = match (class, value) {
        (_, Value::Null) => Value::Null,
        (Class::Integer, Value::Integer(_)) | (Class::Real, Value::Real(_)) => value,
        (Class::Bytes, Value::Bytes(_)) => value,
        (Class::Real, Value::Integer(number)) => Value::Real(number as f64),
        (Class::Text, Value::Text(text)) if !text.contains('\0') => value,
        (Class::Text, Value::Integer(number)) => {
            return Some((Value::Null, Some(number.to_string().into())));
        }
        (Class::Text, Value::Real(number)) => {
            return Some((Value::Null, Some(number.to_string().into())));
        }
        _ => return None,
    };
    Some((fitted, None))
}
