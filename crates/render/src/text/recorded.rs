//! The report of a run as text: peak and what it was made of, before and after, the time line.

use std::io::{self, Write};
use std::time::Duration;

use plimsoll_model::{Bytes, Component, ProcessRecord, Recorded, RecordingMeta, TimedBreakdown};

use super::breakdown::reclaim_pieces;
use super::page::{Page, Tone};
use super::table::{Align, Row, Table};
use super::time_line::{cell_of, time_line};
use crate::options::TextOptions;
use crate::printable::{columns, fit, printable};
use crate::quantity::{change, count, date, percent, span};
use crate::run::Run;

/// Components with a time line of their own.
const TIME_LINES: usize = 6;

/// Column of names beside a time line.
const TIME_LINE_NAME: usize = 24;

pub(crate) fn recorded(
    recorded: &Recorded,
    options: &TextOptions,
    w: &mut dyn Write,
) -> io::Result<()> {
    let run = Run::of(recorded);
    let mut page = Page::new(w, options);
    head(&mut page, recorded)?;
    page.blank()?;
    page.paragraph(Tone::Bold, "", &run.verdict())?;
    kernel_peak(&mut page, &run)?;
    if let Some(witness) = &run.witness {
        page.blank()?;
        page.line(Tone::Plain, "at the peak:")?;
        let totals = &witness.timed.breakdown.totals;
        page.pieces(Tone::Plain, 2, &reclaim_pieces(&totals.reclaim))?;
        page.blank()?;
        stages(&mut page, &run, witness.timed, options)?;
    }
    time_lines(&mut page, &run)?;
    processes(&mut page, recorded, options)?;
    events(&mut page, recorded)?;
    page.gaps(&recorded.gaps)?;
    cost(&mut page, recorded)
}

fn head(page: &mut Page<'_>, recorded: &Recorded) -> io::Result<()> {
    let meta = &recorded.meta;
    let root = recorded
        .processes
        .iter()
        .find(|process| process.id == meta.root);
    let command = if !meta.command.is_empty() {
        meta.command.join(" ")
    } else if let Some(root) = root.filter(|root| !root.command.is_empty()) {
        root.command.join(" ")
    } else {
        root.map_or_else(String::new, |root| root.name.clone())
    };
    let safe = printable(&command);
    page.line(Tone::Plain, &fit(&safe, page.width))?;
    let pieces = [
        format!("pid {}", meta.root.pid),
        date(meta.started_at),
        format!("recorded for {}", span(meta.length)),
        ending(meta),
    ];
    page.pieces(Tone::Plain, 0, &pieces)
}

pub(super) fn ending(meta: &RecordingMeta) -> String {
    match (meta.exit_code, meta.exit_signal) {
        (_, Some(signal)) => format!("ended by signal {signal}"),
        (Some(code), None) => format!("exit code {code}"),
        (None, None) if meta.complete => "still running at the end of the recording".to_owned(),
        (None, None) => {
            "cut off: the recorder did not finish, at most the last second is missing".to_owned()
        }
    }
}

/// The kernel sees every peak, a sampler only some: says so when the two differ.
fn kernel_peak(page: &mut Page<'_>, run: &Run<'_>) -> io::Result<()> {
    let (Some(peak), Some(kernel)) = (run.peak, run.kernel_peak()) else {
        return Ok(());
    };
    if run.recorded.processes.len() != 1 || kernel <= peak.rss {
        return Ok(());
    }
    page.paragraph(
        Tone::Plain,
        "",
        &format!(
            "The kernel's own high-water mark is {kernel}: samples every {} saw {} of it.",
            span(run.recorded.meta.interval),
            percent(peak.rss, kernel)
        ),
    )
}

/// Before, at the peak and at the end, component by component.
fn stages(
    page: &mut Page<'_>,
    run: &Run<'_>,
    peak: &TimedBreakdown,
    options: &TextOptions,
) -> io::Result<()> {
    let stages = Stages {
        before: run.before(),
        peak,
        end: run.end(),
    };
    let mut titles = vec![("component", Align::Name)];
    if stages.before.is_some() {
        titles.push(("before", Align::Right));
    }
    titles.push(("at peak", Align::Right));
    if stages.end.is_some() {
        titles.push(("end", Align::Right));
    }
    if stages.changes() {
        titles.push(("change", Align::Right));
    }
    let mut table = Table::new(titles);
    table.push(stages.times());
    let names = stages.names();
    let shown = match options.top {
        Some(top) if names.len() > top + 1 => top,
        _ => names.len(),
    };
    for name in &names[..shown] {
        table.push(stages.row(&printable(name), Tone::Plain, |component| {
            component.name == *name
        }));
    }
    let rest = &names[shown..];
    if !rest.is_empty() {
        let title = format!("{} smaller components", rest.len());
        table.push(stages.row(&title, Tone::Dim, |component| {
            rest.contains(&component.name.as_str())
        }));
    }
    table.push(stages.row("sum", Tone::Bold, |_| true));
    table.write(page)
}

