use super::*;

fn packet(level: log::Level, time: Option<u64>, text: &str) -> std::string::String {
    let mut packet = String::new();
    format(&mut packet, level, time, "warg", text);
    packet.as_str().into()
}

#[test]
fn a_line_looks_as_in_the_guide() {
    // date -u -d '2023-09-11 15:20:33' +%s
    assert_eq!(
        packet(log::Level::Info, Some(1694445633), "Received."),
        "<14>Sep 11 15:20:33 warg bitvisor: Received."
    );
    assert_eq!(
        packet(log::Level::Error, Some(951_782_399), "x"),
        "<11>Feb 28 23:59:59 warg bitvisor: x"
    );
    assert_eq!(
        packet(log::Level::Warn, Some(951_782_400), "x"),
        "<12>Feb 29 00:00:00 warg bitvisor: x"
    );
    assert_eq!(
        packet(log::Level::Debug, Some(4_107_542_399), "x"),
        "<15>Feb 28 23:59:59 warg bitvisor: x"
    );
    assert_eq!(
        packet(log::Level::Debug, Some(4_107_542_400), "x"),
        "<15>Mar  1 00:00:00 warg bitvisor: x"
    );
}

#[test]
fn without_a_clock_the_line_still_has_a_date_and_control_characters_are_escaped() {
    assert_eq!(
        packet(log::Level::Trace, None, "a\r\nb\u{7}"),
        "<15>Jan  1 00:00:00 warg bitvisor: a\\r\\nb\\u{7}"
    );
    assert!(packet(log::Level::Info, Some(u64::MAX), "x").ends_with("bitvisor: x"));
}

#[test]
fn a_line_too_long_is_cut_at_a_character() {
    let long = packet(log::Level::Info, Some(0), &"ü".repeat(2000));
    assert!(long.len() <= MAX_PACKET && long.len() > MAX_PACKET - 2);
    assert!(long.ends_with('ü'));
}

#[test]
fn settings_need_a_server_and_the_switch() {
    let mut syslog = config::Syslog {
        enable: true,
        src_ipaddr: None,
        dst_ipaddr: Some(IpAddr::from([10, 0, 2, 2])),
    };
    assert_eq!(
        Settings::from_config(&syslog).unwrap().destination,
        IpAddr::from([10, 0, 2, 2])
    );
    syslog.dst_ipaddr = Some(IpAddr::from([0; 4]));
    assert_eq!(Settings::from_config(&syslog), None);
    syslog.dst_ipaddr = Some(IpAddr::from([10, 0, 2, 2]));
    syslog.enable = false;
    assert_eq!(Settings::from_config(&syslog), None);
}
