//! Simulated programs: steady, flaky, never succeeding, uneven.

use plimsoll_model::FitFailure;
use proptest::prelude::*;

use super::*;

const BASE: Duration = Duration::from_millis(1000);

fn run(cap: Option<Bytes>, succeeded: bool, length: Duration) -> FitRun {
    FitRun {
        cap,
        failure: (!succeeded).then_some(FitFailure::KilledForCap),
        length,
        cpu: length,
        major_faults: 0,
        charge_peak: cap,
        rss_peak: Bytes::mib(1),
        limit_hits: Some(u64::from(cap.is_some())),
    }
}

fn baseline() -> Vec<FitRun> {
    [990, 1000, 1020]
        .map(|ms| run(None, true, Duration::from_millis(ms)))
        .to_vec()
}

fn plan(guess: Bytes) -> FitPlan {
    FitPlan {
        from: Bytes::mib(1),
        guess,
        to: Bytes::gib(16),
        repeat: 3,
        resolution: Bytes::mib(1).max(guess.scaled(1, 50)),
    }
}

/// Searches to the end. `program`: cap and number of the run to its time, `None` for a failure.
fn search(plan: FitPlan, mut program: impl FnMut(Bytes, usize) -> Option<Duration>) -> CapFit {
    let mut search = FitSearch::new(plan, baseline());
    for number in 0.. {
        assert!(number < 2000, "the search ends: {:?}", search.bracket());
        match search.next() {
            FitStep::Try(cap) => {
                let length = program(cap, number);
                search.push(run(Some(cap), length.is_some(), length.unwrap_or_default()));
            }
            FitStep::Done(end) => {
                return search.conclude(
                    end,
                    Vec::new(),
                    CapMechanism::CgroupV1,
                    Vec::new(),
                    BASE * 10,
                );
            }
        }
    }
    unreachable!("the loop has no end of its own")
}

fn steady(need: Bytes) -> impl FnMut(Bytes, usize) -> Option<Duration> {
    move |cap, _| (cap >= need).then_some(BASE)
}

#[test]
fn a_steady_program_is_found_to_the_resolution() {
    let need = Bytes::mib(180);
    let plan = plan(Bytes::mib(310));
    let fit = search(plan, steady(need));
    assert_eq!(fit.end, FitEnd::Found);
    let (minimum, failed) = (fit.minimum.unwrap(), fit.failed.unwrap());
    assert!(minimum >= need && failed < need, "{failed} {minimum}");
    assert!(minimum - failed <= plan.resolution, "{failed} {minimum}");
    assert_eq!(fit.comfortable, Some(minimum));
    let point = fit
        .points
        .iter()
        .find(|point| point.cap == minimum)
        .unwrap();
    assert_eq!((point.succeeded, point.failed, point.timed), (3, 0, true));
    assert!(fit.runs.len() < 30, "{} runs", fit.runs.len());
}

#[test]
fn what_gets_slower_is_comfortable_further_up() {
    // Below 260 MiB it reads again and again.
    let program = |cap: Bytes, _| match cap {
        cap if cap < Bytes::mib(180) => None,
        cap if cap < Bytes::mib(260) => Some(BASE * 3),
        _ => Some(BASE),
    };
    let fit = search(plan(Bytes::mib(310)), program);
    let comfortable = fit.comfortable.unwrap();
    assert!(comfortable >= Bytes::mib(260), "{comfortable}");
    assert!(comfortable < Bytes::mib(310), "{comfortable}");
    assert!(fit.minimum.unwrap() < Bytes::mib(190));
}

/// The machine got busier after the runs without a cap; what a cap that bites adds is less.
#[test]
fn a_cap_that_is_never_met_slows_nothing() {
    let mut search = FitSearch::new(plan(Bytes::mib(100)), baseline());
    for (cap, hits, length) in [(100, 0, BASE * 2), (70, 5, BASE * 2), (50, 90, BASE * 4)] {
        for _ in 0..3 {
            let mut run = run(Some(Bytes::mib(cap)), true, length);
            run.limit_hits = Some(hits);
            search.push(run);
        }
    }
    let fit = search.conclude(
        FitEnd::Found,
        Vec::new(),
        CapMechanism::CgroupV1,
        Vec::new(),
        BASE,
    );
    assert_eq!(fit.comfortable, Some(Bytes::mib(70)));
}

#[test]
fn what_never_gets_comfortable_has_no_such_cap() {
    let program = |cap: Bytes, _| (cap >= Bytes::mib(180)).then_some(BASE * 2);
    let fit = search(plan(Bytes::mib(310)), program);
    assert_eq!((fit.end, fit.comfortable), (FitEnd::Found, None));
}

#[test]
fn a_guess_that_is_too_low_is_raised() {
    let fit = search(plan(Bytes::mib(100)), steady(Bytes::mib(700)));
    assert_eq!(fit.end, FitEnd::Found);
    let minimum = fit.minimum.unwrap();
    assert!(
        (Bytes::mib(700)..Bytes::mib(716)).contains(&minimum),
        "{minimum}"
    );
}

#[test]
fn what_never_succeeds_is_too_large() {
    let fit = search(plan(Bytes::mib(100)), |_, _| None);
    assert_eq!((fit.end, fit.minimum), (FitEnd::TooLarge, None));
    assert_eq!(fit.failed, Some(Bytes::gib(16)));
    assert!(fit.runs.len() < 20, "{} runs", fit.runs.len());
}

