//! The files, functions and tests named in docs/ exist.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `directory` whose name ends so.
fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_str().is_some_and(|path| path.ends_with(ending)) {
            found.push(path);
        }
    }
    found
}

/// The words between backquotes.
fn quoted(page: &str) -> impl Iterator<Item = &str> {
    page.lines()
        .filter(|line| !line.starts_with("```"))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn every_check_has_the_code_and_the_tests_that_its_table_names() {
    let sources: String = ["src", "crates", "tests"]
        .iter()
        .flat_map(|directory| files(&root().join(directory), ".rs"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let page = fs::read_to_string(root().join("docs/verification.md")).unwrap();
    let (mut tests, mut places) = (0, 0);
    for word in quoted(&page) {
        let is_test = word.matches('_').count() >= 2
            && word
                .bytes()
                .all(|c| c.is_ascii_lowercase() || b"_0123456789".contains(&c));
        if is_test {
            let forms = ["", "    "].map(|indent| format!("#[test]\n{indent}fn {word}()"));
            assert!(
                forms.iter().any(|form| sources.contains(form)),
                "there is no test {word}"
            );
            tests += 1;
        } else if let Some((file, function)) = word.split_once(".rs: ") {
            let text = fs::read_to_string(root().join(format!("crates/tls/src/{file}.rs"))).unwrap();
            let begins = ["(", "<"].map(|mark| format!("fn {function}{mark}"));
            assert!(begins.iter().any(|begin| text.contains(begin)), "{word}");
            places += 1;
        }
    }
    assert!(tests >= 25 && places >= 8, "{tests} {places}");
}

#[test]
fn links_between_the_pages_lead_somewhere() {
    let mut pages = files(&root().join("docs"), ".md");
    pages.extend(["README.md", "CHANGELOG.md", "crates/tls/README.md"].map(|name| root().join(name)));
    let mut count = 0;
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'))
            .map(|(link, _)| link)
        {
            let file = link.split('#').next().unwrap();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            assert!(page.parent().unwrap().join(file).exists(), "{}: {link}", page.display());
            count += 1;
        }
    }
    assert!(count >= 20, "{count}");
}

#[test]
fn every_deviation_from_bogo_has_its_outcome_and_a_clause() {
    let deviations = fs::read_to_string(root().join("tests/bogo/deviations")).unwrap();
    let lines = deviations
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut count = 0;
    for line in lines {
        let columns: Vec<&str> = line.split(" | ").collect();
        assert!(
            columns.len() == 4 && columns.iter().all(|column| !column.is_empty()),
            "{line}"
        );
        let clause = columns[3].strip_prefix("RFC ").is_some_and(|rest| rest.contains('§'));
        assert!(clause, "{line}");
        count += 1;
    }
    assert!(count >= 40, "{count}");
}
