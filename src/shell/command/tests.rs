use super::*;
use std::string::ToString;
use std::vec::Vec;

const GUIDE: &str = "\
usage:
  client connect <ipaddr> <port> [netif]  Connect to echo server.
  client send                             Send a message to client.
  server start <port> [netif]             Start echo server.
";

#[test]
fn help_begins_as_the_guide_has_it() {
    for specs in [PLAIN, TLS] {
        let help = Help(specs).to_string();
        assert!(help.starts_with(GUIDE), "{help}");
        assert!(help.contains("\n  server stop [port]                      Stop"));
        assert!(help.lines().all(|line| line.len() < 80));
    }
    assert!(Help(TOP).to_string().lines().all(|line| line.len() < 85));
}

fn action(specs: &'static [Spec], line: &str) -> Option<Action> {
    parse(specs, line).ok().map(|request| request.action)
}

#[test]
fn lines_are_understood_with_any_blanks() {
    assert_eq!(action(TOP, "  status "), Some(Action::Status));
    assert_eq!(action(TOP, "log"), Some(Action::Log));
    assert_eq!(action(TOP, "log\t20"), Some(Action::Log));
    assert_eq!(action(TLS, "server  start   10007 vm0"), Some(Action::ServerStart));
    assert_eq!(action(TLS, "server reverse 10.0.2.2 1"), Some(Action::Reverse));
    assert_eq!(action(TLS, "server reverse stop 10.0.2.2 1"), Some(Action::ReverseStop));
    assert_eq!(action(PLAIN, "server reverse a 1 vm0 every 5"), Some(Action::Reverse));
    let request = parse(PLAIN, "client connect 10.0.2.2 7").ok().unwrap();
    assert_eq!(
        (request.argument(0), request.argument(1), request.argument(2)),
        (Some("10.0.2.2"), Some("7"), None)
    );
    assert_eq!(parse(PLAIN, "client send").ok().unwrap().text(), "");
    assert_eq!(
        parse(PLAIN, "client send  two  words ").ok().unwrap().text(),
        "two  words"
    );
}

#[test]
fn wrong_lines_show_the_usage_of_what_was_meant() {
    let usage = |specs, line| match parse(specs, line) {
        Err(Wrong::Usage(line)) => Usage { specs, line }.to_string(),
        _ => "no".into(),
    };
    assert_eq!(
        usage(TLS, "server start"),
        "usage:\n  server start <port> [netif]             Start echo server.\n"
    );
    assert_eq!(usage(TLS, "server start 1 vm0 x"), usage(TLS, "server start"));
    assert_eq!(usage(TLS, "server").lines().count(), 7);
    assert_eq!(usage(TLS, "server restart").lines().count(), 7);
    assert_eq!(
        usage(PLAIN, "server reverse home.example"),
        "usage:\n  server reverse <ipaddr> <port> [netif] [every SECONDS]\n\
         \x20                                         Dial a host and serve echo to it.\n\
         \x20 server reverse <host> <port> proxy=off  Dial without the proxy.\n"
    );
    assert_eq!(action(TLS, "server reverse stop 10.0.2.2"), Some(Action::ReverseStop));
    assert_eq!(usage(TLS, "client close x").lines().count(), 2);
    assert_eq!(usage(TLS, "client connect x").lines().count(), 4);
    assert!(usage(TOP, "status now").contains("  status  "));
    assert!(matches!(parse(TOP, "statusx"), Err(Wrong::Unknown("statusx"))));
    assert!(matches!(parse(TOP, "server start 1"), Err(Wrong::Unknown("server"))));
    assert!(matches!(parse(TOP, " \t "), Err(Wrong::Empty)));
}

#[test]
fn completion_follows_the_words() {
    let words = |specs, before| {
        let mut words = Vec::new();
        complete(specs, before, &mut |word| words.push(word));
        words
    };
    assert_eq!(words(TOP, "echo"), ["echoctl", "echoctl_tls"]);
    assert_eq!(words(TOP, "tls "), ["reload", "csr", "status"]);
    assert_eq!(words(TOP, "tls c"), ["csr"]);
    assert_eq!(words(TOP, "tls csr "), ["client"]);
    assert_eq!(words(TOP, "log "), ["follow"]);
    assert_eq!(words(TOP, "log f"), ["follow"]);
    assert_eq!(words(TOP, "status "), [""; 0]);
    assert_eq!(words(PLAIN, ""), ["client", "server", "help", "exit"]);
    assert_eq!(words(PLAIN, "client "), ["connect", "send", "close"]);
    assert_eq!(words(TLS, "server st"), ["start", "stop"]);
    assert_eq!(words(TLS, "server reverse "), ["stop"]);
    assert_eq!(words(TLS, "server start "), [""; 0]);
    assert_eq!(words(TLS, "nothing s"), [""; 0]);
}

#[test]
fn ports() {
    assert_eq!(
        [port("10007"), port("0x2717"), port("65535")],
        [Some(10007), Some(10007), Some(65535)]
    );
    for wrong in ["0", "65536", "-1", "", "+7", "0x+7", "ten", "0x", "0x10000"] {
        assert_eq!(port(wrong), None, "{wrong}");
    }
}
