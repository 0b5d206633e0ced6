//! A narrative as lines of text.

use core::fmt::{self, Write};

use postern_tls::pki::text::Hex;

use crate::fields::{Item, ItemKind, Meaning};
use crate::narrative::{Actor, Narrative, Step};

/// Bytes on one line of a longer field.
const BYTES: usize = 16;
/// The most bytes of a field that are on one line with its name.
const SHORT: usize = 8;
/// The width of explanations, in columns.
const COLUMNS: usize = 78;

/// A narrative as text, line by line, of which any part can be written without the rest.
pub struct Lines<'t> {
    narrative: Narrative<'t>,
}

impl<'t> Lines<'t> {
    /// The lines of a narrative.
    pub fn of(narrative: Narrative<'t>) -> Self {
        Self { narrative }
    }

    /// Writes `count` lines from number `from` on (the first is 0); returns whether there are more.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, from: usize, count: usize, out: &mut dyn Write) -> Result<bool, fmt::Error> {
        let mut page = Page {
            out,
            at: 0,
            from,
            to: from.saturating_add(count),
            result: Ok(()),
        };
        for step in self.narrative.steps() {
            if page.is_over() {
                break;
            }
            self.step(&step, &mut page);
        }
        let lost = self.narrative.summary().lost;
        if lost > 0 {
            page.line(format_args!("({lost} more did not fit into the memory of a trace.)"));
        }
        page.result?;
        Ok(page.is_over())
    }

    fn step(&self, step: &Step<'t>, page: &mut Page<'_>) {
        let Step { number, title, .. } = step;
        let direction = if step.ours { "sent" } else { "received" };
        let how = if step.protected { ", protected" } else { "" };
        let bytes = if step.length == 1 { "byte" } else { "bytes" };
        match step.actor {
            Actor::Local => page.line(format_args!("{number:2} == {title}")),
            Actor::Client => page.line(format_args!(
                "{number:2} -> {title} (client, {direction}, {} {bytes}{how})",
                step.length
            )),
            Actor::Server => page.line(format_args!(
                "{number:2} <- {title} (server, {direction}, {} {bytes}{how})",
                step.length
            )),
        }
        page.wrapped(5, step.note);
        if !step.reason.is_empty() {
            page.line(format_args!("       {}", step.reason));
        }
        self.narrative.visit_items(step, &mut |item| page.item(item));
        page.line(format_args!(""));
    }
}

/// The lines to be written.
struct Page<'o> {
    out: &'o mut dyn Write,
    at: usize,
    from: usize,
    to: usize,
    result: fmt::Result,
}

impl Page<'_> {
    /// Whether a line was left out at the end.
    fn is_over(&self) -> bool {
        self.at > self.to
    }

    fn line(&mut self, text: fmt::Arguments<'_>) {
        if (self.from..self.to).contains(&self.at) && self.result.is_ok() {
            self.result = writeln!(self.out, "{text}");
        }
        self.at += 1;
    }

    fn wrapped(&mut self, indent: usize, text: &str) {
        let mut rest = text;
        while !rest.is_empty() {
            let (line, after) = cut(rest, COLUMNS.saturating_sub(indent));
            self.line(format_args!("{:indent$}{line}", ""));
            rest = after;
        }
    }

    fn item(&mut self, item: &Item<'_>) {
        let indent = 5 + 2 * usize::from(item.depth);
        let Item {
            name, bytes, meaning, ..
        } = item;
        let colon = if *meaning == Meaning::None { "" } else { ": " };
        match item.kind {
            ItemKind::Group => self.line(format_args!("{:indent$}[{name}{colon}{meaning}]", "")),
            _ if bytes.len() <= SHORT && !bytes.is_empty() => {
                let width = 3 * SHORT + 1;
                self.line(format_args!(
                    "{:indent$}{:#}{:pad$}{name}{colon}{meaning}",
                    "",
                    Hex(bytes),
                    "",
                    pad = width.saturating_sub(3 * bytes.len() - 1),
                ));
            }
            _ => {
                let equals = if item.kind == ItemKind::Computed { "= " } else { "" };
                self.line(format_args!("{:indent$}{equals}{name}{colon}{meaning}", ""));
                for line in bytes.chunks(BYTES) {
                    self.line(format_args!("{:indent$}  {:#}", "", Hex(line)));
                }
            }
        }
        // What is computed for every record is not explained with each.
        if item.kind == ItemKind::Computed && item.depth == 0 {
            self.wrapped(indent + 4, item.note);
        }
    }
}

/// The front of a text up to a blank within `width` bytes, and the rest behind it.
fn cut(text: &str, width: usize) -> (&str, &str) {
    if text.len() <= width {
        return (text, "");
    }
    let blank = text.char_indices().rfind(|&(at, char)| char == ' ' && at <= width);
    match blank.or_else(|| text.char_indices().find(|&(_, char)| char == ' ')) {
        Some((at, _)) => {
            let (line, rest) = text.split_at(at);
            (line, rest.trim_start())
        }
        None => (text, ""),
    }
}
