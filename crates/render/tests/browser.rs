//! The pages in a real browser: a headless Chromium opens each, a probe script uses them as a
//! reader would (opens tiles and rows, sorts, moves through time, changes the theme), and the test
//! reads what the probe saw. Skipped aloud on machines without one.

#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the report; clippy exempts only functions marked as tests"
)]

mod fixture;

use std::path::{Path, PathBuf};
use std::process::Command;

use plimsoll_render::{
    CheckFormat, Format, TextOptions, render_breakdown, render_check, render_compare, render_fit,
    render_leak, render_process_table, render_recorded, render_scale,
};
use serde_json::Value;

const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Runs after the page's own script and leaves what it saw, as JSON, in the body.
const PROBE: &str = r##"
<script>
const faults = [];
addEventListener("error", (event) => faults.push(event.message));
addEventListener("securitypolicyviolation", (event) => faults.push(event.violatedDirective));
addEventListener("load", () => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const seen = {};
  const rows = () => all("#components tbody tr").length;
  const first = () => document.querySelector("tbody th")?.textContent ?? "";
  seen.tiles = all("button.tile").length;
  seen.inChart = all(".chart polyline.own").every((line) => {
    const inner = line.getBoundingClientRect(), outer = line.closest("svg").getBoundingClientRect();
    return inner.width > 100 && inner.left >= outer.left - 3 && inner.right <= outer.right + 3;
  });
  seen.charts = all(".scroll > .chart").length;
  // Words of a chart that leave it, and tables that a desk's screen does not show whole.
  seen.cut = all(".chart text").filter((text) => {
    const inner = text.getBoundingClientRect(), outer = text.closest("svg").getBoundingClientRect();
    return inner.width && (inner.left < outer.left - 1 || inner.right > outer.right + 1);
  }).map((text) => text.textContent);
  seen.hidden = all(".scroll").filter((box) => box.scrollWidth > box.clientWidth + 1).length;
  seen.areas = all("#chart polygon:not(.event)").length;
  seen.wider = document.documentElement.scrollWidth - innerWidth;
  seen.rows = rows();
  document.querySelector(".fold")?.click();
  seen.rowsOpened = rows();
  document.querySelector(".fold")?.click();
  seen.rowsClosed = rows();
  document.querySelector("button.tile.opens")?.click();
  seen.crumbs = document.querySelector(".crumbs")?.textContent;
  document.querySelector(".map")?.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
  seen.crumbsBack = document.querySelector(".crumbs")?.textContent;
  seen.before = document.querySelector("#picked-time")?.textContent;
  const slider = document.querySelector("#chart input");
  slider?.dispatchEvent(new KeyboardEvent("keydown", { key: "Home" }));
  seen.after = document.querySelector("#picked-time")?.textContent;
  document.querySelector("thead button").click();
  seen.sortedDown = first();
  document.querySelector("thead button").click();
  seen.sortedUp = first();
  seen.alerts = all("img, main script").length;
  const page = () => getComputedStyle(document.body).backgroundColor;
  const light = page();
  document.querySelector("#theme").click();
  seen.themed = page() !== light;
  seen.requests = performance.getEntriesByType("resource").length;
  seen.faults = faults;
  const out = document.createElement("pre");
  out.id = "seen";
  out.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(seen))));
  document.body.append(out);
});
</script>
</head>"##;

#[test]
fn a_breakdown_opens_and_can_be_used() {
    let mut page = Vec::new();
    let options = TextOptions::plain(80);
    render_breakdown(&fixture::service(), Format::Html, &options, &mut page).unwrap();
    let Some(seen) = look("breakdown", &page) else {
        return;
    };
    assert_eq!(seen["faults"], Value::Array(Vec::new()), "{seen}");
    assert_eq!(seen["requests"], 0, "{seen}");
    assert_eq!(seen["rows"], 17, "{seen}");
    // The first component with parts is the glibc heap; it has three.
    assert_eq!(seen["rowsOpened"], 20, "{seen}");
    assert_eq!(seen["rowsClosed"], 17, "{seen}");
    assert_eq!(seen["tiles"], 17, "{seen}");
    assert!(text(&seen, "crumbs").contains("glibc heap"), "{seen}");
    assert!(!text(&seen, "crumbsBack").contains("glibc heap"), "{seen}");
    assert!(
        text(&seen, "sortedDown") > text(&seen, "sortedUp"),
        "{seen}"
    );
    assert_eq!(seen["themed"], true, "{seen}");
}

#[test]
fn a_run_opens_and_can_be_moved_through() {
    let mut page = Vec::new();
    let options = TextOptions::plain(80);
    render_recorded(&fixture::recorded(), Format::Html, &options, &mut page).unwrap();
    let Some(seen) = look("run", &page) else {
        return;
    };
    assert_eq!(seen["faults"], Value::Array(Vec::new()), "{seen}");
    assert_eq!(seen["before"], "3 min 17 s", "{seen}");
    assert_eq!(seen["after"], "2.04 s", "{seen}");
    // Ten owners with a colour of their own, the others, and what nobody owns.
    assert_eq!(seen["areas"], 12, "{seen}");
}

