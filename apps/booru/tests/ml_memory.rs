//! What models cost the board: next to nothing while nobody asks, and no more after many jobs than after
//! few. Alone in its process, since RSS is of all that runs in it; `--nocapture` prints the figures.

#![expect(clippy::unwrap_used, reason = "tests fail by panics, in helpers too")]

mod collection;
mod workers;

use std::fs;
use std::time::Instant;

use plimsoll_booru::ml::{Kind, worker};
use workers::{Place, wait_for};

fn rss_kib() -> i64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

fn trim() {
    // SAFETY: it takes a number and only looks after malloc's own free memory.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[test]
fn jobs_leave_nothing_behind() {
    let place = Place::new(250).with("ML_WORKER_IDLE_TIMEOUT", "2");
    let images: Vec<u32> = (1..=250).collect();
    let board = place.open();
    trim();
    let before = rss_kib();
    let served = {
        let service = plimsoll_booru::ml::Service::start(place.read_settings(), board.clone());
        let service = service.unwrap();
        workers::Served { service, board }
    };
    // A first look into the queue is what it does while it is idle.
    wait_for("the service", || served.service.status().ok());
    let idle = rss_kib();
    let begun = Instant::now();
    served.service.submit(Kind::Tag, &images[..1]).unwrap();
    served.finish(Kind::Tag);
    let first = begun.elapsed();
    served.service.submit(Kind::Tag, &images[1..50]).unwrap();
    served.finish(Kind::Tag);
    trim();
    let few = rss_kib();
    let begun = Instant::now();
    served.service.submit(Kind::Tag, &images[50..]).unwrap();
    served.finish(Kind::Tag);
    let rate = 200.0 / begun.elapsed().as_secs_f64();
    served.service.submit(Kind::Embed, &images).unwrap();
    served.service.submit(Kind::Upscale, &images[..20]).unwrap();
    served.finish(Kind::Embed);
    served.finish(Kind::Upscale);
    let worker_rss = worker::status(&place.read_settings().worker)
        .unwrap()
        .rss_bytes;
    wait_for("the idle exit", || {
        (!served.service.status().unwrap().has_worker).then_some(())
    });
    trim();
    let many = rss_kib();
    println!(
        "KiB: board {before}, with an idle service {idle}, after 50 jobs {few}, after 520 {many}; worker {} \
         then, and gone; first answer {first:?}, {rate:.0} images a second",
        worker_rss.unwrap() >> 10
    );
    assert!(
        idle - before < 1024,
        "{idle} KiB with an idle service, {before} without"
    );
    // Page caches of the two databases are bounded, and full by then.
    assert!(
        many - few < 2048,
        "{many} KiB after 520 jobs, {few} after 50"
    );
}
