//! The flags of the runner, and what each of them sets.

use postern_tls::crypto::kx::Group;
use postern_tls::crypto::sign::SignatureScheme;
use postern_tls::crypto::suite::CipherSuite;

use crate::exchange::Failure;
use crate::settings::{Credential, Settings};

/// What a flag does.
#[derive(Clone, Copy)]
enum Effect {
    /// It has no value.
    Switch(fn(&mut Settings)),
    /// It has one. `None` means that the engine has nothing like it.
    Value(fn(&mut Settings, &str) -> Option<()>),
}

use Effect::{Switch, Value};

/// Every flag that is understood.
#[rustfmt::skip] // one line for each
const FLAGS: &[(&str, Effect)] = &[
    // The process.
    ("-port", Value(|s, v| set(&mut s.port, v))),
    ("-shim-id", Value(|s, v| set(&mut s.shim_id, v))),
    ("-ipv6", Switch(|s| s.ipv6 = true)),
    ("-resume-count", Value(|s, v| set(&mut s.resume_count, v))),
    ("-resumption-delay", Value(|s, v| set(&mut s.resumption_delay, v))),
    // The configuration.
    ("-server", Switch(|s| s.server = true)),
    ("-min-version", Value(|s, v| set(&mut s.min_version, v))),
    ("-max-version", Value(|s, v| set(&mut s.max_version, v))),
    ("-no-tls1", Switch(|_| {})),
    ("-no-tls11", Switch(|_| {})),
    ("-no-tls12", Switch(|s| s.no_tls12 = true)),
    ("-no-tls13", Switch(|s| s.no_tls13 = true)),
    ("-cipher", Value(|s, v| push(&mut s.suites, suite(v)))),
    ("-curves", Value(|s, v| push(&mut s.groups, Group::from_id(v.parse().ok()?)))),
    ("-verify-prefs", Value(|s, v| push(&mut s.schemes, SignatureScheme::from_id(v.parse().ok()?)))),
    ("-signing-prefs", Value(|s, v| push(&mut s.own_schemes, v.parse().ok()))),
    ("-advertise-alpn", Value(|s, v| protocols(&mut s.protocols, v.as_bytes()))),
    ("-select-alpn", Value(|s, v| push(&mut s.protocols, Some(v.into())))),
    ("-decline-alpn", Switch(|s| s.protocols.clear())),
    ("-reject-alpn", Switch(|s| s.protocols = vec![b"none of the client's".to_vec()])),
    ("-no-ticket", Switch(|s| s.no_ticket = true)),
    ("-host-name", Value(|s, v| some(&mut s.host_name, v))),
    // Certificates.
    ("-cert-file", Value(|s, v| set(&mut credential(s).chain, v))),
    ("-key-file", Value(|s, v| set(&mut credential(s).key, v))),
    ("-new-x509-credential", Switch(|s| s.credentials.push(Credential::default()))),
    ("-trust-cert", Value(|s, v| some(&mut s.trust, v))),
    ("-verify-peer", Switch(|s| (s.verify_peer, s.request_certificate) = (true, true))),
    ("-require-any-client-certificate", Switch(|s| s.require_certificate = true)),
    ("-verify-fail", Switch(|s| s.verify_fail = true)),
    // What the shim does.
    ("-async", Switch(|s| s.dribble = true)),
    ("-read-size", Value(|s, v| set(&mut s.read_size, v))),
    ("-shim-writes-first", Switch(|s| s.writes_first = true)),
    ("-shim-initial-write", Value(|s, v| some(&mut s.first_write, v))),
    ("-repeat-shim-initial-write", Value(|s, v| set(&mut s.first_writes, v))),
    ("-read-with-unfinished-write", Switch(|s| s.reads_before_write_is_sent = true)),
    ("-shim-shuts-down", Switch(|s| s.shuts_down = true)),
    ("-check-close-notify", Switch(|s| s.awaits_close_notify = true)),
    ("-write-different-record-sizes", Switch(|s| s.write_many_sizes = true)),
    ("-export-traffic-secrets", Switch(|s| s.export_traffic_secrets = true)),
    // What has to come of it.
    ("-expect-version", Value(|s, v| number(&mut s.expect.version, v))),
    ("-expect-cipher", Value(|s, v| number(&mut s.expect.suite, v))),
    ("-expect-cipher-aes", Value(|s, v| number(&mut s.expect.suite, v))),
    ("-expect-curve-id", Value(|s, v| number(&mut s.expect.group, v))),
    ("-expect-peer-signature-algorithm", Value(|s, v| number(&mut s.expect.scheme, v))),
    ("-expect-alpn", Value(|s, v| some(&mut s.expect.protocol, v))),
    ("-expect-advertised-alpn", Value(|s, v| some(&mut s.expect.offered_protocols, v))),
    ("-expect-server-name", Value(|s, v| some(&mut s.expect.server_name, v))),
    ("-expect-no-server-name", Switch(|s| s.expect.no_server_name = true)),
    ("-expect-peer-cert-file", Value(|s, v| some(&mut s.expect.peer_certificate, v))),
    ("-expect-no-peer-cert", Switch(|s| s.expect.no_peer_certificate = true)),
    ("-expect-selected-credential", Value(|s, v| number(&mut s.expect.credential, v))),
    ("-expect-hrr", Switch(|s| s.expect.retry = Some(true))),
    ("-expect-no-hrr", Switch(|s| s.expect.retry = Some(false))),
    ("-expect-session-miss", Switch(|s| s.expect.session_miss = true)),
    ("-expect-ticket-renewal", Switch(|s| s.expect.ticket_renewal = true)),
    ("-expect-no-session", Switch(|s| s.expect.no_session = true)),
    ("-expect-extended-master-secret", Switch(|s| s.extended_master_secret = true)),
    ("-expect-msg-callback", Value(|s, v| some(&mut s.expect.messages, v))),
    ("-handshake-never-done", Switch(|s| s.expect.never_done = true)),
    // What the engine does in any case.
    ("-reverify-on-resume", Switch(|_| {})),
    ("-server-preference", Switch(|_| {})),
    ("-expect-secure-renegotiation", Switch(|_| {})),
    ("-expect-verify-result", Switch(|_| {})),
    ("-enable-ocsp-stapling", Switch(|_| {})),
    ("-expect-no-session-id", Switch(|_| {})),
    ("-expect-no-offer-early-data", Switch(|_| {})),
    ("-expect-early-data-reason", Value(|_, v| (v == "disabled").then_some(()))),
    // Ways of BoringSSL's interface to the same end.
    ("-implicit-handshake", Switch(|_| {})),
    ("-no-op-extra-handshake", Switch(|_| {})),
    ("-handshake-twice", Switch(|_| {})),
    ("-partial-write", Switch(|_| {})),
    ("-use-custom-verify-callback", Switch(|_| {})),
    ("-use-early-callback", Switch(|_| {})),
    ("-use-old-client-cert-callback", Switch(|_| {})),
    ("-use-ticket-callback", Switch(|_| {})),
    ("-use-ticket-aead-callback", Switch(|_| {})),
    ("-install-ddos-callback", Switch(|_| {})),
    // Of a CPU without instructions for AES.
    ("-expect-cipher-no-aes", Value(|_, _| Some(()))),
];

