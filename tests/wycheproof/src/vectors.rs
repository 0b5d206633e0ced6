//! Files, groups and vectors of Wycheproof, as read from JSON.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// One JSON object: a group of vectors, or a vector.
#[derive(Clone, Copy)]
pub struct Object<'a>(pub &'a Value);

impl<'a> Object<'a> {
    /// A string.
    pub fn text(self, name: &str) -> Result<&'a str, String> {
        self.0[name].as_str().ok_or_else(|| format!("no string {name:?}"))
    }

    /// A number.
    pub fn number(self, name: &str) -> Result<usize, String> {
        let number = self.0[name].as_u64().ok_or_else(|| format!("no number {name:?}"))?;
        usize::try_from(number).map_err(|error| error.to_string())
    }

    /// A string of hexadecimal digits.
    pub fn bytes(self, name: &str) -> Result<Vec<u8>, String> {
        unhex(self.text(name)?).ok_or_else(|| format!("{name:?} is not hexadecimal"))
    }

    /// An object inside.
    pub fn object(self, name: &str) -> Object<'a> {
        Object(&self.0[name])
    }

    /// The objects of an array.
    pub fn objects(self, name: &str) -> Result<impl Iterator<Item = Object<'a>>, String> {
        let array = self.0[name].as_array().ok_or_else(|| format!("no array {name:?}"))?;
        Ok(array.iter().map(Object))
    }

    /// The flags of a vector.
    pub fn flags(self) -> impl Iterator<Item = &'a str> {
        self.0["flags"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
    }
}

/// Reads a file.
pub fn read(path: &Path) -> Result<Value, String> {
    let cannot = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", path.display());
    let text = fs::read(path).map_err(|error| cannot(&error))?;
    serde_json::from_slice(&text).map_err(|error| cannot(&error))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}
