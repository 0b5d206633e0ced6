//! The defconfig for a server of the PKI.

use std::fs;
use std::path::Path;

use postern_config::{Config, MAX_ROOTS, Scratch};
use zeroize::Zeroizing;

use crate::arguments::{Request, typed};
use crate::certificate::Leaf;
use crate::commands::parent_of;
use crate::files::{self, Stage};
use crate::pki::Pki;
use crate::{Result, fail, now, print, say};

pub(crate) fn defconfig(request: &Request) -> Result<()> {
    let roots = match request.option("--roots") {
        Some(file) => read_roots(file)?,
        None => String::new(),
    };
    let pki = Pki::read(&request.directory)?;
    let text = text(request, &pki, &roots)?;
    check(&text)?;
    let Some(out) = request.option("--out") else {
        return print(&text);
    };
    let parent = parent_of(out);
    if Path::new(out).is_dir() {
        fail!("'{out}' is a directory; --out takes the name of a file");
    }
    if !Path::new(parent).is_dir() {
        let shown = std::path::absolute(parent).unwrap_or_else(|_| parent.into());
        fail!(
            "directory '{}' for '{out}' does not exist; create it first",
            shown.display()
        );
    }
    files::remove_abandoned(Path::new(parent), false);
    let stage = Stage::new(Path::new(parent), parent)?;
    stage.add("defconfig", text.as_bytes())?;
    stage.put("defconfig", Path::new(out))?;
    say!(
        "{out}: boot with `qemu/run --defconfig {}`. It contains a private key",
        typed(out)
    );
    Ok(())
}

