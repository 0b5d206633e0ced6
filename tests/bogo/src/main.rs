//! The shim by which BoringSSL's test runner (BoGo) drives the TLS engine.
//!
//! The runner starts one process for each test with flags for its behaviour, connects it to itself, and is the other
//! side. `ssl/test/PORTING.md` of BoringSSL has the protocol. The shim uses nothing but the engine's public interface.

mod exchange;
mod files;
mod flags;
mod recorder;
mod settings;

use std::env;
use std::fs::File;
use std::io::Read as _;
use std::process::ExitCode;

use chacha20::ChaCha20Rng;
use postern_tls::{SessionCache, Tickets};
use rand_core::SeedableRng as _;

use exchange::Failure;
use settings::Settings;

/// The exit status that means: a flag asks for a feature that is not here.
const UNIMPLEMENTED: u8 = 89;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "-is-handshaker-supported") {
        println!("No");
        return ExitCode::SUCCESS;
    }
    match flags::parse(&arguments).and_then(|settings| run(&settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Unimplemented(feature)) => {
            println!("not here: {feature}");
            ExitCode::from(UNIMPLEMENTED)
        }
        // The runner compares this with what config.json has for the error that it expects.
        Err(failure) => {
            eprintln!("{failure:?}");
            ExitCode::FAILURE
        }
    }
}

/// The first connection, and the ones that resume its session.
fn run(settings: &[Settings; 2]) -> Result<(), Failure> {
    let [initial, resumed] = settings;
    let mut seed = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    let mut rng = ChaCha20Rng::from_seed(seed);
    let mut now = files::now()?;
    let tickets = Tickets::new(&mut rng, now)?;
    let sessions = SessionCache::new();
    for count in 0..=initial.resume_count {
        let settings = if count == 0 { initial } else { resumed };
        let side = exchange::Side {
            settings,
            resumption: count > 0,
            now,
        };
        side.run(&tickets, &sessions, &mut rng)?;
        now += settings.resumption_delay;
    }
    Ok(())
}
