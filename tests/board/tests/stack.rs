//! The program on the board, in QEMU; its figures are a table on the engine's page.

use std::process::Command;

const TARGET: &str = "thumbv7em-none-eabihf";
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/tls/README.md");

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{command:?}\n{out}{err}");
    out
}

#[test]
fn handshakes_on_a_cortex_m4_take_the_stack_of_the_table() {
    let target = concat!(env!("CARGO_TARGET_TMPDIR"), "/board");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--locked", "-p", "postern-board", "--profile", "small"]);
    run(cargo.args(["--target", TARGET, "--target-dir", target]));
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
    let figures = run(qemu.arg(format!("{target}/{TARGET}/small/postern-board")));

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
    postern_testing::check_table(PAGE, "tests/board", &table);
}
