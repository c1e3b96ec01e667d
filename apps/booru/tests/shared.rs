//! Boards that servers share, in a real PostgreSQL: the same answers and edits as in SQLite, nothing lost between two
//! that write at once, and what is said when the server goes away.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod cluster;
mod collection;
mod model;
mod oracle;

use std::path::{Path, PathBuf};
use std::process::Command;

use cluster::{Cluster, name_of};
use collection::{Era, Folder, Random, SMALL, Size, make, open, options, tag_name};
use model::Model;
use oracle::{Maker, check};
use plimsoll_booru::board::Board;
use plimsoll_booru::browse::Browse;
use plimsoll_booru::edit::{OldName, Rating};
use plimsoll_booru::query::Category;
use plimsoll_booru::relations::RelationKind;
use plimsoll_booru::rules::{Rules, Side};
use plimsoll_booru::search::Page;
use plimsoll_booru::store::{self, Access, Store, is_busy};
use rusqlite::Connection;

const ALL: Page = Page {
    number: 1,
    images: 500,
};

fn total(board: &Board, query: &str) -> usize {
    board.search(&query.parse().unwrap(), ALL, 0).unwrap().total
}

fn copy(from: &Path, to: &Path) -> Vec<store::CopiedTable> {
    store::copy(from, to, options(Access::ReadOnly), |_| Ok(())).unwrap()
}

/// A board in SQLite and the same in PostgreSQL.
fn make_both(cluster: &Cluster, folder: &Folder, era: Era, seed: u64) -> (PathBuf, String) {
    let path = make(folder, era, SMALL, seed);
    let address = cluster.database();
    copy(&path, Path::new(&address));
    (path, address)
}

fn rows_of(tables: &[store::CopiedTable], name: &str) -> u64 {
    let mut tables = tables.iter();
    tables.find(|table| table.name == name).unwrap().rows
}

#[test]
fn a_copied_board_answers_as_plain_sql_over_the_original() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    for (era, seed) in [(Era::Now, 31), (Era::Reordered, 32)] {
        let folder = Folder::new("shared-oracle");
        let (path, address) = make_both(cluster, &folder, era, seed);
        let board = open(Path::new(&address));
        let connection = Connection::open(&path).unwrap();
        let names = (0..SMALL.tags).map(tag_name).collect();
        let mut maker = Maker::new(&connection, names, seed);
        let mut random = Random(seed);
        let checked = (0..500).filter(|_| {
            let asked = maker.query();
            check(&board, &connection, &asked, &mut random)
        });
        let checked = checked.count();
        assert!(checked > 480, "{checked}");
        let file = open(&path);
        for typed in ["ha", "lon", "o_", "re:", "zzz", "x'"] {
            assert_eq!(board.suggest(typed), file.suggest(typed), "{typed}");
        }
        let sql = "SELECT id, md5, filepath FROM images LIMIT 1 OFFSET 20";
        let (id, md5, path): (u32, String, String) = connection
            .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .unwrap();
        assert_eq!(total(&board, &format!("md5:{md5} id:{id}")), 1);
        assert_eq!(board.path_of(id).unwrap(), path);
    }
}

/// Random edits of the board in PostgreSQL: copied back, it is what a plain model says, in all tables and
/// text columns, and the catalog answers as one that is read anew.
#[test]
fn a_shared_board_follows_any_edits() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let folder = Folder::new("shared-edits");
    let (path, address) = make_both(cluster, &folder, Era::Now, 33);
    let mut model = Model::read(&Connection::open(&path).unwrap(), Era::Now);
    let mut random = Random(33);
    let mut board = open(Path::new(&address));
    let mut done = Vec::new();
    for round in 0..4 {
        for _ in 0..20 {
            done.push(model.step(&mut board, Era::Now, &mut random));
        }
        let back = folder.path(&format!("back-{round}.db"));
        copy(Path::new(&address), &back);
        let connection = Connection::open(&back).unwrap();
        model.check(&connection, Era::Now, &done[done.len() - 20..].join("; "));
        let names = model.tags.keys().chain(model.aliases.keys()).cloned();
        let names = names.filter(|name| !name.starts_with("rating:")).collect();
        let mut maker = Maker::new(&connection, names, random.next());
        let fresh = open(Path::new(&address));
        for _ in 0..60 {
            let asked = maker.query();
            check(&board, &connection, &asked, &mut random);
            check(&fresh, &connection, &asked, &mut random);
        }
    }
    assert!(!board.refresh().unwrap(), "nobody else has written");
}

