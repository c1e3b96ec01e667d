//! Text as people see it: snapshots at 80 and 120 columns, and the promises that hold for any
//! value: no line wider than asked, no control characters, printed figures that sum.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

mod fixture;

use plimsoll_model::{Breakdown, ProcessTable, Recorded};
use plimsoll_render::{
    Format, TextOptions, render_breakdown, render_process_table, render_recorded,
};

fn breakdown_text(breakdown: &Breakdown, options: &TextOptions) -> String {
    let mut out = Vec::new();
    render_breakdown(breakdown, Format::Text, options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn table_text(table: &ProcessTable, options: &TextOptions) -> String {
    let mut out = Vec::new();
    render_process_table(table, Format::Text, options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn recorded_text(recorded: &Recorded, options: &TextOptions) -> String {
    let mut out = Vec::new();
    render_recorded(recorded, Format::Text, options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_service_at_80_columns() {
    insta::assert_snapshot!(breakdown_text(&fixture::service(), &TextOptions::plain(80)));
}

/// Below what was read from outside, and only where a program says something.
#[test]
fn what_a_program_says_of_itself() {
    let report = |published| {
        let mut service = fixture::service();
        service.published = published;
        breakdown_text(&service, &TextOptions::plain(80))
    };
    let said = report(vec![fixture::published("thumbnails")]);
    let silent = report(Vec::new());
    let added: Vec<&str> = said.lines().filter(|line| !silent.contains(line)).collect();
    insta::assert_snapshot!(added.join("\n"));
    let two = report(vec![fixture::published("a"), fixture::published("b")]);
    assert_eq!(two.matches("what process 4121 says").count(), 2, "{two}");
}

#[test]
fn a_service_at_120_columns_with_everything_open() {
    let options = TextOptions {
        top: None,
        depth: 9,
        ..TextOptions::plain(120)
    };
    insta::assert_snapshot!(breakdown_text(&fixture::service(), &options));
}

#[test]
fn a_tree_with_swap_hugetlb_and_estimates() {
    insta::assert_snapshot!(breakdown_text(
        &fixture::full_breakdown(),
        &TextOptions::plain(80)
    ));
}

#[test]
fn processes_at_80_columns() {
    insta::assert_snapshot!(table_text(
        &fixture::process_table(),
        &TextOptions::plain(80)
    ));
}

#[test]
fn groups_at_120_columns() {
    let options = TextOptions {
        top: Some(3),
        ..TextOptions::plain(120)
    };
    insta::assert_snapshot!(table_text(&fixture::process_groups(), &options));
}

#[test]
fn a_run_at_80_columns() {
    insta::assert_snapshot!(recorded_text(&fixture::recorded(), &TextOptions::plain(80)));
}

#[test]
fn a_run_at_120_columns() {
    insta::assert_snapshot!(recorded_text(
        &fixture::recorded(),
        &TextOptions::plain(120)
    ));
}

#[test]
fn a_run_in_stages_at_80_columns() {
    let text = recorded_text(&fixture::staged_recorded(), &TextOptions::plain(80));
    insta::assert_snapshot!(stages_of(&text));
}

#[test]
fn a_run_in_stages_at_120_columns_that_was_killed() {
    let text = recorded_text(&fixture::killed_recorded(), &TextOptions::plain(120));
    insta::assert_snapshot!(stages_of(&text));
}

/// Conditions and stages of a report: what is above and below them has snapshots of its own.
fn stages_of(text: &str) -> String {
    let conditions = text.find("Cap: ").unwrap();
    let at_peak = text.find("at the peak:").unwrap();
    let stages = text.find("\nstages ").unwrap();
    let lines = text.find("\neach to its own").unwrap();
    format!("{}{}", &text[conditions..at_peak], &text[stages..lines])
}

#[test]
fn a_cap_tells_only_what_is_known_of_it() {
    use plimsoll_model::{CapMechanism, Recorded};
    let told = |change: &dyn Fn(&mut Recorded)| {
        let mut recorded = fixture::staged_recorded();
        change(&mut recorded);
        recorded_text(&recorded, &TextOptions::plain(400))
    };
    let check = |change: &dyn Fn(&mut Recorded), there: &[&str], absent: &[&str]| {
        let text = told(change);
        for words in there {
            assert!(text.contains(words), "{words}: {text}");
        }
        for words in absent {
            assert!(!text.contains(words), "{words}: {text}");
        }
    };
    let kill = "Just before the end";
    check(
        &|_| {},
        &["It was never reached.", "killed no process"],
        &[kill],
    );
    check(&|run| run.cap = None, &[], &["Cap:", kill]);
    check(&|run| run.pressure.clear(), &[], &["memory pressure"]);
    // Killed, but not by the kernel for this cap.
    check(
        &|run| run.meta.exit_signal = Some(9),
        &["SIGKILL came from somewhere else", kill],
        &[],
    );
    check(
        &|run| {
            let cap = run.cap.as_mut().unwrap();
            cap.mechanism = CapMechanism::DataLimit;
            (cap.charge_peak, cap.limit_hits, cap.oom_kills) = (None, None, None);
            cap.refused.clear();
        },
        &["by RLIMIT_DATA, for each process alone"],
        &[
            "Highest charge",
            "reached",
            "killed",
            "Nothing stronger",
            kill,
        ],
    );
    // A child of a run that goes on was killed before anything was read.
    check(
        &|run| {
            run.cap.as_mut().unwrap().oom_kills = Some(2);
            run.samples.clear();
            run.breakdowns.clear();
        },
        &[
            "The kernel killed 2 processes",
            "no sample was taken",
            "no breakdown was taken",
        ],
        &[],
    );
}

#[test]
fn a_thousand_cycles_are_summed_up() {
    let mut recorded = fixture::staged_recorded();
    let cycle = recorded.stages[3].clone();
    let last = recorded.stages.pop().unwrap();
    for number in 0..1000 {
        let mut cycle = cycle.clone();
        cycle.label = ["fill", "drain"][number % 2].to_owned();
        recorded.stages.push(cycle);
    }
    recorded.stages.push(last);
    let text = recorded_text(&recorded, &TextOptions::plain(80));
    let table = &text[text.find("\nstages ").unwrap()..];
    let table = &table[..table.find("\n\n").unwrap()];
    assert!(table.lines().count() < 40, "{table}");
    // What is there once is not hidden by what repeats.
    for once in ["load", "warm the database", "release"] {
        assert!(table.contains(once), "{once}: {table}");
    }
    assert!(table.contains("994 more stages"), "{table}");
    assert!(text.contains("stages that repeat"), "{text}");
    let fill = text
        .lines()
        .find(|line| line.starts_with("fill   ") && line.contains(" 500 "));
    assert!(fill.is_some(), "{text}");
}

#[test]
fn a_count_of_processes_that_may_be_more_says_so() {
    use plimsoll_model::ProcessCount;
    let text_of = |count, complete| {
        let mut breakdown = fixture::service();
        breakdown.components.truncate(1);
        breakdown.components[0].sharing.processes = Some(ProcessCount { count, complete });
        breakdown_text(&breakdown, &TextOptions::plain(120))
    };
    assert!(text_of(3, true).contains("shared by 3 processes"));
    assert!(text_of(3, false).contains("shared by at least 3 processes"));
    assert!(!text_of(1, false).contains("processes"));
}

#[test]
fn hostile_names_at_80_columns() {
    insta::assert_snapshot!(breakdown_text(
        &fixture::hostile_breakdown(),
        &TextOptions::plain(80)
    ));
}

#[test]
fn hostile_names_neither_widen_lines_nor_reach_the_terminal() {
    for width in [80, 99, 100, 133] {
        for (depth, top) in [(0, Some(3)), (1, Some(12)), (9, None)] {
            let options = TextOptions {
                width,
                color: false,
                depth,
                top,
            };
            for text in [
                breakdown_text(&fixture::hostile_breakdown(), &options),
                breakdown_text(&fixture::full_breakdown(), &options),
                table_text(&fixture::hostile_table(), &options),
                table_text(&fixture::process_groups(), &options),
                recorded_text(&fixture::hostile_recorded(), &options),
                recorded_text(&fixture::killed_recorded(), &options),
            ] {
                assert!(
                    fixture::widest(&text) <= usize::from(width),
                    "{width}:\n{text}"
                );
                let control = text.chars().find(|c| c.is_control() && *c != '\n');
                assert_eq!(control, None, "{text}");
            }
        }
    }
}

#[test]
fn colour_adds_nothing_but_codes() {
    let plain = TextOptions::plain(80);
    let colored = TextOptions {
        color: true,
        ..plain
    };
    let mut text = recorded_text(&fixture::recorded(), &colored);
    assert!(text.contains("\u{1b}[1m"));
    for code in ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m"] {
        text = text.replace(code, "");
    }
    assert_eq!(text, recorded_text(&fixture::recorded(), &plain));
}

#[test]
fn a_breakdown_far_from_the_peak_does_not_stand_for_it() {
    let mut recorded = fixture::recorded();
    recorded.breakdowns.truncate(6);
    let text = recorded_text(&recorded, &TextOptions::plain(80));
    assert!(text.contains("What it was made of was not"), "{text}");
    assert!(text.contains("near peak"), "{text}");
    assert!(!text.contains("at peak"), "{text}");
}

#[test]
fn nothing_recorded_is_said() {
    let mut recorded = fixture::recorded();
    recorded.samples.clear();
    recorded.breakdowns.clear();
    recorded.processes.clear();
    recorded.meta.complete = false;
    recorded.meta.exit_code = None;
    recorded.meta.length = std::time::Duration::ZERO;
    let text = recorded_text(&recorded, &TextOptions::plain(80));
    assert!(text.contains("Nothing was recorded"), "{text}");
    assert!(text.contains("cut off"), "{text}");
    assert!(text.contains("pid 4121"), "{text}");
}

#[test]
fn a_run_shorter_than_an_interval_is_told_as_that() {
    use plimsoll_model::Bytes;
    let mut recorded = fixture::recorded();
    recorded.samples.truncate(1);
    recorded.processes.truncate(1);
    recorded.processes[0].rss_peak = Bytes::ZERO;
    recorded.breakdowns.clear();
    recorded.meta.samples_taken = 1;
    recorded.meta.length = std::time::Duration::from_millis(3);
    recorded.meta.recorder_cpu = std::time::Duration::from_millis(2);
    let text = recorded_text(&recorded, &TextOptions::plain(120));
    assert!(text.contains("Only one sample was taken"), "{text}");
    assert!(
        text.contains("1 sample and no breakdown; recording took 2.00 ms"),
        "{text}"
    );
    // A share of a run of milliseconds, and a line of one point, say nothing.
    assert!(
        !text.contains("one core") && !text.contains("each to its own"),
        "{text}"
    );

    recorded.samples.clear();
    recorded.meta.samples_taken = 0;
    let text = recorded_text(&recorded, &TextOptions::plain(120));
    assert!(text.contains("it ended before the first look"), "{text}");
    assert!(text.contains("no sample and no breakdown"), "{text}");
}

#[test]
fn a_start_that_was_not_recorded_is_not_made_up() {
    let text = recorded_text(
        &fixture::cut_off_before_its_start(),
        &TextOptions::plain(80),
    );
    assert!(text.contains("the start was not recorded"), "{text}");
    assert!(!text.contains("pid 0") && !text.contains("1970"), "{text}");
}

/// Bytes of a printed figure, with the half unit of its last digit that it may be off.
fn printed(figure: &str) -> Option<(f64, f64)> {
    let (number, unit) = figure.split_once(' ')?;
    let scale = match unit {
        "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let decimals = number.split_once('.').map_or(0, |(_, tail)| tail.len());
    let rounding = 0.5 / 10f64.powi(i32::try_from(decimals).ok()?);
    Some((number.parse::<f64>().ok()? * scale, rounding * scale))
}

proptest::proptest! {
    /// Any name: printable, control, reordering, wide.
    #[test]
    fn no_name_widens_a_line_or_reaches_the_terminal(
        names in proptest::collection::vec(
            "[ -~\\u{0}-\\u{1f}\\u{7f}-\\u{9f}\\u{200b}-\\u{200f}\\u{202a}-\\u{202e}日本語ｗ🦀]{0,90}",
            1..6,
        ),
        width in 0u16..140,
    ) {
        use plimsoll_model::{Bytes, Kind};
        let components = names
            .iter()
            .map(|name| {
                let mut component = fixture::anonymous(name, Kind::Heap, Bytes::mib(9));
                component.detail = name.clone();
                let part = fixture::anonymous(name, Kind::Heap, Bytes::mib(9));
                component.parts = vec![part.clone(), part];
                component
            })
            .collect();
        let mut breakdown = fixture::breakdown_of(components);
        breakdown.verdict = names.join(" ");
        breakdown.process.command = names;
        let text = breakdown_text(&breakdown, &TextOptions::plain(width));
        proptest::prop_assert!(fixture::widest(&text) <= usize::from(width.max(80)), "{text}");
        let hidden = |c: char| {
            (c.is_control() && c != '\n') || ('\u{200b}'..='\u{202e}').contains(&c)
        };
        proptest::prop_assert!(!text.contains(hidden), "{text}");
    }

    /// However many components are collapsed, the RSS column adds up to the total.
    #[test]
    fn printed_components_sum_to_the_total(
        sizes in proptest::collection::vec(0u64..3_000_000, 1..40),
        top in proptest::option::of(0usize..20),
        width in 80u16..140,
    ) {
        use plimsoll_model::{Bytes, Kind};
        let mut sizes = sizes;
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let components = sizes
            .iter()
            .enumerate()
            .map(|(number, kib)| {
                fixture::anonymous(&format!("c{number}"), Kind::Heap, Bytes::kib(*kib))
            })
            .collect();
        let breakdown = fixture::breakdown_of(components);
        let options = TextOptions { top, ..TextOptions::plain(width) };
        let text = breakdown_text(&breakdown, &options);
        proptest::prop_assert!(fixture::widest(&text) <= usize::from(width));
        let (mut sum, mut rounding) = (0.0, 1.0);
        let rows = text
            .lines()
            .skip_while(|line| !line.starts_with("component "))
            .skip(1)
            .take_while(|line| !line.is_empty())
            .filter(|line| !line.starts_with(' '));
        for row in rows {
            // Cells are two or more spaces apart.
            let cells: Vec<&str> = row.split("  ").filter(|cell| !cell.is_empty()).collect();
            let (bytes, off) = printed(cells[1].trim()).expect("the second cell is RSS");
            sum += bytes;
            rounding += off;
        }
        let total = breakdown.totals.usage.resident.0 as f64;
        proptest::prop_assert!((sum - total).abs() <= rounding, "{sum} != {total}\n{text}");
    }
}
