//! The loop between the readers, the keys and the screen.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use ratatui::crossterm::event::Event;

use super::command::Command;
use super::draw::{Ink, Layout, draw};
use super::keys::{Key, Keys};
use super::reader::{Reader, Wanted};
use super::reading::What;
use super::state::{Effect, State};
use super::terminal::{self, Line, Screen};

/// How long the loop waits for a key before it looks for readings and signals.
const KEY_WAIT: Duration = Duration::from_millis(50);

/// Without news the screen is drawn again after this time, for the clock.
const CLOCK_STEP: Duration = Duration::from_secs(1);

/// Readings taken in before the screen is drawn: all that the channel can hold.
const READINGS_A_TURN: usize = 16;

/// Keys taken before the screen is drawn: a held key repeats faster than a screen is drawn.
const KEYS_A_TURN: usize = 64;

/// Why the view ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Quit,
    Signal(u8),
}

/// Shows the process until the user, a signal or the end of the terminal ends it.
pub(super) fn live(
    pid: u32,
    command: Option<&mut Command>,
    interval: Duration,
) -> anyhow::Result<Outcome> {
    terminal::note_signals().context("can't handle signals")?;
    let began = Instant::now();
    let reader = Reader::start(pid, interval, began);
    let name = command.as_ref().map(|command| command.name.clone());
    let line = Arc::new(Line::open().context("can't read keys from the terminal")?);
    let mut view = View {
        state: State::new(pid, name),
        reader,
        began,
        command,
        read_once: false,
        line: Arc::clone(&line),
    };
    let mut screen = Screen::open()?;
    let keys = Keys::start(line);
    view.run(&mut screen, &keys)
}

#[derive(Debug)]
struct View<'a> {
    state: State,
    reader: Reader,
    began: Instant,
    command: Option<&'a mut Command>,
    /// Whether the subject could ever be read.
    read_once: bool,
    line: Arc<Line>,
}

impl View<'_> {
    fn run(&mut self, screen: &mut Screen, keys: &Keys) -> anyhow::Result<Outcome> {
        // https://no-color.org
        let color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let mut drawn: Option<Instant> = None;
        loop {
            if self.line.is_gone() {
                terminal::note_hang_up();
            }
            if let Some(signal) = terminal::signal() {
                return Ok(Outcome::Signal(signal));
            }
            let finished = self.reader.finished();
            let mut news = self.take_readings()?;
            news |= self.look_after_command()?;
            if finished && self.state.ended.is_none() {
                bail!("the thread that reads has failed; its message is above");
            }
            self.state.tick(self.began.elapsed());
            if news || drawn.is_none_or(|drawn| drawn.elapsed() >= CLOCK_STEP) {
                let failed = self.draw(screen, color).err();
                if let Some(error) = failed.filter(|_| !self.line.is_gone()) {
                    return Err(error);
                }
                drawn = Some(Instant::now());
            }
            match self.take_keys(keys)? {
                Turn::Lost => terminal::note_hang_up(),
                Turn::Quit => return Ok(Outcome::Quit),
                Turn::Redraw => drawn = None,
                Turn::Nothing => {}
            }
        }
    }

    fn draw(&mut self, screen: &mut Screen, color: bool) -> anyhow::Result<()> {
        let state = &mut self.state;
        let drawn = screen.terminal.draw(|frame| {
            if let Some(layout) = Layout::of(frame.area()) {
                state.fit(layout.page());
            }
            draw(state, Ink { color }, frame.area(), frame.buffer_mut());
        });
        drawn.context("can't draw on the terminal")?;
        Ok(())
    }

    /// `true` when there were any. An error before the first success is final: a process that
    /// can't be read, or that has ended already.
    fn take_readings(&mut self) -> anyhow::Result<bool> {
        let mut news = false;
        for _ in 0..READINGS_A_TURN {
            let Ok(reading) = self.reader.readings.try_recv() else {
                break;
            };
            news = true;
            match &reading.what {
                What::Breakdown { .. } => self.read_once = true,
                What::Failed(_) | What::Ended(_) if !self.read_once => {
                    bail!(self.never_read(&reading.what));
                }
                What::Quick(_) | What::Failed(_) | What::Ended(_) => {}
            }
            self.state.accept(reading);
        }
        Ok(news)
    }

    fn never_read(&mut self, what: &What) -> String {
        match (
            self.command.as_mut().and_then(|command| command.ended()),
            what,
        ) {
            (Some(how), _) => format!("the command ended before it could be read: {how}"),
            (None, What::Failed(why)) => why.clone(),
            (None, _) => format!("process {} ended before it could be read", self.state.pid),
        }
    }

    /// `true` when the command has just ended.
    fn look_after_command(&mut self) -> anyhow::Result<bool> {
        let Some(how) = self.command.as_mut().and_then(|command| command.ended()) else {
            return Ok(false);
        };
        if !self.read_once {
            bail!("the command ended before it could be read: {how}");
        }
        let news = self.state.ended.as_deref() != Some(how.as_str());
        self.state.end_with_exit(how);
        Ok(news)
    }

    fn take_keys(&mut self, keys: &Keys) -> anyhow::Result<Turn> {
        let mut turn = Turn::Nothing;
        let mut wait = KEY_WAIT;
        for _ in 0..KEYS_A_TURN {
            let event = match keys.next(wait) {
                None => break,
                Some(Key::Event(event)) => event,
                Some(Key::Lost) => return Ok(Turn::Lost),
                Some(Key::Failed(_)) if self.line.is_gone() => return Ok(Turn::Lost),
                Some(Key::Failed(error)) => {
                    return Err(error).context("can't read keys from the terminal");
                }
            };
            wait = Duration::ZERO;
            turn = Turn::Redraw;
            // Only keys do something; all else, as a new size, asks for a new drawing.
            let Event::Key(key) = event else {
                continue;
            };
            match self.state.press(key) {
                Effect::Quit => return Ok(Turn::Quit),
                Effect::Reading => self.reader.want(Wanted {
                    tree: self.state.tree,
                    paused: self.state.paused,
                    stopped: false,
                }),
                Effect::Nothing => {}
            }
        }
        Ok(turn)
    }
}

/// What the keys of one turn ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Nothing,
    Redraw,
    Quit,
    /// There is no terminal for us any more.
    Lost,
}
