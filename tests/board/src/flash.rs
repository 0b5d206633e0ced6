//! A server or a client on a board, for what the engine takes of its flash.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod program {
    use core::convert::Infallible;
    use core::panic::PanicInfo;

    use rand_core::{TryCryptoRng, TryRng};

    #[panic_handler]
    fn panic(_: &PanicInfo<'_>) -> ! {
        loop {}
    }

    /// The device: bytes come and go here, and random numbers come.
    static mut PORT: u32 = 0;

    fn get() -> u32 {
        unsafe { (&raw const PORT).read_volatile() }
    }

    fn put(byte: u8) {
        unsafe { (&raw mut PORT).write_volatile(byte.into()) }
    }

    struct Rng;
    impl TryRng for Rng {
        type Error = Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            Ok(get())
        }
        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            Ok(get().into())
        }
        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
            bytes.fill_with(|| get() as u8);
            Ok(())
        }
    }
    impl TryCryptoRng for Rng {}

    #[cortex_m_rt::entry]
    fn main() -> ! {
        loop {
            #[cfg(any(feature = "client", feature = "server"))]
            let _ = run(&mut Rng);
            #[cfg(not(any(feature = "client", feature = "server")))]
            Rng.try_next_u32().map(|n| put(n as u8)).unwrap();
        }
    }

    #[cfg(any(feature = "client", feature = "server"))]
    fn run(rng: &mut Rng) -> Result<(), ()> {
        use postern_tls::pki::verify::Clock;
        use postern_tls::{Connection, FULL_INBOUND, Progress};
        #[cfg(feature = "server")]
        use postern_tls::{Identity, ServerConfig, crypto::key::SigningKey};
        #[cfg(not(feature = "server"))]
        use postern_tls::{ClientConfig, pki::verify::{ServerName, Trust}};

        static mut BUFFERS: [[u8; FULL_INBOUND]; 2] = [[0; FULL_INBOUND]; 2];
        static KEY: [u8; 138] = [0; 138];
        static CHAIN: [&[u8]; 1] = [&[0; 400]];
        let [inbound, outbound] = unsafe { &mut *(&raw mut BUFFERS) };
        let clock = Clock { now: get().into(), floor: 0 };
        #[cfg(feature = "server")]
        let (key, identities, config);
        #[cfg(feature = "server")]
        let mut connection = {
            key = SigningKey::from_der("PRIVATE KEY", core::hint::black_box(&KEY)).map_err(|_| ())?;
            identities = [Identity::new(core::hint::black_box(&CHAIN), &key).map_err(|_| ())?];
            config = ServerConfig::new(&identities, clock).map_err(|_| ())?;
            Connection::server(config, inbound, outbound).map_err(|_| ())?
        };
        #[cfg(not(feature = "server"))]
        let trust = Trust::new(&CHAIN);
        #[cfg(not(feature = "server"))]
        let mut connection = {
            let config = ClientConfig::new(&trust, ServerName::parse("localhost"), clock);
            Connection::client(config, inbound, outbound, rng).map_err(|_| ())?
        };
        loop {
            let pending = connection.pending();
            let count = pending.len();
            pending.iter().for_each(|b| put(*b));
            connection.sent(count);
            let space = connection.space();
            let count = space.len().min(get() as usize);
            space[..count].fill_with(|| get() as u8);
            connection.received(count);
            match connection.advance(rng).map_err(|_| ())? {
                Progress::NeedInput => {}
                Progress::Data => {
                    let count = connection.data().len();
                    connection.data().iter().for_each(|b| put(*b));
                    connection.consume(count);
                    let _ = connection.write(b"hello").map_err(|_| ())?;
                }
                Progress::Closed => return Ok(()),
            }
        }
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is for a board: cargo test -p postern-board builds it");
}
