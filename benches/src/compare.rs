//! Image and peer in turn, row by row, and the table of it.

use std::io::Result;
use std::time::{Duration, Instant};

use rustls::{CipherSuite, NamedGroup};

use crate::guest::{Guest, Machine, System, cpu_of, cpu_of_host};
use crate::load::{Connector, Protocol, Tls};

/// What is measured on a guest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Figure {
    /// From the start of QEMU to the first TLS echo.
    Boot,
    /// Connections a second, by so many clients at a time.
    Rate(usize),
    /// Bulk echo.
    Bulk,
    /// Round trip of 16 bytes.
    RoundTrip,
}

impl Figure {
    fn unit(self) -> &'static str {
        match self {
            Self::Boot => "s",
            Self::Rate(_) => "/s",
            Self::Bulk => "MiB/s",
            Self::RoundTrip => "us",
        }
    }

    /// Whether less is better.
    fn is_time(self) -> bool {
        matches!(self, Self::Boot | Self::RoundTrip)
    }

    fn measure(self, connector: &Connector, time: Duration) -> Result<f64> {
        match self {
            Self::Rate(clients) => connector.rate(clients, time),
            Self::Bulk => connector.bulk(time),
            Self::RoundTrip => connector.round_trip(time),
            Self::Boot => unreachable!("measured when a guest boots"),
        }
    }
}

/// A row of the table.
struct Row {
    name: &'static str,
    figure: Figure,
    protocol: Protocol,
    /// The ratio to reach: image to peer, or peer to image where less is better.
    goal: Option<f64>,
}

const TLS12: Tls = Tls {
    tls12: true,
    ..Tls::USUAL
};
const RSA: Tls = Tls {
    rsa: true,
    ..Tls::USUAL
};

const fn row(name: &'static str, figure: Figure, protocol: Protocol, goal: Option<f64>) -> Row {
    Row {
        name,
        figure,
        protocol,
        goal,
    }
}

/// All rows, in the order of the table.
const ROWS: &[Row] = &[
    row("boot", Figure::Boot, Protocol::Tls(Tls::USUAL), None),
    row("handshake", Figure::Rate(1), Protocol::Tls(Tls::USUAL), Some(2.6)),
    row("handshake-8-clients", Figure::Rate(8), Protocol::Tls(Tls::USUAL), None),
    row(
        "handshake-p256",
        Figure::Rate(1),
        Protocol::Tls(Tls {
            group: NamedGroup::secp256r1,
            ..Tls::USUAL
        }),
        Some(1.9),
    ),
    row("handshake-rsa", Figure::Rate(1), Protocol::Tls(RSA), Some(1.8)),
    row(
        "handshake-tls12-rsa",
        Figure::Rate(1),
        Protocol::Tls(Tls { tls12: true, ..RSA }),
        Some(1.8),
    ),
    row("handshake-tls12", Figure::Rate(1), Protocol::Tls(TLS12), Some(2.1)),
    row(
        "resumed",
        Figure::Rate(1),
        Protocol::Tls(Tls {
            resume: true,
            ..Tls::USUAL
        }),
        Some(3.5),
    ),
    row(
        "resumed-tls12",
        Figure::Rate(1),
        Protocol::Tls(Tls { resume: true, ..TLS12 }),
        Some(4.0),
    ),
    row("tcp", Figure::Rate(1), Protocol::Plain, Some(1.5)),
    row("bulk-aes", Figure::Bulk, Protocol::Tls(Tls::USUAL), Some(1.25)),
    row(
        "bulk-chacha",
        Figure::Bulk,
        Protocol::Tls(Tls {
            suite: CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
            ..Tls::USUAL
        }),
        Some(1.7),
    ),
    row("bulk-plain", Figure::Bulk, Protocol::Plain, Some(2.0)),
    row("round-trip", Figure::RoundTrip, Protocol::Tls(Tls::USUAL), Some(2.4)),
    row("round-trip-plain", Figure::RoundTrip, Protocol::Plain, Some(1.9)),
];

/// The names of all rows.
pub fn names() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.name)
}

/// A row's samples: one of the image and one of the peer in each round.
#[derive(Default)]
struct Samples {
    image: Vec<f64>,
    peer: Vec<f64>,
}

/// The settings of a comparison.
pub struct Comparison {
    /// The machine in which both boot.
    pub machine: Machine,
    /// The image and the peer.
    pub systems: [System; 2],
    /// Samples of each row and system.
    pub rounds: usize,
    /// The time of a sample.
    pub time: Duration,
    /// The selected rows; all of them if it is empty.
    pub rows: Vec<String>,
}

/// Processors that others may occupy during a sample; above, it is repeated.
const FOREIGN_LOAD: f64 = 0.15;
/// How often a sample is repeated before it counts in spite of the load.
const REPEATS: usize = 5;

