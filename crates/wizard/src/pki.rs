//! The directory of a PKI: files, database, lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::arguments::typed;
use crate::certificate::{Leaf, List};
use crate::database::Database;
use crate::files::{self, Stage};
use crate::key::{NO_KEY, PrivateKey};
use crate::{Result, Stop, fail};

/// How long to wait for another command, in tenths of a second.
const LOCK_TIMEOUT: u32 = 600;

pub(crate) struct Pki {
    /// Its name in messages.
    pub(crate) shown: String,
    pub(crate) path: PathBuf,
    pub(crate) ca: Leaf,
    pub(crate) database: Database,
    _lock: Option<File>,
}

impl Pki {
    /// Opens it for reading.
    pub(crate) fn read(shown: &str) -> Result<Self> {
        Self::open(shown, false)
    }

    /// Opens it exclusively for issuing, with a valid CA. Returns the CA's key as well.
    pub(crate) fn write(shown: &str) -> Result<(Self, PrivateKey)> {
        let pki = Self::open(shown, true)?;
        let Ok(text) = fs::read(pki.path.join("ca.key")).map(zeroize::Zeroizing::new) else {
            fail!("{shown}/ca.key does not exist or is not readable; issuing needs the CA's private key");
        };
        let Some(key) = PrivateKey::from_pem(&text) else {
            fail!("{shown}/ca.key is {NO_KEY}");
        };
        if pki.ca.has_expired() {
            let day = pki.ca.not_after;
            fail!(
                "the CA in '{shown}' expired on {day}; create a new one (`init` in another directory) and configure its ca.pem as trusted"
            );
        }
        Ok((pki, key))
    }

    fn open(shown: &str, alone: bool) -> Result<Self> {
        let path = PathBuf::from(shown);
        if !path.exists() {
            fail!(
                "directory '{shown}' does not exist; `pki/wizard init {}` creates it",
                typed(shown)
            );
        }
        if !path.is_dir() {
            fail!("'{shown}' is not a directory");
        }
        if fs::read_dir(&path).is_err() {
            fail!("cannot read directory '{shown}'; check its owner and permissions");
        }
        if !path.join("ca.pem").is_file() || !path.join("ca/index.txt").is_file() {
            fail!("'{shown}' is not a PKI: it has no ca.pem or no ca/index.txt; `init` creates one");
        }
        let mut alone = alone;
        let lock = loop {
            let lock = lock(&path, shown, alone)?;
            match files::is_unfinished(&path) {
                true if alone => files::finish(&path, shown)?,
                true => alone = true,
                false => break lock,
            }
        };
        if alone {
            files::remove_abandoned(&path, true);
        }
        let ca = Leaf::read(&path.join("ca.pem"), &format!("{shown}/ca.pem"))?;
        let index = format!("{shown}/ca/index.txt");
        let Ok(text) = fs::read_to_string(path.join("ca/index.txt")) else {
            fail!("cannot read '{index}'; check its permissions");
        };
        Ok(Self {
            database: Database::parse(&text, &index)?,
            shown: shown.to_owned(),
            path,
            ca,
            _lock: lock,
        })
    }

    /// A stage for changes to it.
    pub(crate) fn stage(&self) -> Result<Stage> {
        Stage::new(&self.path, &self.shown)
    }

    /// The current certificate with this name.
    pub(crate) fn leaf(&self, name: &str) -> Result<Leaf> {
        let (shown, file) = (&self.shown, format!("{name}.pem"));
        if !self.path.join(&file).is_file() {
            fail!(
                "'{shown}' contains no certificate of '{name}'; `pki/wizard list {}` shows all",
                typed(shown)
            );
        }
        Leaf::read(&self.path.join(&file), &format!("{shown}/{file}"))
    }

    /// Fails if the certificate with this name was signed for a request.
    pub(crate) fn check_key_is_here(&self, name: &str) -> Result<()> {
        let (shown, dir) = (&self.shown, typed(&self.shown));
        if self.path.join(format!("{name}.csr")).exists() && !self.path.join(format!("{name}.key")).exists() {
            fail!(
                "the certificate of '{name}' was signed for the request {shown}/{name}.csr, and its private key is not here: it is where the request was made; `pki/wizard sign {dir} {name} FILE` signs another request"
            );
        }
        Ok(())
    }

    /// The certificate issued with this serial number.
    pub(crate) fn issued(&self, serial: &str) -> Option<Leaf> {
        let file = format!("ca/issued/{serial}.pem");
        Leaf::read(&self.path.join(&file), &file).ok()
    }

    /// The revocation list, if there is one.
    pub(crate) fn list(&self) -> Result<Option<List>> {
        let path = self.path.join("crl.pem");
        path.is_file()
            .then(|| List::read(&path, &format!("{}/crl.pem", self.shown)))
            .transpose()
    }
}

/// Locks the PKI, exclusively or shared with other readers. `None` if the lock cannot be read.
fn lock(path: &Path, shown: &str, alone: bool) -> Result<Option<File>> {
    let path = path.join("ca/lock");
    let file = match alone {
        true => OpenOptions::new().append(true).create(true).mode(0o600).open(path),
        false => File::open(path),
    };
    let file = match file {
        Ok(file) => file,
        Err(_) if !alone => return Ok(None),
        Err(error) => {
            fail!("cannot write to '{shown}': {error}; nothing was changed; check its permissions and the free space")
        }
    };
    for _ in 0..LOCK_TIMEOUT {
        match if alone { file.try_lock() } else { file.try_lock_shared() } {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(100)),
            Err(TryLockError::Error(error)) if error.kind() != io::ErrorKind::Unsupported => {
                fail!("cannot lock '{shown}/ca/lock': {error}");
            }
            _ => return Ok(Some(file)),
        }
    }
    Err(Stop::Failed(format!(
        "another pki/wizard is using '{shown}'; try again when it has finished"
    )))
}
