//! The screen as text, at the sizes that terminals have.

use std::time::Duration;

use plimsoll_model::{Bytes, Kind, Scope};
use ratatui::backend::{Backend, TestBackend};
use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::super::made;
use super::super::reading::{Reading, What};
use super::*;

/// Three minutes of the service, with quick samples between; a spike that only they saw.
fn watched(seconds: u64) -> State {
    let mut state = State::new(made::PID, None);
    for second in 0..=seconds {
        let breakdown = made::service_at(second);
        let rss = breakdown.totals.usage.resident;
        if second % 2 == 0 {
            state.accept(made::full(second, breakdown));
        }
        for tenth in 1..10 {
            let spike = if second == 100 {
                Bytes::mib(300)
            } else {
                Bytes::ZERO
            };
            let at = Duration::from_millis(1000 * second + 100 * tenth);
            state.accept(made::quick(at, rss + spike));
        }
        state.tick(Duration::from_secs(second));
    }
    state
}

fn press(state: &mut State, keys: &[KeyCode]) {
    for key in keys {
        state.press(KeyEvent::from(*key));
    }
}

fn screen(state: &mut State, color: bool, width: u16, height: u16) -> String {
    if let Some(layout) = Layout::of(Rect::new(0, 0, width, height)) {
        state.fit(layout.page());
    }
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    draw(state, Ink { color }, area, &mut buffer);
    if area.is_empty() {
        return String::new();
    }
    let mut backend = TestBackend::new(width, height);
    let cells = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    backend
        .draw(cells.map(|(x, y)| (x, y, &buffer[(x, y)])))
        .unwrap();
    backend.to_string()
}

#[test]
fn a_service_at_80x24() {
    let mut state = watched(180);
    press(&mut state, &[KeyCode::Down, KeyCode::Right]);
    insta::assert_snapshot!(screen(&mut state, true, 80, 24));
}

#[test]
fn a_service_at_120x40() {
    insta::assert_snapshot!(screen(&mut watched(180), true, 120, 40));
}

#[test]
fn a_service_at_40x10() {
    insta::assert_snapshot!(screen(&mut watched(180), true, 40, 10));
}

#[test]
fn without_colour_the_bands_are_letters() {
    insta::assert_snapshot!(screen(&mut watched(20), false, 80, 24));
}

#[test]
fn the_first_moment() {
    let mut state = State::new(made::PID, None);
    insta::assert_snapshot!(screen(&mut state, true, 80, 24));
}

#[test]
fn filtering_by_movers_when_the_command_has_ended() {
    let mut state = watched(61);
    state.command = Some("python3 monitor_runner.py".to_owned());
    press(
        &mut state,
        &[KeyCode::Char('s'), KeyCode::Char('s'), KeyCode::Char('/')],
    );
    press(&mut state, &[KeyCode::Char('s'), KeyCode::Char('r')]);
    state.accept(Reading {
        at: Duration::from_secs(61),
        what: What::Ended("killed by signal 9 (SIGKILL)".to_owned()),
    });
    insta::assert_snapshot!(screen(&mut state, true, 80, 24));
}

#[test]
fn the_help_page() {
    let mut state = watched(2);
    press(&mut state, &[KeyCode::Char('?')]);
    insta::assert_snapshot!(screen(&mut state, true, 80, 30));
    insta::assert_snapshot!(screen(&mut state, true, 40, 10));
}

#[test]
fn too_small_says_so() {
    insta::assert_snapshot!(screen(&mut watched(2), true, 20, 4));
}

#[test]
fn foreign_names_do_not_reach_the_terminal_raw() {
    let evil = "\u{1b}[2Jowned\u{7}\n\u{202e}gpj";
    let mut component = made::group(evil, Kind::File, vec![made::heap(evil, Bytes::mib(2))]);
    component.evidence = evil.to_owned();
    component.detail = evil.to_owned();
    let mut breakdown = made::breakdown(vec![component]);
    breakdown.verdict = evil.to_owned();
    breakdown.process.name = evil.to_owned();
    breakdown.process.executable = None;
    breakdown.process.command = vec![evil.to_owned()];
    let mut state = State::new(made::PID, Some(evil.to_owned()));
    state.accept(made::full(1, breakdown));
    let mut failed = State::new(made::PID, None);
    failed.accept(made::full(1, made::service_at(1)));
    let what = What::Failed(evil.to_owned());
    failed.accept(Reading {
        at: Duration::from_secs(2),
        what,
    });
    for state in [&mut state, &mut failed] {
        press(state, &[KeyCode::Right]);
        for (width, height) in [(120, 40), (80, 24), (40, 10)] {
            let shown = screen(state, true, width, height);
            let obeyed = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
            assert!(!shown.contains(obeyed), "{shown}");
            assert!(width < 60 || shown.contains("\\u{1b}[2J"), "{shown}");
        }
    }
}

#[test]
fn no_size_and_no_state_panics() {
    let mut tree = watched(3);
    press(&mut tree, &[KeyCode::Char('t')]);
    let mut made_tree = made::service_at(5);
    made_tree.scope = Scope::Tree;
    tree.accept(made::full(5, made_tree));
    let mut empty = State::new(made::PID, None);
    empty.accept(made::full(0, made::breakdown(Vec::new())));
    let mut huge = State::new(made::PID, None);
    huge.accept(made::full(
        0,
        made::breakdown(vec![made::heap("x", Bytes(u64::MAX >> 1))]),
    ));
    for mut state in [State::new(1, None), watched(1), tree, empty, huge] {
        for width in (0..30).chain([59, 60, 80, 99, 100, 119, 250]) {
            for height in (0..30).chain([50, 100]) {
                for help in [false, true] {
                    state.help = help;
                    screen(&mut state, true, width, height);
                    screen(&mut state, false, width, height);
                }
            }
        }
    }
}

#[test]
fn what_the_program_says_of_itself_is_beside_its_heap() {
    let mut breakdown = made::breakdown(vec![made::heap("malloc", Bytes::mib(30))]);
    breakdown.published = vec![made::published()];
    let mut state = State::new(made::PID, None);
    state.accept(made::full(0, breakdown));
    let shown = screen(&mut state, false, 120, 40);
    let course =
        "stage import/batch for 1.20 s; budget main: 16.0 MiB of 64.0 MiB (25%), most by covers";
    assert!(shown.contains(course), "{shown}");
    assert!(
        shown
            .replace('\n', " ")
            .contains("24.0 MiB live by its own account"),
        "{shown}"
    );
    assert!(!shown.contains('\u{1b}'), "{shown}");
}