impl Comparison {
    /// Measures all rows and prints the table.
    ///
    /// # Errors
    /// If a guest does not boot or a load fails.
    pub fn run(&self) -> Result<()> {
        let selected = |row: &&Row| self.rows.is_empty() || self.rows.iter().any(|name| name == row.name);
        let rows: Vec<&Row> = ROWS.iter().filter(selected).collect();
        let mut samples: Vec<Samples> = rows.iter().map(|_| Samples::default()).collect();
        let mut load = Load::default();
        for round in 0..self.rounds {
            eprintln!("round {} of {}", round + 1, self.rounds);
            // New ones each time: QEMU's user network becomes slower with the connections that it remembers.
            let [image, peer] = self.boot(round)?;
            for (row, samples) in rows.iter().zip(&mut samples) {
                let mut figures = [0.0; 2];
                for n in order(round) {
                    let guest = [&image, &peer][n];
                    figures[n] = match row.figure {
                        Figure::Boot => guest.boot.as_secs_f64(),
                        figure => load.quiet(&[&image, &peer], || {
                            figure.measure(&guest.connector(row.protocol), self.time)
                        })?,
                    };
                }
                let [image, peer] = figures;
                eprintln!("  {:20} {image:8.2} {peer:8.2} {}", row.name, row.figure.unit());
                samples.image.push(image);
                samples.peer.push(peer);
            }
        }
        print(&rows, &samples);
        println!(
            "\n{} rounds of {} s a sample, {}, {}, {} MiB, QEMU {}; samples repeated for foreign load: {}, counted in spite of it: {}",
            self.rounds,
            self.time.as_secs_f64(),
            self.machine.accel,
            self.machine.card,
            self.machine.memory,
            crate::guest::qemu_version()?,
            load.repeated,
            load.tolerated,
        );
        Ok(())
    }

    fn boot(&self, round: usize) -> Result<[Guest; 2]> {
        let boot = |n: usize| Guest::boot(&self.machine, &self.systems[n], &[]);
        match order(round) {
            [0, _] => Ok([boot(0)?, boot(1)?]),
            _ => {
                let peer = boot(1)?;
                Ok([boot(0)?, peer])
            }
        }
    }
}

/// Which system is first alternates.
fn order(round: usize) -> [usize; 2] {
    if round.is_multiple_of(2) { [0, 1] } else { [1, 0] }
}

/// What other processes take of the processors.
#[derive(Default)]
struct Load {
    repeated: usize,
    tolerated: usize,
}

impl Load {
    /// Measures, again if others have occupied the processors meanwhile.
    fn quiet(&mut self, guests: &[&Guest], measure: impl Fn() -> Result<f64>) -> Result<f64> {
        let foreign = || -> Result<f64> {
            let ours = guests.iter().map(|guest| guest.cpu()).sum::<Result<f64>>()? + cpu_of("self")?;
            Ok(cpu_of_host()? - ours)
        };
        for _ in 0..REPEATS {
            let (start, before) = (Instant::now(), foreign()?);
            let figure = measure()?;
            if (foreign()? - before) / start.elapsed().as_secs_f64() <= FOREIGN_LOAD {
                return Ok(figure);
            }
            self.repeated += 1;
        }
        self.tolerated += 1;
        measure()
    }
}

/// Lower quartile, median, upper quartile.
fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    // Between neighbours where a quartile falls between them.
    let at = |part: f64| {
        let place = part * (values.len() - 1) as f64;
        let (low, high) = (values[place.floor() as usize], values[place.ceil() as usize]);
        low + (high - low) * place.fract()
    };
    [at(0.25), at(0.5), at(0.75)]
}

fn print(rows: &[&Row], samples: &[Samples]) {
    println!("| row | unit | image | peer | ratio | goal |");
    println!("|---|---|---|---|---|---|");
    for (row, samples) in rows.iter().zip(samples) {
        let pairs = samples.image.iter().zip(&samples.peer);
        let ratios = pairs.map(|(image, peer)| {
            if row.figure.is_time() {
                peer / image
            } else {
                image / peer
            }
        });
        let ratio = quartiles(ratios.collect());
        let goal = row.goal.map_or_else(String::new, |goal| {
            format!("{goal}: {}", if ratio[0] >= goal { "reached" } else { "missed" })
        });
        println!(
            "| {} | {} | {} | {} | {} | {goal} |",
            row.name,
            row.figure.unit(),
            text(quartiles(samples.image.clone())),
            text(quartiles(samples.peer.clone())),
            text(ratio),
        );
    }
}

/// The median, and the quartiles in parentheses.
fn text([low, median, high]: [f64; 3]) -> String {
    let digits = if median < 10.0 { 2 } else { usize::from(median < 100.0) };
    format!("{median:.digits$} ({low:.digits$}–{high:.digits$})")
}

#[cfg(test)]
mod tests;
