//! The cases, as x509-limbo and BetterTLS publish them.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use base64ct::{Base64, Encoding as _};
use postern_tls::pki::cert::Certificate;
use postern_tls::pki::verify::ServerName;
use serde::Deserialize;

/// A chain, what it is to be verified for, and the verdict that the suite expects.
pub struct Case {
    pub id: String,
    pub peer: Peer,
    /// The time of the verification, in seconds since 1970-01-01 00:00:00 UTC.
    pub now: u64,
    /// The peer's certificate, then the others that it sends, in DER.
    pub chain: Vec<Vec<u8>>,
    pub anchors: Vec<Vec<u8>>,
    pub crls: Vec<Vec<u8>>,
    /// What the case needs that the engine does not have.
    pub missing: Option<&'static str>,
    /// Whether the chain is to be accepted.
    pub accept: bool,
}

/// What the peer is to be.
pub enum Peer {
    Server(Option<Name>),
    /// The names that a case gives for a client are those of mailboxes. The engine compares none: clients are allowed by
    /// subject or key.
    Client,
}

pub enum Name {
    Dns(String),
    Ip(IpAddr),
}

impl Name {
    pub fn as_server_name(&self) -> ServerName<'_> {
        match self {
            Self::Dns(name) => ServerName::Dns(name),
            Self::Ip(ip) => ServerName::Ip(*ip),
        }
    }
}

/// Reads limbo.json, or what `bettertls export-tests` writes.
pub fn read(json: &str) -> Result<Vec<Case>, Box<dyn Error>> {
    match serde_json::from_str(json)? {
        File::Limbo { testcases } => testcases.into_iter().map(Case::of_limbo).collect(),
        File::BetterTls { trust_root, suites } => {
            let root = Base64::decode_vec(&trust_root)?;
            let cases = suites.into_values().flat_map(|suite| suite.test_cases);
            cases.map(|case| Case::of_better_tls(case, &root)).collect()
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum File {
    Limbo {
        testcases: Vec<LimboCase>,
    },
    BetterTls {
        #[serde(rename = "trustRoot")]
        trust_root: String,
        suites: BTreeMap<String, Suite>,
    },
}

/// A Testcase of limbo-schema.json.
#[derive(Deserialize)]
struct LimboCase {
    id: String,
    features: Vec<String>,
    validation_kind: Kind,
    trusted_certs: Vec<String>,
    untrusted_intermediates: Vec<String>,
    peer_certificate: String,
    validation_time: Option<String>,
    expected_result: Expected,
    expected_peer_name: Option<LimboName>,
    crls: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Kind {
    Server,
    Client,
}

#[derive(Deserialize, PartialEq)]
enum Expected {
    #[serde(rename = "SUCCESS", alias = "ACCEPT")]
    Accept,
    #[serde(rename = "FAILURE", alias = "REJECT")]
    Refuse,
}

#[derive(Deserialize)]
struct LimboName {
    kind: NameKind,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum NameKind {
    Dns,
    Ip,
    Rfc822,
}

#[derive(Deserialize)]
struct Suite {
    #[serde(rename = "testCases")]
    test_cases: Vec<BetterTlsCase>,
}

/// A testCaseExport of BetterTLS.
#[derive(Deserialize)]
struct BetterTlsCase {
    id: u32,
    suite: String,
    certificates: Vec<String>,
    hostname: String,
    expected: Expected,
}

impl Case {
    fn of_limbo(case: LimboCase) -> Result<Self, Box<dyn Error>> {
        let mut missing = None;
        if case.features.iter().any(|feature| feature == "max-chain-depth") {
            missing = Some("a maximum length of the path that can be configured");
        }
        let name = match case.expected_peer_name {
            None => None,
            Some(LimboName { kind, value }) => match kind {
                NameKind::Dns => Some(Name::Dns(value)),
                NameKind::Ip => Some(Name::Ip(value.parse()?)),
                NameKind::Rfc822 => {
                    missing = Some("servers with the name of a mailbox");
                    None
                }
            },
        };
        let peer = match case.validation_kind {
            Kind::Server => Peer::Server(name),
            Kind::Client => Peer::Client,
        };
        let mut chain = vec![pem(&case.peer_certificate)?];
        chain.extend(pems(&case.untrusted_intermediates)?);
        let anchors = pems(&case.trusted_certs)?;
        // For most cases of BetterTLS, limbo takes a time at which what has expired was valid.
        let now = match (case.validation_time, &anchors[..]) {
            (Some(_), [root]) if case.id.starts_with("bettertls::") => exported(root)?,
            (Some(time), _) => seconds(&time)?,
            (None, _) => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
        };
        Ok(Self {
            id: case.id,
            peer,
            now,
            chain,
            anchors,
            crls: pems(&case.crls)?,
            missing,
            accept: case.expected_result == Expected::Accept,
        })
    }

    fn of_better_tls(case: BetterTlsCase, root: &[u8]) -> Result<Self, Box<dyn Error>> {
        let name = match case.hostname.parse() {
            Ok(ip) => Name::Ip(ip),
            Err(_) => Name::Dns(case.hostname),
        };
        let chain = case.certificates.iter().map(|der| Base64::decode_vec(der));
        Ok(Self {
            id: format!("bettertls::{}::tc{}", case.suite, case.id),
            peer: Peer::Server(Some(name)),
            now: exported(root)?,
            chain: chain.collect::<Result<_, _>>()?,
            anchors: vec![root.to_vec()],
            crls: Vec::new(),
            missing: None,
            accept: case.expected == Expected::Accept,
        })
    }
}

fn pems(texts: &[String]) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    texts.iter().map(|text| pem(text)).collect()
}

fn pem(text: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    Ok(pem_rfc7468::decode_vec(text.as_bytes())?.1)
}

/// When BetterTLS has begun to make the certificates below this root: it dates all of them a day back, and those that have
/// expired end an hour before.
fn exported(root: &[u8]) -> Result<u64, Box<dyn Error>> {
    let root = Certificate::from_der(root).map_err(|error| error.to_string())?;
    Ok(root.not_before.0 + 24 * 60 * 60)
}

/// A time such as `2024-01-01T00:00:00.999+00:00`, down to the second: certificates have no more (RFC 5280 §4.1.2.5).
fn seconds(time: &str) -> Result<u64, Box<dyn Error>> {
    let utc = time.strip_suffix("+00:00").ok_or("a time is not in UTC")?;
    let whole = utc.split('.').next().unwrap_or(utc);
    let time: der::DateTime = format!("{whole}Z")
        .parse()
        .map_err(|error: der::Error| error.to_string())?;
    Ok(time.unix_duration().as_secs())
}
