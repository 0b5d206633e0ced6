//! Figures that depend on the host, shown without a limit (`qemu/test figures`).

mod common;

use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::machine::Setup;
use common::{baked_ca, tls};

#[test]
#[ignore = "a figure, not a check"]
fn first_echo() {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        let machine = Setup::new().boot();
        tls::assert_serves(machine.at(10007), &baked_ca());
        best = best.min(start.elapsed());
        drop(machine);
    }
    println!("start of QEMU to the end of the first TLS echo: {best:?} (best of 5)");
}

#[test]
#[ignore = "a figure, not a check"]
fn idle_cpu() {
    let machine = Setup::new().ready();
    // What is there to be idle: open connections, and a shell.
    let _shell = machine.shell();
    let _open: Vec<TcpStream> = (0..10)
        .map(|_| TcpStream::connect(machine.at(10008)).unwrap())
        .collect();
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", machine.id())).unwrap();
        // proc(5): utime and stime are the 14th and 15th fields, in hundredths of a second; the 2nd ends with a parenthesis.
        let fields: Vec<u64> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|field| field.parse().unwrap())
            .collect();
        fields[0] + fields[1]
    };
    std::thread::sleep(Duration::from_secs(1));
    let (start, before) = (Instant::now(), ticks());
    std::thread::sleep(Duration::from_secs(5));
    let percent = (ticks() - before) as f64 / start.elapsed().as_secs_f64();
    println!("CPU time of QEMU with an idle image: {percent:.1} % of one CPU");
}
