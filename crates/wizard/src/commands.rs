//! All commands except `defconfig`.

use std::fs;
use std::path::Path;

use postern_tls::pki::cert::Date;
use zeroize::Zeroizing;

use crate::arguments::{Request, is_dns, is_serial, typed};
use crate::certificate::{Leaf, List, hex};
use crate::files::{self, Stage};
use crate::issue::{self, Order};
use crate::key::{self, PrivateKey};
use crate::pki::Pki;
use crate::{Result, defconfig, fail, now, print, say, sign};

pub(crate) fn run(request: &Request) -> Result<()> {
    match request.command {
        "init" => init(request),
        "rotate" => rotate(request),
        "renew" => renew(request),
        "revoke" => revoke(request),
        "crl" => {
            let (pki, key) = Pki::write(&request.directory)?;
            issue::revocation_list(&pki, &key, request.days("--crl-days", 30))
        }
        "list" => list(request),
        "sign" => sign::sign(request),
        "defconfig" => defconfig::defconfig(request),
        _ => new(request),
    }
}

fn init(request: &Request) -> Result<()> {
    let dir = &request.directory;
    let path = Path::new(dir);
    if path.join("ca.pem").exists() {
        fail!("'{dir}' already contains a PKI; nothing was changed. Choose another directory");
    }
    if path.exists() {
        if !path.is_dir() {
            fail!("'{dir}' exists and is not a directory; choose another");
        }
        if fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()) {
            fail!("directory '{dir}' is not empty; choose another");
        }
    }
    let parent = parent_of(dir);
    if !Path::new(parent).is_dir() {
        fail!("directory '{parent}' for '{dir}' does not exist; create it first");
    }
    let kind = request.option("--key").unwrap_or("p256");
    let name = match request.option("--name") {
        Some(name) => name.to_owned(),
        // Two CAs with the same name are hard to distinguish.
        None => format!("CN=session CA {}", hex(&key::random::<4>()?).to_lowercase()),
    };
    let key = PrivateKey::generate(kind)?;
    let pem = issue::ca(&name, request.days("--days", 3650), &key)?;

    files::remove_abandoned(Path::new(parent), false);
    let stage = Stage::new(Path::new(parent), parent)?;
    for directory in ["old", "ca", "ca/issued"] {
        if let Err(error) = stage.add_directory(Path::new(directory)) {
            fail!("cannot write to '{parent}': {error}; nothing was changed; check the free space");
        }
    }
    stage.add("ca/index.txt", b"")?;
    stage.add("ca/index.txt.attr", b"unique_subject = no\n")?;
    stage.add("ca/crlnumber", b"01\n")?;
    stage.add("ca.key", &key.pem())?;
    stage.add("ca.pem", pem.as_bytes())?;
    stage.become_directory(path)?;
    let end = Leaf::read(&path.join("ca.pem"), &format!("{dir}/ca.pem"))?.not_after;
    say!(
        "{dir}/ca.pem: the CA '{name}', {kind}, valid until {end}. Keep {dir}/ca.key secret: its holder can impersonate any server or client"
    );
    Ok(())
}

/// The parent directory of `path`, as `dirname` prints it.
pub(crate) fn parent_of(path: &str) -> &str {
    match Path::new(path).parent().and_then(Path::to_str) {
        Some("") => ".",
        Some(parent) => parent,
        None => "/",
    }
}

fn new(request: &Request) -> Result<()> {
    let (mut pki, ca_key) = Pki::write(&request.directory)?;
    let (name, usage) = (request.name.as_str(), request.command);
    if pki.path.join(format!("{name}.pem")).exists() {
        fail!(
            "'{}' already contains a certificate of '{name}'; `rotate` or `renew` it, or choose another name",
            pki.shown
        );
    }
    let own = if is_dns(name) && name != "localhost" {
        format!("DNS:{name},")
    } else {
        String::new()
    };
    let local = format!("{own}DNS:localhost,IP:127.0.0.1,IP:10.0.2.15");
    let kind = pki.ca.kind.clone();
    let order = Order {
        usage,
        san: if usage == "client" { "" } else { &local },
        kind: kind.as_deref(),
        key: None,
    };
    issue::issue(&mut pki, &ca_key, request, &order)
}

fn rotate(request: &Request) -> Result<()> {
    let (mut pki, ca_key) = Pki::write(&request.directory)?;
    let old = pki.leaf(&request.name)?;
    pki.check_key_is_here(&request.name)?;
    let order = Order {
        usage: old.usage,
        san: &old.san,
        kind: old.kind.as_deref(),
        key: None,
    };
    issue::issue(&mut pki, &ca_key, request, &order)?;
    let (dir, serial) = (&pki.shown, &old.serial);
    match pki.database.revoked(serial) {
        Some(_) => say!("the previous one, serial {serial}, is in {dir}/old and is revoked"),
        None => say!(
            "the previous one, serial {serial}, is in {dir}/old; unless it has expired, it is valid until `pki/wizard revoke {} {serial}`",
            typed(dir)
        ),
    }
    Ok(())
}

