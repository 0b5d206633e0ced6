use super::*;
use crate::pki::allow::KeyHash;
use crate::pki::text::Text;
use std::string::ToString;

const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2)), 43210);

#[test]
fn a_line_shows_all() {
    let entry = Entry::new();
    let guard = entry.occupy(Kind::Tls, 10007, PEER);
    guard.advance(ConnectionState::Established);
    guard.describe(Description {
        version: "TLSv1.3",
        suite: "TLS_AES_128_GCM_SHA256",
        group: "X25519",
        ..Description::default()
    });
    let line = entry.to_string();
    assert!(
        line.starts_with("  10.0.2.2:43210        :10007 tls   established in 0 out 0, "),
        "{line}"
    );
    assert!(line.ends_with(" s TLSv1.3 TLS_AES_128_GCM_SHA256 X25519"), "{line}");
    guard.describe(Description {
        resumed: true,
        subject: Some(Text::new("CN=a client")),
        key: Some(KeyHash([0xab; 32])),
        ..guard.description()
    });
    let line = entry.to_string();
    assert!(
        line.ends_with(" X25519 resumed CN=a client sha256:abababababababab"),
        "{line}"
    );
}

#[test]
fn a_slot_is_released_and_reused() {
    let entry = Entry::new();
    let guard = entry.occupy(Kind::Tls, 1, PEER);
    entry.evict(Eviction::Share);
    assert!(entry.is_asked());
    drop(guard);
    assert_eq!(entry.state(), ConnectionState::Vacant);
    let guard = entry.occupy(Kind::Plain, 2, PEER);
    assert!(!entry.is_asked(), "the next connection must not pay for the last one");
    assert_eq!(entry.evictable_from(), Some(entry.since() + SILENT));
    guard.last_read().set(Instant::now());
    let heard = entry.last_read.get();
    assert_eq!(entry.evictable_from(), Some(heard + QUIET));
    entry.last_read.set(entry.since() + Duration::from_secs(5));
    assert_eq!(
        entry.evictable_from(),
        Some(entry.since() + HANDSHAKE),
        "trickling in does not help for ever"
    );
    guard.advance(ConnectionState::Established);
    guard.last_read().set(Instant::now());
    let moved = entry.flow().moved();
    assert_eq!(
        (entry.state(), entry.evictable_from()),
        (ConnectionState::Established, Some(moved + IDLE))
    );
    assert!(guard.should_evict(Eviction::Share) && !guard.should_evict(Eviction::Idle));
    guard.mark_dialled();
    assert_eq!(entry.evictable_from(), None, "the machine has chosen that peer");
    assert!(!guard.should_evict(Eviction::Share));
    guard.advance(ConnectionState::Closing);
    assert_eq!(entry.evictable_from(), Some(entry.since()));
    assert!(guard.should_evict(Eviction::Idle));
}
