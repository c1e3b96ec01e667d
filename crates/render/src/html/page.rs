//! The frame of an HTML page and the blocks that all pages share. Everything foreign goes through
//! [`escaped`].

use std::io::{self, Write};

use plimsoll_model::{Bytes, Cgroup, Gap, ReadingCost, Reclaim, ReclaimClass, SystemMemory};

use super::data::PageData;
use crate::markup::{escaped, escaped_prose};
use crate::words::number::percent;
use crate::words::time::span;

const STYLE: &str = include_str!("../../assets/page.css");
const SCRIPT: &str = include_str!("../../assets/page.js");

/// Nothing may be loaded from anywhere; only what is written in the page itself runs.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      base-uri 'none'; form-action 'none'";

pub(super) struct Page<'w> {
    w: &'w mut dyn Write,
}

pub(super) struct Head<'a> {
    pub(super) title: &'a str,
    pub(super) facts: &'a [String],
    pub(super) command: &'a [String],
    /// A paragraph each.
    pub(super) verdict: &'a [String],
}

impl<'w> Page<'w> {
    pub(super) fn start(w: &'w mut dyn Write, head: &Head<'_>) -> io::Result<Page<'w>> {
        let title = escaped(head.title);
        write!(
            w,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{title} - Plimsoll</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
             <header>\n<button id=\"theme\" type=\"button\" hidden>Dark</button>\n\
             <h1>{title}</h1>\n"
        )?;
        let mut page = Page { w };
        if !head.facts.is_empty() {
            page.paragraph("facts", &head.facts.join(" · "))?;
        }
        if !head.command.is_empty() {
            let command = escaped(&head.command.join(" "));
            page.raw(&format!(
                "<p class=\"command\"><code>{command}</code></p>\n"
            ))?;
        }
        for verdict in head.verdict {
            page.paragraph("verdict", verdict)?;
        }
        page.raw("</header>\n<main>\n")?;
        Ok(page)
    }

    /// Closes the page with its data and script.
    pub(super) fn finish(self, data: &PageData) -> io::Result<()> {
        write!(
            self.w,
            "</main>\n<script type=\"application/json\" id=\"data\">{}</script>\n\
             <script>\n{SCRIPT}</script>\n</body>\n</html>\n",
            data.embedded()?
        )
    }

    /// Markup that is ours or escaped already.
    pub(super) fn raw(&mut self, markup: &str) -> io::Result<()> {
        self.w.write_all(markup.as_bytes())
    }

    /// Opens a section; its end is markup of the caller.
    pub(super) fn section(&mut self, title: &str) -> io::Result<()> {
        self.raw(&format!("<section><h2>{}</h2>\n", escaped(title)))
    }

    /// Charts in a place that scrolls where the page is narrower than they can be.
    pub(super) fn charts(&mut self, markup: &str) -> io::Result<()> {
        self.raw(&format!("<div class=\"scroll\">\n{markup}</div>\n"))
    }

    pub(super) fn paragraph(&mut self, class: &str, text: &str) -> io::Result<()> {
        writeln!(self.w, "<p class=\"{class}\">{}</p>", escaped_prose(text))
    }

    /// Where the script puts the treemap; without scripts the table below says the same.
    pub(super) fn treemap_place(&mut self) -> io::Result<()> {
        self.raw("<div id=\"treemap\"></div>\n")
    }

    /// Name, figure, and what it means.
    pub(super) fn figures(&mut self, figures: &[(&str, String, &str)]) -> io::Result<()> {
        self.raw("<dl class=\"figures\">\n")?;
        for (name, figure, meaning) in figures {
            writeln!(
                self.w,
                "<div><dt>{}</dt><dd>{}</dd><dd class=\"meaning\">{}</dd></div>",
                escaped(name),
                escaped(figure),
                escaped(meaning)
            )?;
        }
        self.raw("</dl>\n")
    }

    pub(super) fn reclaim_bar(
        &mut self,
        reclaim: &Reclaim,
        share: impl Fn(Bytes) -> String,
    ) -> io::Result<()> {
        let total = reclaim.total();
        let classes = [
            (ReclaimClass::MustStay, reclaim.must_stay),
            (ReclaimClass::SwapOnly, reclaim.swap_only),
            (ReclaimClass::AfterWriteback, reclaim.after_writeback),
            (ReclaimClass::Droppable, reclaim.droppable),
        ];
        self.raw(
            "<h2>Can the kernel take it back?</h2>\n<div class=\"bar\" aria-hidden=\"true\">",
        )?;
        for (class, bytes) in classes {
            if !bytes.is_zero() {
                write!(
                    self.w,
                    "<span class=\"{}\" style=\"flex-grow:{:.5}\"></span>",
                    class_name(class),
                    bytes.ratio_of(total)
                )?;
            }
        }
        self.raw("</div>\n<ul class=\"legend\">\n")?;
        for (class, bytes) in classes {
            writeln!(
                self.w,
                "<li><i class=\"{}\"></i>{} <b>{bytes}</b> <small>{}</small></li>",
                class_name(class),
                class.words(),
                escaped(&share(bytes))
            )?;
        }
        self.raw("</ul>\n")
    }

    pub(super) fn system(&mut self, system: &SystemMemory) -> io::Result<()> {
        let swap = if system.swap_total.is_zero() {
            "no swap".to_owned()
        } else {
            format!("swap {} of {} free", system.swap_free, system.swap_total)
        };
        self.raw("<section><h2>What bounds it</h2>\n")?;
        self.paragraph(
            "",
            &format!(
                "Machine: {} of {} available, page cache {}, {swap}.",
                system.available, system.total, system.page_cache
            ),
        )?;
        self.raw("</section>\n")
    }

    pub(super) fn cgroup(&mut self, cgroup: &Cgroup) -> io::Result<()> {
        let tightest = cgroup.tightest();
        self.raw(
            "<section><div class=\"scroll\"><table><caption>Memory cgroups, from its own up to \
             the root</caption>\n<thead><tr><th>cgroup<th class=\"n\">limit<th class=\"n\">used\
             <th class=\"n\">left<th class=\"n\">of the use, page cache<th class=\"n\">peak\
             </tr></thead>\n<tbody>\n",
        )?;
        for level in &cgroup.levels {
            let known =
                |bytes: Option<Bytes>| bytes.map_or_else(|| "-".to_owned(), |b| b.to_string());
            let bites = tightest.is_some_and(|tightest| std::ptr::eq(tightest, level));
            let used = match (level.current, level.limit()) {
                (Some(current), Some(limit)) => {
                    format!("{current} ({})", percent(current, limit))
                }
                (current, _) => known(current),
            };
            writeln!(
                self.w,
                "<tr{}><th scope=\"row\">{}{}</th><td class=\"n\">{}</td><td class=\"n\">{}</td>\
                 <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
                if bites { " class=\"bites\"" } else { "" },
                escaped(&level.path),
                if bites { " <em>bites first</em>" } else { "" },
                level
                    .limit()
                    .map_or_else(|| "none".to_owned(), |limit| limit.to_string()),
                escaped(&used),
                known(level.headroom()),
                known(level.file),
                known(level.peak),
            )?;
        }
        self.raw("</tbody></table></div></section>\n")
    }

    pub(super) fn gaps(&mut self, gaps: &[Gap]) -> io::Result<()> {
        self.list("Not read", gaps.iter().map(Gap::to_string))
    }

    /// A section with a sentence an item; nothing without sentences.
    pub(super) fn list(
        &mut self,
        title: &str,
        sentences: impl IntoIterator<Item = String>,
    ) -> io::Result<()> {
        let items: Vec<String> = sentences
            .into_iter()
            .map(|sentence| format!("<li>{}</li>\n", escaped_prose(&sentence)))
            .collect();
        if items.is_empty() {
            return Ok(());
        }
        let title = escaped(title);
        self.raw(&format!(
            "<section><h2>{title}</h2>\n<ul>\n{}</ul></section>\n",
            items.concat()
        ))
    }

    pub(super) fn cost(&mut self, cost: &ReadingCost) -> io::Result<()> {
        let hold = if cost.holds == 0 {
            "the memory lock of the target was not taken".to_owned()
        } else {
            format!(
                "it held the target's memory lock at most {} at a time",
                span(cost.longest_hold)
            )
        };
        self.paragraph(
            "cost",
            &format!(
                "The reading took {} ({} of processor time); {hold}.",
                span(cost.wall),
                span(cost.cpu)
            ),
        )
    }
}

pub(super) const fn class_name(class: ReclaimClass) -> &'static str {
    match class {
        ReclaimClass::MustStay => "stay",
        ReclaimClass::SwapOnly => "swap",
        ReclaimClass::AfterWriteback => "writeback",
        ReclaimClass::Droppable => "drop",
    }
}
