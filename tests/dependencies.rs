//! Dependencies are allowed by deny.toml, and the image's need no operating system.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Crates that ask an operating system for something.
const NEED_A_SYSTEM: [&str; 5] = ["libc", "getrandom", "rustix", "errno", "mio"];

#[test]
fn licences_are_on_the_list() {
    let allowed = list(&deny_toml(), "allow");
    assert!(allowed.contains("MIT"), "{allowed:?}");
    for (package, licence) in tree(&["--workspace", "-e", "normal,build,dev"], "{l}") {
        assert!(
            permitted(&licence, &allowed),
            "{package} has the licence '{licence}', which deny.toml does not allow"
        );
    }
}

#[test]
fn everything_comes_from_the_one_registry() {
    let lock = read("Cargo.lock");
    let sources: BTreeSet<&str> = lock.lines().filter_map(|line| line.strip_prefix("source = ")).collect();
    assert_eq!(sources.len(), 1, "{sources:?}");
    assert!(
        sources.iter().all(|source| source.starts_with("\"registry+")),
        "{sources:?}"
    );
}

#[test]
fn no_crate_is_there_twice_but_those_that_deny_toml_skips() {
    let mut versions = BTreeMap::<String, BTreeSet<String>>::new();
    for (package, _) in tree(&["--workspace", "-e", "normal,build,dev"], "") {
        let (name, version) = package.split_once(" v").unwrap();
        versions.entry(name.into()).or_default().insert(version.into());
    }
    // The newest is to stay.
    let twice = versions.iter().flat_map(|(name, versions)| {
        let newest = versions.iter().max_by_key(|version| numbers(version));
        versions
            .iter()
            .filter(move |version| Some(*version) != newest)
            .map(move |version| format!("{name}@{version}"))
    });
    let skipped = list(&deny_toml(), "skip");
    assert_eq!(
        twice.collect::<BTreeSet<_>>(),
        skipped,
        "older versions found, and those that deny.toml skips"
    );
}

#[test]
fn the_image_needs_no_system() {
    let image: BTreeSet<String> = tree(&["-e", "normal,no-proc-macro"], "").into_keys().collect();
    assert!(image.iter().any(|package| package.starts_with("smoltcp ")), "{image:?}");
    for package in &image {
        let name = package.split(' ').next().unwrap();
        assert!(
            !NEED_A_SYSTEM.contains(&name),
            "{package} does not belong into the image"
        );
    }
    // `cargo test` builds the image too, with what the tests ask for.
    for (package, features) in tree(&["-e", "normal,dev,no-proc-macro"], "{f}") {
        let std = features.split(',').any(|feature| feature == "std");
        assert!(
            !(std && image.contains(&package)),
            "{package} is in the image with its feature 'std'"
        );
    }
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = ["MIT", "ISC"].map(String::from).into();
    for good in [
        "MIT",
        "MIT OR X",
        "X/MIT",
        "X OR (MIT AND ISC)",
        "(X OR MIT) AND ISC",
        "MIT AND ISC OR X",
    ] {
        assert!(permitted(good, &allowed), "{good}");
    }
    for bad in ["", "X", "X OR Y", "MIT AND X", "(X OR MIT) AND Y", "MIT-0"] {
        assert!(!permitted(bad, &allowed), "{bad}");
    }
}

/// The packages of `cargo tree` with these arguments, as `name v1.2.3`, each with the fields of `format`.
fn tree(arguments: &[&str], format: &str) -> BTreeMap<String, String> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.args(["tree", "--locked", "--prefix", "none", "--no-dedupe", "--format"]);
    let output = command.arg(format!("{{p}}|{format}")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut packages = BTreeMap::<String, String>::new();
    for line in String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter(|line| !line.is_empty())
    {
        let (package, what) = line.split_once('|').unwrap();
        // `name v1.2.3 (proc-macro)`, `name v1.2.3 (/where/it/is)`
        let package = package.split(' ').take(2).collect::<Vec<_>>().join(" ");
        // A package may be there in several ways: with all of their features.
        let known = packages.entry(package).or_default();
        if !known.is_empty() && known != what {
            known.push(',');
            known.push_str(what);
        } else {
            *known = what.into();
        }
    }
    packages
}

/// A version to be compared: 0.10.1 is later than 0.6.4.
fn numbers(version: &str) -> Vec<u64> {
    version
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect()
}

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn deny_toml() -> String {
    // Comments would confuse.
    let lines = read("deny.toml");
    lines
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The strings in the list `key`: licences, or the crates of tables.
fn list(toml: &str, key: &str) -> BTreeSet<String> {
    let start = toml
        .find(&format!("\n{key} = ["))
        .unwrap_or_else(|| panic!("deny.toml has no list '{key}'"));
    let body = toml[start..].split_once('[').unwrap().1.split_once(']').unwrap().0;
    // { crate = "name@1.2.3", reason = "..." }, or "string"
    let entries = body.split('\n').filter(|line| line.contains('"'));
    entries.map(|line| line.split('"').nth(1).unwrap().to_owned()).collect()
}

/// Whether an SPDX expression can be satisfied. `/` is how OR was written once.
fn permitted(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    any(&mut words, allowed)
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut permitted = all(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        permitted |= all(words, allowed);
    }
    permitted
}

fn all(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut permitted = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        permitted &= one(words, allowed);
    }
    permitted
}

fn one(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    match words.next() {
        Some("(") => {
            let permitted = any(words, allowed);
            words.next_if_eq(&")").is_some() && permitted
        }
        Some(licence) => allowed.contains(licence),
        None => false,
    }
}
