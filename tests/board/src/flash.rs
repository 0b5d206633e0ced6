//! A server, a client or both on a device, to measure the engine's flash.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod device;

#[cfg(target_os = "none")]
mod program {
    #[cfg(any(feature = "client", feature = "server"))]
    use postern_tls::{Connection, FULL_INBOUND, Progress, pki::verify};

    use super::device::Device;

    #[cortex_m_rt::entry]
    fn main() -> ! {
        loop {
            #[cfg(feature = "server")]
            let _ = serve();
            #[cfg(feature = "client")]
            let _ = connect();
            Device::put(Device::get());
        }
    }

    #[cfg(any(feature = "client", feature = "server"))]
    fn clock() -> verify::Clock {
        let now = u32::from_be_bytes([(); 4].map(|()| Device::get())).into();
        verify::Clock { now, floor: 0 }
    }

    #[cfg(feature = "server")]
    fn serve() -> Option<()> {
        use postern_tls::crypto::key::SigningKey;
        use postern_tls::{Identity, ServerConfig};

        let (mut inbound, mut outbound) = ([0; FULL_INBOUND], [0; FULL_INBOUND]);
        let (key, leaf) = (Device::bytes::<138>(), Device::bytes::<500>());
        let key = SigningKey::from_der("PRIVATE KEY", &key).ok()?;
        let chain: [&[u8]; 1] = [&leaf];
        let identities = [Identity::new(&chain, &key).ok()?];
        let config = ServerConfig::new(&identities, clock()).ok()?;
        #[cfg(feature = "client-auth")]
        let trust = verify::Trust::new(&chain);
        #[cfg(feature = "client-auth")]
        let config = config.with_client_auth(postern_tls::ClientAuth::Required(&trust));
        echo(Connection::server(config, &mut inbound, &mut outbound).ok()?)
    }

    #[cfg(feature = "client")]
    fn connect() -> Option<()> {
        use postern_tls::ClientConfig;

        let (mut inbound, mut outbound) = ([0; FULL_INBOUND], [0; FULL_INBOUND]);
        let ca = Device::bytes::<500>();
        let anchors: [&[u8]; 1] = [&ca];
        let trust = verify::Trust::new(&anchors);
        let config = ClientConfig::new(&trust, verify::ServerName::parse("localhost"), clock());
        echo(Connection::client(config, &mut inbound, &mut outbound, &mut Device).ok()?)
    }

    /// Sends back what comes, until the peer closes or something fails.
    #[cfg(any(feature = "client", feature = "server"))]
    fn echo(mut connection: Connection<'_>) -> Option<()> {
        loop {
            let count = connection.pending().len();
            connection.pending().iter().copied().for_each(Device::put);
            connection.sent(count);
            connection.space().first_mut().map(|byte| *byte = Device::get())?;
            connection.received(1);
            while connection.advance(&mut Device).ok()? == Progress::Data {
                let byte = *connection.data().first()?;
                connection.consume(1);
                connection.write(&[byte]).ok()?;
            }
        }
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is for a board: cargo test -p postern-board builds it");
}
