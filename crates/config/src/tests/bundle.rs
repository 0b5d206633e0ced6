//! The bundle of roots: `.tls.root_certs`.

use super::*;
use postern_tls::pki::pem;

#[test]
fn bundles_are_as_large_as_a_distribution_s() {
    let cas: String = (0..150)
        .map(|number| Pki::new(&format!("Root {number}")).ca.pem())
        .collect();
    let blocks = cas.matches("BEGIN").count();
    for text in [strings(&cas), strings(&format!("A text before.\n{cas}and one after"))] {
        let text = format!(".tls = {{ .verify = \"pki\", .root_certs =\n{text}, .keylog = 1 }}");
        let (mut config, mut scratch) = (Box::new(Config::new()), Box::new(Scratch::new()));
        config.parse(text.as_bytes(), &mut scratch).unwrap();
        config.check(NOW, NOW).unwrap();
        assert!(config.tls.keylog && config.tls.verify == Verify::Pki);
        let bundle = config.tls.root_certs;
        assert_eq!((bundle.len(), blocks, bundle.ders().len()), (150, 150, 0));
        let mut ders = Vec::new();
        bundle
            .read(text.as_bytes(), &mut scratch, &mut |der| ders.push(der.to_vec()))
            .unwrap();
        assert!(scratch.bytes_are_wiped());
        assert_eq!(ders.iter().map(Vec::len).sum::<usize>(), bundle.der_len());
        let expected = pem::certificates(cas.as_bytes()).map(|block| {
            let mut der = vec![0; 4096];
            let length = block.unwrap().decode(&mut der).unwrap();
            der.truncate(length);
            der
        });
        assert!(ders.into_iter().eq(expected));
    }
    assert!(read(".tls.root_certs = \"\"").tls.root_certs.is_empty());
}

#[test]
fn a_bundle_may_be_indented_and_come_from_any_system() {
    let pem = format!("{}{}", Pki::new("Root").ca.pem(), Pki::new("Other").ca.pem());
    for text in [
        format!("  {}", pem.replace('\n', " \\n  ")),
        pem.replace('\n', "\\r\\n"),
        pem.replace('\n', "\\r"),
        format!("\u{feff}{}", pem.replace('\n', "\\n\\n")),
    ] {
        let config = read(&format!(".tls.root_certs = \"{text}\""));
        assert_eq!(config.tls.root_certs.len(), 2, "{text}");
    }
}

#[test]
fn a_fault_in_a_bundle_has_its_place() {
    let pem = Pki::new("Root").ca.pem();
    let good = strings(&pem);
    let lines = pem.lines().count();
    let at = |text: &str| fault(&format!(".tls.root_certs =\n{text}"));
    let broken = strings(&pem.replacen('M', "!", 1));
    assert_eq!(
        at(&format!("{good}{broken}")),
        format!(
            "defconfig:{}:2: .tls.root_certs: the PEM block contains invalid base64 (block 2). \
             Copy the PEM again, whole; as strings, each line ends in `\\n`",
            lines + 3
        )
    );
    let cut: String = good.lines().take(lines - 1).map(|line| format!("{line}\n")).collect();
    assert!(at(&cut).starts_with("defconfig:2:2: .tls.root_certs: "), "{}", at(&cut));
    assert!(at("\"nothing\\n\"").contains("it contains no PEM certificate"));
    assert!(at("\"a\\q\"").contains("not an escape sequence"));
    assert!(at(&strings(&Pki::new("x").ca.key().serialize_pem())).contains(".tls.root_certs: "));
    let many = good.repeat(MAX_ROOTS + 1);
    assert!(
        at(&many).contains("there are more than 256 PEM blocks in it"),
        "{}",
        at(&many)
    );
    let large = format!("\"-----BEGIN CERTIFICATE-----\\n\"\n\"{}\\n\"", "A".repeat(MAX_STRING));
    assert!(
        at(&large).contains("the strings are longer than 32 KiB together"),
        "{}",
        at(&large)
    );
}

#[test]
fn a_bundle_is_read_from_a_file_at_build_time() {
    struct One(String);
    impl Files for One {
        fn read(&mut self, _: &str, _: &mut heapless::Vec<u8, MAX_STRING>) -> Result<(), FileFault> {
            Err(FileFault::Missing)
        }

        fn bundle(&mut self, name: &str) -> Result<&[u8], FileFault> {
            match name {
                "roots.pem" => Ok(self.0.as_bytes()),
                _ => Err(FileFault::Missing),
            }
        }
    }
    let (mut config, mut scratch) = (Box::new(Config::new()), Box::new(Scratch::new()));
    let pem = format!("{}{}", Pki::new("One").ca.pem(), Pki::new("Two").ca.pem());
    let mut parse = |text: &str, content: &str| {
        let result = config.parse_with_files(text.as_bytes(), &mut scratch, &mut One(content.into()));
        result
            .map(|()| config.tls.root_certs)
            .map_err(|error| error.to_string())
    };
    let text = ".tls.root_certs_file = \"roots.pem\"";
    let bundle = parse(text, &pem).unwrap();
    assert_eq!((bundle.len(), bundle.is_file()), (2, true));
    assert!(
        parse(text, "nothing")
            .unwrap_err()
            .contains("it contains no PEM certificate")
    );
    assert!(parse(text, "").unwrap_err().contains("it contains no PEM certificate"));
    let missing = parse(".tls.root_certs_file = \"other\"", "").unwrap_err();
    assert!(
        missing.contains("cannot read other: there is no such file"),
        "{missing}"
    );
    assert!(parse(".tls = { .root_certs = \"\", .root_certs_file = \"roots.pem\" }", &pem).is_err());
    assert!(fault(text).contains("files can be named at build time only"));
    let mut count = 0;
    bundle
        .read(pem.as_bytes(), &mut Scratch::new(), &mut |_| count += 1)
        .unwrap();
    assert_eq!(count, 2);
}