#[test]
fn processes_open() {
    let mut page = Vec::new();
    let options = TextOptions::plain(80);
    render_process_table(
        &fixture::process_groups(),
        Format::Html,
        &options,
        &mut page,
    )
    .unwrap();
    let Some(seen) = look("processes", &page) else {
        return;
    };
    assert_eq!(seen["faults"], Value::Array(Vec::new()), "{seen}");
    // The one that could not be read has no tile.
    assert_eq!(seen["tiles"], 5, "{seen}");
    assert_eq!(seen["sortedDown"], "systemd-journald", "{seen}");
    assert_eq!(seen["sortedUp"], "monitor_runner.py", "{seen}");
}

#[test]
fn a_leak_report_opens() {
    let mut page = Vec::new();
    let options = TextOptions::plain(80);
    render_leak(&fixture::growing(), Format::Html, &options, &mut page).unwrap();
    let Some(seen) = look("leak", &page) else {
        return;
    };
    assert_eq!(seen["faults"], Value::Array(Vec::new()), "{seen}");
    assert_eq!(seen["requests"], 0, "{seen}");
    assert_eq!(seen["charts"], 2, "{seen}");
    assert_eq!(seen["inChart"], true, "{seen}");
    assert_eq!(seen["cut"], Value::Array(Vec::new()), "{seen}");
    assert_eq!(seen["hidden"], 0, "{seen}");
    assert_eq!(seen["sortedUp"], "RSS", "{seen}");
    assert_eq!(seen["themed"], true, "{seen}");
    assert!(seen["wider"].as_i64() <= Some(0), "{seen}");
}

#[test]
fn a_check_report_opens() {
    let mut page = Vec::new();
    let options = TextOptions::plain(80);
    let format = CheckFormat::Shared(Format::Html);
    render_check(&fixture::hostile_check(), format, &options, &mut page).unwrap();
    let Some(seen) = look("check", &page) else {
        return;
    };
    assert_eq!(seen["faults"], Value::Array(Vec::new()), "{seen}");
    assert_eq!(seen["alerts"], 0, "{seen}");
    assert!(seen["wider"].as_i64() <= Some(0), "{seen}");
}

#[test]
fn experiments_open() {
    let options = TextOptions::plain(80);
    let mut scale = Vec::new();
    render_scale(
        &fixture::morphometrics(),
        Format::Html,
        &options,
        &mut scale,
    )
    .unwrap();
    let mut compare = Vec::new();
    render_compare(&fixture::added_up(), Format::Html, &options, &mut compare).unwrap();
    let mut fit = Vec::new();
    render_fit(&fixture::fit(), Format::Html, &options, &mut fit).unwrap();
    for (name, page) in [("scale", scale), ("compare", compare), ("fit", fit)] {
        let Some(seen) = look(name, &page) else {
            return;
        };
        assert_eq!(seen["faults"], Value::Array(Vec::new()), "{seen}");
        assert_eq!(seen["requests"], 0, "{seen}");
        assert_eq!(seen["cut"], Value::Array(Vec::new()), "{seen}");
        assert_eq!(seen["hidden"], 0, "{seen}");
        assert_eq!(seen["themed"], true, "{seen}");
        assert!(seen["wider"].as_i64() <= Some(0), "{seen}");
    }
}

#[test]
fn hostile_names_do_nothing() {
    let mut page = Vec::new();
    let options = TextOptions::plain(80);
    render_recorded(
        &fixture::hostile_recorded(),
        Format::Html,
        &options,
        &mut page,
    )
    .unwrap();
    let Some(seen) = look("hostile", &page) else {
        return;
    };
    assert_eq!(seen["faults"], Value::Array(Vec::new()), "{seen}");
    assert_eq!(seen["alerts"], 0, "{seen}");
    assert!(seen["wider"].as_i64() <= Some(0), "{seen}");
}

fn text<'a>(seen: &'a Value, key: &str) -> &'a str {
    seen[key].as_str().unwrap()
}

/// Opens `page` with the probe in it. `None`, said aloud, without a browser.
fn look(name: &str, page: &[u8]) -> Option<Value> {
    let Some(browser) = find_browser() else {
        eprintln!("skipped: none of {BROWSERS:?} is installed");
        return None;
    };
    let folder = std::env::temp_dir().join(format!("plimsoll-page-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("page.html");
    let page = String::from_utf8(page.to_vec()).unwrap();
    std::fs::write(&file, page.replacen("</head>", PROBE, 1)).unwrap();
    let dom = dump(&browser, &folder, &file);
    std::fs::remove_dir_all(&folder).unwrap();
    let start = dom.find("id=\"seen\">").expect("the probe ran") + "id=\"seen\">".len();
    let end = start + dom[start..].find('<').unwrap();
    Some(serde_json::from_slice(&base64(&dom[start..end])).unwrap())
}

fn find_browser() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .flat_map(|folder| BROWSERS.map(|name| folder.join(name)))
        .find(|path| path.is_file())
}

fn dump(browser: &Path, folder: &Path, file: &Path) -> String {
    let output = Command::new(browser)
        .args([
            "--headless",
            // A container's root has no sandbox to enter; the page is ours.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--virtual-time-budget=5000",
            "--window-size=1200,1600",
            "--dump-dom",
        ])
        .arg(format!(
            "--user-data-dir={}",
            folder.join("profile").display()
        ))
        .arg(format!("file://{}", file.display()))
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard base64, as `btoa` writes it.
fn base64(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut bits, mut held) = (0u32, 0);
    for c in text.bytes().filter(|c| *c != b'=') {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            other => panic!("{other} is not base64"),
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    out
}
