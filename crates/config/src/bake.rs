//! The configuration at build time: read, checked, baked into the image.
//!
//! This is a part of build.rs, not of the image.
//! For the image there are `OUT_DIR/defconfig.baked`, the configuration in a form that needs no files,
//! `OUT_DIR/throwaway.baked`, the throw-away certificates alone, where that has them (else nothing), and as environment
//! variables of the compiler
//!
//! * `POSTERN_BUILD_TIME`: seconds since 1970 (`SOURCE_DATE_EPOCH`, if that is set);
//! * `POSTERN_VERSION`: the package's version, and the commit where there is one;
//! * `POSTERN_PKI`: where the throw-away PKI is; empty if the configuration has certificates of its own;
//! * `POSTERN_BUILD_SCRIPT`: this program, for the tests.

use std::env::VarError;
use std::fmt::Write as _;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::throwaway;
use crate::write::{write, write_throw_away};
use crate::{Config, FileFault, Files, MAX_STRING, Scratch};

/// Does all of it. A fault in the configuration stops the build.
pub fn bake() {
    if let Err(message) = run() {
        // For cargo, which shows it as an error of this package, and for a run without cargo.
        println!("cargo::error={message}");
        eprintln!("{message}");
    }
}

fn run() -> Result<(), String> {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    println!("cargo::rerun-if-env-changed=POSTERN_DEFCONFIG");
    let (name, remedy) = match std::env::var("POSTERN_DEFCONFIG") {
        Ok(name) => (name, "POSTERN_DEFCONFIG names it, relative to the package"),
        Err(VarError::NotUnicode(name)) => return Err(format!("POSTERN_DEFCONFIG is not UTF-8: {}", name.display())),
        Err(VarError::NotPresent) => (
            "defconfig".into(),
            "Restore it with `git checkout defconfig`, or name another with POSTERN_DEFCONFIG",
        ),
    };
    let path = root.join(&name);
    println!("cargo::rerun-if-changed={}", path.display());
    let text = fs::read(&path).map_err(|error| format!("cannot read {name}: {error}. {remedy}"))?;

    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(|error| format!("the clock is wrong: {error}"))?;
    let now = now.as_secs();
    let mut config = Box::new(Config::new());
    let mut scratch = Box::new(Scratch::new());
    let mut files = Disk {
        base: path.parent().unwrap_or(&root).to_owned(),
        bundle: Vec::new(),
    };
    let result = config
        .parse_with_files(&text, &mut scratch, &mut files)
        .and_then(|()| keep_bundle(&mut config, &text, &mut scratch, &files))
        .and_then(|()| config.check(now, now))
        .and_then(|()| config.check_list_dates(now));
    result.map_err(|error| error.at(&name).to_string())?;
    config.warnings(&mut |warning| println!("cargo::warning={}", warning.at(&name)));

    let (mut pki, mut own) = (String::new(), String::new());
    if config.is_anonymous() {
        let directory = target(&out)?.join("pki");
        pki = directory.display().to_string();
        throw_away(&directory, &out, now, &mut config, &mut scratch)?;
        own = write_throw_away(&config);
    }
    let path = out.join("throwaway.baked");
    write_private(&path, own.as_bytes()).map_err(|error| format!("cannot write {}: {error}", path.display()))?;

    let baked = write(&mut config);
    let path = out.join("defconfig.baked");
    write_private(&path, baked.as_bytes()).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    // What the image will read at boot had better be readable.
    let result = config
        .parse(baked.as_bytes(), &mut scratch)
        .and_then(|()| config.check(now, now));
    result.map_err(|error| error.at(&path.display().to_string()).to_string())?;

    println!("cargo::rustc-env=POSTERN_BUILD_TIME={}", build_time(now)?);
    println!("cargo::rustc-env=POSTERN_VERSION={}", version(&root)?);
    println!("cargo::rustc-env=POSTERN_PKI={pki}");
    if let Ok(program) = std::env::current_exe() {
        println!("cargo::rustc-env=POSTERN_BUILD_SCRIPT={}", program.display());
    }
    Ok(())
}