#[test]
fn what_another_program_writes_is_seen_before_the_next_edit() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let folder = Folder::new("shared-beside");
    let (_, address) = make_both(cluster, &folder, Era::Now, 34);
    let mut board = open(Path::new(&address));
    let reader = board.reader().unwrap();
    let before = total(&board, "solo");
    // One that knows nothing of the count of changes.
    let database = name_of(&address);
    cluster.sql(
        database,
        "INSERT INTO image_tags (image_id, tag_id, source) SELECT images.id, tags.id, 'user' \
         FROM images, tags WHERE tags.name = 'solo' ON CONFLICT DO NOTHING",
    );
    cluster.sql(
        database,
        "UPDATE tags SET name = 'other' WHERE name = 'hair'",
    );
    assert_eq!(total(&board, "solo"), before, "not before it is asked for");
    board
        .merge_tags(&["solo".to_owned()], "other", OldName::IsForgotten)
        .unwrap();
    assert_eq!(total(&board, "other"), SMALL.images);
    assert_eq!(total(&reader, "other"), SMALL.images);
    assert!(!board.refresh().unwrap());
    cluster.sql(database, "TRUNCATE image_tags");
    assert!(board.refresh().unwrap());
    assert_eq!(total(&board, "tagcount:0"), SMALL.images);
    // What changes nothing is no change to others.
    let mut other = open(Path::new(&address));
    other.delete_tags(&["nobody".to_owned()]).unwrap();
    assert!(!board.refresh().unwrap());
}

/// Each edit of two servers at once is there in the end, on both.
#[test]
fn two_that_write_at_once_lose_nothing() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    const EDITS: u32 = 40;
    let address = cluster.database();
    Store::create(Path::new(&address)).unwrap();
    let sql =
        "INSERT INTO images (filepath, md5) SELECT 'a/' || n, n FROM generate_series(1, 50) AS n";
    cluster.sql(name_of(&address), sql);
    let write = |own: u32| {
        let mut options = options(Access::InPlace);
        options.patience = std::time::Duration::from_secs(60);
        let mut board = Board::open(Path::new(&address), options).unwrap();
        for edit in 0..EDITS {
            // A tag of their own, and one of both, which each adds to and takes from.
            let tags = [format!("of_{own}_{edit}"), "of_both".to_owned()];
            let image = 1 + (own + 2 * edit) % 50;
            board.add_tags(&[image], &tags).unwrap();
        }
        board
    };
    let boards = std::thread::scope(|scope| {
        let threads = [0, 1].map(|own| scope.spawn(move || write(own)));
        threads.map(|thread| thread.join().unwrap())
    });
    for mut board in boards {
        board.refresh().unwrap();
        assert_eq!(total(&board, "of_0_* of_both"), 25);
        assert_eq!(board.catalog().tags().len(), 2 * EDITS as usize + 1);
        for (own, edit) in [(0, 0), (0, EDITS - 1), (1, 7), (1, EDITS - 1)] {
            let image = 1 + (own + 2 * edit) % 50;
            assert_eq!(total(&board, &format!("of_{own}_{edit} id:{image}")), 1);
        }
    }
    let deltas = cluster.sql(name_of(&address), "SELECT count(*) FROM tag_deltas");
    assert_eq!(deltas, [(2 * EDITS + 50).to_string()]);
}

#[test]
fn a_change_by_others_that_goes_on_is_waited_for_and_then_told() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let address = cluster.database();
    Store::create(Path::new(&address)).unwrap();
    let mut board = open(Path::new(&address));
    let other = Store::open(Path::new(&address), options(Access::InPlace)).unwrap();
    other
        .write(|| {
            let error = board.create_tag("new", Category::General).unwrap_err();
            assert!(is_busy(&error), "{error:#}");
            let said = format!("{error:#}");
            assert!(
                said.contains("begin to change") && said.contains("another program holds it"),
                "{said}"
            );
            // Reading goes on.
            assert_eq!(total(&open(Path::new(&address)), ""), 0);
            Ok(())
        })
        .unwrap();
    board.create_tag("new", Category::General).unwrap();
    let mut reader = board.reader().unwrap();
    let error = reader.create_tag("x", Category::General).unwrap_err();
    assert!(error.to_string().contains("read-only"), "{error:#}");
}

