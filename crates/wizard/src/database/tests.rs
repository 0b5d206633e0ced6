use super::{Database, Date, parse_stamp, stamp};

#[test]
fn dates_have_openssl_s_form() {
    for (seconds, text) in [
        (0, "700101000000Z"),
        (2_524_607_999, "491231235959Z"),
        (2_524_608_000, "20500101000000Z"),
    ] {
        assert_eq!(stamp(Date(seconds)), text);
        assert_eq!(parse_stamp(text), Some(Date(seconds)));
    }
    for bad in [
        "",
        "Z",
        "261130122330",
        "261330122330Z",
        "26113012233Z",
        "x61130122330Z",
        "2611301223300Z",
    ] {
        assert_eq!(parse_stamp(bad), None, "{bad}");
    }
}

#[test]
fn unchanged_fields_are_written_as_read() {
    let text = "# by hand\n\nE\t250101000000Z\t\t0A\tunknown\t/O=x/CN=a\\\tb\nV\t271130122326Z\t\t0B\tunknown\t/CN=c\n";
    let mut database = Database::parse(text, "").ok().unwrap();
    assert_eq!(database.text(), text);
    database.revoke("0B", Date(0), "keyCompromise");
    assert_eq!(database.revoked("0B"), Some("keyCompromise"));
    assert_eq!(
        database.text(),
        text.replace("V\t271130122326Z\t", "R\t271130122326Z\t700101000000Z,keyCompromise")
    );
    assert!(Database::parse("V\t\n", "").is_err());
}