/// Reads the bundle of further CAs and checks their number. The image reports the unusable ones.
fn read_roots(file: &str) -> Result<String> {
    if !Path::new(file).is_file() {
        fail!("file '{file}' for --roots does not exist; --roots takes certificates in PEM");
    }
    let Ok(text) = fs::read(file) else {
        fail!("cannot read '{file}'; check its owner and permissions")
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    match text
        .lines()
        .filter(|line| line.starts_with("-----BEGIN CERTIFICATE"))
        .count()
    {
        0 => fail!("'{file}' contains no PEM certificate"),
        count if count > MAX_ROOTS => {
            fail!("'{file}' contains {count} certificates, but the image takes at most {MAX_ROOTS}; remove some")
        }
        _ => Ok(text),
    }
}

/// Checks that the image would accept it.
fn check(text: &str) -> Result<()> {
    let (mut config, mut scratch) = (Box::new(Config::new()), Box::new(Scratch::new()));
    let checked = config
        .parse(text.as_bytes(), &mut scratch)
        .and_then(|()| config.check(now(), now()));
    checked.or_else(|error| fail!("the image would refuse this configuration: {error}"))
}

/// The certificate of `name` and its key, as strings, if the image can use them for `usage`.
fn identity(pki: &Pki, name: &str, usage: &str) -> Result<[Zeroizing<String>; 2]> {
    let leaf = pki.leaf(name)?;
    pki.check_key_is_here(name)?;
    let Ok(key) = fs::read_to_string(pki.path.join(format!("{name}.key"))).map(Zeroizing::new) else {
        fail!(
            "{}/{name}.key does not exist or is not readable; `rotate` creates a new one",
            pki.shown
        );
    };
    let Leaf {
        usage: found,
        not_after,
        ..
    } = &leaf;
    if *found != "peer" && *found != usage {
        fail!("the certificate of '{name}' is for a {found}, not for a {usage}; create one with `{usage}` or `peer`");
    }
    if pki.database.revoked(&leaf.serial).is_some() {
        fail!("the certificate of '{name}' is revoked; `rotate` creates a new one");
    }
    if leaf.has_expired() {
        fail!("the certificate of '{name}' expired on {not_after}; `renew` or `rotate` it");
    }
    Ok([read(pki, &format!("{name}.pem"))?, strings(&key, "")])
}

fn read(pki: &Pki, file: &str) -> Result<Zeroizing<String>> {
    match fs::read_to_string(pki.path.join(file)) {
        Ok(text) => Ok(strings(&text, "")),
        Err(error) => fail!("cannot read '{}/{file}': {error}", pki.shown),
    }
}

/// The PEM blocks whose label begins with `label`, as C strings, one for each line.
fn strings(pem: &str, label: &str) -> Zeroizing<String> {
    let begin = format!("-----BEGIN {label}");
    // Large enough from the start: a growing string would leave copies of the key in memory.
    let mut out = Zeroizing::new(String::with_capacity(pem.len() * 2));
    let mut inside = false;
    for line in pem.lines() {
        inside |= line.starts_with(&begin);
        if inside {
            for part in ["        \"", line.trim_end_matches('\r'), "\\n\"\n"] {
                out.push_str(part);
            }
        }
        inside &= !line.starts_with("-----END");
    }
    let length = out.trim_end_matches('\n').len();
    out.truncate(length);
    out
}

fn text(request: &Request, pki: &Pki, roots: &str) -> Result<Zeroizing<String>> {
    let (dir, server) = (&pki.shown, &request.name);
    let [cert, key] = identity(pki, server, "server")?;
    let client = request
        .option("--client")
        .map(|name| identity(pki, name, "client"))
        .transpose()?;
    if pki.ca.has_expired() {
        fail!(
            "the CA in '{dir}' expired on {}; every peer would refuse its certificates",
            pki.ca.not_after
        );
    }
    let list = pki.list()?;
    if let Some(list) = list.as_ref().filter(|list| list.has_expired()) {
        let day = list.next_update;
        fail!(
            "{dir}/crl.pem expired on {day} and would refuse every certificate; `pki/wizard crl {}` creates a new one",
            typed(dir)
        );
    }
    let ip = match request.has("--dhcp") {
        true => ".use_dhcp = 1,",
        false => {
            ".use_dhcp = 0,\n    .ipaddr = { 10, 0, 2, 15 },\n    .netmask = { 255, 255, 255, 0 },\n    .gateway = { 10, 0, 2, 2 },\n    .dns = { 10, 0, 2, 3 },"
        }
    };
    let telnet = u8::from(request.has("--telnet"));
    let ca = read(pki, "ca.pem")?;
    let mut more = Zeroizing::new(String::new());
    if !roots.is_empty() {
        *more += &format!(
            "    // For servers only.\n    .root_certs =\n{},\n",
            *strings(roots, "CERTIFICATE")
        );
    }
    if let Some([cert, key]) = &client {
        *more += &Zeroizing::new(format!("    .cli_cert =\n{},\n    .cli_key =\n{},\n", **cert, **key));
    }
    if let Some(list) = list {
        let (number, day, pem) = (list.number, list.next_update, read(pki, "crl.pem")?);
        *more += &format!(
            "    // Number {number}. The next one is due before {day}: an expired list refuses every certificate.\n    .crl =\n{},\n",
            *pem
        );
    }
    let client_auth = request.option("--client-auth").unwrap_or("off");
    let verify = request.option("--verify").unwrap_or("strict");
    Ok(Zeroizing::new(format!(
        r#"// Written by pki/wizard. It contains a private key: any reader of this file can impersonate {server}.
.vmm = {{
    // The debug shell: on telnet without password or encryption, and over TLS for clients with a certificate of this PKI.
    .telnet_dbgsh = {telnet},
    .tls_dbgsh = 992,
}},
.ip = {{
    {ip}
}},
.tls = {{
    .srv_cert =
{},
    .srv_key =
{},
    .ca_cert =
{},
{}    .client_auth = "{client_auth}",
    .verify = "{verify}",
}},
.echo = {{
    .tls_port = 10007,
    .plain_port = 10008,
}},
"#,
        *cert, *key, *ca, *more
    )))
}