#[test]
fn a_connection_that_is_cut_is_said_and_made_anew() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let folder = Folder::new("shared-cut");
    let (_, address) = make_both(cluster, &folder, Era::Now, 35);
    let mut board = open(Path::new(&address));
    let cut = || {
        let sql = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        assert_eq!(cluster.sql(name_of(&address), sql), ["t"]);
    };
    cut();
    let error = board.path_of(3).unwrap_err();
    assert!(
        format!("{error:#}").contains("the next try connects anew"),
        "{error:#}"
    );
    board.path_of(3).unwrap();
    cut();
    let error = board.create_tag("new", Category::General).unwrap_err();
    assert!(
        format!("{error:#}").contains("the connection is lost"),
        "{error:#}"
    );
    board.create_tag("new", Category::General).unwrap();

    // In the middle of a change: nothing of it is there.
    let store = Store::open(Path::new(&address), options(Access::InPlace)).unwrap();
    drop(board);
    let delete = "DELETE FROM image_tags";
    let error = store.write(|| {
        assert!(store.execute("delete", delete, &[])? > 100);
        cut();
        let error = store.execute("delete", delete, &[]).unwrap_err();
        assert!(
            format!("{error:#}").contains("nothing of the change is kept"),
            "{error:#}"
        );
        let error = store.execute("delete", delete, &[]).unwrap_err();
        assert!(
            format!("{error:#}").contains("in the middle of a change"),
            "{error:#}"
        );
        Err::<(), _>(error)
    });
    assert!(error.is_err());
    let sql = "SELECT count(*) FROM image_tags";
    let rows = store
        .query_row("count", sql, &[], |row| row.integer(0))
        .unwrap();
    assert!(rows.flatten().unwrap() > 100);
    // Also where it is noticed only at the end.
    let error = store.write(|| {
        store.execute("delete", delete, &[])?;
        cut();
        Ok(())
    });
    let said = format!("{:#}", error.unwrap_err());
    assert!(
        said.contains("whether the change was put in place is not known"),
        "{said}"
    );
    assert!(total(&open(Path::new(&address)), "tagcount:>0") > 100);
}

#[test]
fn a_server_that_crashes_in_the_middle_of_a_change_leaves_it_undone() {
    let Some(cluster) = Cluster::start_again("crash") else {
        return;
    };
    let folder = Folder::new("shared-crash");
    let (_, address) = make_both(&cluster, &folder, Era::Now, 36);
    let mut board = open(Path::new(&address));
    let before = total(&board, "tagcount:>0");
    let undone = board.store().write(|| {
        board
            .store()
            .execute("delete", "DELETE FROM image_tags", &[])?;
        cluster.crash();
        Ok(())
    });
    assert!(undone.is_err());
    let error = board.refresh().unwrap_err();
    let said = format!("{error:#}");
    assert!(
        said.contains("ask for changes of postgres://") && !said.contains('\n'),
        "{said}"
    );
    cluster.run();
    // Nobody knows what was last: it is read anew.
    assert!(board.refresh().unwrap());
    assert_eq!(total(&board, "tagcount:>0"), before);
    board.create_tag("new", Category::General).unwrap();
}

