//! The fields of a configuration, by the form of their values.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use heapless::string::StringView;
use heapless::{Vec, VecView};

use super::ders::{GENERATE, Located, fill_keys};
use super::error::{self, Fault};
use super::keys::{Kind, Path};
use super::{Bundle, Config, Ders, Key, MAX_CERTIFICATES, MAX_CRLS, MAX_REVERSES, Places, Reverse, is_name};
use postern_tls::pki::pem;
use postern_tls::pki::request::is_subject;
use zeroize::Zeroize;

/// A field of a [`Config`].
pub(super) enum Slot<'a> {
    /// No field: further keys, or the `_file` form of a key.
    Group,
    Number(&'a mut dyn Number),
    Address(&'a mut dyn Address),
    Choice(&'a mut dyn Choice),
    /// Certificates, or revocation lists.
    Ders(&'a mut Ders),
    Bundle(&'a mut Bundle),
    /// As many as fit.
    Keys(&'a mut VecView<Key>),
    /// Empty: none.
    Name(&'a mut StringView),
    /// One a line.
    Lines(&'a mut StringView),
    /// Empty: none.
    Subject(&'a mut StringView),
    /// As much as fits.
    Text(&'a mut VecView<u8>),
    Reverses(&'a mut Vec<Reverse, MAX_REVERSES>),
}

impl Config {
    /// The field of `path`; of a key of a list, that in its last group.
    pub(super) fn slot(&mut self, path: Path) -> Slot<'_> {
        let last = self.echo.reverse.len().saturating_sub(1);
        self.slot_of(path, last)
    }

    /// Sets every key to its default, in place.
    pub fn reset(&mut self) {
        for &path in Path::ALL {
            self.slot(path).reset(path.default());
        }
        self.places = Places::new();
        self.boot_keys.wipe();
    }
}

impl Slot<'_> {
    fn reset(self, default: u32) {
        match self {
            Self::Group => {}
            Self::Number(number) => number.set(default),
            Self::Address(address) => address.set(None),
            Self::Choice(choice) => choice.reset(),
            Self::Ders(ders) => ders.clear(),
            Self::Bundle(bundle) => *bundle = Bundle::new(),
            Self::Keys(keys) => keys.clear(),
            Self::Name(name) => name.clear(),
            Self::Lines(text) | Self::Subject(text) => text.clear(),
            Self::Text(text) => {
                text.as_mut_slice().zeroize();
                text.clear();
            }
            Self::Reverses(reverses) => reverses.clear(),
        }
    }

    /// Takes the value of a key of this `kind` from `text`, the strings of its value or the content of its file. A fault
    /// comes with the byte of `text` at which it is, if it is not about the whole.
    pub(super) fn take(self, kind: Kind, text: &[u8]) -> Result<(), (Option<usize>, Fault)> {
        let word = core::str::from_utf8(text);
        let at_start = |fault| (None, fault);
        let in_text = |(offset, fault): Located| (Some(offset), fault);
        match self {
            Self::Ders(ders) if kind == Kind::Crls => ders.fill(pem::crls(text), MAX_CRLS).map_err(in_text),
            Self::Ders(ders) => ders.fill(pem::certificates(text), MAX_CERTIFICATES).map_err(in_text),
            Self::Keys(keys) if text == GENERATE.as_bytes() => {
                keys.clear();
                let _ = keys.push(Key::generated()); // there is space for one
                Ok(())
            }
            Self::Keys(keys) => fill_keys(keys, pem::private_keys(text)).map_err(in_text),
            Self::Choice(choice) => {
                let word = word.unwrap_or_default();
                let fault = || Fault::Choice {
                    word: error::name(word),
                    kind,
                };
                choice.choose(word).then_some(()).ok_or_else(|| at_start(fault()))
            }
            Self::Address(slot) => {
                let word = word.unwrap_or("?");
                let address = match (kind, word.parse()) {
                    _ if word.is_empty() => None,
                    (Kind::AnyAddress, Ok(address)) | (_, Ok(address @ IpAddr::V6(_))) => specified(address),
                    _ => {
                        return Err(at_start(Fault::Address {
                            word: error::name(word),
                            kind,
                        }));
                    }
                };
                slot.set(address);
                Ok(())
            }
            Self::Name(slot) => {
                // A dot at the end of a host's name only says that it is complete.
                let name = word.unwrap_or("?");
                let name = name.strip_suffix('.').unwrap_or(name);
                slot.clear();
                let fits = name.is_empty() || (is_name(name) && slot.push_str(name).is_ok());
                fits.then_some(())
                    .ok_or_else(|| at_start(Fault::NotAName(error::name(name))))
            }
            Self::Subject(slot) => {
                let word = word.unwrap_or("?");
                slot.clear();
                let fits = word.is_empty() || (is_subject(word) && slot.push_str(word).is_ok());
                fits.then_some(())
                    .ok_or_else(|| at_start(Fault::NotRequestable(error::name(word))))
            }
            Self::Text(slot) => {
                slot.clear();
                if slot.extend_from_slice(text).is_err() {
                    return Err(at_start(Fault::LongerThan(slot.capacity())));
                }
                let is_plain = word.is_ok_and(|word| !word.contains(char::is_control));
                is_plain.then_some(()).ok_or_else(|| at_start(Fault::NotText))
            }
            // Values that are no strings.
            _ => Ok(()),
        }
    }
}

/// A field that a number sets.
pub(super) trait Number {
    /// `number` is in the range of the key. 0 is `None`, where there is that.
    fn set(&mut self, number: u32);

    /// The value given to [`Number::set`].
    #[cfg(feature = "build")]
    fn get(&self) -> u32;
}

macro_rules! fields {
    ($trait:ident($value:ty) $($type:ty: |$new:ident| $set:expr, |$field:ident| $get:expr;)*) => {
        $(impl $trait for $type {
            fn set(&mut self, $new: $value) {
                *self = $set;
            }

            #[cfg(feature = "build")]
            fn get(&self) -> $value {
                let $field = *self;
                $get
            }
        })*
    };
}

fields! { Number(u32)
    bool: |number| number != 0, |flag| flag.into();
    // Saturation is only a formality: the range of the key has been checked.
    u8: |number| u8::try_from(number).unwrap_or(u8::MAX), |field| field.into();
    u16: |number| u16::try_from(number).unwrap_or(u16::MAX), |field| field.into();
    u32: |number| number, |field| field;
    Option<u16>: |number| u16::try_from(number).ok().filter(|&number| number != 0), |field| field.unwrap_or(0).into();
    Option<u32>: |number| Some(number).filter(|&number| number != 0), |field| field.unwrap_or(0);
}

/// A field that an address sets.
pub(super) trait Address {
    /// `address` is of the family of the key, and not the unspecified one; `None`: none.
    fn set(&mut self, address: Option<IpAddr>);

    /// The value given to [`Address::set`].
    #[cfg(feature = "build")]
    fn get(&self) -> Option<IpAddr>;
}

fn v4(address: Option<IpAddr>) -> Option<Ipv4Addr> {
    match address {
        Some(IpAddr::V4(address)) => Some(address),
        _ => None,
    }
}

fn v6(address: Option<IpAddr>) -> Option<Ipv6Addr> {
    match address {
        Some(IpAddr::V6(address)) => Some(address),
        _ => None,
    }
}

fields! { Address(Option<IpAddr>)
    Ipv4Addr: |address| v4(address).unwrap_or(Ipv4Addr::UNSPECIFIED), |field| specified(field.into());
    Option<Ipv4Addr>: |address| v4(address), |field| field.map(IpAddr::V4);
    Option<Ipv6Addr>: |address| v6(address), |field| field.map(IpAddr::V6);
    Option<IpAddr>: |address| address, |field| field;
}

/// The address, but not the unspecified one, by which none is meant.
pub(super) fn specified(address: IpAddr) -> Option<IpAddr> {
    Some(address).filter(|address| !address.is_unspecified())
}

/// A value that is one of several words.
pub trait Choice {
    /// The word.
    fn name(&self) -> &'static str;
    /// Becomes the first of the words.
    fn reset(&mut self);
    /// Becomes what `name` says, if that is one of the words.
    fn choose(&mut self, name: &str) -> bool;
}

macro_rules! choice {
    ($(#[$meta:meta])* $type:ident { $($(#[$doc:meta])* $name:ident $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub enum $type {
            $($(#[$doc])* $name,)*
        }

        impl $type {
            /// The words, in the order of the enumeration.
            pub const NAMES: &'static [&'static str] = &[$($word),*];
        }

        impl Choice for $type {
            fn name(&self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }

            fn reset(&mut self) {
                *self = Self::default();
            }

            fn choose(&mut self, name: &str) -> bool {
                match name {
                    $($word => *self = Self::$name,)*
                    _ => return false,
                }
                true
            }
        }
    };
}

choice! {
    /// Whether the server asks its clients for certificates.
    ClientAuth {
        /// Not asked.
        #[default]
        Off "off",
        /// Asked; a client without one is accepted, a client with a bad one is not.
        Optional "optional",
        /// Asked; a client without one is rejected.
        Required "required",
    }
}

choice! {
    /// The rule by which certificates of peers are verified.
    Verify {
        /// As in strict, and besides what simple tools make: a leaf that a configured CA has signed itself may be X.509
        /// v1, have its name in CN alone, and say CA:TRUE.
        #[default]
        Pinned "pinned",
        /// As RFC 5280 and RFC 9525 have it.
        Strict "strict",
        /// As in strict, and a server has to prove the name, or the address, by which it is dialled.
        Pki "pki",
    }
}

choice! {
    /// Which side is the TLS server of a connection that this machine dials.
    Role {
        /// The side that did not send first: a peer that is silent for a second waits for a ClientHello.
        #[default]
        Either "either",
        /// This machine, as where it is dialled.
        Server "server",
        /// The peer, since it listened.
        Client "client",
    }
}
