//! The IANA registries of TLS as types, for known and unknown numbers.

use core::fmt;

/// Defines the type of one registry. The engine handles the numbers before `also`; those after it only have names, for
/// errors and narration.
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

            /// Its name in the registry, if known.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($name),)*
                    $($other_number => Some($other_name),)*
                    _ => None,
                }
            }

            /// Whether the engine handles it.
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

registry! {
    /// A group of the key exchange (RFC 8446 §4.2.7).
    NamedGroup(u16) {
        SECP256R1 = 23 "secp256r1",
        SECP384R1 = 24 "secp384r1",
        X25519 = 29 "x25519",
        X25519_MLKEM768 = 0x11ec "X25519MLKEM768",
    }
    also {
        SECP224R1 = 21 "secp224r1",
        SECP256K1 = 22 "secp256k1",
        SECP521R1 = 25 "secp521r1",
        BRAINPOOL_P256R1 = 26 "brainpoolP256r1",
        BRAINPOOL_P384R1 = 27 "brainpoolP384r1",
        BRAINPOOL_P512R1 = 28 "brainpoolP512r1",
        X448 = 30 "x448",
        BRAINPOOL_P256R1_TLS13 = 31 "brainpoolP256r1tls13",
        BRAINPOOL_P384R1_TLS13 = 32 "brainpoolP384r1tls13",
        BRAINPOOL_P512R1_TLS13 = 33 "brainpoolP512r1tls13",
        FFDHE2048 = 256 "ffdhe2048",
        FFDHE3072 = 257 "ffdhe3072",
        FFDHE4096 = 258 "ffdhe4096",
        FFDHE6144 = 259 "ffdhe6144",
        FFDHE8192 = 260 "ffdhe8192",
        MLKEM512 = 512 "MLKEM512",
        MLKEM768 = 513 "MLKEM768",
        MLKEM1024 = 514 "MLKEM1024",
        SECP256R1_MLKEM768 = 0x11eb "SecP256r1MLKEM768",
        SECP384R1_MLKEM1024 = 0x11ed "SecP384r1MLKEM1024",
        X25519_KYBER768_DRAFT00 = 0x6399 "X25519Kyber768Draft00",
    }
}

registry! {
    /// A signature scheme (RFC 8446 §4.2.3).
    NamedScheme(u16) {
        RSA_PKCS1_SHA256 = 0x0401 "rsa_pkcs1_sha256",
        ECDSA_SECP256R1_SHA256 = 0x0403 "ecdsa_secp256r1_sha256",
        RSA_PKCS1_SHA384 = 0x0501 "rsa_pkcs1_sha384",
        ECDSA_SECP384R1_SHA384 = 0x0503 "ecdsa_secp384r1_sha384",
        RSA_PKCS1_SHA512 = 0x0601 "rsa_pkcs1_sha512",
        ECDSA_SECP521R1_SHA512 = 0x0603 "ecdsa_secp521r1_sha512",
        RSA_PSS_RSAE_SHA256 = 0x0804 "rsa_pss_rsae_sha256",
        RSA_PSS_RSAE_SHA384 = 0x0805 "rsa_pss_rsae_sha384",
        RSA_PSS_RSAE_SHA512 = 0x0806 "rsa_pss_rsae_sha512",
        ED25519 = 0x0807 "ed25519",
    }
    also {
        RSA_PKCS1_SHA1 = 0x0201 "rsa_pkcs1_sha1",
        DSA_SHA1 = 0x0202 "dsa_sha1",
        ECDSA_SHA1 = 0x0203 "ecdsa_sha1",
        RSA_SHA224 = 0x0301 "rsa_sha224",
        DSA_SHA224 = 0x0302 "dsa_sha224",
        ECDSA_SHA224 = 0x0303 "ecdsa_sha224",
        DSA_SHA256 = 0x0402 "dsa_sha256",
        DSA_SHA384 = 0x0502 "dsa_sha384",
        DSA_SHA512 = 0x0602 "dsa_sha512",
        ED448 = 0x0808 "ed448",
        RSA_PSS_PSS_SHA256 = 0x0809 "rsa_pss_pss_sha256",
        RSA_PSS_PSS_SHA384 = 0x080a "rsa_pss_pss_sha384",
        RSA_PSS_PSS_SHA512 = 0x080b "rsa_pss_pss_sha512",
        ECDSA_BRAINPOOL_P256R1_SHA256 = 0x081a "ecdsa_brainpoolP256r1tls13_sha256",
        ECDSA_BRAINPOOL_P384R1_SHA384 = 0x081b "ecdsa_brainpoolP384r1tls13_sha384",
        ECDSA_BRAINPOOL_P512R1_SHA512 = 0x081c "ecdsa_brainpoolP512r1tls13_sha512",
        MLDSA44 = 0x0904 "mldsa44",
        MLDSA65 = 0x0905 "mldsa65",
        MLDSA87 = 0x0906 "mldsa87",
    }
}

