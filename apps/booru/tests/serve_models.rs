//! `booru serve` with models: the real server, the real worker, kills of both, and what the pages show of it.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;
mod gallery;
mod server;
mod workers;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use gallery::picture;
use serde_json::{Value, json};
use server::{JSON, PASSWORD, Response, Server, set_password};
use workers::{Place, wait_for};

fn start(place: &Place, arguments: &[&str]) -> Server {
    let mut command = place.command(&["serve", "--port", "0"]);
    command.arg(place.board()).args(arguments);
    Server::spawn(command.env_remove("APP_PASSWORD"))
}

/// What is told of one kind of work.
fn told(server: &Server, kind: &str) -> Value {
    let status = server.json("/api/jobs");
    let kinds = status["kinds"].as_array().unwrap();
    let found = kinds.iter().find(|one| one["kind"] == kind);
    found.unwrap().clone()
}

fn wait_until_done(server: &Server, kind: &str, jobs: u64) {
    wait_for("the end of the work", || {
        let told = told(server, kind);
        assert_eq!(told["failed"], 0, "{told}");
        (told["done"] == jobs && told["running"] == 0 && told["queued"] == 0).then_some(())
    });
}

/// What was done since the start is counted a moment after it stands in the database.
fn wait_until_counted(server: &Server, done: u64) {
    wait_for("the count", || {
        (told(server, "tag")["done_here"] == done).then_some(())
    });
}

fn post(server: &Server, path: &str, body: Value) -> Value {
    let response = server.post(path, "", &body);
    assert_eq!(response.status, 200, "{path} {body}: {}", response.text());
    response.json()
}

fn press(server: &Server, path: &str, form: &str) -> Response {
    let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
    server.send("POST", path, headers, form.as_bytes())
}

#[test]
fn a_new_image_is_tagged_by_the_server_and_again_when_asked_for() {
    let place = Place::new(1);
    let ingest = place.board().join("ingest");
    fs::create_dir(&ingest).unwrap();
    // One is there before the server, the other comes while it runs.
    fs::write(ingest.join("early.png"), picture(1, 120, 80)).unwrap();
    let server = start(&place, &[]);
    wait_until_done(&server, "tag", 1);
    fs::write(place.board().join("late.png"), picture(2, 80, 120)).unwrap();
    fs::rename(place.board().join("late.png"), ingest.join("late.png")).unwrap();
    wait_until_done(&server, "tag", 2);
    wait_until_done(&server, "embed", 2);
    let status = server.json("/api/task_status");
    assert_eq!(
        (&status["has_worker"], &status["error"]),
        (&json!(true), &Value::Null)
    );
    wait_until_counted(&server, 2);
    let predicted =
        "SELECT COUNT(DISTINCT image_id) FROM local_tagger_predictions WHERE image_id > 1";
    assert_eq!(place.count(predicted), 2);
    // The search knows what the model has said.
    assert_eq!(server.total("rating:general"), 2);
    let rated = "SELECT COUNT(*) FROM image_tags WHERE source = 'ai_inference' AND image_id > 1";
    assert!(place.count(rated) >= 2);
    let queued = |path, body| {
        let told = post(&server, path, body);
        (
            told["queued"].as_u64().unwrap(),
            told["already"].as_u64().unwrap(),
        )
    };
    assert_eq!(
        queued(
            "/api/retry_tagging",
            json!({"ids": [2], "filepaths": ["images/abc/0.png"]})
        ),
        (2, 0)
    );
    wait_until_done(&server, "tag", 3);
    wait_until_counted(&server, 4);
    assert_eq!(queued("/api/embed", json!({"query": "id:1"})), (1, 0));
    wait_until_done(&server, "embed", 3);
    assert_eq!(queued("/api/upscale", json!({"image_id": 1})), (1, 0));
    wait_until_done(&server, "upscale", 1);
    assert_eq!(server.total("has:upscaled"), 1);
    for path in ["/api/jobs/retry", "/api/jobs/cancel"] {
        assert_eq!(post(&server, path, json!({}))["jobs"], 0);
    }
}

