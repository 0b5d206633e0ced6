//! The program behind `qemu/bench` and `qemu/profile`.

mod compare;
mod guest;
mod load;
mod profile;
mod smallest;

use std::io::{Error, Result};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use compare::Comparison;
use guest::{Machine, System};

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("postern-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The options of all commands. The scripts check and explain them.
struct Options {
    image: PathBuf,
    /// The directory with keys, and with the peer's kernel and initial file system; files are written there.
    directory: PathBuf,
    machine: Machine,
    rounds: usize,
    seconds: f64,
    samples: usize,
    connections: Option<usize>,
    /// Rows or loads.
    names: Vec<String>,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            image: PathBuf::new(),
            directory: PathBuf::new(),
            machine: Machine {
                accel: "tcg".into(),
                card: "e1000e".into(),
                memory: 256,
            },
            rounds: 9,
            seconds: 10.0,
            samples: 2000,
            connections: None,
            names: Vec::new(),
        };
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let missing = Error::other(format!("{argument} has no value"));
                arguments.next().ok_or(missing)
            };
            match argument.as_str() {
                "--image" => options.image = value()?.into(),
                "--directory" => options.directory = value()?.into(),
                "--accel" => options.machine.accel = value()?,
                "--nic" => {
                    options.machine.card = match value()?.as_str() {
                        "virtio" => "virtio-net-pci".into(),
                        other => other.into(),
                    }
                }
                "--memory" => options.machine.memory = number(&value()?)?,
                "--rounds" => options.rounds = number(&value()?)?,
                "--seconds" => options.seconds = number(&value()?)?,
                "--samples" => options.samples = number(&value()?)?,
                "--connections" => options.connections = Some(number(&value()?)?),
                _ => options.names.push(argument),
            }
        }
        Ok(options)
    }

    fn systems(&self) -> Result<[System; 2]> {
        let image = System::Image {
            image: self.image.clone(),
            defconfig: guest::defconfig(&self.directory, self.connections)?,
        };
        let peer = System::Peer {
            kernel: self.directory.join("bzImage"),
            initrd: self.directory.join("initrd"),
        };
        Ok([image, peer])
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.parse()
        .map_err(|_| Error::other(format!("'{text}' is not a valid number")))
}

fn run(mut arguments: impl Iterator<Item = String>) -> Result<()> {
    let command = arguments.next().unwrap_or_default();
    let options = Options::parse(arguments)?;
    match command.as_str() {
        "compare" => {
            if let Some(name) = options
                .names
                .iter()
                .find(|name| !compare::names().any(|row| row == **name))
            {
                let rows: Vec<&str> = compare::names().collect();
                return Err(Error::other(format!(
                    "no row '{name}'; the rows are {}",
                    rows.join(", ")
                )));
            }
            Comparison {
                systems: options.systems()?,
                machine: options.machine,
                rounds: options.rounds,
                time: Duration::from_secs_f64(options.seconds),
                rows: options.names,
            }
            .run()
        }
        "smallest" => {
            let connections = options.connections.unwrap_or(1000);
            smallest::run(&options.machine, &options.systems()?, connections)
        }
        "profile" => {
            let names: Vec<&str> = profile::LOADS.iter().map(|load| load.name).collect();
            let wanted = options.names.first().map_or("handshake", String::as_str);
            let load = profile::LOADS.iter().find(|load| load.name == wanted);
            let load =
                load.ok_or_else(|| Error::other(format!("no load '{wanted}'; the loads are {}", names.join(", "))))?;
            let defconfig = guest::defconfig(&options.directory, options.connections)?;
            profile::run(&options.machine, &options.image, &defconfig, load, options.samples)
        }
        other => Err(Error::other(format!(
            "no command '{other}'; there are compare, smallest and profile"
        ))),
    }
}
