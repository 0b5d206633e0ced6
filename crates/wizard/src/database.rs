//! The database of `openssl ca`: `index.txt` and `crlnumber`.
//!
//! A line of `index.txt` has six fields separated by tabs: status (V, R or E), end of validity, time of revocation with the
//! reason after a comma, serial number, file name, subject.

use std::time::Duration;

use der::DateTime;
use postern_tls::pki::cert::Date;
use rcgen::{RevocationReason, RevokedCertParams, SerialNumber};
use time::OffsetDateTime;

use crate::{Result, fail};

/// The reasons that `revoke` accepts.
pub(crate) const REASONS: [&str; 5] = [
    "unspecified",
    "keyCompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
];

/// The lines of `index.txt`. Unchanged fields are written as they were read.
pub(crate) struct Database(Vec<Row>);

pub(crate) struct Row(Vec<String>);

impl Row {
    pub(crate) fn serial(&self) -> &str {
        self.field(3)
    }

    /// The text after the last `/CN=`.
    pub(crate) fn name(&self) -> &str {
        let subject = self.field(5);
        subject.rsplit_once("/CN=").map_or(subject, |(_, name)| name)
    }

    /// The reason of its revocation, if it is revoked.
    pub(crate) fn revoked(&self) -> Option<&str> {
        let reason = self.field(2).split(',').nth(1).unwrap_or("unspecified");
        (self.field(0) == "R").then_some(reason)
    }

    fn field(&self, number: usize) -> &str {
        self.0.get(number).map_or("", String::as_str)
    }
}

impl Database {
    /// Parses `index.txt`; `shown` is its name in messages.
    pub(crate) fn parse(text: &str, shown: &str) -> Result<Self> {
        let mut rows = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let fields: Vec<_> = line.splitn(6, '\t').map(str::to_owned).collect();
            // OpenSSL skips comments and empty lines.
            if fields.len() != 6 && !line.is_empty() && !line.starts_with('#') {
                fail!("'{shown}', line {number}: not a record of openssl ca");
            }
            rows.push(Row(fields));
        }
        Ok(Self(rows))
    }

    pub(crate) fn text(&self) -> String {
        self.0.iter().map(|row| row.0.join("\t") + "\n").collect()
    }

    /// The certificates, in the order of the file.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.0.iter().filter(|row| row.0.len() == 6)
    }

    pub(crate) fn find(&self, serial: &str) -> Option<&Row> {
        self.rows().filter(|row| row.serial() == serial).last()
    }

    /// The reason of a certificate's revocation, if it is revoked.
    pub(crate) fn revoked(&self, serial: &str) -> Option<&str> {
        self.find(serial)?.revoked()
    }

    pub(crate) fn add(&mut self, serial: &str, not_after: Date, name: &str) {
        let fields = ["V", &stamp(not_after), "", serial, "unknown", &format!("/CN={name}")];
        self.0.push(Row(fields.map(str::to_owned).to_vec()));
    }

    pub(crate) fn revoke(&mut self, serial: &str, at: Date, reason: &str) {
        for row in self.0.iter_mut().filter(|row| row.serial() == serial) {
            if let [status, _, revoked, ..] = row.0.as_mut_slice() {
                *status = "R".into();
                // The reason "unspecified" is omitted from a list (RFC 5280 §5.3.1).
                *revoked = if reason == "unspecified" {
                    stamp(at)
                } else {
                    format!("{},{reason}", stamp(at))
                };
            }
        }
    }

    /// The entries of a revocation list, by serial number as OpenSSL sorts them.
    pub(crate) fn entries(&self) -> Result<Vec<RevokedCertParams>> {
        let mut entries = Vec::new();
        for row in self.rows().filter(|row| row.field(0) == "R") {
            match entry(row) {
                Some(entry) => entries.push(entry),
                None => fail!(
                    "the database of the CA has serial {} revoked as '{}': invalid time or reason",
                    row.serial(),
                    row.field(2)
                ),
            }
        }
        entries.sort_by_key(|entry| (entry.serial_number.len(), entry.serial_number.to_bytes()));
        Ok(entries)
    }
}

fn entry(row: &Row) -> Option<RevokedCertParams> {
    use RevocationReason::{
        AffiliationChanged, CaCompromise, CertificateHold, CessationOfOperation, KeyCompromise, RemoveFromCrl,
        Superseded,
    };
    let mut parts = row.field(2).split(',');
    let revocation_time = offset(parse_stamp(parts.next()?)?);
    // All reasons that OpenSSL writes. The time of a compromise follows its reason.
    let reason_code = match parts.next() {
        None | Some("unspecified") => None,
        Some("keyCompromise" | "keyTime") => Some(KeyCompromise),
        Some("CACompromise" | "CAkeyTime") => Some(CaCompromise),
        Some("affiliationChanged") => Some(AffiliationChanged),
        Some("superseded") => Some(Superseded),
        Some("cessationOfOperation") => Some(CessationOfOperation),
        Some("certificateHold" | "holdInstruction") => Some(CertificateHold),
        Some("removeFromCRL") => Some(RemoveFromCrl),
        Some(_) => return None,
    };
    let invalidity_date = parts.next().and_then(parse_stamp).map(offset);
    Some(RevokedCertParams {
        serial_number: number(row.serial())?,
        revocation_time,
        reason_code,
        invalidity_date,
    })
}

/// A number in hexadecimal, as OpenSSL writes it.
pub(crate) fn number(text: &str) -> Option<SerialNumber> {
    let digits = text
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    digits
        .collect::<Option<Vec<_>>>()
        .filter(|digits| !digits.is_empty())
        .map(SerialNumber::from)
}

/// A date in rcgen's form.
pub(crate) fn offset(date: Date) -> OffsetDateTime {
    rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(date.0)
}

/// UTCTime until 2049, then GeneralizedTime (RFC 5280 §4.1.2.5).
fn stamp(date: Date) -> String {
    let full: String = format!("{date:#}").chars().filter(char::is_ascii_digit).collect();
    let short = full.get(2..).filter(|_| full.as_str() < "2050");
    format!("{}Z", short.unwrap_or(&full))
}

fn parse_stamp(text: &str) -> Option<Date> {
    let digits = text
        .strip_suffix('Z')
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    // Two digits stand for 1950 to 2049.
    let century = match digits.get(..2)? {
        _ if digits.len() == 14 => "",
        year if year < "50" => "20",
        _ => "19",
    };
    let full = format!("{century}{digits}");
    let part = |from: usize| full.get(from..from + 2)?.parse::<u8>().ok();
    let year = full.get(..4).filter(|_| full.len() == 14)?.parse().ok()?;
    let time = DateTime::new(year, part(4)?, part(6)?, part(8)?, part(10)?, part(12)?).ok()?;
    Some(Date(time.unix_duration().as_secs()))
}

#[cfg(test)]
mod tests;
