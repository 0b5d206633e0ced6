//! Correct and incorrect use of the scripts in `qemu`.

#[path = "common/mod.rs"]
mod common;

mod tests {
    use std::fs;
    use std::net::TcpListener;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use super::common::process::{Process, end, script};
    use super::common::{Scratch, baked_ca, image, machine, telnet};

    /// What `qemu/run --dry-run` would run.
    fn dry_run(arguments: &[&str]) -> String {
        let (status, out, err) = end(script("run").arg("--dry-run").args(arguments));
        assert_eq!(status, 0, "{err}");
        out
    }

    #[test]
    fn help_is_on_standard_output_and_names_every_option() {
        let (status, out, err) = end(script("run").arg("--help"));
        assert_eq!((status, &err[..]), (0, ""));
        for option in [
            "--tls",
            "--plain",
            "--https",
            "--telnet",
            "--tls-telnet",
            "--defconfig",
            "--memory",
            "--accel",
            "--machine",
            "--nic",
            "--uefi",
            "--pcap",
            "--gdb",
            "--listen",
            "--image",
        ] {
            assert!(out.contains(&format!("\n  {option} ")), "{option}");
        }
        assert_eq!(end(script("run").arg("-h")).1, out);
        let (status, out, _) = end(script("test").arg("--help"));
        assert!(status == 0 && out.contains("N passed, N failed"));
    }

