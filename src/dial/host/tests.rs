use super::*;
use std::string::ToString;

#[test]
fn authorities_have_brackets_around_ipv6_alone() {
    for (host, shown) in [
        (Host::Address([10, 0, 2, 2].into()), "10.0.2.2:443"),
        (Host::Address("2001:DB8::1".parse().unwrap()), "[2001:db8::1]:443"),
        (Host::Address("fe80::1".parse().unwrap()), "[fe80::1]:443"),
        (Host::Name("a.example"), "a.example:443"),
    ] {
        assert_eq!(Authority(host, 443).to_string(), shown);
        assert_eq!(OwnedHost::new(host).unwrap().get(), host);
    }
    assert_eq!(OwnedHost::new(Host::Name(&"a".repeat(MAX_NAME + 1))), None);
}
