//! `trace`: switching, listing and showing traces of TLS connections.

use core::fmt::Write as _;

use super::command::Request;
use super::console::Console;
use super::echoctl::Prompt;
use super::pager::{Pager, Piece};
use super::reload::UNTRUSTED;
use super::{Host, Session};
use crate::endpoint::traces::Narrator;
use crate::narrate::{Lines, Narrative};

/// Lines that go into a piece for sure: none is longer than 120 bytes or so.
const LINES: usize = 8;

impl<C: Console, H: Host> Session<'_, C, H> {
    /// `trace`, `trace on` and `trace off`.
    pub(super) async fn trace(&mut self, prompt: &Prompt, request: &Request<'_>) -> Result<(), C::Error> {
        let traces = self.host.traces();
        match request.argument(0) {
            None => return self.trace_list().await,
            Some("on") if traces.capacity() == 0 => {
                return self
                    .print(format_args!(
                        "Failed: not enough memory for traces at boot (use a larger -m).\n"
                    ))
                    .await;
            }
            Some("on") => traces.switch(true),
            Some("off") => traces.switch(false),
            // Both forms.
            Some(_) => return self.usage(prompt.specs, "trace show").await,
        }
        if traces.is_on() {
            let count = traces.capacity();
            let words = format_args!("Done. Handshakes are traced from now on; the last ");
            self.print(words).await?;
            match count {
                1 => self.print(format_args!("one is kept.\n")).await,
                _ => self.print(format_args!("{count} are kept.\n")).await,
            }
        } else {
            self.print(format_args!("Done.\n")).await
        }
    }

    async fn trace_list(&mut self) -> Result<(), C::Error> {
        let traces = self.host.traces();
        let state = if traces.is_on() { "on" } else { "off" };
        let mut pager = Pager::new(self.console, &mut self.input);
        pager.print(format_args!("Tracing is {state}.\n")).await?;
        let mut from = 0;
        while let Some(narrator) = traces.next(from).filter(|_| !pager.quit()) {
            pager.print(format_args!("{narrator}\n")).await?;
            from = narrator.number().saturating_add(1);
        }
        Ok(())
    }

    /// `trace show N`.
    pub(super) async fn trace_show(&mut self, prompt: &Prompt, request: &Request<'_>) -> Result<(), C::Error> {
        let text = request.argument(0).unwrap_or_default();
        let Ok(number) = text.parse::<u32>() else {
            self.print(format_args!("'{text}' is not a number.\n")).await?;
            return self.usage(prompt.specs, request.spec.words).await;
        };
        let found = self.host.traces().next(number);
        let Some(narrator) = found.filter(|narrator| narrator.number() == number) else {
            return self
                .print(format_args!("Failed: no trace {number}; type 'trace' for a list.\n"))
                .await;
        };
        let secret = |narrator: Narrator| narrator.read(|events| Narrative::of(events).summary().secrets);
        if !self.is_trusted() && secret(narrator) == Some(true) {
            return self.outcome(Err(UNTRUSTED)).await;
        }
        let mut pager = Pager::new(self.console, &mut self.input);
        let mut from = 0;
        while !pager.quit() {
            let mut piece = Piece::new();
            let written = narrator.read(|events| Lines::of(Narrative::of(events)).write(from, LINES, &mut piece));
            // A piece takes whatever comes.
            let more = match written {
                Some(written) => written.unwrap_or(false),
                None => {
                    let _ = piece.write_str("(Replaced by a later connection.)\n");
                    false
                }
            };
            pager.show(&piece).await?;
            if !more {
                break;
            }
            from += LINES;
        }
        Ok(())
    }
}
