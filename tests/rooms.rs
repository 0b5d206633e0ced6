//! The layout of the sources: rooms and their order, heads, places of tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Each room and the rooms that it may use, listed above it: the arrows of `src/lib.rs`, and those of the image.
const ROOMS: &[(&str, &[&str])] = &[
    ("log", &[]),
    ("machine", &["log"]),
    ("nic", &["machine"]),
    ("net", &["log", "nic"]),
    ("dial", &["net"]),
    ("endpoint", &["net"]),
    ("web", &["net", "endpoint"]),
    ("client", &["log", "net", "dial", "endpoint"]),
    ("serve", &["log", "net", "dial", "endpoint", "web"]),
    ("selftest", &[]),
    ("shell", &["log", "net", "dial", "endpoint", "client", "serve"]),
    ("memory", &["machine", "net", "endpoint", "serve"]),
    (
        "settings",
        &[
            "log", "machine", "nic", "net", "dial", "endpoint", "client", "serve", "selftest", "shell", "memory",
        ],
    ),
    (
        "host",
        &[
            "log", "machine", "nic", "net", "dial", "endpoint", "client", "serve", "selftest", "shell", "memory",
            "settings",
        ],
    ),
    ("boot", &["machine", "memory"]),
    (
        "tasks",
        &[
            "log", "machine", "nic", "net", "endpoint", "client", "serve", "shell", "memory", "settings", "host",
        ],
    ),
    (
        "bring_up",
        &[
            "machine", "nic", "net", "endpoint", "client", "serve", "selftest", "memory", "settings", "host", "boot",
            "tasks",
        ],
    ),
    (
        "main",
        &["log", "machine", "nic", "settings", "boot", "tasks", "bring_up"],
    ),
];

/// The rooms whose files use each other in one direction only.
const ORDERED: &[&str] = &["dial", "endpoint", "web", "client", "serve", "settings"];

/// The code of a room's files by their names, without comments and tests. `mod` is the room's own file.
fn files(room: &str) -> BTreeMap<String, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room);
    let mut paths = vec![source.with_extension("rs"), source];
    let mut found = BTreeMap::<String, String>::new();
    while let Some(path) = paths.pop() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        if ["tests", "testing", "fake"].contains(&name) {
            continue;
        }
        if path.is_dir() {
            paths.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.to_str().unwrap().ends_with(".rs")
            && let Ok(text) = fs::read_to_string(&path)
        {
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let name = if name == room { "mod" } else { name };
            found
                .entry(name.into())
                .or_default()
                .extend(code.flat_map(|line| [line, "\n"]));
        }
    }
    assert!(found.contains_key("mod"), "there is no room {room}");
    found
}

/// What follows `prefix` in a path: `a` in `prefix::a::B`, `a` and `B` in `prefix::{a::{C, D}, B}`.
fn used<'a>(code: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    let word = |text: &'a str| {
        text.trim_start()
            .split(|c: char| c != '_' && !c.is_alphanumeric())
            .next()
    };
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let rest = &code[at + prefix.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            found.extend(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut depth_after = |c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth
        };
        let end = list.find(|c| depth_after(c) < 0).unwrap();
        found.extend(list[..end].split(|c| depth_after(c) < 0 && c == ',').filter_map(word));
    }
    found
}

#[test]
fn every_room_is_in_the_table() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rooms = fs::read_dir(source).unwrap().map(|entry| entry.unwrap().path());
    let rooms: BTreeSet<String> = rooms
        .map(|path| path.file_stem().unwrap().to_str().unwrap().into())
        .collect();
    let table: BTreeSet<String> = ROOMS.iter().map(|(room, _)| (*room).into()).collect();
    assert_eq!(rooms, &table | &BTreeSet::from(["lib".into()]));
}

#[test]
fn rooms_use_only_those_that_the_table_lets_them_use() {
    for (at, (room, may)) in ROOMS.iter().enumerate() {
        let above = |name: &&str| ROOMS[..at].iter().any(|(room, _)| room == name);
        assert!(may.iter().all(above), "{room} uses a room below it");
        for (file, code) in files(room) {
            // The image has the library's rooms under its name, and `boot` ends in `crate::main`.
            for name in used(&code, "crate::").into_iter().chain(used(&code, "postern::")) {
                let is_room = ROOMS.iter().any(|(room, _)| *room == name);
                assert!(
                    !is_room || name == *room || may.contains(&name) || (*room, name) == ("boot", "main"),
                    "{room}/{file} uses {name}"
                );
            }
        }
    }
}

#[test]
fn files_of_a_room_do_not_use_each_other_in_a_cycle() {
    for room in ORDERED {
        let files = files(room);
        let own = format!("crate::{room}::");
        let uses = |name: &str| -> BTreeSet<&str> {
            let code = &files[name];
            if name == "mod" {
                let modules = code
                    .lines()
                    .filter_map(|line| line.strip_suffix(';')?.rsplit_once("mod "));
                return modules.map(|(_, module)| module).collect();
            }
            // What is no file is an item of the room's own one.
            let paths = used(code, "super::").into_iter().chain(used(code, &own));
            let file = |path| if files.contains_key(path) { path } else { "mod" };
            paths.map(file).collect()
        };
        // A file goes when all that it uses have gone.
        let mut left: BTreeSet<&str> = files.keys().map(String::as_str).collect();
        while !left.is_empty() {
            let rest: BTreeSet<&str> = left
                .iter()
                .copied()
                .filter(|name| !uses(name).is_disjoint(&left))
                .collect();
            assert!(rest.len() < left.len(), "{room}: a cycle among {left:?}");
            left = rest;
        }
    }
}

#[test]
fn each_file_has_a_short_head_and_its_tests_in_another() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> = ["src", "crates", "tests"].map(|name| root.join(name)).into();
    let mut files = 0;
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            paths.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            files += 1;
            let mut lines = text.lines();
            if let Some(head) = lines.next().and_then(|line| line.strip_prefix("//! ")) {
                assert!(head.chars().count() <= 80, "{}: {head}", path.display());
                let next = lines.next().unwrap_or_default();
                assert!(!next.starts_with("//! "), "{}: {next}", path.display());
            }
            // A program under tests/ is a file of tests itself.
            if !path.starts_with(root.join("tests")) {
                assert!(!text.contains("\nmod tests {"), "{}", path.display());
            }
        }
    }
    assert!(files > 300, "{files} files");
}
