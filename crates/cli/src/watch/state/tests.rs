//! What each key does, on a breakdown that looks like a real one.

use ratatui::crossterm::event::KeyEvent;

use super::super::made;
use super::*;

fn state() -> State {
    let mut state = State::new(made::PID, None);
    state.fit(6);
    for second in 0..5 {
        state.tick(Duration::from_secs(second));
        state.accept(made::full(second, made::service_at(second)));
    }
    state
}

fn press(state: &mut State, keys: &[KeyCode]) -> Effect {
    let mut effect = Effect::Nothing;
    for key in keys {
        effect = state.press(KeyEvent::from(*key));
    }
    effect
}

fn typed(state: &mut State, text: &str) {
    for c in text.chars() {
        press(state, &[KeyCode::Char(c)]);
    }
}

fn selected(state: &State) -> String {
    state.rows()[state.selected_index()].name.to_owned()
}

#[test]
fn quitting() {
    let check = |keys: &[KeyCode], expected| assert_eq!(press(&mut state(), keys), expected);
    check(&[KeyCode::Char('q')], Effect::Quit);
    check(&[KeyCode::Esc], Effect::Quit);
    check(&[KeyCode::Char('x')], Effect::Nothing);
    let control = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(state().press(control), Effect::Quit);
    // In the filter q is a letter, but Ctrl-C still quits.
    let mut typing = state();
    assert_eq!(
        press(&mut typing, &[KeyCode::Char('/'), KeyCode::Char('q')]),
        Effect::Nothing
    );
    assert_eq!(typing.press(control), Effect::Quit);
}

#[test]
fn s_cycles_the_sort_and_r_reverses() {
    let mut state = state();
    let mut seen = vec![state.sort];
    for _ in 0..4 {
        press(&mut state, &[KeyCode::Char('s')]);
        seen.push(state.sort);
    }
    let all = [
        Sort::Resident,
        Sort::Private,
        Sort::Change,
        Sort::Recent,
        Sort::Name,
    ];
    assert_eq!(seen, all);
    press(&mut state, &[KeyCode::Char('s'), KeyCode::Char('r')]);
    assert_eq!((state.sort, state.reversed), (Sort::Resident, true));
    assert_eq!(state.rows()[0].name, "locale-archive");
}

#[test]
fn the_filter_is_typed_kept_and_cleared() {
    let mut state = state();
    press(&mut state, &[KeyCode::Char('/')]);
    typed(&mut state, "NumpX");
    press(&mut state, &[KeyCode::Backspace, KeyCode::Enter]);
    assert_eq!(state.filter, "nump");
    assert!(!state.filter_typing);
    assert_eq!(state.rows().len(), 1);
    assert_eq!(selected(&state), "numpy");
    // The first Esc clears the filter, the second quits.
    assert_eq!(press(&mut state, &[KeyCode::Esc]), Effect::Nothing);
    assert!(state.filter.is_empty() && state.rows().len() > 5);
    press(
        &mut state,
        &[KeyCode::Char('/'), KeyCode::Char('z'), KeyCode::Esc],
    );
    assert!(state.filter.is_empty() && !state.filter_typing);
    press(&mut state, &[KeyCode::Char('/')]);
    typed(&mut state, &"a".repeat(500));
    assert_eq!(state.filter.len(), FILTER_CHARS_MAX);
}

#[test]
fn components_open_and_close() {
    let mut state = state();
    typed(&mut state, "/glibc");
    press(&mut state, &[KeyCode::Enter]);
    let names = |state: &State| -> Vec<String> {
        state.rows().iter().map(|row| row.name.to_owned()).collect()
    };
    assert_eq!(names(&state), ["glibc heap"]);
    press(&mut state, &[KeyCode::Right]);
    assert_eq!(names(&state), ["glibc heap", "main arena", "thread arenas"]);
    press(&mut state, &[KeyCode::Right]);
    assert_eq!(selected(&state), "main arena");
    press(&mut state, &[KeyCode::Down]);
    press(&mut state, &[KeyCode::Left]);
    assert_eq!(selected(&state), "glibc heap");
    press(&mut state, &[KeyCode::Left]);
    assert_eq!(names(&state), ["glibc heap"]);
    press(&mut state, &[KeyCode::Enter]);
    assert_eq!(names(&state).len(), 3);
    press(&mut state, &[KeyCode::Enter]);
    assert_eq!(names(&state).len(), 1);
    // What has no parts does not open.
    typed(&mut state, "/");
    press(&mut state, &[KeyCode::Esc, KeyCode::Home, KeyCode::Enter]);
    assert!(state.opened.is_empty());
}

