use super::*;
use std::format;
use std::string::String;

fn read(text: &str) -> Option<Request> {
    let whole = Parser::new().push(text.as_bytes());
    // It makes no difference in which pieces the bytes come.
    let mut parser = Parser::new();
    let piecewise = text.bytes().find_map(|byte| parser.push(&[byte]));
    assert_eq!(whole, piecewise, "{text:?}");
    whole
}

fn status(text: &str) -> u16 {
    read(text).unwrap_or_else(|| panic!("{text:?}")).status.0
}

#[test]
fn the_page_and_what_is_not_it() {
    let get = read("GET / HTTP/1.1\r\nHost: localhost:10443\r\nUser-Agent: x\r\n\r\n").unwrap();
    assert_eq!((get.status, get.head, get.chunked), (Status::OK, false, true));
    let head = read("HEAD /?q=/x HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!((head.status, head.head, head.chunked), (Status::OK, true, false));
    assert_eq!(status("\r\n\r\nGET / HTTP/1.1\nHOST:\tx \n\n"), 200);
    assert_eq!(status("GET https://localhost HTTP/1.1\r\nHost: localhost\r\n\r\n"), 200);
    assert_eq!(status("GET HTTPS://localhost:10443/x HTTP/1.1\r\nHost: x\r\n\r\n"), 404);
    for (line, wanted) in [
        ("GET /favicon.ico HTTP/1.1", 404),
        ("GET //etc/passwd HTTP/1.1", 404),
        ("POST / HTTP/1.1", 405),
        ("DELETE / HTTP/1.1", 405),
        ("OPTIONS * HTTP/1.1", 405),
        ("CONNECT localhost:443 HTTP/1.1", 405),
        ("BREW / HTTP/1.1", 501),
        ("get / HTTP/1.1", 501),
        ("PRI * HTTP/2.0", 505),
        ("GET / HTTP/3.0", 505),
        ("GET / HTTP/1", 400),
        ("GET / http/1.1", 400),
        ("GET /", 400),
        ("GET  / HTTP/1.1", 400),
        ("GET / HTTP/1.1 ", 400),
        (" GET / HTTP/1.1", 400),
        ("GET x HTTP/1.1", 400),
        ("GET * HTTP/1.1", 400),
        ("GET /\u{7f} HTTP/1.1", 400),
        ("G(T / HTTP/1.1", 400),
        ("GET /\r HTTP/1.1", 400),
    ] {
        assert_eq!(status(&format!("{line}\r\nHost: x\r\n\r\n")), wanted, "{line}");
    }
}

#[test]
fn fields_are_checked() {
    let with = |fields: &str| status(&format!("GET / HTTP/1.1\r\n{fields}\r\n"));
    assert_eq!(with("Host: x\r\n"), 200);
    assert_eq!(with("Host:\r\n"), 200, "empty is allowed (RFC 9112 §3.2)");
    assert_eq!(with("Host: x\r\nContent-Length: 0\r\ncontent-length: 0\r\n"), 200);
    assert_eq!(with("Host: x\r\nTransfer-Encoding: chunked\r\n"), 200);
    for wrong in [
        "",
        "Host: x\r\nHost: x\r\n",
        "Host: x y\r\n",
        "Host: x,y\r\n",
        "Host : x\r\n",
        " Host: x\r\n",
        "Host: x\r\n continued\r\n",
        "Host: x\r\nno colon\r\n",
        "Host: x\r\n: no name\r\n",
        "Host: x\r\nA: b\rc\r\n",
        "Host: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
        "Host: x\r\nContent-Length: +1\r\n",
        "Host: x\r\nContent-Length: 99999999999999999999\r\n",
        "Host: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
    ] {
        assert_eq!(with(wrong), 400, "{wrong:?}");
    }
    assert_eq!(status("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
    // HTTP/1.0 knows no Host.
    assert_eq!(status("GET / HTTP/1.0\r\n\r\n"), 200);
}

#[test]
fn what_is_too_long_is_refused_before_it_ends() {
    let long = "x".repeat(LINE);
    assert_eq!(status(&format!("GET /{long}")), 414);
    let cookie = format!("Cookie: {}\r\n", "x".repeat(FIELDS - 100));
    assert_eq!(status(&format!("HEAD / HTTP/1.1\r\nHost: x\r\n{cookie}\r\n")), 200);
    let refused = read(&format!("HEAD / HTTP/1.1\r\nHost: x\r\n{cookie}{cookie}")).unwrap();
    assert_eq!((refused.status.0, refused.head), (431, true));
    let many: String = (0..FIELDS).map(|n| format!("A{n}: b\r\n")).collect();
    assert_eq!(status(&format!("GET / HTTP/1.1\r\n{many}")), 431);
    assert_eq!(status(&"\r\n".repeat(FIELDS)), 400);
}

#[test]
fn a_head_that_is_not_complete_is_no_request_yet() {
    for text in ["", "GET", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: x\r\n", "\r\n"] {
        assert_eq!(read(text), None);
    }
}
