//! Objects, conditions, counts, and each fault as a client sees it.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod client;

use client::{Client, told};
use plimsoll_s3_simulator::{Bucket, Contents, Server, Sink};

fn key_of(bucket: &Bucket, slot: u64) -> String {
    let mut key = Vec::new();
    bucket.key(slot, &mut key);
    String::from_utf8(key).unwrap()
}

fn etag_of(bucket: &Bucket, slot: u64) -> String {
    let etag = bucket.object(slot).etag;
    etag.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn objects_come_whole_and_by_their_hash() {
    let mut bucket = Bucket::new(1, 100);
    bucket.contents = Contents::Bodies(30_000, 50_000);
    let server = Server::start("bucket", bucket, 0).unwrap();
    let mut client = Client::new(server.port());
    let target = format!("/bucket/{}", key_of(&bucket, 4));
    let object = bucket.object(4);
    let answer = client.get(&target);
    let mut body = vec![0; object.size_bytes as usize];
    object.body(0, &mut body);
    assert!(answer.status == 200 && answer.body == body);
    let etag = etag_of(&bucket, 4);
    assert!(
        answer.head.contains(&format!("etag: \"{etag}\"\r\n")),
        "{}",
        answer.head
    );
    let head = client.ask("HEAD", &target, "", "");
    assert_eq!((head.status, head.head), (200, answer.head));

    let with = |client: &mut Client, etag: &str| {
        client
            .ask("GET", &target, &format!("If-Match: \"{etag}\"\r\n"), "")
            .status
    };
    assert_eq!(with(&mut client, &etag), 200);
    assert_eq!(with(&mut client, &etag.replace('0', "1")), 412);
    assert_eq!(client.get("/bucket/none").status, 404);
    assert_eq!(client.get("/other/none").status, 404);
    assert_eq!(client.get("/bucket-x?list-type=2").status, 404);
    let five = client.get("/bucket-5?list-type=2").body;
    assert_eq!(told(&String::from_utf8(five).unwrap(), false).keys.len(), 5);
    assert_eq!(
        client
            .get("/bucket?list-type=2&continuation-token=x")
            .status,
        400
    );
    assert_eq!(client.get("/bucket?list-type=2&max-keys=x").status, 400);
    assert_eq!(client.ask("PUT", "/bucket/a", "", "x").status, 405);

    // The next generation at the same address.
    assert_eq!(client.ask("POST", "/_generation", "", "1").status, 200);
    assert_eq!(server.bucket(), bucket.in_generation(1));
    assert_eq!(client.ask("POST", "/_generation", "", "9999").status, 400);
    assert_eq!(client.ask("POST", "/_generation", "", "x").status, 400);
    let counts = String::from_utf8(client.get("/_counts").body).unwrap();
    assert!(counts.contains("\"gets\":5,\"heads\":1"), "{counts}");
    client.ask("POST", "/_counts", "", "");
    assert_eq!(server.counts().gets, 0);
}

/// Each fault once, then the same request without.
#[test]
fn faults_are_as_ordered() {
    let bucket = Bucket::new(1, 3000);
    let server = Server::start("bucket", bucket, 0).unwrap();
    let mut client = Client::new(server.port());
    let page = "/bucket?list-type=2";
    let good = client.get(page).body;
    let text = |body: &[u8]| String::from_utf8(body.to_vec()).unwrap();
    let good_told = told(&text(&good), false);
    let mut order = |fault: &str, target: &str, head: &str| {
        let script = format!("[{{\"from\": 2, {fault}}}]");
        assert_eq!(
            client.ask("POST", "/_faults", "", &script).status,
            200,
            "{script}"
        );
        let before = client.ask("GET", target, head, "");
        let answer = client.ask("GET", target, head, "");
        let after = client.ask("GET", target, head, "");
        assert!(before.status == 200 && before.body == after.body, "{fault}");
        answer
    };
    let answer = order("\"status\": 503, \"on\": \"list\"", page, "");
    assert!(answer.status == 503 && text(&answer.body).contains("<Error>"));
    let answer = order("\"cut\": true", page, "");
    assert!(answer.is_whole && good.starts_with(&answer.body) && answer.body.len() < good.len());
    let answer = order("\"drop\": true", page, "");
    assert!(!answer.is_whole && good.starts_with(&answer.body));

    let page_of = |body: &[u8]| told(&text(body), false);
    let next = good_told.next.clone().unwrap();
    let second = format!("{page}&continuation-token={next}");
    let same = page_of(&order("\"same_token\": true", &second, "").body);
    assert_eq!(same.next.as_ref(), Some(&next));
    let late = format!("{page}&start-after={}", good_told.keys[100]);
    let start = page_of(&order("\"ignore_start_after\": true", &late, "").body);
    assert_eq!(start.keys, good_told.keys);
    let unordered = page_of(&order("\"unordered\": true", page, "").body);
    let mut sorted = unordered.keys.clone();
    sorted.sort();
    assert!(sorted == good_told.keys && sorted != unordered.keys);
    let twice = page_of(&order("\"duplicate\": true", page, "").body);
    assert_eq!((twice.keys.len(), twice.key_count), (1001, 1001));
    let count = page_of(&order("\"wrong_count\": true", page, "").body);
    assert_eq!((count.keys.len(), count.key_count), (1000, 1001));
    let empty = page_of(&order("\"empty\": true", page, "").body);
    assert!(empty.keys.is_empty() && empty.next.is_none());

    let object = format!("/bucket/{}", good_told.keys[7]);
    let etag = format!("If-Match: {}\r\n", etag_of(&bucket, 14));
    assert_eq!(order("\"changed\": true", &object, &etag).status, 412);
    let size = bucket.object(14).size_bytes;
    assert!(size > 1, "another object is needed");
    let answer = order("\"cut\": true", &object, &etag);
    assert_eq!(
        (answer.is_whole, answer.body.len() as u64),
        (true, size / 2)
    );
    let answer = order("\"drop\": true", &object, &etag);
    assert!(!answer.is_whole);
    let other = order("\"damage\": true", &object, &etag).body;
    assert_eq!(other.len() as u64, size);
    assert!(other != order("\"delay_milliseconds\": 1", &object, &etag).body);
    let answer = order(
        &format!("\"key\": {:?}, \"status\": 500", good_told.keys[8]),
        &object,
        "",
    );
    assert_eq!(answer.status, 200, "a rule for another key");
    assert!(server.counts().faults >= 12);
}

/// The sink takes what a client uploads, and tells whether it is the bucket.
#[test]
fn a_sink_tells_what_it_holds() {
    use plimsoll_s3_simulator::sink::Summary;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpStream;

    let sink = Sink::start(0).unwrap();
    let control = TcpStream::connect(("127.0.0.1", sink.port())).unwrap();
    let mut lines = BufReader::new(control.try_clone().unwrap());
    let mut say = |text: &str| {
        (&control).write_all(text.as_bytes()).unwrap();
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        line
    };
    assert!(say("").starts_with("220"));
    let bucket = Bucket::new(1, 20);
    let mut store = |path: &str, body: &[u8]| {
        let passive = say("EPSV\r\n");
        let port = passive.split('|').nth(3).unwrap().parse().unwrap();
        let mut data = TcpStream::connect(("127.0.0.1", port)).unwrap();
        assert!(say(&format!("STOR {path}\r\n")).starts_with("150"));
        data.write_all(body).unwrap();
        drop(data);
        assert!(say("").starts_with("226"));
    };
    bucket.for_each(|key, object| {
        let mut body = Vec::new();
        object.body_in_parts(|part| body.extend_from_slice(part));
        store(&format!("/base/{}", str::from_utf8(key).unwrap()), &body);
    });
    let expected = Summary::of(&bucket, "/base");
    assert_eq!(sink.summary(), expected);
    assert_eq!(expected.files, 20);
    store("/base/temp", b"other");
    assert_ne!(sink.summary(), expected);
    assert!(say("SIZE /base/temp\r\n").starts_with("213 5"));
    assert!(say("RNFR /base/temp\r\n").starts_with("350"));
    assert!(say("RNTO /base/x\r\n").starts_with("250"));
    assert!(say("SIZE /base/temp\r\n").starts_with("550"));
    assert!(say("DELE /base/x\r\n").starts_with("250"));
    assert!(say("DELE /base/x\r\n").starts_with("550"));
    assert!(say("SITE x\r\n").starts_with("502"));
    assert_eq!(sink.summary(), expected);
    let counts = sink.counts();
    assert_eq!((counts.stored, counts.renamed, counts.deleted), (21, 1, 1));
}
