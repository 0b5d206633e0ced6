use super::*;
use std::string::ToString;

#[test]
fn nothing_of_a_peer_is_a_tag() {
    let name = Meaning::Text(b"<script>alert('1' & \"2\")</script>\xff\n");
    assert_eq!(
        Escaped(&name).to_string(),
        "&quot;&lt;script&gt;alert(\\&#39;1\\&#39; &amp; \\&quot;2\\&quot;)&lt;/script&gt;\\xff\\n&quot;"
    );
}

#[test]
fn the_style_needs_nothing_from_elsewhere() {
    assert!(!STYLE.contains("url(") && !STYLE.contains("@import") && !STYLE.contains('<'));
    assert!(STYLE.contains("prefers-color-scheme: dark"));
}