/// Puts the throw-away certificates into `config`, and prints where they are if they are new.
fn throw_away(
    directory: &Path,
    out: &Path,
    now: u64,
    config: &mut Config,
    scratch: &mut Scratch,
) -> Result<(), String> {
    // Cargo runs this program again when a file is newer than the start of its last run: these must not be.
    let stamp = out
        .parent()
        .and_then(|parent| fs::metadata(parent.join("invoked.timestamp")).ok());
    let stamp = stamp.and_then(|stamp| stamp.modified().ok());
    let made = throwaway::ensure(directory, now, stamp)
        .map_err(|error| format!("cannot make certificates in {}: {error}", directory.display()))?;
    if let Some(expiry) = made {
        // No warning of cargo's, which would repeat it with each build, also where the image boots with another
        // configuration: the machine says with what it serves.
        println!(
            "made throw-away certificates, valid until {expiry}, in {}",
            directory.display()
        );
    }
    let mut text = write(config);
    for (key, file) in [
        ("srv_cert", "server.pem"),
        ("srv_key", "server.key"),
        ("ca_cert", "RootCA.pem"),
    ] {
        let _ = writeln!(text, ".tls.{key}_file = \"{file}\",");
    }
    for file in throwaway::FILES {
        println!("cargo::rerun-if-changed={}", directory.join(file).display());
    }
    let mut files = Disk {
        base: directory.to_owned(),
        bundle: Vec::new(),
    };
    config
        .parse_with_files(text.as_bytes(), scratch, &mut files)
        .and_then(|()| keep_bundle(config, text.as_bytes(), scratch, &files))
        .map_err(|error| format!("{}: {error}", directory.display()))
}

/// Reads the configuration's bundle, from `text` or from the file that was just read.
fn keep_bundle(config: &mut Config, text: &[u8], scratch: &mut Scratch, files: &Disk) -> Result<(), crate::Error> {
    let bundle = &mut config.tls.root_certs;
    let mut ders = Vec::new();
    let text = if bundle.is_file() { &files.bundle } else { text };
    bundle.read(text, scratch, &mut |der| ders.push(&*der.to_vec().leak()))?;
    // Twice at the most, in a program that soon ends.
    bundle.keep(ders.leak());
    Ok(())
}

/// The files beside the defconfig.
struct Disk {
    base: PathBuf,
    /// What the last bundle's file holds.
    bundle: Vec<u8>,
}

impl Files for Disk {
    fn read(&mut self, name: &str, content: &mut heapless::Vec<u8, MAX_STRING>) -> Result<(), FileFault> {
        let bytes = self.open(name)?;
        content.extend_from_slice(&bytes).map_err(|_| FileFault::TooLarge)
    }

    fn bundle(&mut self, name: &str) -> Result<&[u8], FileFault> {
        self.bundle = self.open(name)?;
        Ok(&self.bundle)
    }
}

impl Disk {
    fn open(&self, name: &str) -> Result<Vec<u8>, FileFault> {
        let path = self.base.join(name);
        println!("cargo::rerun-if-changed={}", path.display());
        fs::read(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => FileFault::Missing,
            ErrorKind::PermissionDenied => FileFault::Denied,
            _ => FileFault::System(error.raw_os_error().unwrap_or_default()),
        })
    }
}

/// Writes a file that only its owner may read.
fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("tmp");
    let _ = fs::remove_file(&temporary);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(content)?;
    fs::rename(temporary, path)
}

/// The target directory, where cargo has put its mark; `out` is somewhere below it.
fn target(out: &Path) -> Result<&Path, String> {
    out.ancestors()
        .find(|directory| directory.join("CACHEDIR.TAG").is_file())
        // Before the mark there was this order: target/PROFILE/build/PACKAGE/out.
        .or_else(|| out.ancestors().nth(4))
        .ok_or_else(|| format!("{} is not in a target directory", out.display()))
}

fn build_time(now: u64) -> Result<u64, String> {
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(epoch) => epoch
            .parse()
            .map_err(|_| format!("SOURCE_DATE_EPOCH is not a number of seconds since 1970: {epoch}")),
        Err(_) => Ok(now),
    }
}

/// `0.1.0 (937c1a2)`, or without the commit where `root` is not a clone.
fn version(root: &Path) -> Result<String, String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(text.trim().to_owned()).filter(|text| output.status.success() && !text.is_empty())
    };
    let version = variable("CARGO_PKG_VERSION")?;
    // Not the commit of a repository that this package merely lies in.
    let top = git(&["rev-parse", "--show-toplevel"]).and_then(|top| fs::canonicalize(top).ok());
    if top.is_none() || top != fs::canonicalize(root).ok() {
        return Ok(version);
    }
    // Each commit and each checkout adds a line to this.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"])
        .map(|log| root.join(log))
        .filter(|log| log.is_file())
    {
        println!("cargo::rerun-if-changed={}", log.display());
    }
    Ok(match git(&["describe", "--always", "--tags"]) {
        Some(commit) => format!("{version} ({commit})"),
        None => version,
    })
}

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|error| format!("{name}: {error}: run this through cargo"))
}