#[test]
fn a_copy_there_and_back_is_equal_and_goes_on() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    for (era, seed) in [(Era::Now, 37), (Era::Reordered, 38), (Era::Old, 39)] {
        let folder = Folder::new("shared-copy");
        let path = make(&folder, era, SMALL, seed);
        let connection = Connection::open(&path).unwrap();
        // Names with all signs that mean something in SQL, a table and a column of others, an id given out
        // and taken back, a moment that is no date.
        connection
            .execute_batch(
                "CREATE TABLE \"theirs\" (id INTEGER PRIMARY KEY, what BLOB, part REAL DEFAULT 0.5, t TIMESTAMP);
                 CREATE INDEX theirs_part ON theirs(part);
                 INSERT INTO theirs VALUES (7, x'00ff', 1e-300, '2024'), (9, NULL, -0.0, 'it''s ?1 $1 \\ \"x\" %s');
                 ALTER TABLE images ADD COLUMN comment TEXT;
                 UPDATE images SET comment = 'a' || char(9) || char(10) || char(128570) WHERE id = 3;
                 INSERT INTO tags (id, name) VALUES (900000, 'gone'), (200001, ''), (200002, '\\N'), (200003, '\";--'),
                     (200004, 'it''s ?1 $1');
                 DELETE FROM tags WHERE id = 900000;",
            )
            .unwrap();
        drop(connection);
        let (address, back) = (cluster.database(), folder.path("back/data/booru.db"));
        let there = copy(&path, Path::new(&address));
        let here = copy(Path::new(&address), &back);
        assert!(rows_of(&there, "image_tags") > 1000 && rows_of(&there, "theirs") == 2);
        // Of an older database the new one has all tables and columns: sums are of what was there.
        let again = folder.path("again.db");
        let third = copy(&back, &again);
        assert_eq!(here, third);
        if era == Era::Now {
            assert_eq!(there, here);
        }
        // The next id is above all that were ever given out.
        for place in [Path::new(&address), &back] {
            let mut board = open(place);
            board.add_tags(&[3], &["next".to_owned()]).unwrap();
            let catalog = board.catalog();
            let ids: Vec<u32> = catalog
                .tags()
                .terms()
                .map(|(term, _)| catalog.tags().id(term))
                .collect();
            assert_eq!(ids.last(), Some(&900_001), "{}", place.display());
            assert!(catalog.tags().term("it's ?1 $1").is_some());
        }
        assert_eq!(
            cluster.sql(
                name_of(&address),
                "SELECT count(*) FROM pg_indexes WHERE indexname = 'theirs_part'"
            ),
            ["1"]
        );
    }
}

#[test]
fn a_copy_is_whole_or_not_there() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let folder = Folder::new("shared-whole");
    let path = make(&folder, Era::Now, SMALL, 40);
    let address = cluster.database();
    let fails = |from: &Path, to: &Path, parts: &[&str]| {
        let error = store::copy(from, to, options(Access::ReadOnly), |_| Ok(())).unwrap_err();
        let said = format!("{error:#}");
        for part in parts {
            assert!(
                said.contains(part) && !said.contains('\n'),
                "{part:?} is not in {said:?}"
            );
        }
    };
    let tables = || {
        cluster.sql(
            name_of(&address),
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'",
        )
    };
    let connection = Connection::open(&path).unwrap();
    let spoil = |sql: &str, parts: &[&str], cure: &str| {
        connection.execute_batch(sql).unwrap();
        fails(&path, Path::new(&address), parts);
        assert_eq!(tables(), ["0"], "{sql}");
        connection.execute_batch(cure).unwrap();
    };
    spoil(
        "UPDATE images SET score = 'many' WHERE id = 3",
        &[
            "copy the table images",
            "id is Integer(3)",
            "score is Text(\"many\")",
            "bigint",
        ],
        "UPDATE images SET score = 1 WHERE id = 3",
    );
    spoil(
        "INSERT INTO tags (id, name) VALUES (5, 'a' || char(0) || 'b')",
        &["copy the table tags", "name is Text(\"a\\0b\")"],
        "DELETE FROM tags WHERE id = 5",
    );
    spoil(
        "INSERT INTO tags (id, name) VALUES (5, CAST(x'ff' AS TEXT))",
        &["copy the table tags", "name is Bytes"],
        "DELETE FROM tags WHERE id = 5",
    );
    // Rows that lead nowhere are no obstacle, and are told.
    connection
        .execute_batch(
            "PRAGMA foreign_keys = OFF; INSERT INTO image_tags (image_id, tag_id) VALUES (4, 10)",
        )
        .unwrap();
    let copied = copy(&path, Path::new(&address));
    let nowhere: Vec<&str> = copied
        .iter()
        .filter(|table| table.leads_nowhere)
        .map(|table| table.name.as_str())
        .collect();
    assert_eq!(nowhere, ["image_tags"]);
    fails(&path, Path::new(&address), &["it is not empty"]);
    fails(Path::new(&address), &path, &["it is there already"]);
    cluster.sql(name_of(&address), "CREATE TABLE foreign_one (a int)");
    fails(
        Path::new(&address),
        &folder.path("x.db"),
        &["foreign_one", "was not made by booru"],
    );
    assert!(!folder.path("x.db").exists() && !folder.path("x.db.copying").exists());
    // New rows have to lead somewhere all the same.
    let store = Store::open(Path::new(&address), options(Access::InPlace)).unwrap();
    let sql = "INSERT INTO image_tags (image_id, tag_id) VALUES (4, 11)";
    assert!(store.execute("add", sql, &[]).is_err());
}