/// The flags for features that the engine does not have. Those of disabled tests are left out.
const MISSING: &[(&str, &str)] = &[
    ("-advertise-npn", "NPN"),
    (
        "-allow-unknown-alpn-protos",
        "application protocols that were not offered",
    ),
    ("-application-settings", "application settings (ALPS)"),
    ("-dtls", "DTLS"),
    (
        "-enable-signed-cert-timestamps",
        "signed certificate timestamps (RFC 6962)",
    ),
    ("-expect-accept-early-data", "early data (RFC 8446 §2.3)"),
    ("-expect-certificate-types", "what a CertificateRequest contains"),
    ("-expect-client-ca-list", "what a CertificateRequest contains"),
    ("-expect-not-resumable-across-names", "sessions for several names"),
    ("-expect-ocsp-response", "OCSP responses for the caller"),
    ("-expect-peer-verify-pref", "the schemes that the peer lists"),
    ("-expect-reject-early-data", "early data (RFC 8446 §2.3)"),
    ("-expect-resumable-across-names", "sessions for several names"),
    ("-expect-ticket-age-skew", "the age of tickets for the caller"),
    ("-export-keying-material", "exporters (RFC 5705, RFC 8446 §7.5)"),
    ("-fail-early-callback", "callbacks"),
    ("-fallback-scsv", "a client's fallback to older versions (RFC 7507)"),
    ("-key-shares", "a choice of key shares"),
    ("-key-update", "a KeyUpdate that the caller asks for"),
    ("-max-cert-list", "a limit for chains as an option"),
    ("-no-key-shares", "a choice of key shares"),
    (
        "-no-legacy-server-connect",
        "a demand for renegotiation_info (RFC 5746)",
    ),
    ("-no-server-name-ack", "a choice whether server_name is acknowledged"),
    ("-ocsp-response", "a server's OCSP responses"),
    ("-permute-extensions", "a random order of extensions"),
    ("-psk", "suites with a pre-shared key of TLS 1.2"),
    ("-renegotiate-freely", "renegotiation"),
    ("-renegotiate-ignore", "renegotiation"),
    ("-resumption-across-names-enabled", "sessions for several names"),
    ("-select-empty-alpn", "an empty application protocol"),
    ("-ticket-key", "ticket keys of the caller's"),
    (
        "-use-client-ca-list",
        "authorities of a server's own choice in CertificateRequest",
    ),
];

