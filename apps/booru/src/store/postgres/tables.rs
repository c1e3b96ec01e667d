//! What tables there are, as the server's own tables tell.

use anyhow::Result;

use super::Postgres;
use crate::store::Schema;
use crate::store::database::{Doing, Shape};
use crate::store::table::Class;

/// Those that a copy of the board is to have, with their indexes and counters.
pub(super) fn shapes(postgres: &Postgres, doing: Doing<'_>) -> Result<Vec<Shape>> {
    let sql = "SELECT c.relname, obj_description(c.oid, 'pg_class'), a.attname, format_type(a.atttypid, NULL), \
               CASE WHEN a.attidentity <> '' THEN pg_sequence_last_value(pg_get_serial_sequence( \
               quote_ident(c.relname), a.attname)::regclass) END FROM pg_class AS c \
               JOIN pg_namespace AS n ON n.oid = c.relnamespace \
               JOIN pg_attribute AS a ON a.attrelid = c.oid \
               WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY (current_schemas(false)) \
               AND pg_table_is_visible(c.oid) AND a.attnum > 0 AND NOT a.attisdropped \
               AND c.relname NOT IN ('booru_revision', 'booru_embeddings') ORDER BY c.oid, a.attnum";
    let rows = postgres.ask(doing, async |session| session.client.query(sql, &[]).await)?;
    let mut shapes: Vec<Shape> = Vec::new();
    for row in rows {
        let name: String = row.get(0);
        let written: Option<String> = row.get(1);
        if shapes.last().is_none_or(|last| last.name != name) {
            shapes.push(Shape {
                name,
                written: written.filter(|text| text.starts_with("CREATE TABLE ")),
                columns: Vec::new(),
                indexes: Vec::new(),
                counter: None,
            });
        }
        if let Some(last) = shapes.last_mut() {
            last.columns.push((row.get(2), Class::of(row.get(3))));
            last.counter = last.counter.or(row.get(4));
        }
    }
    // Those that a key has come with it.
    let sql = "SELECT c.relname, replace(replace(pg_get_indexdef(i.indexrelid), ' USING btree', ''), \
               ' ON ' || quote_ident(n.nspname) || '.', ' ON ') FROM pg_index AS i \
               JOIN pg_class AS c ON c.oid = i.indrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace \
               WHERE n.nspname = ANY (current_schemas(false)) AND pg_table_is_visible(c.oid) \
               AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = i.indexrelid)";
    let rows = postgres.ask(doing, async |session| session.client.query(sql, &[]).await)?;
    for row in rows {
        let name: String = row.get(0);
        if let Some(shape) = shapes.iter_mut().find(|shape| shape.name == name) {
            shape.indexes.push(row.get(1));
        }
    }
    Ok(shapes)
}

/// All tables and columns that are seen.
pub(super) fn read_schema(postgres: &Postgres, doing: Doing<'_>) -> Result<Schema> {
    let sql = "SELECT lower(c.relname), lower(a.attname) FROM pg_class AS c \
               JOIN pg_namespace AS n ON n.oid = c.relnamespace \
               JOIN pg_attribute AS a ON a.attrelid = c.oid \
               WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY (current_schemas(false)) \
               AND pg_table_is_visible(c.oid) AND a.attnum > 0 AND NOT a.attisdropped";
    let rows = postgres.ask(doing, async |session| session.client.query(sql, &[]).await)?;
    let mut schema = Schema::default();
    for row in rows {
        schema.add_column(row.get(0), row.get(1));
    }
    Ok(schema)
}