#[test]
fn a_server_that_is_killed_while_a_job_runs_ends_it_once_after_its_restart() {
    let place = Place::new(2).with("UPSCALER_ENABLED", "false");
    let go = place.folder.path("go");
    let place = place.wrapped(&format!(
        "while [ ! -e {} ]; do sleep 0.02; done",
        go.display()
    ));
    let mut server = start(&place, &[]);
    assert_eq!(
        post(&server, "/api/retry_tagging", json!({"query": ""}))["queued"],
        2
    );
    // How far it is is told also while a worker is being started.
    wait_for("the request", || {
        (told(&server, "tag")["running"] == 2).then_some(())
    });
    assert_eq!(server.json("/api/jobs")["has_worker"], false);
    server.signal(libc::SIGKILL);
    server.wait();
    fs::write(&go, "").unwrap();
    // Without its model the work waits and is told; nothing else would have the server start it.
    for model in ["Tagger", "Similarity"] {
        let model = place.model(model).join("model.onnx");
        fs::rename(&model, model.with_extension("away")).unwrap();
    }
    let mut server = start(&place, &[]);
    let waits = wait_for("why it waits", || {
        told(&server, "tag")["waits_because"]
            .as_str()
            .map(str::to_owned)
    });
    assert!(waits.contains("model.onnx"), "{waits}");
    let counts = told(&server, "tag");
    assert_eq!(
        (&counts["queued"], &counts["running"]),
        (&json!(2), &json!(0))
    );
    server.signal(libc::SIGTERM);
    assert!(server.wait().success());
    let model = place.model("Tagger/model.onnx");
    fs::rename(model.with_extension("away"), &model).unwrap();
    let server = start(&place, &[]);
    wait_until_done(&server, "tag", 2);
    wait_until_counted(&server, 2);
    let columns =
        "SELECT group_concat(state || ' ' || tries || ' ' || cut_off, ', ') FROM booru_jobs";
    let jobs: String = place
        .connection()
        .query_row(columns, [], |row| row.get(0))
        .unwrap();
    assert_eq!(jobs, "done 1 1, done 1 1");
    let predicted = "SELECT COUNT(DISTINCT image_id) FROM local_tagger_predictions";
    assert_eq!(place.count(predicted), 2);
}

