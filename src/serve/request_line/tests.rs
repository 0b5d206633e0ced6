//! What counts as a request line.

use super::RequestLine;

#[test]
fn a_request_line_is_recognized_in_any_pieces() {
    let long = std::format!("GET /{} HTTP/1.1\r\n", "x".repeat(100_000));
    for line in [
        "POST / HTTP/1.1\r\n\r\npoweroff\r\n",
        "OPTIONS * HTTP/1.1",
        "GET http://127.0.0.1:11123/a?b=c HTTP/1.0\r\n",
        "M-SEARCH * HTTP/1.1",
        "\r\nGET / HTTP/1.1",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &long,
    ] {
        assert!(RequestLine::new().push_all(line.as_bytes()), "{line:.40}");
        let mut bytes = RequestLine::new();
        assert!(line.bytes().any(|byte| bytes.push(byte)), "{line:.40}");
    }
}

#[test]
fn commands_and_texts_are_not() {
    for line in [
        "",
        "version\r\nGET / HTTP/1.1\r\n",
        "client send to HTTP/1.1\r\n",
        "client connect 10.0.2.2 80\r\n",
        "GET /\r\nHTTP/1.1\r\n",
        "GET  / HTTP/1.1\r\n",
        "a b HTTQ/1.1",
        " GET / HTTP/1.1",
        "HTTP/1.1 200 OK\r\n",
        "\x16\x03\x01 / HTTP/1.1",
    ] {
        assert!(!RequestLine::new().push_all(line.as_bytes()), "{line:?}");
    }
}