fn renew(request: &Request) -> Result<()> {
    let (mut pki, ca_key) = Pki::write(&request.directory)?;
    let (name, dir) = (&request.name, pki.shown.clone());
    let old = pki.leaf(name)?;
    pki.check_key_is_here(name)?;
    let Ok(key) = fs::read(pki.path.join(format!("{name}.key"))).map(Zeroizing::new) else {
        fail!("{dir}/{name}.key, the key of the certificate, is missing; `rotate` creates a new one");
    };
    if pki.database.revoked(&old.serial).is_some() {
        fail!("the certificate of '{name}' is revoked; create a new key with `rotate`");
    }
    let order = Order {
        usage: old.usage,
        san: &old.san,
        kind: old.kind.as_deref(),
        key: Some(key),
    };
    issue::issue(&mut pki, &ca_key, request, &order)?;
    say!(
        "the previous one, serial {}, is in {dir}/old and has the same key",
        old.serial
    );
    Ok(())
}

fn revoke(request: &Request) -> Result<()> {
    let (mut pki, ca_key) = Pki::write(&request.directory)?;
    let (dir, reason) = (pki.shown.clone(), request.reason.as_str());
    let (serial, leaf) = if is_serial(&request.name) {
        let serial = request.name.to_uppercase();
        let Some(leaf) = pki.issued(&serial) else {
            fail!(
                "no certificate with serial number {serial} was issued in '{dir}'; `pki/wizard list {}` shows all",
                typed(&dir)
            );
        };
        (serial, leaf)
    } else {
        let leaf = pki.leaf(&request.name)?;
        (leaf.serial.clone(), leaf)
    };
    if let Some(reason) = pki.database.revoked(&serial) {
        fail!("serial {serial} of '{dir}' is already revoked (reason: {reason}); nothing was changed");
    }
    if pki.database.find(&serial).is_none() {
        fail!("serial {serial} is not in the database of '{dir}'; another CA issued it");
    }
    pki.database.revoke(&serial, Date(now()), reason);
    issue::revocation_list(&pki, &ca_key, request.days("--crl-days", 30))?;
    say!(
        "serial {serial} is revoked (reason: {reason}). The image refuses it once it has the new list: create a new `defconfig` and boot or reload with it"
    );
    // A compromised key may have other certificates.
    for row in pki
        .database
        .rows()
        .filter(|row| row.serial() != serial && row.revoked().is_none())
    {
        if pki
            .issued(row.serial())
            .is_some_and(|other| other.key_hash == leaf.key_hash)
        {
            say!("serial {} has the same key and is not revoked", row.serial());
        }
    }
    Ok(())
}

fn list(request: &Request) -> Result<()> {
    let pki = Pki::read(&request.directory)?;
    let mut out = row(
        "SERIAL",
        "NAME",
        ["KIND", "FROM", "UNTIL"],
        "STATUS",
        "SHA-256 OF THE KEY",
    );
    let line = |leaf: &Leaf, name: &str, kind: &str, status: &str| {
        let dates = [leaf.not_before.to_string(), leaf.not_after.to_string()];
        row(&leaf.serial, name, [kind, &dates[0], &dates[1]], status, &leaf.key_hash)
    };
    out += &line(
        &pki.ca,
        "(the CA)",
        "ca",
        if pki.ca.has_expired() { "expired" } else { "valid" },
    );
    for entry in pki.database.rows() {
        let (serial, name) = (entry.serial(), entry.name());
        let Some(leaf) = pki.issued(serial) else {
            out += &row(serial, name, ["-"; 3], "not issued", "-");
            continue;
        };
        let status = match entry.revoked() {
            Some(reason) => format!("revoked, {reason}"),
            None if leaf.has_expired() => "expired".to_owned(),
            None if pki.leaf(name).is_ok_and(|current| current.serial == serial) => "valid".to_owned(),
            None => "valid, replaced".to_owned(),
        };
        out += &line(&leaf, name, leaf.usage, &status);
    }
    out += &match pki.list()? {
        None => "no revocation list\n".to_owned(),
        Some(list) if list.has_expired() => {
            let List { number, next_update } = list;
            format!(
                "revocation list {number}, expired {next_update}; `pki/wizard crl {}` creates a new one\n",
                typed(&pki.shown)
            )
        }
        Some(list) => format!(
            "revocation list {}, next update due {}\n",
            list.number, list.next_update
        ),
    };
    print(&out)
}

fn row(serial: &str, name: &str, [kind, from, until]: [&str; 3], status: &str, hash: &str) -> String {
    format!("{serial:16}  {name:16}  {kind:6}  {from:10}  {until:10}  {status:28}  {hash}\n")
}