#[test]
fn moving_scrolls_and_stays_inside() {
    let mut state = state();
    let count = state.rows().len();
    press(&mut state, &[KeyCode::Up]);
    assert_eq!((state.selected_index(), state.top), (0, 0));
    press(&mut state, &[KeyCode::End]);
    assert_eq!((state.selected_index(), state.top), (count - 1, count - 6));
    press(&mut state, &[KeyCode::Down]);
    assert_eq!(state.selected_index(), count - 1);
    press(&mut state, &[KeyCode::PageUp]);
    assert_eq!(state.selected_index(), count - 7);
    assert!(state.top <= count - 7);
    press(&mut state, &[KeyCode::Home]);
    assert_eq!((state.selected_index(), state.top), (0, 0));
    press(&mut state, &[KeyCode::PageDown, KeyCode::Down]);
    assert_eq!((state.selected_index(), state.top), (7, 2));
    // More room: no empty space below while rows are hidden above.
    state.fit(100);
    assert_eq!(state.top, 0);
}

#[test]
fn the_selection_follows_its_component() {
    let mut state = state();
    press(&mut state, &[KeyCode::Down]);
    let before = selected(&state);
    state.accept(made::full(500, made::service_at(500)));
    assert_eq!(selected(&state), before);
    press(&mut state, &[KeyCode::Char('r')]);
    assert_eq!(selected(&state), before);
}

#[test]
fn the_tree_starts_a_new_history() {
    let mut state = state();
    assert_eq!(press(&mut state, &[KeyCode::Char('t')]), Effect::Reading);
    assert!(state.tree && state.latest.is_none() && state.rows().is_empty());
    // A reading of the process alone that was on its way does not count.
    state.accept(made::full(6, made::service_at(6)));
    assert!(state.latest.is_none());
    let mut tree = made::service_at(7);
    tree.scope = Scope::Tree;
    state.accept(made::full(7, tree));
    assert!(state.latest.is_some());
    assert_eq!(state.history.points().count(), 1);
    // The root's own RSS is not the tree's.
    state.accept(made::quick(
        Duration::from_secs(8),
        plimsoll_model::Bytes::mib(1),
    ));
    assert!(state.quick.is_none());
}

#[test]
fn pause_freezes_the_view() {
    let mut state = state();
    assert_eq!(press(&mut state, &[KeyCode::Char(' ')]), Effect::Reading);
    state.tick(Duration::from_secs(99));
    state.accept(made::full(99, made::service_at(99)));
    assert_eq!(state.now, Duration::from_secs(4));
    assert_eq!(
        state.latest.as_ref().map(|latest| latest.at),
        Some(Duration::from_secs(4))
    );
    assert_eq!(press(&mut state, &[KeyCode::Char(' ')]), Effect::Reading);
    state.accept(made::full(100, made::service_at(99)));
    assert_eq!(
        state.latest.as_ref().map(|latest| latest.at),
        Some(Duration::from_secs(100))
    );
}

#[test]
fn a_baseline_can_be_marked() {
    let mut state = state();
    let grown = |state: &State| {
        state
            .changes
            .total_since_baseline()
            .map(|change| change.size().0)
    };
    assert!(grown(&state) > Some(0));
    press(&mut state, &[KeyCode::Char('b')]);
    assert_eq!(grown(&state), Some(0));
    assert_eq!(state.marked_at, Some(Duration::from_secs(4)));
}

#[test]
fn help_opens_scrolls_and_closes_with_any_key() {
    let mut state = state();
    press(
        &mut state,
        &[
            KeyCode::Char('?'),
            KeyCode::Down,
            KeyCode::Down,
            KeyCode::Up,
        ],
    );
    assert!(state.help);
    assert_eq!(state.help_scroll, 1);
    assert_eq!(press(&mut state, &[KeyCode::Char('q')]), Effect::Nothing);
    assert!(!state.help);
}

#[test]
fn the_last_state_stays_when_the_subject_ends() {
    let mut state = state();
    state.accept(Reading {
        at: Duration::from_secs(6),
        what: What::Ended("gone".to_owned()),
    });
    state.tick(Duration::from_secs(99));
    state.accept(made::full(7, made::service_at(99)));
    assert_eq!(state.now, Duration::from_secs(4));
    assert_eq!(state.ended.as_deref(), Some("gone"));
    assert_eq!(
        state.latest.as_ref().map(|latest| latest.at),
        Some(Duration::from_secs(4))
    );
    state.end_with_exit("exit code 3".to_owned());
    assert_eq!(state.ended.as_deref(), Some("exit code 3"));
    assert_eq!(press(&mut state, &[KeyCode::Char('t')]), Effect::Nothing);
    assert_eq!(press(&mut state, &[KeyCode::Char('q')]), Effect::Quit);
}

#[test]
fn a_failed_reading_is_told_until_one_works() {
    let mut state = state();
    let failed = What::Failed("no permission".to_owned());
    state.accept(Reading {
        at: Duration::from_secs(6),
        what: failed,
    });
    assert_eq!(state.failure.as_deref(), Some("no permission"));
    state.accept(made::full(7, made::service_at(7)));
    assert_eq!(state.failure, None);
}
