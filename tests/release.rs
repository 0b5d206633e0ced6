//! Correct and incorrect use of `qemu/release`, and what it has made.

#[path = "common/mod.rs"]
mod common;

mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::process::Command;

    use super::common::process::{Process, end, script};
    use super::common::{baked_ca, image, machine};

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

    /// How a private key begins that is in `bytes`: as PEM (RFC 7468), or as DER (RFC 5915, RFC 8017, RFC 8410).
    fn private_key(bytes: &[u8]) -> Option<&'static str> {
        let pem = |at: &[u8]| {
            let line = at.strip_prefix(b"-----BEGIN ").unwrap_or_default();
            line.iter()
                .position(|byte| *byte == b'-')
                .is_some_and(|end| line[..end].ends_with(b"PRIVATE KEY"))
        };
        let ders: [(&[u8], &str); 4] = [
            (&[2, 1, 1, 4, 32], "a P-256 key"),
            (&[2, 1, 1, 4, 48], "a P-384 key"),
            (&[2, 1, 0, 2, 0x82], "an RSA key"),
            (&[6, 3, 0x2b, 0x65, 0x70, 4, 34, 4, 32], "an Ed25519 key"),
        ];
        (0..bytes.len()).map(|start| &bytes[start..]).find_map(|at| {
            let der = ders.iter().find(|(beginning, _)| at.starts_with(beginning));
            der.map(|(_, name)| *name).or(pem(at).then_some("a key in PEM"))
        })
    }

    #[test]
    fn a_private_key_is_found_in_an_image_and_in_any_form() {
        assert_eq!(private_key(&fs::read(image()).unwrap()), Some("a key in PEM"));
        for (algorithm, name) in [
            (&["EC", "-pkeyopt", "ec_paramgen_curve:P-256"][..], "a P-256 key"),
            (&["EC", "-pkeyopt", "ec_paramgen_curve:P-384"], "a P-384 key"),
            (&["RSA"], "an RSA key"),
            (&["ED25519"], "an Ed25519 key"),
        ] {
            let mut command = Command::new("openssl");
            command
                .args(["genpkey", "-outform", "DER", "-algorithm"])
                .args(algorithm);
            assert_eq!(private_key(&command.output().unwrap().stdout), Some(name));
        }
        assert_eq!(private_key(&fs::read(baked_ca()).unwrap()), None);
    }

    #[test]
    #[ignore = "qemu/test release makes the release and runs this"]
    fn a_release_has_no_private_key() {
        let mut directories = vec![release()];
        let mut files = 0;
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    assert_eq!(private_key(&fs::read(&path).unwrap()), None, "{}", path.display());
                    files += 1;
                }
            }
        }
        assert!(files >= 9, "{files}");
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
