//! Stack and flash of a Cortex-M4, as two tables on the engine's page.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "thumbv7em-none-eabihf";
/// SHA-2 without unrolled loops, which take 32 KB, and AES without, which take 2 KB.
const FLAGS: &str = "--cfg sha2_backend=\"soft\" --cfg sha2_backend_soft=\"compact\" \
                     --cfg aes_backend=\"soft\" --cfg aes_backend_soft=\"compact\"";
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/tls/README.md");

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{command:?}\n{out}{err}");
    out
}

/// Builds a program of this package for the board.
fn build(program: &str, features: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("board");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--locked", "-p", "postern-board", "--profile", "small"]);
    cargo.args(["--no-default-features", "--features", features, "--bin", program]);
    cargo.args(["--target", TARGET, "--target-dir"]).arg(&directory);
    run(cargo.env("CARGO_TARGET_THUMBV7EM_NONE_EABIHF_RUSTFLAGS", FLAGS));
    directory.join(TARGET).join("small").join(program)
}

#[test]
fn handshakes_on_a_cortex_m4_take_the_stack_of_the_table() {
    let program = build("postern-board", "default");
    let mut qemu = Command::new("qemu-system-arm");
    qemu.args([
        "-M",
        "mps2-an386",
        "-display",
        "none",
        "-monitor",
        "none",
        "-serial",
        "none",
    ]);
    qemu.args(["-semihosting-config", "enable=on,target=native", "-kernel"]);
    let figures = run(qemu.arg(program));

    let mut table = String::new();
    for line in figures.lines() {
        let cells: Vec<_> = line.split(' ').collect();
        table += &match cells[..] {
            ["Connection", bytes, idle] => format!(
                "A `Connection` has {bytes} bytes there, and {idle} with a handshake that is lent, as here.\n\n\
                 | bytes of stack | client | server | client, resumed | server, resumed |\n|---|--:|--:|--:|--:|\n"
            ),
            [name, a, b, c, d] => format!(
                "| {} | {a} | {b} | {c} | {d} |\n",
                name.replace('_', " ").replacen('-', ", ", 1)
            ),
            _ => panic!("{figures}"),
        };
    }
    assert_eq!(table.lines().count(), 8, "{figures}");
    for line in figures.lines() {
        let (name, bytes) = line.split_once(' ').unwrap();
        let most = match name {
            "Connection" => continue,
            "TLS_1.3-X25519MLKEM768" => 48 << 10,
            _ => 24 << 10,
        };
        let deepest = bytes.split(' ').map(|bytes| bytes.parse::<usize>().unwrap()).max();
        assert!(deepest <= Some(most), "{line}");
    }
    postern_testing::check_table(PAGE, "tests/board, stack", &table);
}

/// The profiles of the table: a name, and the features of the program.
const PROFILES: [(&str, &str); 5] = [
    ("TLS 1.3 server, P-256, X25519, AES-GCM", "server"),
    ("the same with client certificates", "server,client-auth"),
    ("the same with TLS 1.2", "server,client-auth,tls12"),
    ("TLS 1.3 client, P-256, X25519, AES-GCM", "client"),
    ("everything", "default,client-auth"),
];

/// A row of the table for each of `profiles`.
fn rows(profiles: &[(&str, &str)]) -> String {
    let without = flash(&build("flash", ""));
    let row =
        |(name, features): &(&str, &str)| format!("| {name} | {} |\n", flash(&build("flash", features)) - without);
    profiles.iter().map(row).collect()
}

#[test]
fn a_tls_13_server_takes_at_most_120_kb_of_flash() {
    let row = rows(&PROFILES[..1]);
    let bytes: u64 = row.split(' ').rev().nth(1).unwrap().parse().unwrap();
    assert!(bytes <= 120_000, "{row}");
}

#[test]
#[ignore = "minutes of linking: `qemu/evidence flash`"]
fn flash_of_each_profile_is_as_in_the_table() {
    let table = format!("| | bytes of flash |\n|---|--:|\n{}", rows(&PROFILES));
    postern_testing::check_table(PAGE, "tests/board, flash", &table);
}

/// How many bytes a program takes of flash: all sections with content that are loaded.
fn flash(program: &Path) -> u64 {
    const PROGBITS: u32 = 1;
    const ALLOC: u32 = 2;
    let elf = fs::read(program).unwrap();
    let word = |at: usize| u32::from_le_bytes(elf[at..at + 4].try_into().unwrap());
    let half = |at: usize| u16::from_le_bytes(elf[at..at + 2].try_into().unwrap()).into();
    let (first, size, count): (_, usize, usize) = (word(0x20) as usize, half(0x2e), half(0x30));
    let sections = (0..count).map(|number| first + number * size);
    let loaded = sections.filter(|at| word(at + 4) == PROGBITS && word(at + 8) & ALLOC != 0);
    loaded.map(|at| u64::from(word(at + 20))).sum()
}