#[test]
fn statements_within_others_see_what_was_changed_before() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let address = cluster.database();
    Store::create(Path::new(&address)).unwrap();
    let store = Store::open(Path::new(&address), options(Access::InPlace)).unwrap();
    let values = ["it's", "\"q\"", "?1", "$1", "\\", "ä😺"];
    store
        .write(|| {
            for name in values {
                let sql = "INSERT INTO tags (name) VALUES (?1) RETURNING id";
                let id = store.query_row("add", sql, &[name.into()], |row| row.id(0))?;
                assert!(id.flatten().is_some());
            }
            Ok(())
        })
        .unwrap();
    let mut names = Vec::new();
    // More rows than are taken in at once, with questions in between.
    let sql = "SELECT a.name, a.id FROM tags AS a, generate_series(1, 700) ORDER BY a.id";
    let mut rows = 0;
    store
        .each_row("read", sql, &[], |row| {
            rows += 1;
            if rows % 500 == 1 {
                let sql = "SELECT name FROM tags WHERE id = ?1";
                let id = row.id(1)?.unwrap();
                let name = store.query_row("read", sql, &[id.into()], |row| row.text(0))?;
                assert_eq!(name.flatten(), row.text(0)?);
                names.extend(row.text(0)?);
            }
            Ok(())
        })
        .unwrap();
    names.dedup();
    assert_eq!((rows, names), (4200, values.map(str::to_owned).to_vec()));
    let error = store.execute(
        "add",
        "INSERT INTO tags (name) VALUES (?1)",
        &["a\0b".into()],
    );
    let said = format!("{:#}", error.unwrap_err());
    assert!(said.contains("can't hold the character NUL"), "{said}");
    // A failed statement takes its transaction with it, and that is said.
    let error = store.write(|| {
        let _ = store.execute("add", "INSERT INTO tags (name) VALUES (?1)", &["?1".into()]);
        Ok(())
    });
    assert!(format!("{:#}", error.unwrap_err()).contains("has failed before"));
    assert_eq!(
        store
            .query_row("sum", "SELECT sum(id), avg(id) FROM tags", &[], |row| {
                Ok((row.integer(0)?, row.real(1)?))
            })
            .unwrap(),
        Some((Some(21), Some(3.5)))
    );
}

fn booru(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_booru"));
    command
        .args(arguments)
        .env_remove("PGPASSWORD")
        .env_remove("PGPASSFILE")
        .env("HOME", "/nonexistent");
    command
}

