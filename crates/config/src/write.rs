//! Writing a configuration as a defconfig, at build time.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::ders::GENERATE;
use crate::value::Slot;
use crate::{Config, Ders, Key, Kind, Path};

/// The certificates and the key of a configuration, as members of a defconfig.
pub(crate) fn write_throw_away(config: &Config) -> String {
    let tls = &config.tls;
    format!(
        ".tls.srv_cert ={},\n.tls.srv_key ={},\n.tls.ca_cert ={},\n",
        ders("CERTIFICATE", &tls.srv_cert, ""),
        keys(&tls.srv_key, ""),
        ders("CERTIFICATE", &tls.ca_cert, "")
    )
}

/// The whole configuration as a defconfig without `_file` keys.
pub(crate) fn write(config: &mut Config) -> String {
    let mut text = String::from("# Written by build.rs: the configuration of the image. It holds the private key.\n");
    write_group(config, (None, 0), "", &mut text);
    text
}

/// The members of a group; of a list, those of its group `n`.
fn write_group(config: &mut Config, (group, n): (Option<Path>, usize), indent: &str, text: &mut String) {
    let inside = format!("{indent}    ");
    for path in Path::children(group).filter(|path| !matches!(path.kind(), Kind::File(_))) {
        let value = match config.slot_of(path, n) {
            Slot::Group => {
                let mut inner = String::new();
                write_group(config, (Some(path), 0), &inside, &mut inner);
                format!("{{\n{inner}{indent}}}")
            }
            Slot::Reverses(list) if list.is_empty() => continue,
            Slot::Reverses(list) => {
                let groups = (0..list.len()).map(|n| {
                    let mut inner = String::new();
                    write_group(config, (Some(path), n), &format!("{inside}    "), &mut inner);
                    format!("\n{inside}{{\n{inner}{inside}}},")
                });
                format!("{{{}\n{indent}}}", groups.collect::<String>())
            }
            Slot::Number(number) => match path.kind() {
                // A number that is not set has no place in its range.
                Kind::Number(min, ..) if number.get() < min => continue,
                _ => number.get().to_string(),
            },
            Slot::Address(address) => match address.get() {
                None => continue,
                Some(IpAddr::V4(address)) => {
                    let parts = address.octets().map(|part| part.to_string());
                    format!("{{ {} }}", parts.join(", "))
                }
                Some(IpAddr::V6(address)) => quoted(&address.to_string()),
            },
            Slot::Choice(choice) => quoted(choice.name()),
            Slot::Name(name) | Slot::Subject(name) => quoted(name),
            Slot::Text(text) if text.is_empty() => continue,
            Slot::Text(text) => quoted(std::str::from_utf8(text).unwrap_or_default()), // it is UTF-8
            Slot::Lines(all) if all.is_empty() => continue,
            Slot::Lines(all) => {
                let all: Vec<_> = all.lines().map(quoted).collect();
                format!("{{ {} }}", all.join(", "))
            }
            Slot::Ders(list) if list.is_empty() => continue,
            Slot::Ders(list) if path.kind() == Kind::Crls => ders("X509 CRL", list, indent),
            Slot::Ders(list) => ders("CERTIFICATE", list, indent),
            Slot::Bundle(bundle) if bundle.is_empty() => continue,
            Slot::Bundle(bundle) => {
                let ders = bundle.ders().iter();
                ders.map(|der| strings("CERTIFICATE", der, indent)).collect()
            }
            Slot::Keys(list) if list.is_empty() => continue,
            Slot::Keys(list) if list.iter().any(Key::is_generated) => quoted(GENERATE),
            Slot::Keys(list) => keys(list, indent),
        };
        let blank = if value.starts_with('\n') { "" } else { " " };
        let _ = writeln!(text, "{indent}.{} ={blank}{value},", path.name());
    }
}

fn ders(label: &str, list: &Ders, indent: &str) -> String {
    list.iter().map(|der| strings(label, der, indent)).collect()
}

fn keys(list: &[Key], indent: &str) -> String {
    let keys = list.iter();
    keys.map(|key| strings(&key.label, &key.der, indent)).collect()
}

/// A string as C has it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A PEM block as strings, one a line.
fn strings(label: &str, der: &[u8], indent: &str) -> String {
    let pem = pem_rfc7468::encode_string(label, pem_rfc7468::LineEnding::LF, der).unwrap_or_default();
    pem.lines().fold(String::new(), |mut text, line| {
        let _ = write!(text, "\n{indent}    \"{line}\\n\"");
        text
    })
}
