//! The size of a bucket costs nothing; in a process of its own.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod client;

use client::Client;
use plimsoll_s3_simulator::{Bucket, Layout, Server};

#[test]
fn a_hundred_million_objects_take_no_memory_and_no_time() {
    let mut bucket = Bucket::new(1, 100_000_000);
    bucket.layout = Layout::Tiny;
    let server = Server::start("bucket", bucket, 0).unwrap();
    let mut client = Client::new(server.port());
    let before = rss_bytes();
    for start in ["folder-024999999/b", "folder-000099999", "zzz", "a"] {
        let told = client.list("", "", start, None, 1000, false);
        assert_eq!(told.keys.len(), if start == "zzz" { 0 } else { 1000 });
        assert!(told.keys.iter().all(|key| &**key > start));
    }
    let told = client.list("", "/", "folder-049999998/", None, 1000, false);
    assert_eq!(told.prefixes, ["folder-049999999/"]);
    assert!(told.next.is_none());
    let grown = rss_bytes().saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes");
    assert_eq!(server.counts().lists, 5);
}

fn rss_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}
