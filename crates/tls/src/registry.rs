//! The IANA registries of TLS, as types: what is on the wire, known here or not.

use core::fmt;

/// A type for the numbers of one registry. Those before `also` are handled by the engine; of those behind it only the
/// names are known, for errors and for the narration.
macro_rules! registry {
    (
        $(#[$doc:meta])*
        $type:ident($repr:ident) {
            $($constant:ident = $number:literal $name:literal,)*
        }
        also {
            $($other:ident = $other_number:literal $other_name:literal,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(
            /// The IANA number.
            pub $repr,
        );

        impl $type {
            $(
                #[doc = concat!("`", $name, "`.")]
                pub const $constant: Self = Self($number);
            )*
            $(
                #[doc = concat!("`", $other_name, "`.")]
                pub const $other: Self = Self($other_number);
            )*

            /// The name that the RFC gives it.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($name),)*
                    $($other_number => Some($other_name),)*
                    _ => None,
                }
            }

            /// Whether the engine handles it; of others it knows the name at most.
            pub const fn is_handled(self) -> bool {
                let number = self.0;
                $(number == $number)||*
            }
        }

        impl core::fmt::Debug for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Display::fmt(self, f)
            }
        }
    };
}
pub(crate) use registry;

registry! {
    /// A content type of the record layer (RFC 8446 §B.1).
    ContentType(u8) {
        CHANGE_CIPHER_SPEC = 20 "change_cipher_spec",
        ALERT = 21 "alert",
        HANDSHAKE = 22 "handshake",
        APPLICATION_DATA = 23 "application_data",
    }
    also {
        HEARTBEAT = 24 "heartbeat",
    }
}

registry! {
    /// The type of a handshake message (RFC 8446 §B.3, RFC 5246 §7.4).
    HandshakeType(u8) {
        HELLO_REQUEST = 0 "hello_request",
        CLIENT_HELLO = 1 "client_hello",
        SERVER_HELLO = 2 "server_hello",
        NEW_SESSION_TICKET = 4 "new_session_ticket",
        ENCRYPTED_EXTENSIONS = 8 "encrypted_extensions",
        CERTIFICATE = 11 "certificate",
        SERVER_KEY_EXCHANGE = 12 "server_key_exchange",
        CERTIFICATE_REQUEST = 13 "certificate_request",
        SERVER_HELLO_DONE = 14 "server_hello_done",
        CERTIFICATE_VERIFY = 15 "certificate_verify",
        CLIENT_KEY_EXCHANGE = 16 "client_key_exchange",
        FINISHED = 20 "finished",
        CERTIFICATE_STATUS = 22 "certificate_status",
        KEY_UPDATE = 24 "key_update",
        MESSAGE_HASH = 254 "message_hash",
    }
    also {
        END_OF_EARLY_DATA = 5 "end_of_early_data",
        CERTIFICATE_URL = 21 "certificate_url",
        COMPRESSED_CERTIFICATE = 25 "compressed_certificate",
    }
}