struct Stages<'a> {
    before: Option<&'a TimedBreakdown>,
    peak: &'a TimedBreakdown,
    end: Option<&'a TimedBreakdown>,
}

impl<'a> Stages<'a> {
    fn all(&self) -> impl Iterator<Item = &'a TimedBreakdown> {
        self.before.into_iter().chain([self.peak]).chain(self.end)
    }

    fn changes(&self) -> bool {
        self.before.is_some() || self.end.is_some()
    }

    /// Every component of any stage, the largest at the peak first.
    fn names(&self) -> Vec<&'a str> {
        let mut names: Vec<&str> = Vec::new();
        for timed in self.all() {
            for component in &timed.breakdown.components {
                if !names.contains(&component.name.as_str()) {
                    names.push(&component.name);
                }
            }
        }
        let most = |name: &str| {
            let at_peak = resident(self.peak, |component| component.name == name);
            let anywhere = self
                .all()
                .map(|timed| resident(timed, |component| component.name == name))
                .max();
            (at_peak, anywhere)
        };
        names.sort_by_cached_key(|name| std::cmp::Reverse(most(name)));
        names
    }

    fn times(&self) -> Row {
        let mut cells = vec![String::new()];
        cells.extend(self.all().map(|timed| span(timed.at)));
        if self.changes() {
            cells.push(
                match (self.before, self.end) {
                    (Some(_), Some(_)) => "before to end",
                    (Some(_), None) => "before to peak",
                    _ => "peak to end",
                }
                .to_owned(),
            );
        }
        let mut row = Row::new(cells);
        row.tone = Tone::Dim;
        row
    }

    fn row(&self, title: &str, tone: Tone, wanted: impl Fn(&Component) -> bool) -> Row {
        let figures: Vec<Bytes> = self.all().map(|timed| resident(timed, &wanted)).collect();
        let mut cells = vec![title.to_owned()];
        cells.extend(figures.iter().map(Bytes::to_string));
        if self.changes() {
            cells.push(change(figures[0], figures[figures.len() - 1]));
        }
        let mut row = Row::new(cells);
        row.tone = tone;
        row
    }
}

fn resident(timed: &TimedBreakdown, wanted: impl Fn(&Component) -> bool) -> Bytes {
    timed
        .breakdown
        .components
        .iter()
        .filter(|component| wanted(component))
        .map(|component| component.usage.resident)
        .sum()
}

fn time_lines(page: &mut Page<'_>, run: &Run<'_>) -> io::Result<()> {
    let length = run.recorded.meta.length;
    let Some(peak) = run.peak else {
        return Ok(());
    };
    page.blank()?;
    let width = page.width - TIME_LINE_NAME - 2 - 10;
    let write = |page: &mut Page<'_>, name: &str, points: &[(Duration, Bytes)]| {
        let highest = points.iter().map(|(_, bytes)| *bytes).max();
        let name = fit(name, TIME_LINE_NAME).into_owned();
        let padding = " ".repeat(TIME_LINE_NAME - columns(&name));
        let line = time_line(points, length, peak.rss, width);
        let highest = highest.unwrap_or_default().to_string();
        page.line(
            Tone::Plain,
            &format!("{name}{padding}  {line} {highest:>9}"),
        )
    };
    let title = format!(
        "{:TIME_LINE_NAME$}  {:width$} {:>9}",
        "over time", "", "highest"
    );
    page.line(Tone::Bold, &title)?;
    let totals: Vec<(Duration, Bytes)> = run
        .totals
        .iter()
        .map(|total| (total.at, total.rss))
        .collect();
    write(page, "RSS, all processes", &totals)?;
    for name in largest_ever(run.recorded, TIME_LINES) {
        let points: Vec<(Duration, Bytes)> = run
            .recorded
            .breakdowns
            .iter()
            .map(|timed| {
                (
                    timed.at,
                    resident(timed, |component| component.name == name),
                )
            })
            .collect();
        write(page, &printable(name), &points)?;
    }
    let mut axis = " ".repeat(TIME_LINE_NAME + 2);
    axis.push_str(&axis_marks(peak.at, length, width));
    page.line(Tone::Dim, &axis)
}

