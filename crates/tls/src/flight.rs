//! A flight: handshake messages that are sent together.

use super::codec::Writer;
use super::error::Error;
use super::msg::Emit;
use super::trace::{Event, Tracer};
use super::transcript::Transcript;
use crate::crypto::hash::{HashAlgorithm, HashOutput};

/// Writes the messages of a flight, and adds each to the transcript and to the trace.
pub(crate) struct Flight<'f, 'w> {
    writer: &'f mut Writer<'w>,
    /// `None` after the handshake, whose messages are in no transcript.
    transcript: Option<&'f mut Transcript>,
    trace: Option<Tracer<'f>>,
}

impl<'f, 'w> Flight<'f, 'w> {
    pub(super) fn new(
        writer: &'f mut Writer<'w>,
        transcript: Option<&'f mut Transcript>,
        trace: Option<Tracer<'f>>,
    ) -> Self {
        Self {
            writer,
            transcript,
            trace,
        }
    }

    /// Adds a message.
    pub(crate) fn add(&mut self, message: &impl Emit) -> Result<(), Error> {
        self.add_written(|writer| Ok(message.emit(writer)?))
    }

    /// Adds a message written by `write`.
    pub(crate) fn add_written(
        &mut self,
        write: impl FnOnce(&mut Writer<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let at = self.writer.len();
        write(self.writer)?;
        let whole = self.writer.since(at)?;
        if let Some(transcript) = &mut self.transcript {
            transcript.add(whole);
        }
        if let Some(trace) = self.trace {
            trace.event(&Event::Message { sent: true, whole });
        }
        Ok(())
    }

    /// The transcript hash of everything sent and received so far.
    pub(crate) fn hash(&self, algorithm: HashAlgorithm) -> Result<HashOutput, Error> {
        let transcript = self.transcript.as_ref();
        transcript
            .ok_or(Error::Internal("no transcript after the handshake"))?
            .hash(algorithm)
    }
}