registry! {
    /// A cipher suite (RFC 8446 §B.4, RFC 5246 §A.5).
    NamedSuite(u16) {
        EMPTY_RENEGOTIATION_INFO_SCSV = 0x00ff "TLS_EMPTY_RENEGOTIATION_INFO_SCSV",
        AES_128_GCM_SHA256 = 0x1301 "TLS_AES_128_GCM_SHA256",
        AES_256_GCM_SHA384 = 0x1302 "TLS_AES_256_GCM_SHA384",
        CHACHA20_POLY1305_SHA256 = 0x1303 "TLS_CHACHA20_POLY1305_SHA256",
        FALLBACK_SCSV = 0x5600 "TLS_FALLBACK_SCSV",
        ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 = 0xc02b "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 = 0xc02c "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        ECDHE_RSA_WITH_AES_128_GCM_SHA256 = 0xc02f "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        ECDHE_RSA_WITH_AES_256_GCM_SHA384 = 0xc030 "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 = 0xcca8 "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 = 0xcca9 "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    }
    also {
        RSA_WITH_3DES_EDE_CBC_SHA = 0x000a "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
        RSA_WITH_AES_128_CBC_SHA = 0x002f "TLS_RSA_WITH_AES_128_CBC_SHA",
        DHE_RSA_WITH_AES_128_CBC_SHA = 0x0033 "TLS_DHE_RSA_WITH_AES_128_CBC_SHA",
        RSA_WITH_AES_256_CBC_SHA = 0x0035 "TLS_RSA_WITH_AES_256_CBC_SHA",
        DHE_RSA_WITH_AES_256_CBC_SHA = 0x0039 "TLS_DHE_RSA_WITH_AES_256_CBC_SHA",
        RSA_WITH_AES_128_CBC_SHA256 = 0x003c "TLS_RSA_WITH_AES_128_CBC_SHA256",
        RSA_WITH_AES_256_CBC_SHA256 = 0x003d "TLS_RSA_WITH_AES_256_CBC_SHA256",
        DHE_RSA_WITH_AES_128_CBC_SHA256 = 0x0067 "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256",
        DHE_RSA_WITH_AES_256_CBC_SHA256 = 0x006b "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256",
        RSA_WITH_AES_128_GCM_SHA256 = 0x009c "TLS_RSA_WITH_AES_128_GCM_SHA256",
        RSA_WITH_AES_256_GCM_SHA384 = 0x009d "TLS_RSA_WITH_AES_256_GCM_SHA384",
        DHE_RSA_WITH_AES_128_GCM_SHA256 = 0x009e "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
        DHE_RSA_WITH_AES_256_GCM_SHA384 = 0x009f "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
        AES_128_CCM_SHA256 = 0x1304 "TLS_AES_128_CCM_SHA256",
        AES_128_CCM_8_SHA256 = 0x1305 "TLS_AES_128_CCM_8_SHA256",
        ECDHE_ECDSA_WITH_AES_128_CBC_SHA = 0xc009 "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
        ECDHE_ECDSA_WITH_AES_256_CBC_SHA = 0xc00a "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
        ECDHE_RSA_WITH_3DES_EDE_CBC_SHA = 0xc012 "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
        ECDHE_RSA_WITH_AES_128_CBC_SHA = 0xc013 "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
        ECDHE_RSA_WITH_AES_256_CBC_SHA = 0xc014 "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
        ECDHE_ECDSA_WITH_AES_128_CBC_SHA256 = 0xc023 "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
        ECDHE_ECDSA_WITH_AES_256_CBC_SHA384 = 0xc024 "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384",
        ECDHE_RSA_WITH_AES_128_CBC_SHA256 = 0xc027 "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
        ECDHE_RSA_WITH_AES_256_CBC_SHA384 = 0xc028 "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384",
        RSA_WITH_AES_128_CCM = 0xc09c "TLS_RSA_WITH_AES_128_CCM",
        RSA_WITH_AES_256_CCM = 0xc09d "TLS_RSA_WITH_AES_256_CCM",
        DHE_RSA_WITH_AES_128_CCM = 0xc09e "TLS_DHE_RSA_WITH_AES_128_CCM",
        DHE_RSA_WITH_AES_256_CCM = 0xc09f "TLS_DHE_RSA_WITH_AES_256_CCM",
        ECDHE_ECDSA_WITH_AES_128_CCM = 0xc0ac "TLS_ECDHE_ECDSA_WITH_AES_128_CCM",
        ECDHE_ECDSA_WITH_AES_256_CCM = 0xc0ad "TLS_ECDHE_ECDSA_WITH_AES_256_CCM",
        DHE_RSA_WITH_CHACHA20_POLY1305_SHA256 = 0xccaa "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
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

/// Displays `signature_algorithms (13)`, or the number alone if it has no name.
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

/// Displays the name, or the kind and the number if it has none.
macro_rules! display_name {
    ($($type:ident $what:literal)*) => {
        $(
            impl fmt::Display for $type {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    match self.name() {
                        Some(name) => f.write_str(name),
                        None => write!(f, concat!($what, " {:#06x}"), self.0),
                    }
                }
            }
        )*
    };
}

display_name! { ProtocolVersion "version" NamedSuite "cipher suite" NamedGroup "group" NamedScheme "scheme" }

#[cfg(test)]
mod tests;
