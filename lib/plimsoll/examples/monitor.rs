//! Watches this process while it works: `cargo run --example monitor`.

use std::hint::black_box;
use std::process::Command;
use std::time::Duration;

use plimsoll::Error;
use plimsoll::budget::{Budget, Limit, Policy};
use plimsoll::monitor::MonitorOptions;

const MIB: u64 = 1 << 20;

fn main() -> Result<(), Error> {
    let budget = Budget::new(Limit::from_system(64 * MIB)?, Policy::Fair);
    let monitor = MonitorOptions::default()
        .interval(Duration::from_millis(200))
        .budget("main", &budget)
        // Small, so that something happens.
        .rss_limit(96 * MIB)
        .on_level(|change| {
            println!("memory was {}, is {}", change.from.name(), change.to.name());
        })
        .start()?;

    let (sum, report) = monitor.operation("import", || {
        let data = black_box(vec![1_u8; 90 << 20]);
        monitor.look();
        std::thread::sleep(Duration::from_millis(300));
        data.iter().map(|byte| u64::from(*byte)).sum::<u64>()
    });
    println!("import of {sum} bytes: {report:?}");

    let (status, report) = monitor.operation("child", || {
        // 20 MiB in a child process.
        Command::new("sh")
            .args([
                "-c",
                "x=$(head -c 20971520 /dev/zero | tr '\\0' a); sleep 0.2",
            ])
            .status()
    });
    println!("child ended as {status:?}: {report:?}");

    print!("{}", monitor.metrics().prometheus());
    println!("{}", monitor.metrics().otlp_json("example"));
    Ok(())
}
