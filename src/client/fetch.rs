//! Fetching a text over TLS from an authenticated host.

use core::fmt;

use embassy_time::{Duration, Instant, with_deadline};
use embedded_io_async::Read as _;
use rand_core::CryptoRng;

use super::error::{ClientError, Ended};
use crate::endpoint::{Endpoint, HandshakeError, WipedBuffer};
use crate::net::{self, Transport};
use crate::tls::{ClientConfig, Connection};

/// How long it may take from the first byte of the handshake to the last of the text.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchError {
    /// No connection came about, or it failed.
    Client(ClientError),
    /// The host closed the connection without close_notify: the text may be truncated.
    Truncated,
    /// The text is longer than this many bytes.
    TooLong(usize),
    /// It was not there whole after [`FETCH_TIMEOUT`].
    TimedOut,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FetchError::Client(error) => error.fmt(f),
            FetchError::Truncated => {
                f.write_str("the host closed the connection without close_notify; the text may be truncated")
            }
            FetchError::TooLong(most) => write!(f, "the text is longer than {most} bytes"),
            FetchError::TimedOut => {
                let seconds = FETCH_TIMEOUT.as_secs();
                write!(f, "no complete text and close_notify within {seconds} s")
            }
        }
    }
}

impl core::error::Error for FetchError {}

impl From<ClientError> for FetchError {
    fn from(error: ClientError) -> Self {
        FetchError::Client(error)
    }
}

/// Makes the handshake as the client, and reads into `text` until the host's close_notify. Gives the length. The
/// buffers are overwritten at the end.
///
/// # Errors
/// When the host does not prove to be one that `config` trusts, or its text does not come, whole and in time.
pub async fn fetch<S: Transport<Error = net::Error>, R: CryptoRng>(
    stream: S,
    config: ClientConfig<'_>,
    mut rng: R,
    [inbound, outbound]: [&mut [u8]; 2],
    text: &mut [u8],
) -> Result<usize, FetchError> {
    // The text may hold private keys.
    let (inbound, outbound) = (WipedBuffer(inbound), WipedBuffer(outbound));
    let connection = Connection::client(config, &mut *inbound.0, &mut *outbound.0, &mut rng)
        .map_err(|_| ClientError::NoTls("not enough memory for the TLS client (use a larger -m)"))?;
    stream.mark_established();
    let mut endpoint = Endpoint::new(stream, connection, None);
    let deadline = Instant::now().saturating_add(FETCH_TIMEOUT);
    let fetched = with_deadline(deadline, async {
        match endpoint.handshake(&mut rng, deadline).await {
            Ok(()) => {}
            Err(HandshakeError::Failed(error)) => return Err(ClientError::Handshake(error.into()).into()),
            Err(HandshakeError::TimedOut) => return Err(FetchError::TimedOut),
        }
        let most = text.len();
        let mut len = 0;
        loop {
            // One byte more than fits shows that there is more.
            let mut beyond = [0];
            let (space, full) = match text.get_mut(len..).filter(|space| !space.is_empty()) {
                Some(space) => (space, false),
                None => (&mut beyond[..], true),
            };
            match endpoint.read(space).await.map_err(Ended::from) {
                Ok(0) => break,
                Ok(_) if full => return Err(FetchError::TooLong(most)),
                Ok(count) => len += count,
                Err(Ended::Closed | Ended::Tls(crate::tls::Error::Truncated)) => return Err(FetchError::Truncated),
                Err(why) => return Err(ClientError::Ended(why).into()),
            }
        }
        // Whether our close_notify gets out or not, the text is here.
        endpoint.close(FETCH_TIMEOUT).await;
        Ok(len)
    })
    .await;
    // The last data sent, perhaps an alert, must not be overtaken by a reset.
    endpoint.shutdown();
    fetched.unwrap_or(Err(FetchError::TimedOut))
}
