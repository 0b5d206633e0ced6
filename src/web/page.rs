//! The page: a connection's narrative as HTML.

use core::fmt::{self, Write};
use core::net::SocketAddr;

use base64ct::{Base64, Encoding as _};

use super::chunk::Chunk;
use crate::crypto::hash::HashAlgorithm;
use crate::endpoint::traces::Narrator;
use crate::narrate::{Actor, Item, ItemKind, Meaning, Narrative, Step, Summary};
use crate::pki::text::{Count, Hex};

/// How the page looks, in the light and in the dark.
const STYLE: &str = include_str!("style.css");
/// A padlock, for the tab.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath \
                    fill='%230d7d72' d='M4 7V5a4 4 0 0 1 8 0v2h1v8H3V7zm2 0h4V5a2 2 0 0 0-4 0z'/%3E%3C/svg%3E";
/// Bytes of a field that are shown before it is opened.
const SHORT: usize = 16;
/// Bytes of a message that are shown before it is opened.
const PREVIEW: usize = 24;

/// The page of one connection.
pub(super) struct Page {
    narrator: Narrator,
    peer: SocketAddr,
}

impl Page {
    pub(super) fn new(narrator: Narrator, peer: SocketAddr) -> Self {
        Self { narrator, peer }
    }

    /// The header field that forbids everything but this very style: what a peer has put into a message can do nothing.
    pub(super) fn policy(&self) -> impl fmt::Display + use<> {
        Policy
    }

    /// Writes from byte `from` of part `number` on, as much as fits; where to go on, or `None` at the end.
    pub(super) fn write(&self, number: usize, from: usize, chunk: &mut Chunk) -> Option<(usize, usize)> {
        let (mut number, mut from) = (number, from);
        loop {
            let before = chunk.len();
            chunk.skip(from);
            // An error says that the chunk is full.
            let part = self
                .narrator
                .read(|events| self.part(number, Narrative::of(events), chunk));
            if chunk.over {
                return Some((number, from + chunk.len() - before));
            }
            match part {
                Some(Ok(true)) => (number, from) = (number + 1, 0),
                // At the end; no other connection gets a log that is held.
                _ => return None,
            }
        }
    }

    /// Writes a part: the top, a step, or the bottom. Whether there is another.
    fn part(&self, number: usize, narrative: Narrative<'_>, out: &mut dyn Write) -> Result<bool, fmt::Error> {
        let Some(index) = number.checked_sub(1) else {
            self.top(&narrative.summary(), out)?;
            return Ok(true);
        };
        match narrative.steps().nth(index) {
            Some(step) => {
                show(&narrative, &step, out)?;
                Ok(true)
            }
            None => {
                bottom(&narrative.summary(), narrative.steps().count(), out)?;
                Ok(false)
            }
        }
    }

    fn top(&self, summary: &Summary<'_>, out: &mut dyn Write) -> fmt::Result {
        write!(
            out,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
             content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>This connection, illustrated</title>\n<link rel=\"icon\" href=\"{ICON}\">\n<style>{STYLE}</style>\n\
             </head>\n<body>\n<header>\n<p class=\"kicker\">postern</p>\n<h1>This connection, illustrated</h1>\n"
        )?;
        let version = summary.version.strip_prefix("TLSv").unwrap_or(summary.version);
        writeln!(
            out,
            "<p class=\"lede\">A moment ago your browser and a machine without an operating system shook hands over TLS \
             {version}. Below is the whole exchange that brought you this page: every message and every byte of it, in \
             order, with its meaning.</p>"
        )?;
        out.write_str("<dl class=\"facts\">\n")?;
        fact(out, "Version", format_args!("TLS {version}"))?;
        fact(out, "Cipher suite", Breakable(summary.suite))?;
        if !summary.group.is_empty() {
            fact(out, "Key exchange", summary.group)?;
        }
        if summary.resumed {
            fact(out, "Authentication", "by a ticket from an earlier connection")?;
        } else {
            let both = if summary.mutual {
                ", and the client&rsquo;s own"
            } else {
                ""
            };
            fact(
                out,
                "Authentication",
                format_args!("{}{both}", Breakable(summary.scheme)),
            )?;
        }
        if !summary.server_name.is_empty() {
            fact(out, "Server name", Escaped(&Meaning::Text(summary.server_name)))?;
        }
        if !summary.protocol.is_empty() {
            fact(out, "Protocol inside", Escaped(&Meaning::Text(summary.protocol)))?;
        }
        let trips = match (version, summary.retried, summary.resumed) {
            ("1.3", false, _) => "1 round trip",
            ("1.3", true, _) => "2 round trips, for a HelloRetryRequest",
            (_, _, true) => "1 round trip and a half, resumed",
            _ => "2 round trips",
        };
        fact(out, "Handshake", trips)?;
        let (client, server) = summary.bytes;
        fact(
            out,
            "Bytes on the wire",
            format_args!("{client} from you, {server} to you"),
        )?;
        fact(out, "Your address", self.peer)?;
        out.write_str(
            "</dl>\n<p class=\"legend\"><span class=\"key wire\">message</span> <span class=\"key record\">record \
             layer</span> <span class=\"key computed\">computed, never sent</span> <span class=\"hint\">Open a step to see \
             its bytes, and a field to see what it is for.</span></p>\n</header>\n<main>\n<div class=\"ends\" \
             aria-hidden=\"true\"><span>your browser</span><span>this server</span></div>\n",
        )
    }
}

