//! The report of a run as text: peak and what it was made of, before and after, the time line.

use std::io::{self, Write};
use std::time::Duration;

use plimsoll_model::{Bytes, ProcessRecord, Recorded};

use super::breakdown::reclaim_pieces;
use super::chart::{time_line, time_mark};
use super::page::{Page, Tone};
use super::published;
use super::stages::stages;
use super::table::{Align, Row, Table};
use crate::figures::moments::{Moments, resident};
use crate::figures::run::{Run, facts};
use crate::options::TextOptions;
use crate::printable::{columns, fit, printable};
use crate::words::amount::change;
use crate::words::conditions::{before_the_kill, cap_words, pressure_words};
use crate::words::time::span;

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
    if let Some(note) = run.kernel_peak_note() {
        page.paragraph(Tone::Plain, "", &note)?;
    }
    conditions(&mut page, recorded)?;
    if let Some(witness) = &run.witness {
        page.blank()?;
        page.line(
            Tone::Plain,
            if run.tells_the_peak() {
                "at the peak:"
            } else {
                "at the breakdown nearest to the peak:"
            },
        )?;
        let totals = &witness.timed.breakdown.totals;
        page.pieces(Tone::Plain, 2, ",", &reclaim_pieces(&totals.reclaim))?;
    }
    if let Some(three) = Moments::of(&run) {
        page.blank()?;
        moments(&mut page, &three, options)?;
    }
    if let Some(witness) = &run.witness {
        published::write(&mut page, &witness.timed.breakdown.published, options)?;
    }
    stages(&mut page, recorded, options)?;
    time_lines(&mut page, &run)?;
    processes(&mut page, recorded, options)?;
    events(&mut page, recorded)?;
    page.gaps(&run.gaps())?;
    page.blank()?;
    page.paragraph(Tone::Dim, "", &run.cost_note())
}

/// The cap, who held what when it struck, and the machine's memory pressure.
fn conditions(page: &mut Page<'_>, recorded: &Recorded) -> io::Result<()> {
    if let Some(cap) = cap_words(recorded) {
        page.blank()?;
        page.paragraph(Tone::Plain, "", &cap)?;
    }
    if let Some(words) = before_the_kill(recorded) {
        page.paragraph(Tone::Bold, "", &words)?;
    }
    if let Some(pressure) = pressure_words(recorded) {
        page.blank()?;
        page.paragraph(Tone::Plain, "", &pressure)?;
    }
    Ok(())
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
    page.pieces(Tone::Plain, 0, ",", &facts(meta))
}

/// Before, at the peak and at the end, component by component.
fn moments(page: &mut Page<'_>, moments: &Moments<'_>, options: &TextOptions) -> io::Result<()> {
    let mut titles = vec![("component", Align::Name)];
    let mut times = vec![String::new()];
    for (title, timed) in moments.titled() {
        titles.push((title, Align::Right));
        times.push(span(timed.at));
    }
    if let Some(title) = moments.change_title() {
        titles.push(("change", Align::Right));
        times.push(title.to_owned());
    }
    let mut table = Table::new(titles);
    let mut times = Row::new(times);
    times.tone = Tone::Dim;
    table.push(times);
    let names = moments.names();
    let shown = options.shown_of(names.len());
    for name in &names[..shown] {
        let figures = moments.figures(|component| component.name == *name);
        table.push(moment_row(moments, &printable(name), Tone::Plain, &figures));
    }
    let rest = &names[shown..];
    if !rest.is_empty() {
        let title = format!("{} smaller components", rest.len());
        let figures = moments.figures(|component| rest.contains(&component.name.as_str()));
        table.push(moment_row(moments, &title, Tone::Dim, &figures));
    }
    let sums = moments.figures(|_| true);
    table.push(moment_row(moments, "sum", Tone::Bold, &sums));
    table.write(page)
}

fn moment_row(moments: &Moments<'_>, title: &str, tone: Tone, figures: &[Bytes]) -> Row {
    let mut cells = vec![title.to_owned()];
    cells.extend(figures.iter().map(Bytes::to_string));
    if moments.change_title().is_some() {
        cells.push(change(figures[0], figures[figures.len() - 1]));
    }
    let mut row = Row::new(cells);
    row.tone = tone;
    row
}

fn time_lines(page: &mut Page<'_>, run: &Run<'_>) -> io::Result<()> {
    let length = run.recorded.meta.length;
    // A line of one instant says nothing.
    let Some(peak) = run.peak.filter(|_| run.totals.len() > 1) else {
        return Ok(());
    };
    page.blank()?;
    let width = page.width - TIME_LINE_NAME - 2 - 10;
    let write = |page: &mut Page<'_>, name: &str, points: &[(Duration, Bytes)]| {
        let highest = points.iter().map(|(_, bytes)| *bytes).max();
        let highest = highest.unwrap_or_default();
        let name = fit(name, TIME_LINE_NAME).into_owned();
        let padding = " ".repeat(TIME_LINE_NAME - columns(&name));
        let line = time_line(points, length, highest, width);
        let highest = highest.to_string();
        page.line(
            Tone::Plain,
            &format!("{name}{padding}  {line} {highest:>9}"),
        )
    };
    let title = format!(
        "{:TIME_LINE_NAME$}  {:width$} {:>9}",
        "each to its own highest", "", "highest"
    );
    page.line(Tone::Bold, &title)?;
    let totals: Vec<(Duration, Bytes)> = run
        .totals
        .iter()
        .map(|total| (total.at, total.rss))
        .collect();
    write(page, "RSS, all processes", &totals)?;
    for name in largest_ever(run.recorded, peak.rss, TIME_LINES) {
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
    let cell = time_mark(peak, length, width);
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

/// A component that never held this share of the peak has no line of its own.
const TIME_LINE_RATIO_MIN: f64 = 0.01;

/// Names of the components that were largest at any time, largest first.
fn largest_ever(recorded: &Recorded, peak: Bytes, limit: usize) -> Vec<&str> {
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
        .filter(|(_, bytes)| bytes.ratio_of(peak) >= TIME_LINE_RATIO_MIN)
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
    let shown = options.shown_of(processes.len());
    page.blank()?;
    let mut table = Table::new(vec![
        ("PID", Align::Right),
        ("peak RSS", Align::Right),
        ("from", Align::Right),
        ("to", Align::Right),
        ("process", Align::Name),
    ]);
    for process in &processes[..shown] {
        table.push(Row::new(vec![
            process.id.pid.to_string(),
            process.rss_peak.to_string(),
            span(process.first_seen),
            process.ended.map_or_else(|| "-".to_owned(), span),
            printable(&command_line(process)).into_owned(),
        ]));
    }
    table.write(page)?;
    page.more(
        processes.len() - shown,
        "smaller process",
        "smaller processes",
    )
}

/// The program without its folders, which are long where a tool chain has its own, and its arguments.
fn command_line(process: &ProcessRecord) -> String {
    let Some((program, arguments)) = process.command.split_first() else {
        return process.name.clone();
    };
    let name = program.rsplit('/').next().filter(|name| !name.is_empty());
    let mut words = vec![name.unwrap_or(program)];
    words.extend(arguments.iter().map(String::as_str));
    words.join(" ")
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