/// "0 s      ^ peak 3 min 4 s      5 min 0 s" under the lines.
fn axis_marks(peak: Duration, length: Duration, width: usize) -> String {
    let start = "0 s";
    let end = span(length);
    let cell = cell_of(peak, length, width);
    let mark = format!("^ peak {}", span(peak));
    let mut line = vec![' '; width];
    let mut put = |at: usize, text: &str| {
        let free = at + text.len() <= line.len()
            && line[at.saturating_sub(1)..at + text.len()]
                .iter()
                .all(|c| *c == ' ');
        if free {
            line[at..at + text.len()]
                .iter_mut()
                .zip(text.chars())
                .for_each(|(cell, c)| *cell = c);
        }
        free
    };
    let left = format!("peak {} ^", span(peak));
    let placed = put(cell, &mark) || (cell + 1 >= left.len() && put(cell + 1 - left.len(), &left));
    if !placed {
        put(cell, "^");
    }
    put(0, start);
    put(width.saturating_sub(end.len()), &end);
    line.into_iter().collect()
}

/// Names of the components that were largest at any time, largest first.
fn largest_ever(recorded: &Recorded, limit: usize) -> Vec<&str> {
    let mut largest: Vec<(&str, Bytes)> = Vec::new();
    for timed in &recorded.breakdowns {
        for component in &timed.breakdown.components {
            let bytes = component.usage.resident;
            match largest.iter_mut().find(|(name, _)| *name == component.name) {
                Some((_, most)) => *most = (*most).max(bytes),
                None => largest.push((&component.name, bytes)),
            }
        }
    }
    largest.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    largest
        .into_iter()
        .filter(|(_, bytes)| !bytes.is_zero())
        .take(limit)
        .map(|(name, _)| name)
        .collect()
}

fn processes(page: &mut Page<'_>, recorded: &Recorded, options: &TextOptions) -> io::Result<()> {
    if recorded.processes.is_empty() {
        return Ok(());
    }
    let mut processes: Vec<&ProcessRecord> = recorded.processes.iter().collect();
    processes.sort_by_key(|process| std::cmp::Reverse(process.rss_peak));
    let shown = match options.top {
        Some(top) if processes.len() > top + 1 => top,
        _ => processes.len(),
    };
    page.blank()?;
    let mut table = Table::new(vec![
        ("PID", Align::Right),
        ("peak RSS", Align::Right),
        ("from", Align::Right),
        ("to", Align::Right),
        ("process", Align::Name),
    ]);
    for process in &processes[..shown] {
        let command = if process.command.is_empty() {
            process.name.clone()
        } else {
            process.command.join(" ")
        };
        table.push(Row::new(vec![
            process.id.pid.to_string(),
            process.rss_peak.to_string(),
            span(process.first_seen),
            process.ended.map_or_else(|| "-".to_owned(), span),
            printable(&command).into_owned(),
        ]));
    }
    table.write(page)?;
    if shown < processes.len() {
        let rest = (processes.len() - shown) as u64;
        page.line(
            Tone::Dim,
            &count(rest, "smaller process", "smaller processes"),
        )?;
    }
    Ok(())
}

/// Interruptions only: starts and ends of processes are in their table.
fn events(page: &mut Page<'_>, recorded: &Recorded) -> io::Result<()> {
    use plimsoll_model::EventKind;
    for event in &recorded.events {
        if event.kind == EventKind::Interrupted {
            page.paragraph(
                Tone::Plain,
                "",
                &format!("at {}: {}", span(event.at), event.text),
            )?;
        }
    }
    Ok(())
}

fn cost(page: &mut Page<'_>, recorded: &Recorded) -> io::Result<()> {
    let meta = &recorded.meta;
    let length = meta.length.as_secs_f64();
    let share = if length > 0.0 {
        format!(
            ", {:.2}% of one core",
            meta.recorder_cpu.as_secs_f64() / length * 100.0
        )
    } else {
        String::new()
    };
    let hold = recorded
        .breakdowns
        .iter()
        .map(|timed| timed.breakdown.cost.longest_hold)
        .max();
    let hold = hold.map_or_else(String::new, |hold| {
        format!(
            "; held the target's memory lock at most {} at a time",
            span(hold)
        )
    });
    let text = format!(
        "{} every {} and {}; recording took {} of processor time{share}{hold}",
        count(meta.samples_taken, "sample", "samples"),
        span(meta.interval),
        count(recorded.breakdowns.len() as u64, "breakdown", "breakdowns"),
        span(meta.recorder_cpu),
    );
    page.blank()?;
    page.paragraph(Tone::Dim, "", &text)
}
