//! `--threads N` threads named `worker-000`…, each waiting deep in its stack: `--kib K` are touched.

use std::hint::black_box;
use std::sync::mpsc::{self, Sender};
use std::thread;

use plimsoll_subjects::arguments::Arguments;
use plimsoll_subjects::stage::{self, Outcome};
use serde_json::json;

const STACK_BYTES: usize = 2 << 20;

fn main() -> Outcome {
    let arguments = Arguments::from_environment(&["threads", "kib"])?;
    let threads = arguments.number("threads", 200)?;
    let bytes = arguments.number("kib", 64)? << 10;
    if bytes > STACK_BYTES / 2 {
        return Err(format!("--kib is at most {}, half of each stack", STACK_BYTES >> 11).into());
    }
    let (done, finished) = mpsc::channel();
    for index in 0..threads {
        let done = done.clone();
        thread::Builder::new()
            .name(format!("worker-{index:03}"))
            .stack_size(STACK_BYTES)
            .spawn(move || descend(stack_address(), bytes, &done))?;
    }
    let touched: Vec<usize> = finished.iter().take(threads).collect();
    stage::ready(&json!({
        "threads": threads + 1,
        "workers": threads,
        "name_prefix": "worker-",
        "stack_bytes_each": bytes,
        "stack_bytes": touched.iter().sum::<usize>(),
        "stack_reserved_bytes_each": STACK_BYTES,
    }))?;
    stage::wait()?;
    Ok(())
}

/// Goes down the stack, writing each frame, until `bytes` below `top` are used, and stays there.
#[inline(never)]
fn descend(top: usize, bytes: usize, done: &Sender<usize>) {
    let mut frame = [1_u8; 1024];
    black_box(&mut frame);
    let used = top - stack_address();
    if used < bytes {
        descend(top, bytes, done);
    } else {
        // The main thread may be gone already, which ends this one as well.
        let _ = done.send(used);
        loop {
            thread::park();
        }
    }
    black_box(&mut frame);
}

/// Where the stack is now, to within a frame.
#[inline(never)]
fn stack_address() -> usize {
    let here = 0_u8;
    black_box(&raw const here) as usize
}