    #[test]
    fn the_external_suites_say_what_they_need() {
        let suite = |run| Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(run));
        let (bogo, limbo) = (|| suite("tests/bogo/run"), || suite("tests/limbo/run"));
        let (status, out, _) = end(script("evidence").arg("--help"));
        assert!(status == 0 && out.contains("\n  bogo DIR "), "{out}");
        assert!(out.contains("\n  wycheproof [DIR] "), "{out}");
        let (status, out, _) = end(bogo().arg("--help"));
        assert!(status == 0 && out.contains("git -C DIR checkout "), "{out}");
        for (arguments, reason) in [
            (&["other"][..], "there is no part 'other'"),
            (&["order", "a"], "order takes nothing"),
            (&["chains", "a"], "chains takes nothing"),
            (&["features", "a"], "features takes nothing"),
            (&["bogo"], "bogo takes the BoringSSL checkout"),
            (
                &["wycheproof", "a", "b"],
                "wycheproof takes a checkout of C2SP/wycheproof, or nothing",
            ),
            (&["limbo"], "limbo takes the file with its cases"),
            (&["bettertls"], "bettertls takes the file with its cases"),
        ] {
            let (status, _, err) = end(script("evidence").args(arguments));
            assert!(status == 2 && err.contains(reason), "{err}");
        }
        let (status, _, err) = end(&mut bogo());
        assert!(
            status == 2 && err.contains("the BoringSSL checkout is missing"),
            "{err}"
        );
        let (status, _, err) = end(bogo().arg("/nowhere"));
        assert!(status == 1 && err.contains("/nowhere has no ssl/test/runner"), "{err}");
        let (status, out, _) = end(limbo().arg("--help"));
        assert!(status == 0 && out.contains("git -C DIR checkout "), "{out}");
        let (status, _, err) = end(&mut limbo());
        assert!(status == 2 && err.contains("a suite is missing"), "{err}");
        let (status, _, err) = end(limbo().args(["limbo", "/nowhere"]));
        assert!(status == 1 && err.contains("cannot read /nowhere"), "{err}");
    }

    #[test]
    fn measurements_explain_themselves_and_refuse_wrong_options() {
        for (name, options) in [
            (
                "bench",
                &["--rounds", "--seconds", "--nic", "--accel", "--memory", "--smallest"][..],
            ),
            ("profile", &["--samples", "--nic"]),
        ] {
            let (status, out, _) = end(script(name).arg("--help"));
            assert_eq!(status, 0);
            for option in options {
                assert!(out.contains(&format!("\n  {option} ")), "{name} {option}");
            }
        }
        for (name, arguments, why) in [
            (
                "bench",
                &["--rounds", "0"][..],
                "--rounds takes a number above 0, not '0'",
            ),
            (
                "bench",
                &["--seconds", "0.0"],
                "--seconds takes a number above 0, not '0.0'",
            ),
            ("bench", &["--nic=ne2000"], "--nic takes e1000e or virtio, not 'ne2000'"),
            ("bench", &["--accel", "fast"], "--accel takes kvm or tcg, not 'fast'"),
            ("bench", &["--memory"], "--memory takes a value"),
            ("bench", &["--smallest", "9", "boot"], "--smallest takes no rows"),
            ("bench", &["--all"], "unknown option '--all'"),
            (
                "profile",
                &["--samples", "many"],
                "--samples takes a number above 0, not 'many'",
            ),
            ("profile", &["--nic"], "--nic takes e1000e or virtio, not ''"),
            (
                "profile",
                &["tcp", "bulk"],
                "there is one load at a time, not 'bulk' too",
            ),
            ("profile", &["--all"], "unknown option '--all'"),
        ] {
            let (status, out, err) = end(script(name).args(arguments));
            assert_eq!((status, &out[..]), (2, ""), "{name} {arguments:?}");
            assert!(err.starts_with(&format!("qemu/{name}: {why}\n")), "{err}");
        }
    }

    #[test]
    fn the_count_leaves_out_tests_comments_and_blank_lines() {
        let scratch = Scratch::new();
        let files = [
            (
                "src/main.rs",
                "//! A head.\n\nfn main() {\n    // Why.\n    room::a();\n}\n#[cfg(test)]\nmod fake;\n",
            ),
            ("src/fake.rs", "fn fake() {}\n"),
            ("src/fake/card.rs", "fn card() {}\n"),
            (
                "src/room/mod.rs",
                "pub fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\npub fn c() {}\n",
            ),
            ("src/room/tests.rs", "fn d() {}\n"),
            ("crates/engine/src/lib.rs", "#![no_std]\n"),
            ("crates/engine/tests/all.rs", "fn e() {}\n"),
            ("crates/engine/examples/one.rs", "fn f() {}\n"),
        ];
        for (name, text) in files {
            let path = scratch.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::create_dir(scratch.path("qemu")).unwrap();
        fs::copy(script("count").get_program(), scratch.path("qemu/count")).unwrap();
        let git = |arguments: &str| {
            let mut command = Command::new("git");
            command.args(arguments.split(' ')).current_dir(scratch.path(""));
            assert_eq!(end(&mut command).0, 0, "git {arguments}");
        };
        git("init -q");
        git("add .");
        git("-c user.name=a -c user.email=a@example commit -q -m all");
        let count = |arguments: &[&str]| end(Command::new(scratch.path("qemu/count")).args(arguments));
        let table = "engine       (all)                 1\n\
                     engine       lib                   1\n\
                     postern      (all)                 5\n\
                     postern      main                  3\n\
                     postern      room                  2\n\
                     everything   (all)                 6\n";
        assert_eq!(count(&["HEAD"]), (0, table.to_owned(), String::new()));
        fs::write(
            scratch.path("src/main.rs"),
            "#[cfg(all(test, unix))]\nmod fake;\nfn main() {}\n",
        )
        .unwrap();
        assert!(count(&[]).1.contains("postern      main                  1\n"));
        assert_eq!(count(&["HEAD"]).1, table);
        for (argument, why) in [("--all", "unknown option --all"), ("none", "'none' is not a commit")] {
            let (status, out, err) = count(&[argument]);
            assert!(status == 2 && out.is_empty() && err.contains(why), "{err}");
        }
    }

    #[test]
    fn wrong_options_name_their_fault_and_the_help() {
        for (arguments, why) in [
            (&["--fast"][..], "unknown option '--fast'; options of QEMU go after --"),
            (
                &["-snapshot"],
                "unknown option '-snapshot'; options of QEMU go after --",
            ),
            (&["10007"], "unknown option '10007'"),
            (&["--tls"], "--tls takes a value"),
            (&["--tls", "0"], "--tls takes a number from 1 to 65535, not '0'"),
            (&["--tls=65536"], "--tls takes a number from 1 to 65535, not '65536'"),
            (&["--tls", "10007:"], "--tls takes a number from 1 to 65535, not ''"),
            (&["--telnet", "x"], "--telnet takes a number from 1 to 65535, not 'x'"),
            (&["--memory", "1"], "--memory takes a number from 5 to 1048576, not '1'"),
            (
                &["--memory", "64M"],
                "--memory takes a number from 5 to 1048576, not '64M'",
            ),
            (&["--accel", "hvf"], "--accel takes kvm or tcg, not 'hvf'"),
            (&["--machine", "pc"], "--machine takes q35 or microvm, not 'pc'"),
            (&["--nic", "rtl8139"], "--nic takes e1000e or virtio, not 'rtl8139'"),
            (&["--nic"], "--nic takes a value"),
            (
                &["--machine", "microvm", "--nic=e1000e"],
                "--nic e1000e needs the machine q35",
            ),
            (&["--no-build=yes"], "--no-build takes no value"),
            (&["--gdb=1234"], "--gdb takes no value"),
            (&["--image"], "--image takes a value"),
            (
                &["--listen", "::"],
                "--listen takes an IPv4 address of this host, not '::'",
            ),
            (
                &["--listen=1.2.3.256"],
                "--listen takes an IPv4 address of this host, not '1.2.3.256'",
            ),
            (
                &["--listen=198.51.100.7"],
                "--listen takes an IPv4 address of this host, not '198.51.100.7'",
            ),
            (&["--uefi=yes"], "--uefi takes no value"),
            (&["--uefi", "--machine", "microvm"], "--uefi needs the machine q35"),
            (
                &["--uefi", "--memory", "63"],
                "--uefi needs --memory 64 or more, not '63'",
            ),
            (&["--tls", "4444", "--plain", "4444"], "port 4444 is given twice"),
        ] {
            let (status, out, err) = end(script("run").args(arguments));
            assert_eq!((status, &out[..]), (2, ""), "{arguments:?}: {err}");
            assert!(err.starts_with(&format!("qemu/run: {why}")), "{arguments:?}: {err}");
            assert!(
                err.ends_with("\nqemu/run: `qemu/run --help` lists the options\n") && err.lines().count() == 2,
                "{arguments:?}: {err}"
            );
        }
        let (status, _, err) = end(script("test").arg("everything"));
        assert!(
            status == 2 && err.starts_with("qemu/test: unknown check 'everything'\nqemu/test: `qemu/test --help` "),
            "{err}"
        );
    }

    #[test]
    fn another_shell_hands_over_to_bash() {
        for name in ["run", "test", "../pki/wizard"] {
            let (status, out, err) = end(Command::new("sh").arg(script(name).get_program()).arg("--help"));
            assert!(status == 0 && out.starts_with("usage: "), "{name}: {err}");
        }
    }

    #[test]
    fn impossible_requests_are_refused_with_the_reason() {
        let scratch = Scratch::new();
        let empty = scratch.file("empty", "");
        let empty = empty.to_str().unwrap();
        for (arguments, why) in [
            (
                &["--defconfig", "/nowhere/x"][..],
                "cannot read the defconfig '/nowhere/x'",
            ),
            (&["--defconfig", "/"], "cannot read the defconfig '/'"),
            (&["--defconfig", empty], "is empty"),
            (&["--image", "/nowhere/x"], "cannot read the image '/nowhere/x'"),
            (
                &["--pcap", "/nowhere/x.pcap"],
                "directory '/nowhere' for the capture does not exist",
            ),
        ] {
            let (status, out, err) = end(script("run").args(arguments));
            assert_eq!((status, &out[..]), (1, ""), "{arguments:?}: {err}");
            assert!(err.contains(why), "{arguments:?}: {err}");
        }
        // Without an image.
        let mut run = script("run");
        let (status, _, err) = end(run.arg("--no-build").env("CARGO_TARGET_DIR", scratch.path("target")));
        assert!(
            status == 1 && err.contains("does not exist; run without --no-build"),
            "{err}"
        );
        // Without KVM.
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap();
        if !cpu.contains(" vmx") && !cpu.contains(" svm") {
            let (status, _, err) = end(script("run").args(["--accel", "kvm"]));
            assert!(
                status == 1 && err.contains("KVM does not work here") && err.contains("--accel tcg"),
                "{err}"
            );
        }
    }

    #[test]
    fn options_reach_qemu() {
        let scratch = Scratch::new();
        let other = scratch.file("other defconfig", "x");
        let command = dry_run(&[
            "--tls=4443:443",
            "--plain",
            "4444:7",
            "--https=4447",
            "--telnet=4445",
            "--tls-telnet=4446",
            "--memory",
            "16",
            "--accel=tcg",
            "--defconfig",
            other.to_str().unwrap(),
            "--pcap",
            "/tmp/a,b.pcap",
            "--",
            "-cpu",
            "qemu64",
        ]);
        for part in [
            ",hostfwd=tcp:127.0.0.1:4443-:443,hostfwd=tcp:127.0.0.1:4444-:7,hostfwd=tcp:127.0.0.1:4447-:443,\
             hostfwd=tcp:127.0.0.1:4445-:23,hostfwd=tcp:127.0.0.1:4446-:992 ",
            " -m 16 ",
            " -accel tcg ",
            " -M q35 ",
            &format!(" -initrd '{}' ", other.display()),
            ",file=/tmp/a,,b.pcap ",
        ] {
            assert!(command.contains(part), "{part} is not in {command}");
        }
        assert!(command.ends_with(" -cpu qemu64\n"), "{command}");
        let microvm = dry_run(&["--machine", "microvm"]);
        for part in [
            " -M microvm -accel ",
            " -global virtio-mmio.force-legacy=false -device virtio-net-device,netdev=net0",
        ] {
            assert!(microvm.contains(part), "{microvm}");
        }
        assert_eq!(dry_run(&["--machine=microvm", "--nic=virtio"]), microvm);
        for (arguments, device) in [
            (&["--nic", "e1000e"][..], "e1000e"),
            (&[], "e1000e"),
            (&["--nic=virtio"], "virtio-net-pci"),
            (&["--uefi", "--nic=virtio"], "virtio-net-pci"),
        ] {
            let command = dry_run(arguments);
            let device = format!(" -device {device},netdev=net0,romfile=");
            assert!(
                command.contains(" -netdev user,id=net0,hostfwd=tcp:127.0.0.1:") && command.contains(&device),
                "{arguments:?}: {command}"
            );
            assert!(!command.contains(" -nic "), "{arguments:?}: {command}");
        }
    }

    #[test]
    fn uefi_boots_the_machine_of_the_guide_from_a_directory() {
        let scratch = Scratch::new();
        let target = scratch.path("a, b");
        let mut run = script("run");
        run.args(["--dry-run", "--uefi", "--pcap=/tmp/x"]);
        let (status, command, err) = end(run.env("CARGO_TARGET_DIR", &target));
        assert_eq!(status, 0, "{err}");
        for part in [
            " -M q35 ",
            " -m 4096 ",
            " -bios /usr/share/ovmf/OVMF.fd ",
            &format!(" 'file=fat:rw:{},format=raw' ", target.join("uefi").display()).replace("a, b", "a,, b"),
            " -nic user,id=net0,model=e1000e,hostfwd=tcp:127.0.0.1:",
            " -object filter-dump,id=pcap0,netdev=net0,file=/tmp/x\n",
        ] {
            assert!(command.contains(part), "{part} is not in {command}");
        }
        assert!(
            !command.contains(" -kernel ") && !command.contains(" -initrd "),
            "{command}"
        );
        assert!(!target.exists(), "--dry-run did something");
        let (status, _, err) = end(script("run")
            .args(["--dry-run", "--uefi"])
            .env("CARGO_TARGET_DIR", "/tmp/a:b"));
        assert!(
            status == 1 && err.contains("a directory with a colon in its name as a disk: /tmp/a:b/uefi"),
            "{err}"
        );
    }

    /// Ports of the guide that others have, maybe this very test in another run: only that they are avoided counts.
    #[test]
    fn a_taken_port_is_avoided_or_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let (status, _, err) = end(script("run").args(["--dry-run", "--telnet", &port.to_string()]));
        assert_eq!(status, 1);
        assert!(
            err.contains(&format!("port {port} is already in use; give --telnet another")),
            "{err}"
        );
        // It may be taken already, which is as good.
        let _guide = TcpListener::bind("127.0.0.1:11123");
        let (_, out, err) = end(script("run").arg("--dry-run"));
        assert!(err.contains("port 11123 is in use; using 1112"), "{err}");
        assert!(!out.contains(":11123-"), "{out}");
    }

    #[test]
    fn what_is_missing_is_installed_or_the_line_to_type_is_shown() {
        let bare = Bare::new();
        let (status, _, err) = end(bare.run().arg("--no-build"));
        assert_eq!(status, 1);
        let list = "qemu-system-x86 openssl";
        assert!(
            err.contains("qemu/run: please install qemu-system-x86_64 openssl telnet. "),
            "{err}"
        );
        for (system, packages) in [
            ("Debian and Ubuntu", "telnet"),
            ("Fedora", "telnet"),
            ("Arch", "inetutils"),
        ] {
            assert!(
                err.contains(&format!("\n    on {system}: {list} {packages}\n")),
                "{err}"
            );
        }
        for (manager, command) in [("dnf", "dnf install"), ("pacman", "pacman -S --needed")] {
            let bare = Bare::new();
            bare.program(manager, "");
            let (status, _, err) = end(bare.run().arg("--no-build"));
            let line = format!(" missing. Type this, then start again:\n    sudo {command} {list} ");
            assert!(status == 1 && err.contains(&line), "{err}");
        }

        // An apt-get that would like to, but only after an update, and then does not bring the program.
        bare.program(
            "apt-get",
            "echo apt-get \"$@\"; [ -e \"$0.updated\" ] || case $* in *update*) : >\"$0.updated\";; *) exit 1;; esac",
        );
        bare.program(
            "sudo",
            "[ \"$1\" = -n ] && shift; [ \"${1%%=*}\" = DEBIAN_FRONTEND ] && shift; exec \"$@\"",
        );
        let (status, _, err) = end(bare.run().arg("--no-build"));
        assert_eq!(status, 1);
        // There may be some about ports that are taken.
        let lines: Vec<&str> = err.lines().skip_while(|line| !line.contains("apt-get")).collect();
        let install = lines[0]
            .strip_prefix("qemu/run: installing with apt-get: ")
            .expect(&err);
        assert!(install.starts_with("qemu-system-x86 "), "{err}");
        let tries = [1, 3].map(|line| lines[line].starts_with("apt-get -q -y --no-install-recommends install "));
        assert_eq!(tries, [true, true], "{err}");
        assert_eq!(lines[2], "apt-get -q update");
        assert!(
            err.ends_with("qemu-system-x86_64 is still missing after installing qemu-system-x86\n"),
            "{err}"
        );
    }

    #[test]
    fn an_old_rust_and_none_are_named() {
        let bare = Bare::new();
        for program in ["qemu-system-x86_64", "cc", "openssl", "telnet"] {
            bare.program(program, "");
        }
        let (status, _, err) = end(bare.run().arg("--no-build"));
        assert!(
            status == 1 && err.contains("Rust is not installed; install 1."),
            "{err}"
        );
        // What UEFI takes besides is asked for then alone.
        let (_, _, err) = end(bare.run().args(["--no-build", "--uefi"]));
        assert!(err.contains("please install grub-mkimage. "), "{err}");
        bare.program("cargo", "");
        bare.program("rustc", "echo rustc 1.75.0");
        let (status, _, err) = end(bare.run().arg("--no-build"));
        assert!(
            status == 1 && err.contains("Rust 1.75.0 is too old; install 1."),
            "{err}"
        );
    }

    /// The whole thing, from a directory and with a target directory that have blanks in their names.
    #[test]
    fn it_boots_and_the_lines_it_prints_work() {
        let scratch = Scratch::new();
        let target = scratch.path("a target");
        fs::create_dir_all(target.join("release")).unwrap();
        std::os::unix::fs::symlink(image(), target.join("release/postern")).unwrap();
        std::os::unix::fs::symlink(baked_ca().parent().unwrap(), target.join("pki")).unwrap();
        let mut command = script("run");
        command
            .args(["--no-build", "--accel", "tcg"])
            .current_dir(scratch.path(""));
        let mut run = Process::start(command.env("CARGO_TARGET_DIR", "a target"));
        run.out.wait_for(machine::READY);
        let said = run.err.text();
        let line = |start: &str| {
            said.lines()
                .find(|line| line.trim_start().starts_with(start))
                .expect(&said)
                .trim()
        };

        // The lines as they are, by way of a shell.
        let s_client = line("openssl s_client ");
        assert!(
            s_client.ends_with("-CAfile 'a target/pki/RootCA.pem' -verify_return_error -verify_hostname localhost")
        );
        let mut client = Process::start(Command::new("sh").args(["-c", s_client]).current_dir(scratch.path("")));
        client.write(b"from a line that was pasted\n");
        client.out.wait_for("\nfrom a line that was pasted\n");
        let session = client.out.text();
        assert!(
            session.contains("Verification: OK") && session.contains("TLSv1.3"),
            "{session}"
        );

        let address = line("telnet ").strip_prefix("telnet ").unwrap().replace(' ', ":");
        let mut shell = telnet::Telnet::connect(address.parse().unwrap());
        assert_eq!(shell.command("echoctl_tls"), "");
        assert_eq!(shell.at_prompt(), "echoctl_tls> ");

        // Ports that are taken are left alone.
        let mut command = script("run");
        command.args(["--no-build", "--dry-run"]).current_dir(scratch.path(""));
        let (_, second, err) = end(command.env("CARGO_TARGET_DIR", "a target"));
        assert!(
            !second.contains(&format!(":{}-:23", address.split_once(':').unwrap().1)),
            "{second}{err}"
        );

        // Leaving, as it says.
        run.write(b"\rpoweroff\r");
        assert!(run.wait().success());
    }

    #[test]
    fn cargo_run_boots_the_image_and_runs_any_other_program() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let cargo = || {
            let mut cargo = Command::new(env!("CARGO"));
            cargo
                .current_dir(root)
                .args(["run", "--quiet", "--locked", "--release"]);
            // What cargo sets for this test would make it build again whatever depends on that.
            for (name, _) in std::env::vars() {
                if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "OUT_DIR"]
                    .iter()
                    .any(|set| name.starts_with(set))
                {
                    cargo.env_remove(name);
                }
            }
            cargo
        };
        let (status, out, err) = end(cargo().args(["--", "--dry-run", "--memory=16"]));
        assert_eq!(status, 0, "{err}");
        assert!(
            out.contains("/release/postern ") && out.contains(" -m 16 ") && out.starts_with("qemu-system-x86_64 "),
            "{out}"
        );
        let (status, _, err) = end(cargo().args(["--", "--fast"]));
        assert!(
            status == 2 && err.starts_with("qemu/run: unknown option '--fast'"),
            "{err}"
        );
        let other =
            end(Command::new(root.join(".cargo/runner")).args(["sh", "-c", "echo \"$@\"; exit 7", "", "a  b", "c"]));
        assert_eq!(other, (7, "a  b c\n".to_owned(), String::new()));
    }

    #[test]
    fn gdb_attaches_with_the_line_that_is_printed_and_finds_symbols() {
        let mut command = script("run");
        command.args(["--gdb", "--accel=tcg", "--image", env!("CARGO_BIN_EXE_postern")]);
        let mut run = Process::start(&mut command);
        run.err.wait_for("to leave, type");
        let said = run.err.text();
        let line = said.lines().find(|line| line.starts_with("    gdb ")).expect(&said);
        // It waits until then.
        assert_eq!(run.out.text(), "");
        let line = format!("{line} -ex 'info line' -ex delete -ex detach -batch");
        let (status, out, err) = end(Command::new("sh").args(["-c", &line]));
        assert_eq!(status, 0, "{out}{err}");
        assert!(
            out.contains("\nBreakpoint 1, main (") && out.contains(" of \"src/main.rs\" "),
            "{out}{err}"
        );
        run.out.wait_for(machine::READY);
        run.write(b"\rpoweroff\r");
        assert!(run.wait().success());
    }

    /// What `qemu/run` prints before it starts QEMU, with that defconfig.
    fn banner(defconfig: &str) -> String {
        let scratch = Scratch::new();
        let target = scratch.path("target/release");
        fs::create_dir_all(&target).unwrap();
        fs::write(target.join("postern"), "").unwrap();
        let qemu = scratch.file("qemu-system-x86_64", "#!/bin/sh\n");
        fs::set_permissions(qemu, PermissionsExt::from_mode(0o755)).unwrap();
        let file = scratch.file("defconfig", defconfig);
        let path = format!("{}:{}", scratch.path("").display(), std::env::var("PATH").unwrap());
        let mut run = script("run");
        run.args(["--no-build", "--accel=tcg", "--defconfig"]).arg(file);
        run.env("PATH", path).env("CARGO_TARGET_DIR", scratch.path("target"));
        let (status, _, err) = end(run.current_dir(scratch.path("")));
        assert_eq!(status, 0, "{err}");
        err
    }

    #[test]
    fn it_names_what_the_configuration_serves_and_nothing_else() {
        let none = banner(".vmm = {},\n");
        assert!(
            none.contains(" -CAfile target/pki/RootCA.pem -verify_return_error")
                && none.contains("TLS echo is closed at boot; open it with `echoctl_tls` and `server start 10007`"),
            "{none}"
        );
        for absent in ["telnet 127", "https://", "plain echo", "debug shell over TLS"] {
            assert!(!none.contains(absent), "{none}");
        }
        // Comments do not count, nor does zero; numbers may be of any base.
        let some = banner(
            ".vmm = { .telnet_dbgsh = 0, .tls_dbgsh = 0x3e0, },\n\
             .tls = { .client_auth = \"required\", .srv_cert = \"...\", },\n\
             .echo = { .tls_port = 010007, /* .plain_port = 1, */ // .https_port = 443,\n },\n",
        );
        assert!(
            some.contains(" -CAfile YOUR-CA.pem -cert YOUR.pem -key YOUR.key ")
                && some.contains("the debug shell over TLS is on 127.0.0.1:"),
            "{some}"
        );
        for absent in ["telnet 127", "https://", "plain echo", "closed at boot"] {
            assert!(!some.contains(absent), "{some}");
        }
        let all =
            banner(".vmm = { .telnet_dbgsh = 1 }, .echo = { .tls_port = 1, .plain_port = 2, .https_port = 3 },\n");
        for present in ["\n    telnet 127.0.0.1 ", "https://localhost:", "plain echo is on"] {
            assert!(all.contains(present), "{all}");
        }
    }

    #[test]
    fn a_check_that_runs_no_test_fails() {
        let bin = Scratch::new();
        for name in ["cargo", "rustc"] {
            let result = "test result: ok. $PASSED passed; 0 failed; 0 ignored";
            let path = bin.file(
                name,
                format!("#!/bin/sh\n[ \"$1\" = test ] && echo \"{result}\"\necho rustc 99.0.0\n"),
            );
            fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let path = format!("{}:{}", bin.path("").display(), std::env::var("PATH").unwrap());
        for (passed, status, sum) in [("0", 1, "\n0 passed, 1 failed\n"), ("3", 0, "\n3 passed, 0 failed\n")] {
            let mut command = script("test");
            let (code, out, err) = end(command.arg("peers").env("PATH", &path).env("PASSED", passed));
            assert!(code == status && out.ends_with(sum), "{out}{err}");
            assert_eq!(out.contains("\nno test ran\n"), status == 1, "{out}");
        }
    }

    /// A PATH with little in it.
    struct Bare(Scratch);

    impl Bare {
        fn new() -> Self {
            let scratch = Scratch::new();
            let path = std::env::var("PATH").unwrap();
            let find = |name: &str| {
                path.split(':')
                    .map(|part| PathBuf::from(part).join(name))
                    .find(|path| path.exists())
            };
            for name in [
                "awk", "bash", "basename", "cat", "cut", "dirname", "env", "grep", "head", "readlink", "sed", "sh",
                "sort",
            ] {
                std::os::unix::fs::symlink(find(name).expect(name), scratch.path(name)).unwrap();
            }
            Self(scratch)
        }

        /// Puts a program there.
        fn program(&self, name: &str, script: &str) {
            let path = self.0.file(name, format!("#!/bin/sh\n{script}\n"));
            fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        }

        fn run(&self) -> Command {
            let mut command = script("run");
            command
                .env("PATH", self.0.path(""))
                .env("CARGO_HOME", self.0.path("none"));
            command
        }
    }
}