registry! {
    /// The type of an extension (RFC 8446 §4.2).
    ExtensionType(u16) {
        SERVER_NAME = 0 "server_name",
        MAX_FRAGMENT_LENGTH = 1 "max_fragment_length",
        STATUS_REQUEST = 5 "status_request",
        SUPPORTED_GROUPS = 10 "supported_groups",
        EC_POINT_FORMATS = 11 "ec_point_formats",
        SIGNATURE_ALGORITHMS = 13 "signature_algorithms",
        ALPN = 16 "application_layer_protocol_negotiation",
        PADDING = 21 "padding",
        EXTENDED_MASTER_SECRET = 23 "extended_master_secret",
        RECORD_SIZE_LIMIT = 28 "record_size_limit",
        SESSION_TICKET = 35 "session_ticket",
        PRE_SHARED_KEY = 41 "pre_shared_key",
        EARLY_DATA = 42 "early_data",
        SUPPORTED_VERSIONS = 43 "supported_versions",
        COOKIE = 44 "cookie",
        PSK_KEY_EXCHANGE_MODES = 45 "psk_key_exchange_modes",
        CERTIFICATE_AUTHORITIES = 47 "certificate_authorities",
        SIGNATURE_ALGORITHMS_CERT = 50 "signature_algorithms_cert",
        KEY_SHARE = 51 "key_share",
        RENEGOTIATION_INFO = 0xff01 "renegotiation_info",
    }
    also {
        SIGNED_CERTIFICATE_TIMESTAMP = 18 "signed_certificate_timestamp",
        ENCRYPT_THEN_MAC = 22 "encrypt_then_mac",
        COMPRESS_CERTIFICATE = 27 "compress_certificate",
        DELEGATED_CREDENTIALS = 34 "delegated_credentials",
        POST_HANDSHAKE_AUTH = 49 "post_handshake_auth",
        QUIC_TRANSPORT_PARAMETERS = 57 "quic_transport_parameters",
        NEXT_PROTOCOL_NEGOTIATION = 13172 "next_protocol_negotiation",
        APPLICATION_SETTINGS_OLD = 17513 "application_settings",
        APPLICATION_SETTINGS = 17613 "application_settings",
        ENCRYPTED_CLIENT_HELLO = 0xfe0d "encrypted_client_hello",
    }
}

registry! {
    /// A version of the protocol (RFC 8446 §4.2.1).
    ProtocolVersion(u16) {
        TLS12 = 0x0303 "TLS 1.2",
        TLS13 = 0x0304 "TLS 1.3",
    }
    also {
        SSL3 = 0x0300 "SSL 3.0",
        TLS10 = 0x0301 "TLS 1.0",
        TLS11 = 0x0302 "TLS 1.1",
    }
}

impl ProtocolVersion {
    /// The name that OpenSSL gives to a version that the engine handles; empty for others.
    pub const fn openssl_name(self) -> &'static str {
        match self {
            Self::TLS12 => "TLSv1.2",
            Self::TLS13 => "TLSv1.3",
            _ => "",
        }
    }

    /// Whether it is TLS 1.3.
    pub const fn is_tls13(self) -> bool {
        self.0 == Self::TLS13.0
    }
}

/// Whether a 16-bit number is one of those reserved by GREASE (RFC 8701).
pub const fn is_grease(number: u16) -> bool {
    let [high, low] = number.to_be_bytes();
    high == low && high & 0x0f == 0x0a
}

/// As `signature_algorithms (13)`; what has no name as its number alone.
macro_rules! display_with_number {
    ($($type:ident)*) => {
        $(
            impl fmt::Display for $type {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    match self.name() {
                        Some(name) => write!(f, "{name} ({})", self.0),
                        None => self.0.fmt(f),
                    }
                }
            }
        )*
    };
}

display_with_number! { ContentType HandshakeType ExtensionType }

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "version {:#06x}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_name_shows_it_with_its_number() {
        assert_eq!(
            ExtensionType::SIGNATURE_ALGORITHMS.to_string(),
            "signature_algorithms (13)"
        );
        assert_eq!(HandshakeType(20).to_string(), "finished (20)");
        assert_eq!(ContentType(99).to_string(), "99");
        assert_eq!(ProtocolVersion::TLS13.to_string(), "TLS 1.3");
        assert_eq!(ProtocolVersion(0x0305).to_string(), "version 0x0305");
    }

    #[test]
    fn what_is_only_named_is_not_handled() {
        assert!(ContentType::ALERT.is_handled());
        assert!(!ContentType::HEARTBEAT.is_handled());
        assert!(!ExtensionType::ENCRYPT_THEN_MAC.is_handled());
        assert!(!ProtocolVersion::TLS11.is_handled());
    }

    #[test]
    fn the_sixteen_numbers_of_grease_are_known() {
        let grease = (0..=u16::MAX).filter(|&number| is_grease(number));
        assert!(grease.eq((0..16).map(|index| 0x0a0a + 0x1010 * index)));
    }
}
