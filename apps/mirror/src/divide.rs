//! States of parts of a bucket: ranges of about as many keys, one state cut into several, and several made
//! one. Memory: a reader of a state and a writer.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::config::{JoinArguments, SplitArguments};
use crate::listing::KeyRange;
use crate::run::EQUAL;
use crate::state::{Lock, Manifest, State};

/// Ranges of about as many entries, that are what the state is of together: the same wherever the state is
/// the same. Fewer where it has too few entries.
fn ranges(state: &State, parts: usize) -> Result<Vec<KeyRange>> {
    let whole: KeyRange = state.range()?;
    // Before the first fold all is in the delta.
    let (base, delta) = (state.base(), state.delta());
    let larger = match base.figures().entries >= delta.figures().entries {
        true => base,
        false => delta,
    };
    let mut ranges = Vec::new();
    let mut from = whole.from;
    for key in larger.split_keys(parts)? {
        if key > from {
            ranges.push(KeyRange {
                from: std::mem::replace(&mut from, key.clone()),
                to: Some(key),
            });
        }
    }
    ranges.push(KeyRange { from, to: whole.to });
    Ok(ranges)
}

pub(crate) fn print_ranges(arguments: &SplitArguments) -> Result<ExitCode> {
    let state = State::look(&arguments.state.state)?;
    for range in ranges(&state, arguments.parts as usize)? {
        println!("{range}");
    }
    Ok(ExitCode::from(EQUAL))
}

/// Cuts a state into new ones, `INTO/1`, `INTO/2`, …; it stays as it is.
pub(crate) fn split(arguments: &SplitArguments, into: &Path) -> Result<ExitCode> {
    let folder = &arguments.state.state;
    let manifest = State::look(folder)?.manifest().clone();
    let lock = Lock::take(folder)?;
    let state = State::open_range(folder, &manifest.pair, &manifest.range, &lock)?;
    let mut known = state.known()?;
    let mut is_on = known.advance()?;
    let parts = ranges(&state, arguments.parts as usize)?;
    let folders: Vec<PathBuf> = (1..=parts.len())
        .map(|n| into.join(n.to_string()))
        .collect();
    folders.iter().try_for_each(|folder| refuse_state(folder))?;
    for (range, folder) in parts.iter().zip(&folders) {
        let lock = Lock::take(folder)?;
        let mut next = State::create(folder, &manifest.pair, &Manifest::range_text(range), &lock)?;
        let mut count = 0_u64;
        while is_on && range.to.as_deref().is_none_or(|to| known.key() < to) {
            next.put(known.key(), None, known.record())?;
            count += u64::from(known.record().is_some());
            is_on = known.advance()?;
        }
        next.publish(manifest.listed_at)?;
        println!("{}: --range '{range}', {count} keys", folder.display());
    }
    println!("run these from now on, and {} no more", folder.display());
    Ok(ExitCode::from(EQUAL))
}

/// Makes one new state of those of neighbouring ranges; they stay as they are.
pub(crate) fn join(arguments: &JoinArguments) -> Result<ExitCode> {
    let mut parts: Vec<(KeyRange, State, Lock)> = Vec::new();
    for folder in &arguments.from {
        let manifest = State::look(folder)?.manifest().clone();
        let lock = Lock::take(folder)?;
        let state = State::open_range(folder, &manifest.pair, &manifest.range, &lock)?;
        parts.push((state.range()?, state, lock));
    }
    parts.sort_by(|one, two| one.0.from.cmp(&two.0.from));
    for pair in parts.windows(2) {
        let [(first, one, _), (second, two, _)] = pair else {
            continue;
        };
        if one.manifest().pair != two.manifest().pair {
            bail!("join states: they are of different buckets or destinations");
        }
        if first.to.as_ref() != Some(&second.from) {
            bail!(
                "join states of the ranges {first} and {second}: the second does not begin where the first ends"
            );
        }
    }
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        bail!("join states: none is named");
    };
    let range = KeyRange {
        from: first.0.from.clone(),
        to: last.0.to.clone(),
    };
    // The oldest listing is what is known of all.
    let listed_at = parts.iter().map(|part| part.1.manifest().listed_at).min();
    let pair = first.1.manifest().pair.clone();
    refuse_state(&arguments.into)?;
    let lock = Lock::take(&arguments.into)?;
    let mut next = State::create(&arguments.into, &pair, &Manifest::range_text(&range), &lock)?;
    let mut count = 0_u64;
    for (_, state, _) in &parts {
        let mut known = state.known()?;
        while known.advance()? {
            next.put(known.key(), None, known.record())?;
            count += u64::from(known.record().is_some());
        }
    }
    next.publish(listed_at.unwrap_or(0))?;
    println!(
        "{}: --range '{range}', {count} keys; run this from now on, and the others no more",
        arguments.into.display()
    );
    Ok(ExitCode::from(EQUAL))
}

fn refuse_state(folder: &Path) -> Result<()> {
    if Manifest::read(folder)?.is_some() {
        bail!(
            "{} has a state already: name a new folder",
            folder.display()
        );
    }
    Ok(())
}
