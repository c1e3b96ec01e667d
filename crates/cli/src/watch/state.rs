//! Everything the view shows, and what each key and each reading does to it.
//!
//! Pure: it opens nothing and reads no clock; the time comes with [`State::tick`]. Drawing is in
//! `draw/`, the terminal and the threads are in `live.rs` and `reader.rs`.

use std::collections::HashSet;
use std::time::Duration;

use plimsoll_model::{Breakdown, Published, Scope, StatusFigures};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::changes::Changes;
use super::component_id::ComponentId;
use super::history::History;
use super::reading::{Reading, What};
use super::rows::{Row, Sort, View, rows};

/// Characters of a filter: more than any name that fits the screen needs.
const FILTER_CHARS_MAX: usize = 64;

/// What the caller has to do after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    /// What the readers shall read has changed: [`State::tree`], [`State::paused`].
    Reading,
    Quit,
}

/// The last full reading.
#[derive(Debug)]
pub(super) struct Latest {
    pub(super) at: Duration,
    pub(super) breakdown: Box<Breakdown>,
    pub(super) next_in: Duration,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) pid: u32,
    /// The command that the watch has started, which ends with it.
    pub(super) command: Option<String>,
    pub(super) now: Duration,
    pub(super) latest: Option<Latest>,
    pub(super) quick: Option<(Duration, StatusFigures)>,
    pub(super) history: History,
    pub(super) changes: Changes,
    /// When the user last marked a baseline; `None`: the first reading is it.
    pub(super) marked_at: Option<Duration>,
    pub(super) sort: Sort,
    pub(super) reversed: bool,
    pub(super) filter: String,
    pub(super) filter_typing: bool,
    pub(super) tree: bool,
    pub(super) paused: bool,
    pub(super) help: bool,
    pub(super) help_scroll: u16,
    /// How the subject ended.
    pub(super) ended: Option<String>,
    /// Why the last full reading failed.
    pub(super) failure: Option<String>,
    opened: HashSet<ComponentId>,
    selected: Option<ComponentId>,
    /// Where the selection was, for when the selected component goes away.
    selected_index: usize,
    /// First row that the table shows.
    pub(super) top: usize,
    /// Rows that the table has room for.
    page: usize,
}

impl State {
    pub(super) fn new(pid: u32, command: Option<String>) -> State {
        State {
            pid,
            command,
            now: Duration::ZERO,
            latest: None,
            quick: None,
            history: History::default(),
            changes: Changes::default(),
            marked_at: None,
            sort: Sort::default(),
            reversed: false,
            filter: String::new(),
            filter_typing: false,
            tree: false,
            paused: false,
            help: false,
            help_scroll: 0,
            ended: None,
            failure: None,
            opened: HashSet::new(),
            selected: None,
            selected_index: 0,
            top: 0,
            page: 1,
        }
    }

    /// What the processes looked at say of themselves.
    pub(super) fn published(&self) -> &[Published] {
        let latest = self.latest.as_ref();
        latest.map_or(&[], |latest| &latest.breakdown.published)
    }

    /// The clock: time since the watch began. It stands while paused and once the subject ended.
    pub(super) fn tick(&mut self, now: Duration) {
        if !self.paused && self.ended.is_none() {
            self.now = now;
        }
    }

    /// The table has room for `page` rows.
    pub(super) fn fit(&mut self, page: usize) {
        self.page = page.max(1);
        self.settle();
    }

