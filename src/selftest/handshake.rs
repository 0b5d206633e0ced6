//! Our server, and our client against it.

use core::convert::Infallible;

use embedded_io_async::{Read as _, Write as _};
use rand_core::CryptoRng;

use super::pipe::End;
use super::{Failure, MESSAGE};
use crate::crypto::kx::Group;
use crate::crypto::suite::CipherSuite;
use crate::pki::verify::{Clock, Trust};
use crate::tls::{ClientConfig, Connection, ProtocolVersion, ServerConfig, Stream, StreamError, Versions};

/// Shakes hands and echoes until the client closes.
pub(super) async fn server(
    config: ServerConfig<'_>,
    end: End<'_, '_>,
    inbound: &mut [u8],
    outbound: &mut [u8],
    random: &mut dyn CryptoRng,
) -> Result<(), Failure> {
    let connection = Connection::server(config, inbound, outbound).map_err(Failure::Config)?;
    let mut stream = Stream::new(end, connection);
    stream.handshake(random).await.map_err(on_server)?;
    loop {
        let mut buffer = [0; MESSAGE.len()];
        let count = stream.read(&mut buffer).await.map_err(on_server)?;
        if count == 0 {
            return stream.close().await.map_err(on_server);
        }
        let came = buffer.get(..count).unwrap_or_default();
        stream.write_all(came).await.map_err(on_server)?;
        stream.flush().await.map_err(on_server)?;
    }
}

/// The parameters that a client of the engine requires of a connection.
#[derive(Clone, Copy)]
pub(super) struct Want {
    pub(super) versions: Versions,
    pub(super) suites: &'static [CipherSuite],
    pub(super) groups: &'static [Group],
}

/// TLS 1.3 with what the second implementation's handshake leaves out.
pub(super) const TLS13: Want = Want {
    versions: Versions::Tls13,
    suites: &[CipherSuite::Aes256GcmSha384],
    groups: &[Group::X25519],
};

/// TLS 1.2 with the third AEAD.
pub(super) const TLS12: Want = Want {
    versions: Versions::Tls12,
    suites: &[
        CipherSuite::EcdheEcdsaChaCha20Poly1305Sha256,
        CipherSuite::EcdheRsaChaCha20Poly1305Sha256,
    ],
    // The second is there for certificates: TLS 1.2 wants their curve in the list (RFC 8422 §5.1.1).
    groups: &[Group::Secp256r1, Group::Secp384r1],
};

impl Want {
    /// The client's configuration.
    pub(super) fn of<'a>(&self, trust: &'a Trust<'a>, clock: Clock) -> ClientConfig<'a> {
        ClientConfig::new(trust, None, clock)
            .with_versions(self.versions)
            .with_suites(self.suites)
            .with_groups(self.groups)
    }
}

/// Shakes hands, has [`MESSAGE`] echoed, and closes.
pub(super) async fn client(
    want: Want,
    config: ClientConfig<'_>,
    end: End<'_, '_>,
    inbound: &mut [u8],
    outbound: &mut [u8],
    random: &mut dyn CryptoRng,
) -> Result<(), Failure> {
    let connection = Connection::client(config, inbound, outbound, random).map_err(Failure::Config)?;
    let mut stream = Stream::new(end, connection);
    stream.handshake(random).await.map_err(on_client)?;
    let info = stream.info();
    let right_suite = info.suite.is_some_and(|suite| want.suites.contains(&suite));
    if (info.version == Some(ProtocolVersion::TLS13)) != (want.versions == Versions::Tls13)
        || !right_suite
        || info.resumed
        || info.peer.is_none()
    {
        return Err(Failure::OtherTerms);
    }
    stream.write_all(MESSAGE).await.map_err(on_client)?;
    stream.flush().await.map_err(on_client)?;
    let mut expected = MESSAGE;
    while !expected.is_empty() {
        let mut buffer = [0; MESSAGE.len()];
        let count = stream.read(&mut buffer).await.map_err(on_client)?;
        let came = buffer.get(..count).unwrap_or_default();
        expected = match expected.strip_prefix(came) {
            Some(rest) if count > 0 => rest,
            _ => return Err(Failure::Differs),
        };
    }
    stream.close().await.map_err(on_client)?;
    match stream.read(&mut [0]).await.map_err(on_client)? {
        0 => Ok(()),
        _ => Err(Failure::Differs),
    }
}

fn on_server(error: StreamError<Infallible>) -> Failure {
    match error {
        StreamError::Tls(error) => Failure::Server(error),
        StreamError::Transport(_) | StreamError::WriteZero => Failure::Stalled,
    }
}

fn on_client(error: StreamError<Infallible>) -> Failure {
    match error {
        StreamError::Tls(error) => Failure::Client(error),
        StreamError::Transport(_) | StreamError::WriteZero => Failure::Stalled,
    }
}
