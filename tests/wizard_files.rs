//! The directory of `pki/wizard` after failures, signals and older versions.

#[path = "common/mod.rs"]
mod common;

// Critical sections, which the base-point table of P-256 asks for.
use postern_testing as _;

mod tests {
    use std::fs::{self, File};
    use std::io::{Read as _, Write as _};
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use postern::config::{Config, Scratch};

    use super::common::wizard::{Wizard, end, tree};

    /// The wizard's own files below the PKI's directory.
    fn left_behind(wizard: &Wizard) -> Vec<String> {
        let names = fs::read_dir(wizard.file("")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with('.')).collect()
    }

    /// Certificate, key and database of `name` match.
    fn assert_whole(wizard: &Wizard, name: &str) {
        let (_, of_key) = wizard.openssl(&format!("pkey -in {name}.key -pubout"));
        let (_, of_certificate) = wizard.openssl(&format!("x509 -in {name}.pem -noout -pubkey"));
        assert_eq!(of_key, of_certificate);
        let (status, said) = wizard.openssl(&format!("verify -CAfile ca.pem {name}.pem"));
        assert_eq!(status, 0, "{said}");
        let serial = wizard.serial(name);
        let index = fs::read_to_string(wizard.file("ca/index.txt")).unwrap();
        assert!(index.lines().last().unwrap().contains(&serial), "{index}");
        let issued = fs::read(wizard.file(&format!("ca/issued/{serial}.pem"))).unwrap();
        assert_eq!(issued, fs::read(wizard.file(&format!("{name}.pem"))).unwrap());
    }

    #[test]
    fn a_failing_step_changes_nothing() {
        let wizard = Wizard::init(&[]);
        wizard.run(&["server", "pki", "server"]);
        wizard.run(&["init", "other"]);
        let key = fs::read(wizard.scratch.path("other/ca.key")).unwrap();
        let all: &[&[&str]] = &[
            &["rotate", "pki", "server"],
            &["client", "pki", "alice"],
            &["renew", "pki", "server"],
            &["crl", "pki"],
            &["revoke", "pki", "server"],
        ];
        for (file, content, commands, why) in [
            ("ca.key", &key[..], all, "pki/ca.pem and pki/ca.key do not issue valid "),
            ("ca.key", b"-", all, "pki/ca.key is not an unencrypted private key"),
            ("ca.pem", b"-", all, "cannot read 'pki/ca.pem'"),
            (
                "ca/index.txt",
                b"\nV\t\n",
                all,
                "'pki/ca/index.txt', line 2: not a record",
            ),
            (
                "ca/index.txt",
                b"R\t\tnow\t01\tunknown\t/CN=a\n",
                &all[3..4],
                "serial 01 revoked as 'now'",
            ),
            (
                "ca/crlnumber",
                b"x\n",
                &all[3..],
                "'pki/ca/crlnumber': it contains no hexadecimal number",
            ),
            (
                "server.key",
                b"-",
                &all[2..3],
                "pki/server.key is not an unencrypted private key",
            ),
        ] {
            let path = wizard.file(file);
            let saved = fs::read(&path).unwrap();
            fs::write(&path, content).unwrap();
            let before = tree(&wizard.file(""));
            for arguments in commands {
                let (status, out, err) = wizard.end(arguments);
                assert_eq!((status, &out[..]), (1, ""), "{arguments:?}: {err}");
                assert!(
                    err.starts_with("pki/wizard: ") && err.contains(why),
                    "{arguments:?}: {err}"
                );
                assert_eq!(tree(&wizard.file("")), before, "{arguments:?}");
                assert!(left_behind(&wizard).is_empty());
            }
            fs::write(&path, saved).unwrap();
        }
    }

