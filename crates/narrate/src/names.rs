//! Names of the numbers that peers offer, also of unsupported ones.

use postern_tls::registry::is_grease;
use postern_tls::{ExtensionType, NamedGroup, NamedScheme, NamedSuite, ProtocolVersion};

/// The name of a version.
pub(crate) fn version(number: u16) -> Option<&'static str> {
    ProtocolVersion(number).name().or_else(|| grease(number))
}

/// The values of GREASE (RFC 8701), which a client offers so that servers keep ignoring unknown ones.
fn grease(number: u16) -> Option<&'static str> {
    is_grease(number).then_some("GREASE: no meaning, ignored (RFC 8701)")
}

/// The name of a cipher suite.
pub(crate) fn suite(number: u16) -> Option<&'static str> {
    NamedSuite(number).name().or_else(|| grease(number))
}

/// The name of a group of the key exchange.
pub(crate) fn group(number: u16) -> Option<&'static str> {
    NamedGroup(number).name().or_else(|| grease(number))
}

/// The name of a signature scheme.
pub(crate) fn scheme(number: u16) -> Option<&'static str> {
    NamedScheme(number).name().or_else(|| grease(number))
}

/// The name and the purpose of an extension.
pub(crate) fn extension(kind: ExtensionType) -> (&'static str, &'static str) {
    let name = kind.name();
    let note = match kind {
        ExtensionType::SERVER_NAME => {
            "The name of the server that the client wants to reach (SNI), so that one address can serve many names, \
             each with a certificate of its own. It is sent in the clear (RFC 6066 §3)."
        }
        ExtensionType::MAX_FRAGMENT_LENGTH => "The client wants records no larger than this (RFC 6066 §4).",
        ExtensionType::STATUS_REQUEST => {
            "Proof that the certificate has not been revoked: the client asks for it, stapled to the certificate \
             (RFC 6066 §8)."
        }
        ExtensionType::SUPPORTED_GROUPS => {
            "The groups of the key exchange that the sender supports, most preferred first (RFC 8446 §4.2.7)."
        }
        ExtensionType::EC_POINT_FORMATS => {
            "How points of elliptic curves are encoded; only the uncompressed form is left (RFC 8422 §5.1.2)."
        }
        ExtensionType::SIGNATURE_ALGORITHMS => {
            "The signatures that the sender can verify, most preferred first: of the handshake, and of certificates \
             unless signature_algorithms_cert is there (RFC 8446 §4.2.3)."
        }
        ExtensionType::ALPN => {
            "The application protocol (ALPN): the client offers some, the server chooses one (RFC 7301)."
        }
        ExtensionType::SIGNED_CERTIFICATE_TIMESTAMP => {
            "The client asks for proof that the certificate is in a public log (RFC 6962)."
        }
        ExtensionType::PADDING => "Zeros that only make the hello longer (RFC 7685).",
        ExtensionType::ENCRYPT_THEN_MAC => "For the CBC suites of TLS 1.2; AEADs do not need it (RFC 7366).",
        ExtensionType::EXTENDED_MASTER_SECRET => {
            "The master secret is to depend on the whole handshake, so that two connections cannot be made to share one \
             (RFC 7627)."
        }
        ExtensionType::COMPRESS_CERTIFICATE => "The client accepts compressed certificates (RFC 8879).",
        ExtensionType::RECORD_SIZE_LIMIT => "The largest record that the sender accepts (RFC 8449).",
        ExtensionType::DELEGATED_CREDENTIALS => {
            "The client accepts a short-lived key signed by the certificate's key (RFC 9345)."
        }
        ExtensionType::SESSION_TICKET => {
            "TLS 1.2: a ticket to resume by, or empty: the client supports tickets (RFC 5077)."
        }
        ExtensionType::PRE_SHARED_KEY => {
            "Keys that both sides have already, mostly from a ticket of an earlier connection; each with a binder that \
             proves its possession. Always the last extension (RFC 8446 §4.2.11)."
        }
        ExtensionType::EARLY_DATA => {
            "The client sends data with its hello, under the key of the ticket (RFC 8446 §4.2.10)."
        }
        ExtensionType::SUPPORTED_VERSIONS => {
            "TLS 1.3 is negotiated here, and the older fields always contain TLS 1.2, because deployed servers fail on \
             anything higher there (RFC 8446 §4.2.1)."
        }
        ExtensionType::COOKIE => "State of the server, which the client sends back (RFC 8446 §4.2.2).",
        ExtensionType::PSK_KEY_EXCHANGE_MODES => {
            "How the client would use a pre-shared key: with a fresh key exchange (psk_dhe_ke) or without \
             (RFC 8446 §4.2.9)."
        }
        ExtensionType::CERTIFICATE_AUTHORITIES => {
            "The CAs that the sender trusts, to help choose a certificate (RFC 8446 §4.2.4)."
        }
        ExtensionType::POST_HANDSHAKE_AUTH => {
            "The client can be asked for its certificate after the handshake, too (RFC 8446 §4.2.6)."
        }
        ExtensionType::SIGNATURE_ALGORITHMS_CERT => {
            "The signatures that the sender can verify in certificates (RFC 8446 §4.2.3)."
        }
        ExtensionType::KEY_SHARE => {
            "Public keys for the key exchange. The client guesses which groups the server will choose and sends keys for \
             them at once, which saves a round trip (RFC 8446 §4.2.8)."
        }
        ExtensionType::QUIC_TRANSPORT_PARAMETERS => "For QUIC (RFC 9001 §8.2).",
        ExtensionType::APPLICATION_SETTINGS_OLD | ExtensionType::APPLICATION_SETTINGS => {
            "First settings of the application protocol, sent by Chromium (draft-vvv-tls-alps)."
        }
        ExtensionType::NEXT_PROTOCOL_NEGOTIATION => "The predecessor of ALPN.",
        ExtensionType::ENCRYPTED_CLIENT_HELLO => {
            "The true hello, encrypted for the client-facing server; or random bytes that look like it, so that true \
             ones do not stand out (RFC 9849)."
        }
        ExtensionType::RENEGOTIATION_INFO => {
            "TLS 1.2: binds a renegotiation to the handshake before it; empty in a first handshake (RFC 5746)."
        }
        _ if is_grease(kind.0) => {
            return (
                "GREASE",
                "No meaning. Clients offer such numbers so that servers keep ignoring unknown ones (RFC 8701).",
            );
        }
        _ => "Ignored by peers that do not know it.",
    };
    (name.unwrap_or("unknown extension"), note)
}
