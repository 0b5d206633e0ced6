//! Correct and incorrect use of `qemu/release`, and what it has made.

#[path = "common/mod.rs"]
mod common;

mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::{Command, Output};

    use super::common::process::Process;
    use super::common::machine;

    fn script(name: &str) -> Command {
        Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("qemu").join(name))
    }

    /// Runs it to its end: exit status, standard output, standard error.
    fn end(command: &mut Command) -> (i32, String, String) {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    /// What `qemu/release` made.
    fn release() -> PathBuf {
        PathBuf::from(std::env::var("POSTERN_RELEASE").expect("POSTERN_RELEASE names its directory"))
    }

    #[test]
    fn a_release_says_what_it_contains_and_what_it_refuses() {
        let (status, out, _) = end(script("release").arg("--help"));
        assert_eq!(status, 0);
        for part in [
            "postern.elf ",
            "uefi/ ",
            "defconfig ",
            "postern.cdx.json ",
            "THIRD-PARTY ",
            "SHA256SUMS ",
            "--defconfig FILE ",
        ] {
            assert!(out.contains(&format!("\n  {part}")), "{part}");
        }
        for (arguments, code, why) in [
            (&["--fast"][..], 2, "unknown option '--fast'"),
            (&["a", "b"], 2, "one directory, not 'a' and 'b'"),
            (&["--defconfig"], 2, "--defconfig takes a value"),
            (&["--defconfig", "/nowhere"], 1, "cannot read the defconfig '/nowhere'"),
        ] {
            let (status, out, err) = end(script("release").args(arguments));
            assert!(
                status == code && out.is_empty() && err.starts_with(&format!("qemu/release: {why}")),
                "{err}"
            );
        }
    }

    #[test]
    #[ignore = "qemu/test release makes the release and runs this"]
    fn the_released_image_serves_with_a_key_of_its_own() {
        let release = release();
        let mut command = script("run");
        command
            .args(["--accel=tcg", "--image"])
            .arg(release.join("postern.elf"));
        let mut run = Process::start(&mut command);
        run.out.wait_for("server key made at boot: ");
        run.err.wait_for("to leave, type");
        let said = run.err.text();
        let line = said
            .lines()
            .find(|line| line.starts_with("    openssl s_client "))
            .expect(&said);
        assert!(
            !said.contains("RootCA.pem") && !said.contains("\n    telnet "),
            "{said}"
        );
        let console = run.out.text();
        let hash = console
            .split("sha256:")
            .nth(1)
            .expect(&console)
            .split_whitespace()
            .next()
            .unwrap();
        run.out.wait_for("vm0: address ");
        let pin = format!(
            "{line} </dev/null 2>/dev/null | openssl x509 -pubkey -noout | openssl pkey -pubin -outform DER | sha256sum"
        );
        let (_, seen, err) = end(Command::new("sh").args(["-c", &pin]));
        assert!(seen.starts_with(hash) && hash.len() == 64, "{hash} {seen}{err}");
        run.write(b"\rpoweroff\r");
        assert!(run.wait().success());

        let bom = fs::read_to_string(release.join("postern.cdx.json")).unwrap();
        let third = fs::read_to_string(release.join("THIRD-PARTY")).unwrap();
        for name in ["smoltcp", "p256", "rustls-webpki", "rust-core", "grub"] {
            assert!(bom.contains(&format!("\"name\": \"{name}\"")), "{name}");
        }
        assert!(!bom.contains("\"rcgen\"") && third.contains("\nsmoltcp 0."), "{third}");
    }

    #[test]
    #[ignore = "qemu/test release makes the release and runs this"]
    fn a_release_boots_by_uefi() {
        // The directory is used as it is.
        let mut run = script("run");
        run.args(["--dry-run", "--uefi", "--accel=tcg", "--memory=256", "--image"]);
        let (_, line, err) = end(run.arg(release().join("uefi/postern.elf")));
        assert!(
            line.contains(&format!("fat:rw:{}/uefi,", release().display())),
            "{line}{err}"
        );
        let mut machine = Process::start(Command::new("sh").args(["-c", &format!("exec {line}")]));
        machine.out.wait_for("Welcome to GRUB!");
        machine.out.wait_for("server key made at boot: ");
        machine.out.wait_for(machine::READY);
        machine.write(b"\rpoweroff\r");
        assert!(machine.wait().success());
    }
}