    /// On a read-only file system commands that only read work, and the others report the reason.
    #[test]
    fn a_read_only_directory_is_not_changed() {
        let script = r#"
            set -eu
            mount -t tmpfs tmpfs "$PWD/disk"
            cp -a pki disk/pki
            mount -o remount,ro "$PWD/disk"
            fails() {
                if "$wizard" "$@" 2>said || ! grep -q 'check its permissions and the free space' said; then
                    echo "$*: $(cat said)" >&2
                    exit 1
                fi
            }
            wizard=$1
            for command in 'server disk/pki other' 'client disk/pki other' 'peer disk/pki other' 'rotate disk/pki server' \
                'renew disk/pki server' 'revoke disk/pki server' 'crl disk/pki' 'init disk/other' \
                'defconfig disk/pki server --out disk/out'; do
                fails $command
            done
            "$wizard" list disk/pki
            "$wizard" defconfig disk/pki server >out
            diff -r pki disk/pki
        "#;
        let wizard = Wizard::init(&[]);
        wizard.run(&["server", "pki", "server"]);
        fs::create_dir(wizard.scratch.path("disk")).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "bash", "-c", script, "bash"]);
        command.arg(Wizard::script()).current_dir(wizard.scratch.path(""));
        let (status, out, err) = end(&mut command);
        if err.contains("unshare failed") {
            println!("skipped: this system does not allow unprivileged mount namespaces");
            return;
        }
        assert_eq!(status, 0, "{err}");
        assert_eq!(out.matches(" valid ").count(), 2, "{out}");
    }

    /// After a rename that fails half-way no key is lost, and the next command completes the commit.
    #[test]
    fn an_unfinished_commit_is_completed_by_the_next_command() {
        let wizard = Wizard::init(&[]);
        wizard.run(&["server", "pki", "server"]);
        for name in ["alice", "bob"] {
            let obstacle = wizard.file(&format!("{name}.key"));
            fs::create_dir(&obstacle).unwrap();
            for arguments in [&["client", "pki", name][..], &["list", "pki"], &["crl", "pki"]] {
                let (status, out, err) = wizard.end(arguments);
                assert_eq!((status, &out[..]), (1, ""), "{err}");
                let missing = "files missing from 'pki' are still in pki/.wizard.commit\n";
                assert!(err.ends_with(missing), "{err}");
                let waits = |file: &str| wizard.file(".wizard.commit").join(file).exists();
                assert!(waits(&format!("{name}.key")) && waits(&format!("{name}.pem")) && waits("ca/index.txt"));
            }
            fs::remove_dir(obstacle).unwrap();
            let next = if name == "alice" {
                ["list", "pki"]
            } else {
                ["crl", "pki"]
            };
            wizard.run(&next);
            assert_whole(&wizard, name);
            assert!(left_behind(&wizard).is_empty());
        }
    }

    /// Runs `rotate` and sends a signal after some time. Returns the exit status in the shell's form, and the duration.
    fn rotate(wizard: &Wizard, signal: Option<(&str, Duration)>) -> (i32, Duration) {
        let mut command = Command::new("env");
        command.arg("--default-signal=HUP,INT,TERM").arg(Wizard::program());
        command
            .args(["rotate", "pki", "server"])
            .current_dir(wizard.scratch.path(""));
        let start = Instant::now();
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        if let Some((signal, delay)) = signal {
            std::thread::sleep(delay);
            // The shell's own kill: a minimal Debian has no such program. The process may have ended before.
            let kill = format!("kill -s {signal} {} 2>&-", child.id());
            end(Command::new("sh").args(["-c", &kill]));
        }
        let status = child.wait().unwrap();
        let status = status.code().or(status.signal().map(|signal| 128 + signal));
        (status.unwrap(), start.elapsed())
    }

    #[test]
    fn a_signal_leaves_the_old_or_the_new_state() {
        let wizard = Wizard::init(&[]);
        wizard.run(&["server", "pki", "server"]);
        let (status, whole) = rotate(&wizard, None);
        assert_eq!(status, 0);
        let mut ended = [0, 0];
        // SIGKILL cannot be handled, so it gets the most tries.
        for (signal, number, parts) in [("TERM", 15, 20), ("INT", 2, 20), ("HUP", 1, 20), ("KILL", 9, 100)] {
            for part in 0..parts * 6 / 5 {
                let before = tree(&wizard.file(""));
                let (status, _) = rotate(&wizard, Some((signal, whole * part / parts)));
                assert!(status == 0 || status == 128 + number, "{signal}: {status}");
                ended[usize::from(status == 0)] += 1;
                if signal == "KILL" {
                    let mut list = Command::new(Wizard::program());
                    let (status, _, err) = end(list.args(["list", "pki"]).current_dir(wizard.scratch.path("")));
                    assert_eq!(status, 0, "{err}");
                    assert!(!wizard.file(".wizard.commit").exists());
                } else {
                    assert!(left_behind(&wizard).is_empty(), "{signal}");
                    assert_eq!(
                        tree(&wizard.file("")) == before,
                        status != 0,
                        "{signal} after {part}/{parts}"
                    );
                }
                assert_whole(&wizard, "server");
            }
        }
        println!("{} ended by a signal, {} not", ended[0], ended[1]);
        wizard.run(&["crl", "pki"]);
        assert!(left_behind(&wizard).is_empty());
    }

    /// Between the last rename and the end of the program, which here waits for a full pipe.
    #[test]
    fn a_signal_after_the_commit_does_not_change_the_exit_status() {
        let wizard = Wizard::init(&[]);
        wizard.run(&["server", "pki", "server"]);
        let serial = wizard.serial("server");
        let (mut reader, mut full) = std::io::pipe().unwrap();
        full.write_all(&[b'-'; 1 << 16]).unwrap();
        let mut command = Command::new("env");
        command.arg("--default-signal=HUP").arg(Wizard::program());
        command
            .args(["rotate", "pki", "server"])
            .current_dir(wizard.scratch.path(""));
        let mut child = command.stderr(full).spawn().unwrap();
        drop(command);
        let deadline = Instant::now() + Duration::from_secs(60);
        while wizard.serial("server") == serial || !left_behind(&wizard).is_empty() {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(5));
        }
        end(Command::new("sh").args(["-c", &format!("kill -s HUP {}", child.id())]));
        let mut report = String::new();
        reader.read_to_string(&mut report).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert!(report.trim_start_matches('-').starts_with("pki/wizard: "), "{report}");
    }

    #[test]
    fn leftovers_of_killed_commands_are_removed() {
        let wizard = Wizard::init(&[]);
        let make = |path: &str| {
            let path = wizard.scratch.path(path);
            fs::create_dir_all(path.join("made")).unwrap();
            fs::write(path.join("made/server.key"), "secret").unwrap();
            path
        };
        // Stages of the shell script, of the program, and unrelated files.
        let (script, program) = (make("pki/.wizard.aB3dE6"), make("pki/.wizard.0123456789abcdef"));
        let used = make("pki/.wizard.fedcba9876543210");
        let other = make("pki/.wizard.notes-of-mine");
        let (beside, script_beside) = (make(".wizard.0123456789abcdef"), make(".wizard.aB3dE6"));
        let lock = File::open(&used).unwrap();
        lock.lock().unwrap();
        wizard.run(&["crl", "pki"]);
        assert!(!script.exists() && !program.exists());
        assert!(used.exists() && other.exists() && beside.exists());
        drop(lock);
        wizard.run(&["init", "new"]);
        assert!(!beside.exists());
        // It may be in use, since the script had no lock.
        assert!(script_beside.exists());
        wizard.run(&["client", "pki", "alice"]);
        assert!(!used.exists());
    }

    /// The script's configuration of `openssl ca`, where DIGEST depends on the key type.
    const CONFIG: &str = r"
        [ ca ]
        default_ca = session
        [ session ]
        database = ca/index.txt
        serial = ../serial
        crlnumber = ca/crlnumber
        new_certs_dir = ca/issued
        certificate = ca.pem
        private_key = ca.key
        default_md = DIGEST
        policy = policy
        unique_subject = no
        copy_extensions = none
        [ policy ]
        commonName = optional
        [ root ]
        basicConstraints = critical,CA:TRUE,pathlen:0
        keyUsage = critical,keyCertSign,cRLSign
        subjectKeyIdentifier = hash
        [ leaf ]
        basicConstraints = critical,CA:FALSE
        keyUsage = critical,digitalSignature
        extendedKeyUsage = serverAuth,clientAuth
        subjectKeyIdentifier = hash
        authorityKeyIdentifier = keyid:always
        subjectAltName = DNS:localhost,IP:127.0.0.1
        [ crl ]
        authorityKeyIdentifier = keyid:always
        [ req ]
        distinguished_name = req_name
        string_mask = utf8only
        [ req_name ]
    ";

    /// A PKI as the shell script that preceded the program made it.
    const OLD: &str = r#"
        set -eu
        umask 077
        mkdir pki; cd pki; mkdir ca ca/issued old
        : >ca/index.txt; : >ca/lock
        echo 'unique_subject = no' >ca/index.txt.attr
        echo 01 >ca/crlnumber
        config() { openssl "$1" -config ../openssl.cnf "${@:2}"; }
        key() { openssl genpkey "${@:2}" -out "$1.key"; config req -new -utf8 -key "$1.key" -subj "$subject" -out ../csr; }
        subject='/O=Example/C=DE/CN=session CA' key ca $@
        openssl rand -hex 8 | sed 's/^./4/' >../serial
        config ca -selfsign -batch -notext -preserveDN -extensions root -keyfile ca.key -in ../csr -out ca.pem -days 3650
        rm ca/issued/*; : >ca/index.txt
        for name in server alice bob carol; do
            subject=/CN=$name key $name $@
            openssl rand -hex 8 | sed 's/^./5/' >../serial
            config ca -batch -notext -extensions leaf -in ../csr -out $name.pem -days 365
        done
        config ca -revoke alice.pem -crl_reason superseded
        config ca -revoke bob.pem -crl_compromise 20260102030405Z
        config ca -revoke carol.pem -crl_CA_compromise 20250102030405Z
        config ca -gencrl -crlexts crl -crldays 30 -out crl.pem
        rm -f ca/*.old
    "#;

    #[test]
    fn a_directory_of_the_shell_script_stays_usable() {
        for (digest, kind) in [
            ("sha256", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256"),
            ("sha384", "-algorithm EC -pkeyopt ec_paramgen_curve:P-384"),
            ("default", "-algorithm ED25519"),
            ("sha256", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048"),
        ] {
            let wizard = Wizard::new();
            let mut old = Command::new("bash");
            wizard.scratch.file("openssl.cnf", CONFIG.replace("DIGEST", digest));
            old.args(["-c", OLD, "bash"]).args(kind.split(' '));
            let (status, _, err) = end(old.current_dir(wizard.scratch.path("")));
            assert_eq!(status, 0, "{err}");
            let read = |name: &str| fs::read_to_string(wizard.file(name)).unwrap();
            let (key, index, first) = (read("server.key"), read("ca/index.txt"), wizard.serial("server"));
            let (listed, _) = wizard.run(&["list", "pki"]);
            assert_eq!(listed.matches(" valid ").count(), 2, "{listed}");
            assert_eq!(listed.matches(" revoked, ").count(), 3, "{listed}");
            assert!(listed.contains("\nrevocation list 1, "), "{listed}");

            wizard.run(&["renew", "pki", "server"]);
            assert_eq!(read("server.key"), key);
            assert_whole(&wizard, "server");
            assert!(read("ca/index.txt").starts_with(&index));
            let (_, said) = wizard.run(&["revoke", "pki", &first, "cessationOfOperation"]);
            assert!(
                said.contains("revocation list 2, ") && said.contains("has the same key"),
                "{said}"
            );
            wizard.run(&["client", "pki", "dave"]);
            wizard.run(&["crl", "pki"]);
            let (_, list) = wizard.openssl("crl -in crl.pem -noout -text -crlnumber -CAfile ca.pem");
            for part in [
                "crlNumber=0x03",
                "verify OK",
                "Superseded",
                "Key Compromise",
                "CA Compromise",
                "Cessation Of Operation",
                "Jan  2 03:04:05 2026 GMT",
                "Jan  2 03:04:05 2025 GMT",
            ] {
                assert!(list.contains(part), "{part} is not in {list}");
            }
            let check = "verify -x509_strict -CAfile ca.pem -CRLfile crl.pem -crl_check";
            let (status, said) = wizard.openssl(&format!("{check} server.pem dave.pem"));
            assert_eq!(status, 0, "{said}");
            for revoked in [&format!("old/server-{first}.pem"), "alice.pem", "bob.pem", "carol.pem"] {
                let (_, said) = wizard.openssl(&format!("{check} {revoked}"));
                assert!(said.contains("certificate revoked"), "{said}");
            }
            let (text, _) = wizard.run(&["defconfig", "pki", "server", "--client", "dave"]);
            let (mut config, mut scratch) = (Box::new(Config::new()), Box::new(Scratch::new()));
            config.parse(text.as_bytes(), &mut scratch).unwrap();
            assert!(config.server().is_ok() && config.client().is_ok());

            // Continue with `openssl ca`, then with the wizard again.
            for arguments in [
                "ca -config ../openssl.cnf -revoke dave.pem",
                "ca -config ../openssl.cnf -gencrl -crlexts crl -crldays 7 -out crl.pem",
                "crl -in crl.pem -noout -CAfile ca.pem",
            ] {
                let (status, said) = wizard.openssl(arguments);
                assert_eq!(status, 0, "{said}");
            }
            let (listed, _) = wizard.run(&["list", "pki"]);
            assert!(
                listed.contains("revoked, unspecified") && listed.contains("\nrevocation list 4, "),
                "{listed}"
            );
            wizard.run(&["rotate", "pki", "dave"]);
            let (_, said) = wizard.run(&["crl", "pki"]);
            assert!(said.contains("revocation list 5, "), "{said}");
        }
    }
}
