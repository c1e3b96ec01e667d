//! Upscales by the id of their request: a second request of the same id and content, sent again over a
//! new connection, waits for the first or gets its result. It lasts as long as the process.
//!
//! **Cost.** Some 500 bytes an entry, at most `REMEMBERED_MAX` (64) that are done.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use plimsoll_booru_worker_protocol::message::{Progress, UpscaleImage};
use serde_json::Value;

/// A client tries again within seconds.
const REMEMBERED_MAX: usize = 64;

/// What is known of recent upscales.
#[derive(Default)]
pub struct Once {
    entries: Mutex<VecDeque<Entry>>,
    changed: Condvar,
}

struct Entry {
    id: String,
    request: UpscaleImage,
    progress: Option<Progress>,
    /// How often progress was told.
    told: u64,
    done: Option<Value>,
}

impl Once {
    /// Does `act`, unless it runs or is done under this id; hands progress on either way.
    ///
    /// # Errors
    /// What `act` says; a failure is not remembered.
    pub fn run<E>(
        &self,
        id: &str,
        request: &UpscaleImage,
        mut progress: impl FnMut(&Progress),
        act: impl FnOnce(&mut dyn FnMut(&Progress)) -> Result<Value, E>,
    ) -> Result<Value, E> {
        let is_it = |entry: &Entry| entry.id == id && entry.request == *request;
        let mut entries = self.lock();
        let mut heard = 0;
        while let Some(entry) = entries.iter().find(|entry| is_it(entry)) {
            if let Some(done) = &entry.done {
                return Ok(done.clone());
            }
            if let Some(so_far) = entry.progress.clone()
                && entry.told != heard
            {
                heard = entry.told;
                // Also a sign of life for who waits here. Meanwhile all may have changed, and nobody is woken for it.
                drop(entries);
                progress(&so_far);
                entries = self.lock();
                continue;
            }
            let woken = self.changed.wait(entries);
            entries = woken.unwrap_or_else(PoisonError::into_inner);
        }
        let finished = entries.iter().filter(|entry| entry.done.is_some()).count();
        if finished >= REMEMBERED_MAX
            && let Some(oldest) = entries.iter().position(|entry| entry.done.is_some())
        {
            entries.remove(oldest);
        }
        entries.push_back(Entry {
            id: id.to_owned(),
            request: request.clone(),
            progress: None,
            told: 0,
            done: None,
        });
        drop(entries);
        let running = Running {
            once: self,
            id,
            request,
        };
        let outcome = act(&mut |so_far| {
            running.note(|entry| {
                entry.progress = Some(so_far.clone());
                entry.told += 1;
            });
            progress(so_far);
        });
        if let Ok(result) = &outcome {
            running.note(|entry| entry.done = Some(result.clone()));
        }
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An upscale under way; where it ends without a result, others may begin it.
struct Running<'once> {
    once: &'once Once,
    id: &'once str,
    request: &'once UpscaleImage,
}

impl Running<'_> {
    fn is_it(&self, entry: &Entry) -> bool {
        entry.id == self.id && entry.request == *self.request
    }

    fn note(&self, change: impl FnOnce(&mut Entry)) {
        let mut entries = self.once.lock();
        if let Some(entry) = entries.iter_mut().find(|entry| self.is_it(entry)) {
            change(entry);
        }
        self.once.changed.notify_all();
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut entries = self.once.lock();
        entries.retain(|entry| entry.done.is_some() || !self.is_it(entry));
        self.once.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    fn request() -> UpscaleImage {
        serde_json::from_str(r#"{"image_path":"a","output_path":"b","model_name":"c"}"#).unwrap()
    }

    #[test]
    fn the_same_id_runs_once() {
        let once = Once::default();
        let runs = AtomicUsize::new(0);
        let (begun, has_begun) = channel();
        let (go, may_go) = channel::<()>();
        thread::scope(|scope| {
            scope.spawn(|| {
                let result = once.run(
                    "x",
                    &request(),
                    |_| {},
                    |progress| {
                        runs.fetch_add(1, Ordering::Relaxed);
                        progress(&Progress::new(1, 2, "half".to_owned()));
                        begun.send(()).unwrap();
                        may_go.into_iter().next().unwrap();
                        Ok::<_, ()>(Value::from(7))
                    },
                );
                assert_eq!(result, Ok(Value::from(7)));
            });
            has_begun.recv().unwrap();
            // The first ends only once the second has heard of its progress, so it waits.
            let mut heard = 0;
            let second = once.run(
                "x",
                &request(),
                |progress| {
                    heard += progress.current;
                    let _ = go.send(());
                    // The first may well end while this one is told, which must not be slept through.
                    while once.lock().iter().any(|entry| entry.done.is_none()) {
                        thread::yield_now();
                    }
                },
                |_| -> Result<Value, ()> { panic!("done twice") },
            );
            assert_eq!((second, heard >= 1), (Ok(Value::from(7)), true));
        });
        // Another content is another work, and a failure is no result.
        let mut other = request();
        other.output_path = "d".to_owned();
        assert_eq!(once.run("x", &other, |_| {}, |_| Err("no")), Err("no"));
        assert_eq!(
            once.run("x", &other, |_| {}, |_| Ok::<_, ()>(Value::Null)),
            Ok(Value::Null)
        );
        assert_eq!(runs.into_inner(), 1);
    }

    #[test]
    fn it_remembers_a_bounded_number() {
        let once = Once::default();
        for number in 0..2 * REMEMBERED_MAX {
            let id = number.to_string();
            once.run(&id, &request(), |_| {}, |_| Ok::<_, ()>(Value::Null))
                .unwrap();
        }
        assert_eq!(once.lock().len(), REMEMBERED_MAX);
    }
}
