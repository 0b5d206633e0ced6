//! `pki/wizard`, in a directory of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use super::Scratch;

/// A PKI made by the wizard, in `pki` of a scratch directory.
pub struct Wizard {
    /// The scratch directory.
    pub scratch: Scratch,
}

impl Wizard {
    /// Without a PKI yet.
    pub fn new() -> Self {
        Self {
            scratch: Scratch::new(),
        }
    }

    /// With a CA.
    pub fn init(arguments: &[&str]) -> Self {
        let wizard = Self::new();
        wizard.run(&[&["init", "pki"], arguments].concat());
        wizard
    }

    /// The program, built once.
    pub fn program() -> &'static Path {
        static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
        PROGRAM.get_or_init(|| {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["build", "--quiet", "--locked", "-p", "postern-wizard"]);
            cargo.args(["--message-format", "json-render-diagnostics"]);
            let (status, out, err) = end(cargo.current_dir(env!("CARGO_MANIFEST_DIR")));
            assert_eq!(status, 0, "{err}");
            let (_, path) = out.split_once("\"executable\":\"").expect(&out);
            path.split('"').next().unwrap().into()
        })
    }

    /// The path of the script that runs it.
    pub fn script() -> PathBuf {
        Self::program();
        Path::new(env!("CARGO_MANIFEST_DIR")).join("pki/wizard")
    }

    /// The script, run in the scratch directory.
    pub fn command(&self) -> Command {
        // A signal that is ignored when the tests start, as under nohup, stays ignored.
        let mut command = Command::new("env");
        command.arg("--default-signal=HUP,INT,TERM");
        command.arg(Self::script());
        command.current_dir(self.scratch.path(""));
        command
    }

    /// Runs it to its end and returns exit status, standard output and standard error.
    pub fn end(&self, arguments: &[&str]) -> (i32, String, String) {
        end(self.command().args(arguments))
    }

    /// Runs it and requires success; returns standard output and standard error.
    pub fn run(&self, arguments: &[&str]) -> (String, String) {
        let (status, out, err) = self.end(arguments);
        assert_eq!(status, 0, "{arguments:?}: {err}");
        (out, err)
    }

    /// A file of the PKI.
    pub fn file(&self, name: &str) -> PathBuf {
        self.scratch.path("pki").join(name)
    }

    /// The arguments of OpenSSL's programs for an identity.
    pub fn identity(&self, name: &str) -> Vec<String> {
        let file = |end| self.file(&format!("{name}.{end}")).to_str().unwrap().to_owned();
        vec!["-cert".into(), file("pem"), "-key".into(), file("key")]
    }

    /// Runs `openssl` in the PKI and returns the exit status and its combined output.
    pub fn openssl(&self, arguments: &str) -> (i32, String) {
        let mut command = Command::new("openssl");
        command
            .args(arguments.split_whitespace())
            .current_dir(self.scratch.path("pki"));
        let (status, out, err) = end(&mut command);
        (status, out + &err)
    }

    /// The serial number of a certificate.
    pub fn serial(&self, name: &str) -> String {
        let (status, text) = self.openssl(&format!("x509 -in {name}.pem -noout -serial"));
        assert_eq!(status, 0, "{text}");
        text.trim().strip_prefix("serial=").unwrap().to_owned()
    }
}

/// All files below a directory except its lock, with their content.
pub fn tree(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(tree(&path));
        } else if !path.ends_with("ca/lock") {
            all.push((path.to_str().unwrap().to_owned(), fs::read(&path).unwrap()));
        }
    }
    all.sort();
    all
}

/// Runs a program to its end and returns exit status (-1 after a signal), standard output and standard error.
pub fn end(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}