/// By the network, with a password: from the address, the environment or a file, and never shown.
#[test]
fn passwords_are_taken_and_never_shown() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let board = cluster.database();
    let database = name_of(&board);
    Store::create(Path::new(&board)).unwrap();
    cluster.sql(
        database,
        "CREATE USER guest PASSWORD 'right+secret'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO guest",
    );
    let port = cluster.port();
    let address =
        |password: &str| format!("postgres://guest{password}@127.0.0.1:{port}/{database}");
    let said = |output: std::process::Output| {
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(!said.contains("secret"), "{said}");
        (output.status.code(), said)
    };
    let stats = |address: &str| booru(&["stats", address]);
    let right = stats(&address(":right%2Bsecret")).output().unwrap();
    assert_eq!(said(right).0, Some(0));
    let right = stats(&address(""))
        .env("PGPASSWORD", "right+secret")
        .output();
    assert_eq!(said(right.unwrap()).0, Some(0));
    let folder = Folder::new("shared-password");
    let file = folder.path("passwords");
    std::fs::write(
        &file,
        format!("# mine\n127.0.0.1:{port}:*:guest:right+secret\n"),
    )
    .unwrap();
    let with_file = |mode| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        said(
            stats(&address(""))
                .env("PGPASSFILE", &file)
                .output()
                .unwrap(),
        )
    };
    assert_eq!(with_file(0o600).0, Some(0));
    let (code, text) = with_file(0o644);
    assert!(
        code == Some(2) && text.contains("others may read it"),
        "{text}"
    );
    for wrong in [":wrong-secret", ""] {
        let (code, text) = said(stats(&address(wrong)).output().unwrap());
        assert_eq!((code, text.lines().count()), (Some(2), 1), "{text}");
        assert!(
            text.contains(&format!(
                "open postgres://guest@127.0.0.1:{port}/{database}"
            )),
            "{text}"
        );
    }
    // Nor by those who look at the processes: this one waits for a server that does not answer.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let mut waiting = booru(&["stats", &format!("postgres://me:secret@127.0.0.1:{port}/x")])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let held = silent.accept().unwrap();
    let line = std::fs::read(format!("/proc/{}/cmdline", waiting.id()));
    let line = String::from_utf8(line.unwrap()).unwrap();
    drop(held);
    waiting.wait().unwrap();
    assert!(line.contains("postgres://me:xxxxxx@127.0.0.1"), "{line}");
    // Who may only read is told so.
    let (code, text) = said(
        booru(&["tag", &address(":right%2Bsecret"), "create", "x"])
            .output()
            .unwrap(),
    );
    assert!(
        code == Some(2) && text.contains("the owner of the database can let it"),
        "{text}"
    );
}

#[test]
fn commands_take_an_address_where_they_take_a_folder() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let address = cluster.database();
    let run = |arguments: &[&str]| {
        let output = booru(arguments).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code(), said)
    };
    let (code, said) = run(&["stats", &address]);
    assert!(code == Some(2) && said.contains("booru create"), "{said}");
    assert_eq!(
        run(&["create", &address]),
        (Some(0), format!("made {address}\n"))
    );
    let (code, said) = run(&["create", &address]);
    assert!(
        code == Some(2) && said.contains("it is not empty"),
        "{said}"
    );
    let sql =
        "INSERT INTO images (filepath, md5, score) VALUES ('a/a.png', 'x', 3), ('b/b.jpg', 'y', 5)";
    cluster.sql(name_of(&address), sql);
    let (_, said) = run(&["tag", &address, "add", "Long_Hair", "score:>=3"]);
    assert_eq!(said, "1 tags changed, 2 put on images, 0 taken off\n");
    let (_, said) = run(&["search", &address, "long_hair order:score"]);
    assert_eq!(
        said,
        "         2  b/b.jpg\n         1  a/a.png\n2 images, page 1 of 1\n"
    );
    let (code, said) = run(&["doctor", &address, "--deep"]);
    assert!(
        code == Some(0) && said.contains("not known, this database can't be asked"),
        "{said}"
    );
    let folder = Folder::new("shared-command");
    let (code, said) = run(&["copy", &address, folder.path("board").to_str().unwrap()]);
    assert!(
        code == Some(0) && said.contains("all are equal there"),
        "{said}"
    );
    let (_, found) = run(&[
        "search",
        folder.path("board").to_str().unwrap(),
        "long_hair",
    ]);
    assert!(found.ends_with("2 images, page 1 of 1\n"), "{found}");
    let missing = cluster.address("nowhere");
    let (code, said) = run(&["stats", &missing]);
    assert!(
        code == Some(2) && said.contains("createdb --encoding UTF8 nowhere"),
        "{said}"
    );
    let (code, said) = run(&["stats", "postgres://me@127.0.0.1:1/x"]);
    assert!(
        code == Some(2) && said.contains("postgres://me@127.0.0.1:1/x"),
        "{said}"
    );
}

