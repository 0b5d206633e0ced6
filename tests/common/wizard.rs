//! `pki/wizard`, in a directory of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::Scratch;

/// A PKI that the wizard makes, in `pki` of a scratch directory.
pub struct Wizard {
    /// What is around it.
    pub scratch: Scratch,
}

impl Wizard {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            scratch: Scratch::new(),
        }
    }

    /// A CA.
    pub fn init(arguments: &[&str]) -> Self {
        let wizard = Self::new();
        wizard.run(&[&["init", "pki"], arguments].concat());
        wizard
    }

    /// Where the script is.
    pub fn script() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("pki/wizard")
    }

    /// The script, to be run beside the directory.
    pub fn command(&self) -> Command {
        // It cannot trap a signal that whoever started the tests has had ignored, as nohup does.
        let mut command = Command::new("env");
        command.arg("--default-signal=HUP,INT,TERM");
        command.arg(Self::script());
        command.current_dir(self.scratch.path(""));
        command
    }

    /// Runs it to its end: exit status, standard output, standard error.
    pub fn end(&self, arguments: &[&str]) -> (i32, String, String) {
        end(self.command().args(arguments))
    }

    /// Runs it, which has to go well: standard output and standard error.
    pub fn run(&self, arguments: &[&str]) -> (String, String) {
        let (status, out, err) = self.end(arguments);
        assert_eq!(status, 0, "{arguments:?}: {err}");
        (out, err)
    }

    /// A file of the PKI.
    pub fn file(&self, name: &str) -> PathBuf {
        self.scratch.path("pki").join(name)
    }

    /// What OpenSSL's programs are told of somebody's credentials.
    pub fn identity(&self, name: &str) -> Vec<String> {
        let file = |end| self.file(&format!("{name}.{end}")).to_str().unwrap().to_owned();
        vec!["-cert".into(), file("pem"), "-key".into(), file("key")]
    }

    /// What `openssl` says, run in the PKI: exit status, both outputs together.
    pub fn openssl(&self, arguments: &str) -> (i32, String) {
        let mut command = Command::new("openssl");
        command
            .args(arguments.split_whitespace())
            .current_dir(self.scratch.path("pki"));
        let (status, out, err) = end(&mut command);
        (status, out + &err)
    }

    /// The serial number of somebody's certificate.
    pub fn serial(&self, name: &str) -> String {
        let (status, text) = self.openssl(&format!("x509 -in {name}.pem -noout -serial"));
        assert_eq!(status, 0, "{text}");
        text.trim().strip_prefix("serial=").unwrap().to_owned()
    }
}

/// Runs a program to its end: exit status (-1 by a signal), standard output, standard error.
pub fn end(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}