fn fact(out: &mut dyn Write, name: &str, value: impl fmt::Display) -> fmt::Result {
    writeln!(out, "<div><dt>{name}</dt><dd>{value}</dd></div>")
}

/// A step, closed at first.
fn show(narrative: &Narrative<'_>, step: &Step<'_>, out: &mut dyn Write) -> fmt::Result {
    let (class, whose) = match step.actor {
        Actor::Client => ("client", "your browser sent"),
        Actor::Server => ("server", "the server sent"),
        Actor::Local => ("local", "computed"),
    };
    let Step {
        number, title, note, ..
    } = step;
    write!(
        out,
        "<details class=\"step {class}\"{}>\n<summary><span class=\"number\">{number}</span><span \
         class=\"whose\">{whose}</span><h2>{title}</h2>",
        // One to begin with.
        if *title == "ServerHello" { " open" } else { "" }
    )?;
    if step.actor != Actor::Local {
        let how = if step.protected { "encrypted" } else { "in the clear" };
        write!(
            out,
            "<span class=\"size\">{} byte{}, <b class=\"{}\">{how}</b></span>",
            step.length,
            if step.length == 1 { "" } else { "s" },
            if step.protected { "sealed" } else { "open" }
        )?;
    }
    // No paragraph: a summary takes none.
    write!(out, "<span class=\"note\">{}", Escaped(note))?;
    if !step.reason.is_empty() {
        write!(out, " <b>{}</b>", Escaped(&step.reason))?;
    }
    out.write_str("</span>")?;
    preview(narrative, step, out)?;
    out.write_str("</summary>\n<div class=\"body\">\n")?;
    let mut open = 0;
    let mut result = Ok(());
    narrative.visit_items(step, &mut |item| {
        if result.is_ok() {
            result = show_item(item, &mut open, out);
        }
    });
    result?;
    for _ in 0..open {
        out.write_str("</div></section>\n")?;
    }
    out.write_str("</div>\n</details>\n")
}

/// The first bytes of a step, for a taste.
fn preview(narrative: &Narrative<'_>, step: &Step<'_>, out: &mut dyn Write) -> fmt::Result {
    if step.actor == Actor::Local {
        return Ok(());
    }
    let mut bytes = heapless::Vec::<u8, PREVIEW>::new();
    narrative.visit_items(step, &mut |item| {
        if item.kind == ItemKind::Wire {
            let room = PREVIEW.saturating_sub(bytes.len());
            bytes.extend(item.bytes.iter().copied().take(room));
        }
    });
    let more = if step.length > bytes.len() { " &hellip;" } else { "" };
    write!(
        out,
        "<code class=\"preview\" aria-hidden=\"true\">{:#}{more}</code>",
        Hex(&bytes)
    )
}