/// The settings of the first connection and of those that resume.
///
/// # Errors
/// [`Failure::Unimplemented`], or for a flag that is new here [`Failure::Unmet`].
pub fn parse(arguments: &[String]) -> Result<[Settings; 2], Failure> {
    let settings = Settings {
        read_size: 512,
        first_writes: 1,
        ..Settings::default()
    };
    let [mut initial, mut resumed] = [settings.clone(), settings];
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let name = argument.strip_prefix("-on-shim").unwrap_or(argument);
        let (name, of_initial, of_resumed) = match (name.strip_prefix("-on-initial"), name.strip_prefix("-on-resume")) {
            (Some(name), _) => (name, true, false),
            (_, Some(name)) => (name, false, true),
            _ => (name, true, true),
        };
        if let Some((_, feature)) = MISSING.iter().find(|(flag, _)| *flag == name) {
            return Err(Failure::Unimplemented(feature));
        }
        let unknown = || Failure::Unmet(format!("unknown flag {argument}"));
        let (_, effect) = FLAGS.iter().find(|(flag, _)| *flag == name).ok_or_else(unknown)?;
        let value = match effect {
            Switch(_) => None,
            Value(_) => Some(arguments.next().ok_or_else(unknown)?),
        };
        for (settings, wanted) in [(&mut initial, of_initial), (&mut resumed, of_resumed)] {
            match (effect, value) {
                _ if !wanted => {}
                (Switch(effect), _) => effect(settings),
                (Value(effect), Some(value)) => effect(settings, value).ok_or(Failure::Unimplemented("this value"))?,
                (Value(_), None) => {}
            }
        }
    }
    for settings in [&initial, &resumed] {
        missing(settings).map_or(Ok(()), |feature| Err(Failure::Unimplemented(feature)))?;
    }
    Ok([initial, resumed])
}

/// What a combination of flags asks for that the engine does not have.
fn missing(settings: &Settings) -> Option<&'static str> {
    if settings.versions().is_none() {
        return Some("a version before TLS 1.2");
    }
    let default = usize::from(!settings.default_credential.chain.is_empty());
    if !settings.server && settings.credentials.len() + default > 1 {
        return Some("a client with more than one certificate");
    }
    if !settings.server && settings.verify_fail && !settings.verify_peer {
        return Some("a client that does not verify the server");
    }
    None
}

fn set<T: std::str::FromStr>(to: &mut T, value: &str) -> Option<()> {
    *to = value.parse().ok()?;
    Some(())
}

fn number<T: std::str::FromStr>(to: &mut Option<T>, value: &str) -> Option<()> {
    *to = Some(value.parse().ok()?);
    Some(())
}

fn some(to: &mut Option<String>, value: &str) -> Option<()> {
    *to = Some(value.to_owned());
    Some(())
}

fn push<T>(to: &mut Vec<T>, value: Option<T>) -> Option<()> {
    to.push(value?);
    Some(())
}

/// The credential that further flags are about.
fn credential(settings: &mut Settings) -> &mut Credential {
    settings
        .credentials
        .last_mut()
        .unwrap_or(&mut settings.default_credential)
}

/// A suite by its IANA number in decimal. The language of OpenSSL's lists is not spoken.
fn suite(text: &str) -> Option<CipherSuite> {
    let by_name = CipherSuite::ALL.into_iter().find(|suite| suite.name() == text);
    by_name.or_else(|| CipherSuite::from_id(text.parse().ok()?))
}

/// A list of protocols as it stands in the extension (RFC 7301 §3.1).
fn protocols(to: &mut Vec<Vec<u8>>, mut list: &[u8]) -> Option<()> {
    while let Some((&length, rest)) = list.split_first() {
        let (protocol, rest) = rest.split_at_checked(length.into())?;
        to.push(protocol.to_vec());
        list = rest;
    }
    Some(())
}
