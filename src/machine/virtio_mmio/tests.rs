use super::*;

fn place(start: u64, len: u64, input: u32) -> Place {
    Place {
        range: Range::new(start, start + len),
        input,
    }
}

#[test]
fn words_are_read_as_linux_reads_them() {
    for (word, expected) in [
        ("512@0xfeb00000:5", place(0xfeb0_0000, 512, 5)),
        ("4K@0xd0000000:5", place(0xd000_0000, 4096, 5)),
        ("0x200@3489660928:12:0", place(0xd000_0000, 512, 12)),
        ("1k@3G:7:3", place(3 << 30, 1024, 7)),
    ] {
        assert_eq!(parse(word), Ok(expected), "{word}");
    }
    for word in [
        "",
        "@",
        "512",
        "512@",
        "512@0xfeb00000",
        "512@0xfeb00000:",
        "@0xfeb00000:5",
        "512@:5",
        "512@0xfeb00000:5:",
        "512@0xfeb00000:5:x",
        "512@0xfeb00000:5:1:2",
        "512@0xfeb00000:-5",
        "+512@0xfeb00000:5",
        "K@0xfeb00000:5",
        "512@0x:5",
        "512@0xffffffffffffffff0:5",
        "17179869184G@0xfeb00000:5",
        "0xfff@0xfffffffffffffff0:5",
        "512@0xfeb00000:4294967296",
        "512KK@0xfeb00000:5",
    ] {
        assert_eq!(parse(word), Err(Fault::Syntax), "{word}");
    }
}

#[test]
fn places_in_ram_or_upon_each_other_are_refused() {
    let mut info = BootInfo::default();
    info.ram.push(Range::new(0x1000, 0x40_0000)).unwrap();
    let mut places = Vec::new();
    let mut add = |start, len| add(&mut places, place(start, len, 5), &info);
    assert_eq!(add(0xfeb0_0000, 512), Ok(()));
    assert_eq!(add(0xfeb0_0200, 512), Ok(()));
    // Named twice.
    assert_eq!(add(0xfeb0_0000, 512), Ok(()));
    assert_eq!(add(0xfeb0_0100, 512), Err(Fault::Overlaps));
    assert_eq!(add(0x20_0000, 512), Err(Fault::InRam));
    // The page before RAM would be mapped as well.
    assert_eq!(add(0xf00, 512), Err(Fault::InRam));
    for (start, len) in [
        (0, 512),
        (0xfeb0_0404, 512),
        (0xfeb0_0400, 0x107),
        (0xfeb0_0400, 0x1_0008),
    ] {
        assert_eq!(add(start, len), Err(Fault::BadRange), "{start:#x} {len:#x}");
    }
    for number in 2..MAX_DEVICES as u64 {
        assert_eq!(add(0xd000_0000 + 4096 * number, 4096), Ok(()));
    }
    assert_eq!(add(0xe000_0000, 512), Err(Fault::TooMany));
    assert_eq!(places.len(), MAX_DEVICES);
}

#[test]
fn only_modern_devices_are_used() {
    for (words, expected) in [
        ([MAGIC, 2, NETWORK], Ok(Some(NETWORK))),
        ([MAGIC, 2, 0], Ok(None)),
        ([MAGIC, 1, 0], Ok(None)),
        ([MAGIC, 1, NETWORK], Err(Fault::Legacy)),
        ([MAGIC, 3, NETWORK], Err(Fault::Version(3))),
        ([u32::MAX; 3], Err(Fault::NoDevice)),
        ([0; 3], Err(Fault::NoDevice)),
    ] {
        let registers = Registers::fake(std::vec::Vec::from(words).leak());
        assert_eq!(identify(&registers), expected, "{words:x?}");
    }
}
