//! HTML pages: snapshots of what is there without scripts, and the promises of the format.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

mod fixture;

use plimsoll_model::{Breakdown, ProcessTable, Recorded};
use plimsoll_render::{
    CheckFormat, Format, TextOptions, render_breakdown, render_check, render_compare, render_fit,
    render_leak, render_process_table, render_recorded, render_scale,
};

fn breakdown_page(breakdown: &Breakdown) -> String {
    let mut out = Vec::new();
    render_breakdown(breakdown, Format::Html, &TextOptions::plain(80), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn table_page(table: &ProcessTable) -> String {
    let mut out = Vec::new();
    render_process_table(table, Format::Html, &TextOptions::plain(80), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn recorded_page(recorded: &Recorded) -> String {
    let mut out = Vec::new();
    render_recorded(recorded, Format::Html, &TextOptions::plain(80), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The page without style, data and script: what a reader without scripts gets.
fn fixed_part(page: &str) -> &str {
    let start = page.find("<body>").expect("a page has a body");
    let end = page.find("<script").expect("a page has its data");
    &page[start..end]
}

#[test]
fn a_service() {
    insta::assert_snapshot!(fixed_part(&breakdown_page(&fixture::service())));
}

#[test]
fn processes() {
    insta::assert_snapshot!(fixed_part(&table_page(&fixture::process_table())));
}

#[test]
fn a_run() {
    insta::assert_snapshot!(fixed_part(&recorded_page(&fixture::recorded())));
}

#[test]
fn a_run_in_stages() {
    let page = recorded_page(&fixture::killed_recorded());
    let fixed = fixed_part(&page);
    let start = fixed.find("<p class=\"condition\"").unwrap();
    let end = fixed.find("<section id=\"picked\"").unwrap();
    insta::assert_snapshot!(&fixed[start..end]);
    let data = &page[page.find("id=\"data\">").unwrap()..];
    assert!(data.contains(r#""stages":[[0.0,2.04,"(start)","#));
}

#[test]
fn hostile_names_stay_text() {
    for page in [
        breakdown_page(&fixture::hostile_breakdown()),
        table_page(&fixture::hostile_table()),
        recorded_page(&fixture::hostile_recorded()),
    ] {
        // The data and the program, and nothing that a name brought along.
        assert_eq!(page.matches("<script").count(), 2);
        assert_eq!(page.matches("</script").count(), 2);
        assert_eq!(page.matches("<img").count(), 0);
        let control = page.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(control, None);
        assert!(!page.contains('\u{202e}') && !page.contains('\u{200b}'));
        // The data block is still JSON.
        let start = page.find("id=\"data\">").unwrap() + "id=\"data\">".len();
        let end = start + page[start..].find("</script>").unwrap();
        let data: serde_json::Value = serde_json::from_str(&page[start..end]).unwrap();
        assert!(data["breakdowns"].is_array());
    }
}

#[test]
fn a_page_asks_nothing_of_any_network() {
    let page = recorded_page(&fixture::recorded());
    assert!(page.contains("default-src 'none'"));
    for reference in [
        "src=", "href=", "url(", "@import", "fetch(", "XMLHttp", "import(",
    ] {
        assert!(!page.contains(reference), "{reference}");
    }
    // The one address in the page is the name of the SVG namespace.
    assert_eq!(
        page.matches("http://www.w3.org/2000/svg").count(),
        page.matches("://").count()
    );
}

/// Writes the pages for a look in a browser: `PLIMSOLL_PAGES=/some/folder cargo test -- --ignored`.
#[test]
#[ignore = "writes files for a person to look at"]
fn write_pages() {
    let folder = std::env::var("PLIMSOLL_PAGES").expect("PLIMSOLL_PAGES names a folder");
    let write = |name: &str, page: String| {
        std::fs::write(format!("{folder}/{name}.html"), page).unwrap();
    };
    write("breakdown", breakdown_page(&fixture::service()));
    write("processes", table_page(&fixture::process_groups()));
    write("run", recorded_page(&fixture::recorded()));
    let options = TextOptions::plain(80);
    for (name, report) in [
        ("growing", fixture::growing()),
        ("floors", fixture::growing_floors()),
        ("filled", fixture::filled()),
    ] {
        let mut page = Vec::new();
        render_leak(&report, Format::Html, &options, &mut page).unwrap();
        write(name, String::from_utf8(page).unwrap());
    }
    for (name, report) in [
        ("scale", fixture::morphometrics()),
        ("axes", fixture::full_scale()),
    ] {
        let mut page = Vec::new();
        render_scale(&report, Format::Html, &options, &mut page).unwrap();
        write(name, String::from_utf8(page).unwrap());
    }
    let mut page = Vec::new();
    render_compare(&fixture::added_up(), Format::Html, &options, &mut page).unwrap();
    write("compare", String::from_utf8(page).unwrap());
    let mut page = Vec::new();
    let format = CheckFormat::Shared(Format::Html);
    render_check(&fixture::check_report(), format, &options, &mut page).unwrap();
    write("check", String::from_utf8(page).unwrap());
    let mut page = Vec::new();
    render_fit(&fixture::fit(), Format::Html, &options, &mut page).unwrap();
    write("fit", String::from_utf8(page).unwrap());
    write("stages", recorded_page(&fixture::killed_recorded()));
    write("hostile", recorded_page(&fixture::hostile_recorded()));
}