/// An item; `open` groups are there around it.
fn show_item(item: &Item<'_>, open: &mut u8, out: &mut dyn Write) -> fmt::Result {
    while *open > item.depth {
        out.write_str("</div></section>\n")?;
        *open -= 1;
    }
    let Item {
        name,
        bytes,
        meaning,
        note,
        ..
    } = item;
    let class = match item.kind {
        ItemKind::Group => {
            *open = open.saturating_add(1);
            write!(out, "<section class=\"group\"><h3>{name}")?;
            if *meaning != Meaning::None {
                write!(out, " <small>{}</small>", Escaped(meaning))?;
            }
            out.write_str("</h3>")?;
            if !note.is_empty() {
                write!(out, "<p>{}</p>", Escaped(note))?;
            }
            return out.write_str("<div class=\"fields\">\n");
        }
        ItemKind::Record => "record",
        ItemKind::Wire => "wire",
        ItemKind::Computed => "computed",
    };
    let long = bytes.len() > SHORT;
    let opens = long || (!note.is_empty() && item.kind != ItemKind::Computed);
    let tag = if opens { "details" } else { "div" };
    write!(
        out,
        "<{tag} class=\"field {class}{}\">",
        if long { " long" } else { "" }
    )?;
    if opens {
        out.write_str("<summary>")?;
    }
    if !bytes.is_empty() {
        let front = bytes.get(..SHORT.min(bytes.len())).unwrap_or_default();
        write!(out, "<code>{:#}", Hex(front))?;
        if long {
            write!(out, " &hellip; <i>{} bytes</i>", bytes.len())?;
        }
        out.write_str("</code>")?;
    }
    write!(out, "<span class=\"name\">{name}</span>")?;
    if *meaning != Meaning::None {
        write!(out, " <span class=\"meaning\">{}</span>", Escaped(meaning))?;
    }
    if opens {
        out.write_str("</summary>")?;
    }
    if !note.is_empty() {
        write!(out, "<p>{}</p>", Escaped(note))?;
    }
    if long {
        write!(out, "<code class=\"all\">{:#}</code>", Hex(bytes))?;
    }
    writeln!(out, "</{tag}>")
}

fn bottom(summary: &Summary<'_>, steps: usize, out: &mut dyn Write) -> fmt::Result {
    write!(
        out,
        "<section class=\"step server end\"><div class=\"summary\"><span class=\"number\">{}</span><span \
         class=\"whose\">the server sent</span><h2>Application data: pong</h2><span class=\"size\"><b \
         class=\"sealed\">encrypted</b></span><p class=\"note\">This page. It came in records like the one before, each sealed under the \
         server&rsquo;s application key with the next record number; after the last of them comes a close_notify.</p>\
         </div></section>\n</main>\n<footer>\n",
        steps + 1
    )?;
    if summary.lost > 0 {
        writeln!(
            out,
            "<p>{} did not fit into the memory of a trace.</p>",
            Count(summary.lost.into(), "more event")
        )?;
    }
    if summary.resumed {
        out.write_str(
            "<p>This connection resumed an earlier one. To see a full handshake, with certificate and signature, open the \
             page in a new private window.</p>\n",
        )?;
    } else {
        out.write_str(
            "<p>Your browser now has tickets: reload the page, and you will probably see a resumption, without \
             certificate and signature.</p>\n",
        )?;
    }
    out.write_str(if summary.secrets {
        "<p>Secrets are shown, because this machine is configured to log them. "
    } else {
        "<p>Secrets are named here and never shown. "
    })?;
    out.write_str(
        "The page is made while it is sent, from what the TLS engine of Postern \
         recorded during the handshake; there is no JavaScript in it.</p>\n</footer>\n</body>\n</html>\n",
    )
}

/// The Content-Security-Policy.
struct Policy;

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = HashAlgorithm::Sha256.hash(STYLE.as_bytes());
        f.write_str("Content-Security-Policy: default-src 'none'; style-src 'sha256-")?;
        f.write_str(Base64::encode(hash.as_ref(), &mut [0; 44]).map_err(|_| fmt::Error)?)?;
        f.write_str(
            "'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\nPermissions-Policy: \
             interest-cohort=()\r\n",
        )
    }
}

/// A text in which nothing is a tag or the end of an attribute: it may come from the peer.
struct Escaped<'a, T: ?Sized>(&'a T);

impl<T: fmt::Display + ?Sized> fmt::Display for Escaped<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Escape<'a, 'f>(&'a mut fmt::Formatter<'f>);
        impl Write for Escape<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                text.chars().try_for_each(|char| match char {
                    '<' => self.0.write_str("&lt;"),
                    '>' => self.0.write_str("&gt;"),
                    '&' => self.0.write_str("&amp;"),
                    '"' => self.0.write_str("&quot;"),
                    '\'' => self.0.write_str("&#39;"),
                    char => self.0.write_char(char),
                })
            }
        }
        write!(Escape(f), "{}", self.0)
    }
}

/// A name that may be broken behind each underscore.
struct Breakable<'a>(&'a str);

impl fmt::Display for Breakable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.split_inclusive('_').enumerate().try_for_each(|(index, part)| {
            let may = if index > 0 { "<wbr>" } else { "" };
            write!(f, "{may}{part}")
        })
    }
}

#[cfg(test)]
pub(super) mod tests;
