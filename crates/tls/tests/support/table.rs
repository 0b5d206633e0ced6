//! Tables of a page whose figures are measured by a test.

use std::path::Path;

/// Checks the table on `page` that its test `by` has made: the same words, and each number within a tenth of what was
/// measured, for compilers lay things out a little differently. With `POSTERN_WRITE_TABLES=1` in the environment `measured`
/// takes its place.
pub fn check_table(page: impl AsRef<Path>, by: &str, measured: &str) {
    let page = page.as_ref();
    let text = std::fs::read_to_string(page).unwrap();
    let [begin, end] = ["begin", "end"].map(|word| format!("<!-- made by {by}: {word} -->\n"));
    let (before, rest) = text.split_once(&begin).unwrap();
    let (written, after) = rest.split_once(&end).unwrap();
    if std::env::var_os("POSTERN_WRITE_TABLES").is_some() {
        std::fs::write(page, format!("{before}{begin}{measured}{end}{after}")).unwrap();
    } else {
        let page = page.display();
        assert!(
            says_the_same(written, measured),
            "{page} has other figures (POSTERN_WRITE_TABLES=1 writes these):\n{measured}"
        );
    }
}

fn says_the_same(written: &str, measured: &str) -> bool {
    let split = |text: &str| -> (String, Vec<usize>) {
        let words = text.split(|c: char| !c.is_ascii_digit());
        let numbers = words.filter_map(|word| word.parse().ok()).collect();
        (text.chars().filter(|c| !c.is_ascii_digit()).collect(), numbers)
    };
    let ((words, numbers), (other_words, other_numbers)) = (split(written), split(measured));
    words == other_words
        && numbers.len() == other_numbers.len()
        && numbers
            .iter()
            .zip(&other_numbers)
            .all(|(number, other)| number.abs_diff(*other) <= other / 10)
}
