//! The chains of x509-limbo and BetterTLS, run through the engine's verifier.
//!
//! Nothing but the engine's public interface is used, and none of the suites' files are here. `tests/limbo/run --help` says
//! where they come from.

mod case;
mod report;
#[cfg(test)]
mod tests;
mod verifier;

use std::error::Error;
use std::process::ExitCode;
use std::{env, fs, process};

use case::Case;
use report::Report;

const DEVIATIONS: &str = include_str!("../deviations");
const EXPECTED: &str = include_str!("../expected");

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (suite, file, other) = match arguments[..] {
        [suite, file] => (suite, file, None),
        [suite, file, other] => (suite, file, Some(other)),
        _ => return Err("usage: postern-limbo limbo|bettertls FILE [webpki|openssl]".into()),
    };
    let mut cases = case::read(&fs::read_to_string(file)?)?;
    cases.retain(|case| is_of(&case.id, suite));
    match other {
        None => run(suite, &cases),
        Some(other) => compare(suite, &cases, other),
    }
}

/// Whether a case belongs to a suite. x509-limbo brings the cases of BetterTLS along.
fn is_of(id: &str, suite: &str) -> bool {
    id.starts_with("bettertls::") == (suite == "bettertls")
}

/// Verifies with the engine; fails if that deviates otherwise than as listed.
fn run(suite: &str, cases: &[Case]) -> Result<ExitCode, Box<dyn Error>> {
    let mut deviations = report::deviations(DEVIATIONS)?;
    deviations.retain(|line| is_of(line.id(), suite));
    let mut report = Report::new(cases, verifier::engine, &deviations);
    let sum = format!("{suite}: {report}");
    if !EXPECTED.lines().any(|line| line == sum) {
        report
            .failures
            .push("the counts are not those of tests/limbo/expected".into());
    }
    for (feature, count) in &report.skipped {
        println!("skipped, as the engine does not have {feature}: {count}");
    }
    for failure in &report.failures {
        println!("FAILED {failure}");
    }
    println!("{sum}");
    println!("{} passed, {} failed", report.passed(), report.failures.len());
    Ok(ExitCode::from(u8::from(!report.failures.is_empty())))
}

/// Shows the counts of another verifier.
fn compare(suite: &str, cases: &[Case], other: &str) -> Result<ExitCode, Box<dyn Error>> {
    let report = match other {
        "webpki" => Report::new(cases, verifier::webpki, &[]),
        "openssl" => {
            let directory = env::temp_dir().join(format!("postern-limbo-{}", process::id()));
            fs::create_dir(&directory)?;
            let verify = |case: &Case| verifier::openssl(case, &directory).unwrap_or_else(|error| panic!("{error}"));
            let report = Report::new(cases, verify, &[]);
            fs::remove_dir_all(&directory)?;
            report
        }
        _ => return Err(format!("there is no verifier '{other}'").into()),
    };
    for difference in &report.failures {
        println!("{difference}");
    }
    println!("{suite} by {other}: {report}");
    Ok(ExitCode::SUCCESS)
}