/// The answer to the one large question of a load streams: the process does not grow by it.
#[test]
fn loading_from_a_server_holds_no_more_than_loading_a_file() {
    const SEED: Size = Size {
        images: 13_028,
        tags: 21_000,
        each: 48,
    };
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let folder = Folder::new("shared-memory");
    let path = make(&folder, Era::Reordered, SEED, 1);
    let address = cluster.database();
    copy(&path, Path::new(&address));
    let peak = |board: &str| {
        let start = std::time::Instant::now();
        let output = booru(&["memory", board, "--json"]).output().unwrap();
        let memory: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        println!(
            "{board}: {:?}, peak {} bytes",
            start.elapsed(),
            memory["rss_peak_bytes"]
        );
        assert!(memory["tags_bytes"].as_u64().unwrap() > 1 << 20);
        memory["rss_peak_bytes"].as_u64().unwrap()
    };
    let (file, server) = (peak(path.to_str().unwrap()), peak(&address));
    assert!(
        server < file + (8 << 20),
        "{server} bytes, {file} of a file"
    );
}

/// What is built on tags: the same calls on a board in SQLite and on its copy say the same.
#[test]
fn pools_rules_and_jobs_are_as_in_a_file() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    let folder = Folder::new("shared-features");
    let (path, address) = make_both(cluster, &folder, Era::Now, 41);
    let said = [&path, Path::new(&address)].map(|place| use_all(&mut open(place)));
    let [file, server] = said;
    assert!(file.len() > 25);
    for (file, server) in file.iter().zip(&server) {
        assert_eq!(file, server);
    }
    let copied = folder.path("copied.db");
    copy(Path::new(&address), &copied);
    let connection = Connection::open(&copied).unwrap();
    Model::read(&connection, Era::Now).check(&connection, Era::Now, "all of it");
}

fn use_all(board: &mut Board) -> Vec<String> {
    let mut said = Vec::new();
    let mut say = |what: &dyn std::fmt::Debug| said.push(format!("{what:?}"));
    let pool = board.create_pool("it's", "a \"pool\"").unwrap();
    say(&pool);
    say(&board.add_to_pool(pool, &[3, 5, 7, 9]).unwrap());
    board.reorder_pool(pool, &[9, 3]).unwrap();
    say(&board.remove_from_pool(pool, &[5]).unwrap());
    board.describe_pool(pool, "other").unwrap();
    say(&board.find_pool("it's").unwrap());
    say(&board.images_of_pool(pool, 0, 10).unwrap());
    say(&board.pools(0, 10).unwrap());
    say(&board.pools_of(3).unwrap());
    board.delete_pool(1).unwrap();
    say(&board.add_favourites(&[3, 5, 7]).unwrap());
    say(&board.toggle_favourite(5).unwrap());
    say(&board.count_favourites());
    say(&board.rate_images(&[3, 5], Rating::Explicit).unwrap());
    say(&board
        .create_relation(RelationKind::ParentChild, 3, 5)
        .unwrap());
    say(&board.create_relation(RelationKind::Sibling, 9, 7).unwrap());
    board.delete_relation(RelationKind::Sibling, 7, 9).unwrap();
    say(&board.relations(3).unwrap());
    say(&board.family(5).unwrap());
    board.create_rule("solo", "hair").unwrap();
    say(&board.preview_rule("hair", "Hat").unwrap());
    board.reject_rule("hat", "hair").unwrap();
    let asked = [
        Rules {
            limit: 10,
            ..Rules::default()
        },
        Rules {
            limit: 10,
            status: Some("rejected"),
            ..Rules::default()
        },
        Rules {
            limit: 10,
            tag: Some((Side::Either, "hair")),
            ..Rules::default()
        },
    ];
    for asked in &asked {
        // When a rule was made differs.
        let page = board.rules(asked).unwrap();
        let rules = page
            .rules
            .iter()
            .map(|rule| (&rule.tag, &rule.implied, &rule.status));
        say(&(page.total, rules.collect::<Vec<_>>()));
    }
    say(&board.suggest_rules(0, 20).unwrap());
    say(&board.apply_rules().unwrap());
    say(&board.reapply_rules().unwrap());
    let mut detail = board.tag_detail("solo").unwrap();
    for rule in detail.implies.iter_mut().chain(&mut detail.implied_by) {
        rule.created_at = None;
    }
    say(&detail);
    say(&board.overview().unwrap());
    say(&board.common_tags(&[3, 5, 7, 9], 20).unwrap());
    say(&board
        .browse_tags(&Browse {
            limit: 20,
            ..Browse::default()
        })
        .unwrap());
    board.add_tags(&[3], &["by_hand".to_owned()]).unwrap();
    let edits = board.hand_edits(3).unwrap();
    say(&edits.len());
    say(&board.tags_of_image(3).unwrap());
    say(&board.image(5).unwrap().filepath);
    say(&board.find_image("nothing").unwrap());
    said
}

