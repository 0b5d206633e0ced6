use super::*;

#[test]
fn names_are_read() {
    assert_eq!(ServerName::parse("localhost"), Some(ServerName::Dns("localhost")));
    assert_eq!(ServerName::parse("a.example."), Some(ServerName::Dns("a.example.")));
    assert_eq!(
        ServerName::parse("10.0.2.15"),
        Some(ServerName::Ip([10, 0, 2, 15].into()))
    );
    assert!(matches!(ServerName::parse("::1"), Some(ServerName::Ip(IpAddr::V6(_)))));
    for bad in [
        "",
        ".",
        "a b",
        "a..b",
        "*.example.com",
        "1.2.3",
        "10.0.2.256",
        "a\u{1b}b",
        &"x".repeat(254),
    ] {
        assert_eq!(ServerName::parse(bad), None, "{bad}");
    }
}

#[test]
fn wildcards_stand_for_one_label() {
    for (pattern, name) in [
        ("localhost", "LOCALHOST"),
        ("a.example", "a.example."),
        ("*.example.com", "www.example.com"),
        ("*.example.com", "WWW.Example.COM."),
    ] {
        assert!(matches(pattern, name), "{pattern} {name}");
    }
    for (pattern, name) in [
        ("localhost", "localhos"),
        ("", ""),
        ("", "."),
        ("*", "localhost"),
        ("*", "*"),
        ("*.com", "example.com"),
        ("*.example.com", "example.com"),
        ("*.example.com", ".example.com"),
        ("*.example.com", "a.b.example.com"),
        ("*.example.com", "www.example.com.evil"),
        ("w*.example.com", "www.example.com"),
        ("*.*.example.com", "a.b.example.com"),
        ("www.*.com", "www.example.com"),
        ("a.example.", "a.example"),
    ] {
        assert!(!matches(pattern, name), "{pattern} {name}");
    }
}