    pub(super) fn rows(&self) -> Vec<Row<'_>> {
        let Some(latest) = &self.latest else {
            return Vec::new();
        };
        let view = View {
            sort: self.sort,
            reversed: self.reversed,
            filter: &self.filter,
            opened: &self.opened,
            changes: &self.changes,
        };
        rows(&latest.breakdown, &view)
    }

    pub(super) fn selected_index(&self) -> usize {
        self.selected_index
    }

    /// Takes in a reading; what was on its way when the view was paused is left out.
    pub(super) fn accept(&mut self, reading: Reading) {
        if let What::Ended(how) = reading.what {
            self.end(how);
            return;
        }
        if self.paused || self.ended.is_some() {
            return;
        }
        match reading.what {
            What::Breakdown { breakdown, next_in } => {
                self.accept_breakdown(reading.at, breakdown, next_in);
            }
            What::Quick(figures) if !self.tree => {
                self.quick = Some((reading.at, figures));
                self.history.push_sample(reading.at, figures.rss);
            }
            What::Failed(why) => self.failure = Some(why),
            What::Quick(_) | What::Ended(_) => {}
        }
        self.settle();
    }

    /// The first account of how it ended stays, unless the command's own exit code is known.
    pub(super) fn end(&mut self, how: String) {
        if self.ended.is_none() {
            self.paused = false;
            self.ended = Some(how);
        }
    }

    pub(super) fn end_with_exit(&mut self, how: String) {
        self.paused = false;
        self.ended = Some(how);
    }

    fn accept_breakdown(&mut self, at: Duration, breakdown: Box<Breakdown>, next_in: Duration) {
        let wanted = if self.tree {
            Scope::Tree
        } else {
            Scope::Process
        };
        if breakdown.scope != wanted {
            return;
        }
        self.failure = None;
        self.history.push(at, &breakdown);
        self.changes.push(at, &breakdown);
        self.latest = Some(Latest {
            at,
            breakdown,
            next_in,
        });
    }

    /// What a key does.
    pub(super) fn press(&mut self, key: KeyEvent) -> Effect {
        if key.kind == KeyEventKind::Release {
            return Effect::Nothing;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Effect::Quit,
                _ => Effect::Nothing,
            };
        }
        if self.help {
            return self.press_in_help(key.code);
        }
        if self.filter_typing {
            self.press_in_filter(key.code);
            self.settle();
            return Effect::Nothing;
        }
        let effect = self.press_in_view(key.code);
        self.settle();
        effect
    }

    fn press_in_help(&mut self, code: KeyCode) -> Effect {
        match code {
            KeyCode::Down | KeyCode::Char('j') => self.help_scroll += 1,
            KeyCode::Up | KeyCode::Char('k') => {
                self.help_scroll = self.help_scroll.saturating_sub(1);
            }
            _ => {
                self.help = false;
                self.help_scroll = 0;
            }
        }
        Effect::Nothing
    }

    fn press_in_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Esc => {
                self.filter.clear();
                self.filter_typing = false;
            }
            KeyCode::Enter | KeyCode::Down | KeyCode::Up => self.filter_typing = false,
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(c) if self.filter.chars().count() < FILTER_CHARS_MAX => {
                self.filter.extend(c.to_lowercase());
            }
            _ => {}
        }
    }

    fn press_in_view(&mut self, code: KeyCode) -> Effect {
        match code {
            KeyCode::Char('q') => return Effect::Quit,
            // Esc takes back the filter first, so that one Esc too many costs nothing.
            KeyCode::Esc if self.filter.is_empty() => return Effect::Quit,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('r') => self.reversed = !self.reversed,
            KeyCode::Char('/') => self.filter_typing = true,
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.help = true,
            KeyCode::Char('b') => self.mark_baseline(),
            KeyCode::Char('t') => return self.toggle_tree(),
            KeyCode::Char(' ') => return self.toggle_pause(),
            KeyCode::Enter | KeyCode::Right | KeyCode::Char('l') => self.open_or_enter(code),
            KeyCode::Left => self.close_or_leave(),
            KeyCode::Down | KeyCode::Char('j') => self.select(self.selected_index + 1),
            KeyCode::Up | KeyCode::Char('k') => self.select(self.selected_index.saturating_sub(1)),
            KeyCode::PageDown => self.select(self.selected_index + self.page),
            KeyCode::PageUp => self.select(self.selected_index.saturating_sub(self.page)),
            KeyCode::Home | KeyCode::Char('g') => self.select(0),
            KeyCode::End | KeyCode::Char('G') => self.select(usize::MAX),
            _ => {}
        }
        Effect::Nothing
    }

    fn mark_baseline(&mut self) {
        if let Some(latest) = &self.latest {
            self.changes.mark_baseline(latest.at, &latest.breakdown);
            self.marked_at = Some(latest.at);
        }
    }

    /// A tree's figures don't compare with a process's: history begins anew.
    fn toggle_tree(&mut self) -> Effect {
        if self.ended.is_some() {
            return Effect::Nothing;
        }
        self.tree = !self.tree;
        self.paused = false;
        self.latest = None;
        self.quick = None;
        self.history = History::default();
        self.changes = Changes::default();
        self.marked_at = None;
        Effect::Reading
    }

    fn toggle_pause(&mut self) -> Effect {
        if self.ended.is_some() {
            return Effect::Nothing;
        }
        self.paused = !self.paused;
        Effect::Reading
    }

    /// Enter also closes what is open; the arrow goes on to the first part.
    fn open_or_enter(&mut self, code: KeyCode) {
        let rows = self.rows();
        let Some(row) = rows.get(self.selected_index).filter(|row| row.has_parts()) else {
            return;
        };
        let (id, opened) = (row.id, row.opened);
        if !opened {
            self.opened.insert(id);
        } else if code == KeyCode::Enter {
            self.opened.remove(&id);
        } else {
            self.select(self.selected_index + 1);
        }
    }

    /// Closes the component, or goes to the one that the selected part belongs to.
    fn close_or_leave(&mut self) {
        let rows = self.rows();
        let Some(row) = rows.get(self.selected_index) else {
            return;
        };
        let id = row.id;
        if self.opened.contains(&id) {
            self.opened.remove(&id);
            return;
        }
        let depth = row.depth;
        if let Some(owner) = rows[..self.selected_index]
            .iter()
            .rposition(|row| row.depth < depth)
        {
            self.select(owner);
        }
    }

    fn select(&mut self, index: usize) {
        let rows = self.rows();
        let index = index.min(rows.len().saturating_sub(1));
        let id = rows.get(index).map(|row| row.id);
        self.selected = id;
        self.selected_index = index;
    }

    /// After any change: the selection stays on its component while that exists (else on its
    /// place), and the table scrolls so that it is seen.
    fn settle(&mut self) {
        let rows = self.rows();
        let count = rows.len();
        let stayed = self.selected.and_then(|id| {
            // Of several with one identity, the nearest.
            rows.iter()
                .enumerate()
                .filter(|(_, row)| row.id == id)
                .map(|(index, _)| index)
                .min_by_key(|index| index.abs_diff(self.selected_index))
        });
        let index = stayed
            .unwrap_or(self.selected_index)
            .min(count.saturating_sub(1));
        self.selected_index = index;
        // At the very top the selection stays at the top: the largest is what one wants to see.
        if index + 1 > self.top + self.page {
            self.top = index + 1 - self.page;
        }
        self.top = self.top.min(index).min(count.saturating_sub(self.page));
    }
}

#[cfg(test)]
mod tests;