/// By pgvector where it is installed, and by bytes: both are what comparing all of them in `f64` gives.
#[test]
fn vectors_of_a_shared_board_are_searched_exactly() {
    let Some(cluster) = Cluster::shared() else {
        return;
    };
    const DIMENSIONS: usize = 48;
    const IMAGES: u32 = 600;
    let has_pgvector = "SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'";
    let has_pgvector = cluster.sql("postgres", has_pgvector) == ["1"];
    if !has_pgvector {
        println!("SKIPPED, in part: no pgvector; apps/booru/tests/cluster/pgvector.sh installs it");
    }
    let ways = [true, false].into_iter().filter(|way| !way || has_pgvector);
    for by_pgvector in ways {
        let address = cluster.database();
        Store::create(Path::new(&address)).unwrap();
        let sql = format!(
            "INSERT INTO images (filepath, md5) SELECT n, n FROM generate_series(1, {IMAGES}) AS n"
        );
        cluster.sql(name_of(&address), &sql);
        if !by_pgvector {
            let sql = "CREATE TABLE booru_embeddings (image_id bigint PRIMARY KEY, embedding bytea NOT NULL)";
            cluster.sql(name_of(&address), sql);
        }
        let store = Store::open(Path::new(&address), options(Access::InPlace)).unwrap();
        let vectors = store.vectors(DIMENSIONS).unwrap();
        assert_eq!(vectors.is_pgvector(), by_pgvector);
        let mut random = Random(42);
        let mut vector = || -> Vec<f32> {
            let numbers = (0..DIMENSIONS).map(|_| (random.next() % 2001) as f32 / 1000.0 - 1.0);
            numbers.collect()
        };
        let mut known: Vec<Vec<f32>> = (0..IMAGES).map(|_| vector()).collect();
        // As good as each other: more than are compared again at first, and some that differ in the last bit.
        for place in 0..120 {
            known[place * 5] = known[7].clone();
        }
        for place in [11, 13, 17] {
            known[place] = known[7].clone();
            known[place][0] = f32::from_bits(known[7][0].to_bits() + place as u32);
        }
        store
            .write(|| {
                let mut images = (1..).zip(&known);
                images.try_for_each(|(image, vector)| vectors.put(image, vector))
            })
            .unwrap();
        vectors.put(1, &known[1]).unwrap();
        vectors.put(1, &known[0]).unwrap();
        for query in [
            known[7].clone(),
            known[8].clone(),
            vector(),
            vec![0.0; DIMENSIONS],
        ] {
            let product = |one: &Vec<f32>| -> f64 {
                one.iter()
                    .zip(&query)
                    .map(|(a, b)| f64::from(*a) * f64::from(*b))
                    .sum()
            };
            let mut all: Vec<(u32, f64)> = (1..).zip(known.iter().map(product)).collect();
            all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            for k in [0, 1, 20, 200, 1000] {
                let wanted = &all[..k.min(all.len())];
                assert_eq!(
                    vectors.nearest(&query, k).unwrap(),
                    wanted,
                    "{by_pgvector}, {k}"
                );
            }
        }
        let error = vectors.nearest(&[1.0], 1).unwrap_err();
        assert!(error.to_string().contains("have 48"), "{error:#}");
        assert!(
            vectors.put(9999, &known[0]).is_err() || !by_pgvector,
            "no such image"
        );
        assert!(vectors.put(2, &[f32::NAN; DIMENSIONS]).is_err());
        if by_pgvector {
            let error = store.vectors(DIMENSIONS + 1).unwrap_err();
            assert!(error.to_string().contains("vector(48)"), "{error:#}");
        }
    }
    let folder = Folder::new("shared-vectors");
    let file = make(&folder, Era::Now, SMALL, 43);
    let store = Store::open(&file, options(Access::InPlace)).unwrap();
    let error = store.vectors(DIMENSIONS).unwrap_err();
    assert!(error.to_string().contains("similarity.db"), "{error:#}");
}