#[test]
fn what_needs_less_than_the_floor_is_found_there() {
    let fit = search(plan(Bytes::mib(20)), steady(Bytes::kib(100)));
    assert_eq!(fit.end, FitEnd::Found);
    assert_eq!((fit.failed, fit.minimum), (None, Some(Bytes::mib(1))));
}

/// It failed at 100, so that it succeeds at 80 does not count.
#[test]
fn a_failure_puts_the_answer_above_it() {
    let hole = Bytes::mib(95)..Bytes::mib(110);
    let program = |cap: Bytes, _| (cap >= Bytes::mib(60) && !hole.contains(&cap)).then_some(BASE);
    let fit = search(plan(Bytes::mib(125)), program);
    assert_eq!(fit.end, FitEnd::Found);
    let (minimum, failed) = (fit.minimum.unwrap(), fit.failed.unwrap());
    assert!(failed < minimum);
    if hole.contains(&failed) {
        assert!(minimum >= hole.end);
    }
}

#[test]
fn a_program_that_fails_now_and_then_is_flaky() {
    // Every third run fails, whatever the cap.
    let fit = search(plan(Bytes::mib(100)), |_, number| {
        (number % 3 != 2).then_some(BASE)
    });
    assert_eq!(fit.end, FitEnd::Flaky);
    let mixed = fit
        .points
        .iter()
        .filter(|p| p.failed > 0 && p.succeeded > 0);
    assert!(mixed.count() > 0);
}

#[test]
fn a_boundary_that_is_not_sharp_is_passed() {
    // Between 60 and 62 MiB every second run fails.
    let program = |cap: Bytes, number: usize| {
        (cap >= Bytes::mib(62) || cap >= Bytes::mib(60) && number.is_multiple_of(2)).then_some(BASE)
    };
    let fit = search(plan(Bytes::mib(100)), program);
    assert_eq!(fit.end, FitEnd::Found);
    assert!(fit.minimum.unwrap() >= Bytes::mib(60));
}

#[test]
fn a_baseline_that_fails_ends_it() {
    let mut uncapped = baseline();
    uncapped[1].failure = Some(FitFailure::Exited(1));
    let search = FitSearch::new(plan(Bytes::mib(100)), uncapped);
    assert_eq!(search.next(), FitStep::Done(FitEnd::FlakyUncapped));
}

#[test]
fn an_interrupted_search_keeps_its_bracket() {
    let mut search = FitSearch::new(plan(Bytes::mib(180)), baseline());
    search.push(run(Some(Bytes::mib(180)), true, BASE));
    search.push(run(Some(Bytes::mib(120)), false, BASE));
    assert!(search.runs_left() > 5);
    let fit = search.conclude(
        FitEnd::Interrupted,
        Vec::new(),
        CapMechanism::CgroupV2,
        Vec::new(),
        BASE,
    );
    assert_eq!(fit.failed, Some(Bytes::mib(120)));
    assert_eq!(fit.minimum, Some(Bytes::mib(180)));
    assert_eq!(fit.comfortable, None);
}

proptest! {
    #[test]
    fn steady_programs_are_always_found(
        need in 1_u64..8 << 30, guess in 1_u64..8 << 30, from in 0_u64..64 << 20,
        resolution in 0_u64..64 << 20, repeat in 0_u32..6,
    ) {
        let plan = FitPlan {
            from: Bytes(from), guess: Bytes(guess), to: Bytes::gib(16), repeat,
            resolution: Bytes(resolution),
        };
        let fit = search(plan, steady(Bytes(need)));
        prop_assert_eq!(fit.end, FitEnd::Found);
        let minimum = fit.minimum.unwrap();
        prop_assert!(minimum >= Bytes(need));
        match fit.failed {
            Some(failed) => {
                prop_assert!(failed < Bytes(need));
                prop_assert!(minimum - failed <= Bytes(resolution).max(STEP));
            }
            None => prop_assert!(minimum <= up(Bytes(from).max(STEP))),
        }
        let point = fit.points.iter().find(|point| point.cap == minimum).unwrap();
        prop_assert!(point.succeeded >= repeat.max(1));
    }

    #[test]
    fn any_program_comes_to_an_end(
        seed in any::<u64>(), guess in 1_u64..1 << 40, to in 0_u64..1 << 40, repeat in 1_u32..5,
        chance in 0_u8..=100,
    ) {
        let mut random = fastrand::Rng::with_seed(seed);
        let plan = FitPlan {
            from: Bytes::kib(512), guess: Bytes(guess), to: Bytes(to), repeat,
            resolution: Bytes::mib(1),
        };
        let fit = search(plan, |cap, _| {
            assert!(cap <= up(Bytes(to)).max(up(Bytes::kib(512))), "{cap}");
            (random.u8(0..100) < chance).then(|| Duration::from_millis(random.u64(1..5000)))
        });
        if let (Some(failed), Some(minimum)) = (fit.failed, fit.minimum) {
            prop_assert!(failed < minimum);
        }
        if fit.end == FitEnd::Found {
            prop_assert!(fit.minimum.is_some());
        }
        for point in &fit.points {
            prop_assert_eq!(point.timing.is_some(), point.succeeded > 0);
        }
    }
}