#[test]
fn what_is_no_request_for_models_is_refused() {
    let place = Place::new(1);
    let server = start(&place, &[]);
    for (path, body, status) in [
        ("/api/retry_tagging", json!({}), 400),
        ("/api/retry_tagging", json!({"ids": [99]}), 404),
        (
            "/api/retry_tagging",
            json!({"filepaths": ["images/none.png"]}),
            404,
        ),
        ("/api/retry_tagging", json!({"query": "(broken"}), 400),
        ("/api/retry_tagging", json!({"ids": ["x"]}), 400),
        ("/api/retry_tagging", json!([1]), 400),
        ("/api/embed", json!({"ids": [1, 99]}), 404),
        ("/api/embed", json!({"ids": [-1]}), 400),
        ("/api/upscale", json!({}), 400),
        ("/api/upscale", json!({"id": 99}), 404),
        ("/api/jobs/cancel", json!({"kind": "paint"}), 400),
        ("/api/jobs/retry", json!({"kind": 3}), 400),
    ] {
        let response = server.post(path, "", &body);
        let text = response.text();
        assert_eq!(response.status, status, "{path} {body}: {text}");
        assert_eq!(response.json()["success"], false);
    }
    for path in [
        "/api/retry_tagging",
        "/api/embed",
        "/api/upscale",
        "/api/jobs/cancel",
    ] {
        let without_token = server.send("POST", path, JSON, br#"{"ids": [1]}"#);
        assert_eq!(without_token.status, 403, "{path}");
        assert_eq!(server.get(path).status, 405, "{path}");
    }
    let token = server.token("");
    for (form, status) in [
        ("kind=tag".to_owned(), 403),
        (format!("csrf_token={token}&kind=paint"), 400),
        (format!("csrf_token={token}"), 400),
    ] {
        assert_eq!(
            press(&server, "/edit/1/models", &form).status,
            status,
            "{form}"
        );
    }
    let form = format!("csrf_token={token}&kind=tag");
    assert_eq!(press(&server, "/edit/99/models", &form).status, 404);
    assert_eq!(place.count("SELECT COUNT(*) FROM booru_jobs"), 0);
    // A board that has no models says so.
    fs::remove_dir_all(place.board().join("models")).unwrap();
    let place = place.with("UPSCALER_ENABLED", "false");
    place
        .connection()
        .execute("DROP TABLE booru_jobs", [])
        .unwrap();
    let server = start(&place, &[]);
    let response = server.get("/api/jobs");
    assert_eq!(response.status, 400);
    assert!(
        response.text().contains("no models work on this board"),
        "{}",
        response.text()
    );
    assert_eq!(
        server.post("/api/embed", "", &json!({"ids": [1]})).status,
        400
    );
    drop(server);
    let server = start(&place, &["--read-only"]);
    let response = server.get("/api/jobs");
    assert_eq!(response.status, 400);
    let text = response.text();
    assert!(text.contains("may only read"), "{text}");
}

#[test]
fn the_page_of_an_image_has_buttons_for_the_models_that_are_there() {
    let place = Place::new(2);
    let buttons = |server: &Server, cookie: &str| {
        let page = server.send("GET", "/view/1?query=solo", cookie, b"").text();
        let form = page.split("action=\"/edit/1/models?query=solo\"").nth(1);
        let form = form
            .and_then(|rest| rest.split("</form>").next())
            .unwrap_or("");
        let names = form.split("<button").skip(1).map(|button| {
            let name = button.split('>').nth(1).unwrap();
            name.split('<').next().unwrap().to_owned()
        });
        names.collect::<Vec<_>>()
    };
    let server = start(&place, &[]);
    assert_eq!(buttons(&server, ""), ["Tag", "Embed", "Upscale"]);
    let form = |kind| format!("csrf_token={}&kind={kind}", server.token(""));
    for kind in ["tag", "embed", "upscale"] {
        let response = press(&server, "/edit/1/models?query=solo", &form(kind));
        assert_eq!(response.status, 303, "{}", response.text());
        let to = response.header("location").unwrap();
        assert!(to == "/view/1?query=solo", "{to}");
        wait_until_done(&server, kind, 1);
    }
    assert_eq!(
        buttons(&server, ""),
        ["Tag again", "Embed again", "Upscale again"]
    );
    let image = "SELECT image_id FROM local_tagger_predictions LIMIT 1";
    assert_eq!(place.count(image), 1);
    drop(server);
    // What is set aside says why.
    fs::write(place.images().join("1.png"), "no picture").unwrap();
    let server = start(&place, &[]);
    post(&server, "/api/retry_tagging", json!({"ids": [2]}));
    wait_for("the job to be set aside", || {
        (told(&server, "tag")["failed"] == 1).then_some(())
    });
    let page = server.get("/view/2").text();
    assert!(
        page.contains("Tag: set aside") && page.contains("is no PNG"),
        "{page}"
    );
    drop(server);
    // None for what is switched off, and none for who may only look.
    let place = place
        .with("UPSCALER_ENABLED", "false")
        .with("ENABLE_LOCAL_TAGGER", "false");
    set_password(&place.board(), PASSWORD);
    let server = start(&place, &["--public-read"]);
    let cookie = server.log_in(PASSWORD);
    assert_eq!(buttons(&server, &cookie), ["Embed again"]);
    assert!(buttons(&server, "").is_empty());
    drop(server);
    fs::remove_dir_all(place.board().join("models")).unwrap();
    let server = start(&place, &[]);
    let cookie = server.log_in(PASSWORD);
    assert!(buttons(&server, &cookie).is_empty());
}

#[test]
fn predictions_from_the_display_threshold_on_are_shown_with_the_tags_and_are_none() {
    let place = Place::new(1);
    let connection = place.connection();
    let sql = "INSERT INTO local_tagger_predictions (image_id, tag_name, category, confidence, tagger_version) \
               VALUES (1, ?1, ?2, ?3, 'camie')";
    for (name, category, confidence) in [
        ("shown_hat", "general", 0.71),
        ("weak_hat", "general", 0.66),
        ("shown_girl", "character", 0.99),
        ("taken_hat", "general", 0.98),
        ("own_hat", "general", 0.97),
    ] {
        connection
            .execute(sql, (name, category, confidence))
            .unwrap();
    }
    let tagged =
        "INSERT INTO tags (name, category) VALUES ('own_hat', 'general'), ('taken_hat', 'general');
                  INSERT INTO image_tags (image_id, tag_id) SELECT 1, id FROM tags";
    connection.execute_batch(tagged).unwrap();
    let server = start(&place, &[]);
    let taken = json!({"ids": [1], "tags": ["taken_hat"]});
    post(&server, "/api/images/bulk_remove_tags", taken);
    let shown = |server: &Server| {
        let page = server.get("/view/1").text();
        let tags = page.split("<div class=\"tags\">").nth(1).unwrap();
        let (tags, rest) = tags.split_once("</div>").unwrap();
        let words = rest
            .split("<textarea")
            .nth(1)
            .unwrap()
            .split("</textarea>")
            .next()
            .unwrap();
        assert!(
            words.contains("own_hat") && !words.contains("shown"),
            "{words}"
        );
        let is_shown = |name: &&&str| tags.contains(&format!(">{name}</a>"));
        let names = [
            "shown_hat",
            "weak_hat",
            "shown_girl",
            "taken_hat",
            "own_hat",
        ];
        let found: Vec<&str> = names.iter().filter(is_shown).copied().collect();
        (
            found.join(" "),
            tags.matches("71 %").count(),
            tags.matches("97 %").count(),
        )
    };
    assert_eq!(shown(&server), ("shown_hat own_hat".to_owned(), 1, 0));
    drop(server);
    let place = place
        .with("LOCAL_TAGGER_DISPLAY_THRESHOLD", "0.65")
        .with("LOCAL_TAGGER_MERGE_CATEGORIES", "general,character");
    let server = start(&place, &[]);
    let all = "shown_hat weak_hat shown_girl own_hat".to_owned();
    assert_eq!(shown(&server), (all, 1, 0));
    drop(server);
    let place = place.with("LOCAL_TAGGER_MERGE_CATEGORIES", "[]");
    assert_eq!(shown(&start(&place, &[])), ("own_hat".to_owned(), 0, 0));
}

#[test]
fn however_many_ask_how_far_models_are_the_others_are_answered() {
    let place = Place::new(1);
    let server = start(&place, &[]);
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                while !ends.load(Ordering::Relaxed) {
                    server.json("/api/jobs");
                }
            });
        }
        for number in 0..40 {
            let name = json!({ "name": format!("tag_{number}") });
            let made = server.post("/api/tags/create", "", &name);
            assert_eq!(made.status, 200, "{}", made.text());
            server.total(&format!("tag_{number}"));
        }
        ends.store(true, Ordering::Relaxed);
    });
}
