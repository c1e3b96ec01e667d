//! A program that is its own worker: `cargo run --example worker`.

use std::time::Duration;

use plimsoll::Error;
use plimsoll::worker::{self, Context, Worker};

/// The heavy work, here in the child: primes up to a number, with all the memory that takes.
fn count_primes(request: &[u8], context: &Context) -> Result<Vec<u8>, String> {
    let text = str::from_utf8(request).map_err(|error| error.to_string())?;
    if text == "crash" {
        std::process::abort();
    }
    let end: usize = text.parse().map_err(|error| format!("{text:?}: {error}"))?;
    let mut is_prime = vec![true; end];
    let mut count = 0;
    for number in 2..end {
        if number % 5_000_000 == 0 {
            if context.is_cancelled() {
                return Err("cancelled".into());
            }
            let told = context.progress(format!("at {number}").as_bytes());
            told.map_err(|error| error.to_string())?;
        }
        if is_prime[number] {
            count += 1;
            for multiple in (number * number..end).step_by(number) {
                is_prime[multiple] = false;
            }
        }
    }
    Ok(count.to_string().into_bytes())
}

fn main() -> Result<(), Error> {
    if worker::is_worker() {
        return worker::serve(count_primes);
    }
    let worker = Worker::builder("/proc/self/exe")
        .idle_timeout(Duration::from_millis(100))
        .memory_max_bytes(256 << 20)
        .build()?;
    println!("before the first call: {:?}", worker.figures().pid);

    let primes = worker.submit(b"20000000")?.wait_with(|message| {
        println!("progress: {}", String::from_utf8_lossy(message));
    })?;
    println!("primes: {}", String::from_utf8_lossy(&primes));

    for request in ["many", "crash", "crash"] {
        match worker.call(request.as_bytes()) {
            Ok(reply) => println!("{request}: {}", String::from_utf8_lossy(&reply)),
            Err(error) => println!("{request}: {:?}: {error}", error.kind()),
        }
    }
    println!("another still works: {:?}", worker.call(b"100")?);

    while worker.figures().pid.is_some() {
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("idle: {:#?}", worker.figures());
    Ok(())
}
