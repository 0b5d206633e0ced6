//! The results of the vectors: counts by file and reason, and failures.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use crate::acceptable::{self, Decision};
use crate::files::{self, Plan, Primitive};
use crate::vectors::{self, Object};

/// What the engine did with a vector.
#[derive(Debug, Clone, Copy)]
pub enum Outcome {
    /// It computed what the vector has, or accepted it.
    Accepted,
    /// It returned an error.
    Refused,
    /// It refused or accepted, as it has to for this reason whatever the vector's result is.
    ByRule(&'static str),
    /// The engine has no function that takes such a vector.
    NotApplicable(&'static str),
}

impl Outcome {
    /// [`Outcome::ByRule`] if the engine refused.
    pub fn must_refuse(reason: &'static str, accepted: bool) -> Result<Self, String> {
        match accepted {
            true => Err(format!("accepted: {reason}")),
            false => Ok(Self::ByRule(reason)),
        }
    }
}

impl From<bool> for Outcome {
    fn from(accepted: bool) -> Self {
        match accepted {
            true => Self::Accepted,
            false => Self::Refused,
        }
    }
}

/// The counts of a file.
#[derive(Default)]
struct Counts {
    valid: usize,
    invalid: usize,
    acceptable_accepted: usize,
    acceptable_refused: usize,
    by_rule: usize,
    not_applicable: usize,
}

impl Counts {
    fn passed(&self) -> usize {
        self.valid + self.invalid + self.acceptable_accepted + self.acceptable_refused + self.by_rule
    }
}

/// The vectors of a primitive.
pub struct Report {
    primitive: Primitive,
    files: BTreeMap<String, Counts>,
    reasons: BTreeMap<(&'static str, &'static str), usize>,
    pub failures: Vec<String>,
}

impl Report {
    /// Runs the vectors of a primitive in a directory of Wycheproof's files.
    pub fn of(primitive: Primitive, directory: &Path) -> Result<Self, String> {
        let mut report = Self {
            primitive,
            files: BTreeMap::new(),
            reasons: BTreeMap::new(),
            failures: Vec::new(),
        };
        let cannot = |error| format!("cannot read {}: {error}", directory.display());
        let mut names = Vec::new();
        for entry in directory.read_dir().map_err(cannot)? {
            names.push(entry.map_err(cannot)?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        let names = names.iter().filter_map(|name| name.strip_suffix("_test.json"));
        let mut any = false;
        for name in names {
            any = true;
            match files::plan(name) {
                Some((of, plan)) if of == primitive => {
                    let path = directory.join(format!("{name}_test.json"));
                    report.run(name, plan, &path)?;
                }
                Some(_) => {}
                None if primitive == Primitive::Other => report.failures.push(format!("{name}: unknown file")),
                None => {}
            }
        }
        if any {
            Ok(report)
        } else {
            Err(format!("{} has no vectors", directory.display()))
        }
    }

    fn run(&mut self, name: &str, plan: Plan, path: &Path) -> Result<(), String> {
        let file = vectors::read(path)?;
        let inside = |error| format!("{name}: {error}");
        let mut counts = Counts::default();
        let mut all = 0;
        for group in Object(&file).objects("testGroups").map_err(inside)? {
            for vector in group.objects("tests").map_err(inside)? {
                all += 1;
                if let Err(error) = self.vector(&mut counts, plan, group, vector) {
                    let number = vector.number("tcId").unwrap_or(0);
                    self.failures.push(format!("{name} {number}: {error}"));
                }
            }
        }
        let expected = Object(&file).number("numberOfTests").map_err(inside)?;
        if all != expected {
            self.failures.push(format!("{name}: {all} vectors, not {expected}"));
        }
        self.files.insert(name.into(), counts);
        Ok(())
    }

    /// Runs a vector and compares the outcome with its result.
    fn vector(&mut self, counts: &mut Counts, plan: Plan, group: Object<'_>, vector: Object<'_>) -> Result<(), String> {
        let outcome = match plan {
            Plan::Run(run) => run(group, vector)?,
            Plan::NotApplicable(reason) => Outcome::NotApplicable(reason),
        };
        let count = match (outcome, vector.text("result")?) {
            (Outcome::NotApplicable(reason), _) => {
                *self.reasons.entry(("not applicable", reason)).or_default() += 1;
                &mut counts.not_applicable
            }
            (Outcome::ByRule(reason), _) => {
                *self.reasons.entry(("by rule", reason)).or_default() += 1;
                &mut counts.by_rule
            }
            (Outcome::Accepted, "valid") => &mut counts.valid,
            (Outcome::Refused, "invalid") => &mut counts.invalid,
            (_, "acceptable") => match (acceptable::decide(self.primitive, vector.flags())?, outcome) {
                (Decision::Accept, Outcome::Accepted) => &mut counts.acceptable_accepted,
                (Decision::Refuse, Outcome::Refused) => &mut counts.acceptable_refused,
                (decision, _) => return Err(format!("{outcome:?}; the decision is to {decision:?}")),
            },
            (_, result) => return Err(format!("{outcome:?}, but {result}")),
        };
        *count += 1;
        Ok(())
    }

    /// How many vectors the engine was called with, to the right outcome.
    pub fn passed(&self) -> usize {
        self.files.values().map(Counts::passed).sum()
    }

    /// How the report differs from that in `expected`, line by line.
    pub fn differences(&self, expected: &str) -> Vec<String> {
        let name = self.primitive.name();
        let block = expected.split("\n\n").find(|block| block.lines().next() == Some(name));
        let expected: Vec<&str> = block.into_iter().flat_map(str::lines).collect();
        let report = self.to_string();
        let found: Vec<&str> = report.lines().collect();
        let lost = expected.iter().filter(|line| !found.contains(line));
        let new = found.iter().filter(|line| !expected.contains(line));
        let lost = lost.map(|line| format!("expected: {}", line.trim()));
        lost.chain(new.map(|line| format!("found: {}", line.trim()))).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.primitive.name())?;
        for (name, counts) in self.files.iter().filter(|(_, counts)| counts.passed() > 0) {
            let counts = [
                (counts.valid, "valid"),
                (counts.invalid, "invalid"),
                (counts.acceptable_accepted, "acceptable accepted"),
                (counts.acceptable_refused, "acceptable refused"),
                (counts.by_rule, "by rule"),
                (counts.not_applicable, "not applicable"),
            ];
            let counts = counts.iter().filter(|(count, _)| *count > 0);
            let counts: Vec<String> = counts.map(|(count, what)| format!("{count} {what}")).collect();
            writeln!(f, "  {name}: {}", counts.join(", "))?;
        }
        for ((kind, reason), count) in &self.reasons {
            writeln!(f, "  {count} {kind}: {reason}")?;
        }
        Ok(())
    }
}
