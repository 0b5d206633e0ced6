//! Wycheproof's test vectors, run through the functions that the TLS engine calls.
//!
//! `postern-wycheproof [DIR]` runs the vectors of the published crate `wycheproof`, or those of a checkout of
//! C2SP/wycheproof, prints what was run, and ends with `N passed, N failed`. The tests run those of the crate.

mod acceptable;
mod aead;
mod files;
mod kx;
mod mac;
mod report;
mod rng;
mod signature;
mod vectors;

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use files::Primitive;
use report::Report;
use serde_json::Value;

/// The counts of the vectors in the crate, by primitive and file: as the program prints them.
const EXPECTED: &str = include_str!("../expected");

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let run = match arguments.as_slice() {
        [] => crate_data().and_then(|directory| run(&directory, true)),
        [directory] => run(&checkout_data(Path::new(directory)), false),
        _ => Err("usage: postern-wycheproof [DIR]".into()),
    };
    match run {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("postern-wycheproof: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs all vectors of a directory and prints the reports. Counts other than those of the crate are a failure for the
/// crate, and for a checkout, which may be newer, a note.
fn run(directory: &Path, exact: bool) -> Result<bool, String> {
    let (mut passed, mut failed) = (0, 0);
    for primitive in Primitive::ALL {
        let report = Report::of(primitive, directory)?;
        println!("{report}");
        for failure in &report.failures {
            println!("FAILED {failure}");
        }
        passed += report.passed();
        failed += report.failures.len();
        for difference in report.differences(EXPECTED) {
            println!("{difference}");
            failed += usize::from(exact);
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(failed == 0)
}

/// Where a checkout has the vectors, or the directory itself.
fn checkout_data(directory: &Path) -> PathBuf {
    let inside = directory.join("testvectors_v1");
    if inside.is_dir() { inside } else { directory.into() }
}

/// Where the sources of the crate `wycheproof` have the vectors.
fn crate_data() -> Result<PathBuf, String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.args(["metadata", "--locked", "--format-version", "1"]);
    cargo.args(["--filter-platform", "x86_64-unknown-linux-gnu"]);
    let output = cargo.output().map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let manifest = packages
        .filter(|package| package["name"] == "wycheproof")
        .find_map(|package| package["manifest_path"].as_str())
        .ok_or("cargo metadata does not list the crate wycheproof")?;
    Ok(Path::new(manifest).with_file_name("src").join("data"))
}

#[cfg(test)]
mod tests;
