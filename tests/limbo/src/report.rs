//! The results compared with the suites' expectations, and the listed deviations.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::case::Case;
use crate::verifier::Verdict;

/// A verdict that is not the expected one, and what permits it.
pub struct Deviation<'a> {
    id: &'a str,
    /// `accepted`, or the name of the error.
    outcome: &'a str,
}

impl Deviation<'_> {
    pub fn id(&self) -> &str {
        self.id
    }
}

/// Reads the lines `CASE | OUTCOME | CLAUSE`, of which none may be there twice. Those with a `#` are comments.
pub fn deviations(text: &str) -> Result<Vec<Deviation<'_>>, String> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut known = BTreeSet::new();
    let deviation = |line| {
        let columns: Vec<&str> = str::split(line, " | ").collect();
        match columns[..] {
            [id, outcome, clause] if clause.contains("RFC ") && clause.contains('§') && known.insert(id) => {
                Ok(Deviation { id, outcome })
            }
            _ => Err(format!("deviations: {line}")),
        }
    };
    lines.map(deviation).collect()
}

/// What the cases of a suite have come to.
#[derive(Default)]
pub struct Report {
    passed: usize,
    wrong_accepts: usize,
    wrong_refusals: usize,
    /// How many cases were left out, for each missing feature.
    pub skipped: BTreeMap<&'static str, usize>,
    /// Wrong verdicts that are not listed, and lines that are not needed.
    pub failures: Vec<String>,
}

impl Report {
    pub fn new(cases: &[Case], verify: impl Fn(&Case) -> Verdict, deviations: &[Deviation<'_>]) -> Self {
        let mut report = Self::default();
        let mut unused: BTreeMap<&str, &str> = deviations.iter().map(|line| (line.id, line.outcome)).collect();
        for case in cases {
            if let Some(feature) = case.missing {
                *report.skipped.entry(feature).or_default() += 1;
                continue;
            }
            let outcome = match (verify(case), case.accept) {
                (Ok(()), true) | (Err(_), false) => {
                    report.passed += 1;
                    continue;
                }
                (Ok(()), false) => {
                    report.wrong_accepts += 1;
                    "accepted".to_owned()
                }
                (Err(error), true) => {
                    report.wrong_refusals += 1;
                    error
                }
            };
            let name = outcome.split([' ', '(']).next().unwrap_or_default();
            if unused.remove(&*case.id) != Some(name) {
                report.failures.push(format!("{}: {outcome}", case.id));
            }
        }
        let superfluous = unused
            .keys()
            .map(|id| format!("{id}: a line of tests/limbo/deviations is out of date"));
        report.failures.extend(superfluous);
        report
    }

    pub fn passed(&self) -> usize {
        self.passed
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let skipped: usize = self.skipped.values().sum();
        let Self {
            passed,
            wrong_accepts,
            wrong_refusals,
            ..
        } = self;
        let cases = passed + wrong_accepts + wrong_refusals + skipped;
        write!(
            f,
            "{cases} cases: {passed} as expected, {wrong_accepts} wrong accepts, {wrong_refusals} wrong refusals, {skipped} skipped"
        )
    }
}
